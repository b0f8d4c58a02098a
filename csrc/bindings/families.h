// One bind function a kernel family; module.cpp calls them all.
#pragma once
#include <pybind11/pybind11.h>

namespace pynet {

#define FAMILY(name) void bind_##name(pybind11::module_& m);
#include "families.def"
#undef FAMILY

}  // namespace pynet
