// The extension module pynet._core: chooses the ISA level and the thread count, then binds every family.
#include <pybind11/pybind11.h>

#include <stdexcept>

#include "../dispatch.h"
#include "../threads.h"
#include "families.h"

PYBIND11_MODULE(_core, m) {
    m.doc() = "pynet's native kernels: float32, forward and backward. Use pynet.nn.functional instead.";
    pynet::dispatch::initialise();
    pynet::threads::initialise();
    if (const std::string warning = pynet::threads::warning(); !warning.empty())
        if (PyErr_WarnEx(PyExc_RuntimeWarning, warning.c_str(), 1) != 0) throw pybind11::error_already_set();
    pynet::Module module(m);
#define FAMILY(name) pynet::bind_##name(module);
#include "families.def"
#undef FAMILY
}
