// What every kernel is handed besides its arguments: how many threads it may use and where its scratch
// memory lies. Filled by the bindings; kernels neither allocate nor ask the system for anything.
#pragma once
#include <cstddef>

namespace pynet {

struct Context {
    int threads;      // 1 means: run on the caller's thread and never enter a parallel region
    char* workspace;  // 64-byte aligned, as large as the kernel's *_workspace function asked for
};

}  // namespace pynet
