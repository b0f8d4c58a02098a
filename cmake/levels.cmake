# One object library per ISA level from the same sources, in its own namespace, and the gate that fails the
# build when such an object defines a symbol outside that namespace: the linker could hand it to callers of
# another level, and an older CPU would meet an illegal instruction.

file(GLOB PYNET_KERNELS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/csrc/kernels/*.cpp)
set(PYNET_LEVEL_OBJECTS "")
set(PYNET_LEVEL_DEFINITIONS "")
set(PYNET_GATES "")

function(pynet_level name lanes)
  set(target pynet_${name})
  add_library(${target} OBJECT ${PYNET_KERNELS})
  target_compile_definitions(${target} PRIVATE PYNET_LEVEL=${name} PYNET_LANES=${lanes} ${PYNET_LEVEL_DEFINITIONS})
  target_compile_options(${target} PRIVATE ${ARGN} -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math
                         -fno-exceptions -fno-rtti -fno-asynchronous-unwind-tables)
  set(stamp ${CMAKE_BINARY_DIR}/symbols_${name}.stamp)
  add_custom_command(
    OUTPUT ${stamp}
    COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} -DNAMESPACE=${name} -DSTAMP=${stamp} "-DOBJECTS=$<JOIN:$<TARGET_OBJECTS:${target}>,|>"
            -P ${CMAKE_SOURCE_DIR}/cmake/check_symbols.cmake
    DEPENDS ${target} $<TARGET_OBJECTS:${target}> ${CMAKE_SOURCE_DIR}/cmake/check_symbols.cmake
    COMMENT "Checking that level ${name} keeps its symbols to itself" VERBATIM)
  set(PYNET_GATES ${PYNET_GATES} ${stamp} PARENT_SCOPE)
  set(PYNET_LEVEL_OBJECTS ${PYNET_LEVEL_OBJECTS} $<TARGET_OBJECTS:${target}> PARENT_SCOPE)
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64" AND PYNET_LEVELS)
  set(lanes_v2 4)
  set(lanes_v3 8)
  set(lanes_v4 16)
  set(flags_v2 -march=x86-64-v2)
  set(flags_v3 -march=x86-64-v3)
  set(flags_v4 -march=x86-64-v4 -mprefer-vector-width=512)
  set(PYNET_LEVEL_DEFINITIONS PYNET_X86_LEVELS)
  if(PYNET_EMULATE_V4)
    list(APPEND PYNET_LEVEL_DEFINITIONS PYNET_EMULATE_V4)
    set(flags_v4 ${flags_v3})
  endif()
  foreach(level IN LISTS PYNET_LEVELS)
    list(APPEND PYNET_LEVEL_DEFINITIONS PYNET_HAS_${level})
  endforeach()
  foreach(level IN LISTS PYNET_LEVELS)
    pynet_level(${level} ${lanes_${level}} ${flags_${level}})
  endforeach()
else()
  pynet_level(base 4)
endif()
add_custom_target(pynet_symbol_gate DEPENDS ${PYNET_GATES})
