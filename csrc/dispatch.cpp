#include "dispatch.h"

#include <stdlib.h>

#include <atomic>
#include <stdexcept>

namespace pynet {

#define LEVEL(name, lanes)       \
    namespace name {             \
    extern const Kernels kTable; \
    }
#include "levels.def"
#undef LEVEL

namespace dispatch {
namespace {

std::atomic<const Kernels*> g_kernels{nullptr};

bool cpu_runs(const std::string& level) {
#ifdef PYNET_X86_LEVELS
    __builtin_cpu_init();
    const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    const bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#ifdef PYNET_EMULATE_V4
    const bool v4 = v3;
#else
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
#endif
    return level == "v2" ? v2 : level == "v3" ? v3 : level == "v4" ? v4 : false;
#else
    return level == "base";
#endif
}

std::vector<const Kernels*> runnable() {
    std::vector<const Kernels*> tables;
#define LEVEL(name, lanes) \
    if (cpu_runs(#name)) tables.push_back(&name::kTable);
#include "levels.def"
#undef LEVEL
    return tables;
}

}  // namespace

std::vector<std::string> levels() {
    std::vector<std::string> names;
    for (const Kernels* table : runnable()) names.emplace_back(table->level);
    return names;
}

void select(const std::string& level) {
    std::string known;
    for (const Kernels* table : runnable()) {
        if (level == table->level) {
            g_kernels.store(table);
            return;
        }
        known += (known.empty() ? "" : ", ") + std::string(table->level);
    }
    throw std::runtime_error("PYNET_ISA: \"" + level +
                             "\" is not a level that this build and this CPU can run; choose one of: " + known);
}

void initialise() {
    const auto tables = runnable();
    if (tables.empty()) throw std::runtime_error("pynet needs a CPU with SSE4.2 and POPCNT (x86-64-v2)");
    g_kernels.store(tables.front());
    if (const char* asked = getenv("PYNET_ISA"); asked && *asked) select(asked);
}

const Kernels& kernels() { return *g_kernels.load(std::memory_order_relaxed); }

}  // namespace dispatch
}  // namespace pynet
