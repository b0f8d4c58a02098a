// Levels, threads, memory and build facts for pynet.runtime and `pynet doctor`.
#include <chrono>

#include "arrays.h"

namespace pynet {
namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Peak GFLOP/s of a register-only multiply-add loop: the best of many short tries, of which some fall between the
// time slices of other processes.
double measure_peak(int thread_count) {
    require(thread_count >= 1 && thread_count <= 4096, "measure_peak: threads must lie in 1 .. 4096");
    const Kernels& k = dispatch::kernels();
    std::vector<float> sink(static_cast<size_t>(thread_count));
    const int64_t iterations = 200000;
    double best = 0;
    py::gil_scoped_release release;
    for (int attempt = 0; attempt < 50; ++attempt) {
        const double start = seconds();
        k.peak_loop(Context{thread_count, nullptr}, iterations, sink.data());
        const double flops =
            static_cast<double>(k.peak_flops_per_iteration()) * static_cast<double>(iterations) * thread_count;
        best = std::max(best, flops / (seconds() - start) / 1e9);
    }
    return best;
}

py::dict memory_stats() {
    const pool::Stats s = pool::stats();
    py::dict d;
    d["in_use_bytes"] = s.in_use_bytes;
    d["cached_bytes"] = s.cached_bytes;
    d["peak_bytes"] = s.peak_bytes;
    d["limit_bytes"] = s.limit_bytes;
    d["allocations"] = s.allocations;
    d["system_allocations"] = s.system_allocations;
    return d;
}

py::dict build_info() {
    py::dict d;
    d["compiler"] = PYNET_COMPILER;
    d["build_type"] = PYNET_BUILD_TYPE;
    std::vector<std::string> compiled;
#define LEVEL(name, lanes) compiled.emplace_back(#name);
#include "../levels.def"
#undef LEVEL
    d["compiled_levels"] = compiled;
    d["pybind11"] = std::to_string(PYBIND11_VERSION_MAJOR) + "." + std::to_string(PYBIND11_VERSION_MINOR);
    return d;
}

}  // namespace

void bind_runtime(Module& module) {
    py::module_& m = module;  // questions are not recorded
    m.def("isa", [] { return std::string(dispatch::kernels().level); });
    m.def("isa_levels", &dispatch::levels);
    m.def("lanes", [] { return dispatch::kernels().lanes; });
    m.def("_set_isa", &dispatch::select, py::arg("level"));
    m.def("get_num_threads", &threads::count);
    m.def(
        "set_num_threads",
        [](int n) {
            require(n >= 1 && n <= 4096, "set_num_threads: " + std::to_string(n) + " is not in 1 .. 4096");
            threads::set_count(n);
        },
        py::arg("n"));
    m.def("thread_choice", &threads::choice);
    m.def("memory_stats", &memory_stats);
    m.def("empty_cache", &pool::empty_cache);
    m.def("reset_peak_memory", &pool::reset_peak);
    m.def("pool_bytes", &pool::block_bytes);
    m.def("measure_peak", &measure_peak, py::arg("threads") = 1);
    m.def("build_info", &build_info);
    m.def("_byte_bounds", &byte_bounds);
    m.def("_c", [](const py::array& a) { return in_order(a, Order::c); });
    m.def("_nhwc", [](const py::array& a) { return in_order(a, Order::nhwc); });
    m.def("_hwio", [](const py::array& a) { return in_order(a, Order::hwio); });
    m.def("_io", [](const py::array& a) { return in_order(a, Order::io); });
    module.def(
        "empty", [](const Sizes& shape, const std::string& layout) { return new_array(shape, order_of(layout)); },
        py::arg("shape"), py::arg("layout") = "c");
}

}  // namespace pynet
