// One bind function a kernel family; module.cpp calls them all.
#pragma once
#include "profile.h"

namespace pynet {

#define FAMILY(name) void bind_##name(Module& m);
#include "families.def"
#undef FAMILY

}  // namespace pynet
