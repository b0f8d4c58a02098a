// One table of function pointers per ISA level; the best level that the CPU runs is chosen once, when the
// module is imported. PYNET_ISA asks for another one by name.
#pragma once
#include <string>
#include <vector>

#include "context.h"
#include "shapes.h"

namespace pynet {

struct Kernels {
    const char* level;
    int lanes;
#define KERNEL(result, name, arguments) result(*name) arguments;
#include "kernels/kernels.def"
#undef KERNEL
};

namespace dispatch {

// Throws std::runtime_error, listing the levels, when PYNET_ISA names one that is unknown or that this CPU lacks.
void initialise();
const Kernels& kernels();
// Levels that this build has and this CPU runs, best first.
std::vector<std::string> levels();
void select(const std::string& level);

}  // namespace dispatch
}  // namespace pynet
