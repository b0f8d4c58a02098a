// Declares every kernel of this level inside pynet::<level>. PYNET_LEVEL and PYNET_LANES come from CMake.
#pragma once
#include "../context.h"
#include "../shapes.h"

namespace pynet {
namespace PYNET_LEVEL {

#define KERNEL(result, name, arguments) result name arguments;
#include "kernels.def"
#undef KERNEL

}  // namespace PYNET_LEVEL
}  // namespace pynet
