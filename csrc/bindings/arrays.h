// How NumPy arrays enter and leave the core: type checks, kernel memory order, arrays from the pool, and
// the frame around every kernel call (threads, scratch memory, GIL, profile). The only header that bindings share.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "../dispatch.h"
#include "../pool.h"
#include "../threads.h"
#include "profile.h"

namespace pynet {

using Pair = std::array<int64_t, 2>;
using Sizes = std::vector<int64_t>;
using OptionalArray = std::optional<py::array>;

// Memory orders, named by what is dense, outermost first: c as written, nhwc for (N, C, H, W) activations,
// hwio for (F, C, KH, KW) convolution weights, io for (out, in) linear weights.
enum class Order { c, nhwc, hwio, io };

Order order_of(const std::string& name);
bool is_dense(const py::array& a, Order order);

// A new array from the pool. ValueError when the size overflows, MemoryError when the system has no more.
py::array new_array(const Sizes& shape, Order order = Order::c, const py::dtype& type = py::dtype::of<float>());
// A new array with the shape and, when `like` is dense in some order of its axes, the strides of `like`.
py::array new_like(const py::array& like);
// True when the array is dense in some order of its axes, so that it may be walked as one run.
bool is_dense_in_any_order(const py::array& a);
bool same_strides(const py::array& a, const py::array& b);
// Addresses of an array's first byte and of the one behind its last.
std::pair<uintptr_t, uintptr_t> byte_bounds(const py::array& a);

// What an error calls an array: `text`, or "text: list[index]"; put together only when there is an error.
struct Name {
    const char* text;
    const char* list = nullptr;
    size_t index = 0;

    Name(const char* plain) : text(plain) {}
    Name(const char* op, const char* of, size_t at) : text(op), list(of), index(at) {}
    std::string str() const;
};

// The array as aligned native `dtype` dense in `order`: itself when it is, else a converted copy.
// TypeError when the dtype is another one; ValueError when the rank differs (rank -1: any).
py::array input(const py::array& a, int rank, Order order, const Name& name, const py::dtype& type);
inline py::array input(const py::array& a, int rank, Order order, const Name& name) {
    return input(a, rank, order, name, py::dtype::of<float>());
}
// The array itself where it is dense in `order`, else a copy that is; of any dtype.
py::array in_order(const py::array& a, Order order);
// Dense in whatever order it has; converted to C order when in none.
py::array input_any_order(const py::array& a, const Name& name);
// An array that a kernel updates in place: float32, writeable, dense in some order, else an error.
py::array in_place(const py::array& a, const Name& name);

inline const float* floats(const py::array& a) { return static_cast<const float*>(a.data()); }
inline const float* floats(const OptionalArray& a) { return a ? floats(*a) : nullptr; }
inline float* mutable_floats(const py::array& a) { return static_cast<float*>(const_cast<void*>(a.data())); }

inline Sizes shape_of(const py::array& a) { return Sizes(a.shape(), a.shape() + a.ndim()); }
std::string shape_text(const Sizes& shape);
[[noreturn]] void refuse(const std::string& why);  // ValueError
// require(holds, otherwise): a macro, so that the text is put together only when it is needed.
#define require(holds, ...)                \
    do {                                   \
        if (!(holds)) refuse(__VA_ARGS__); \
    } while (false)
void require_shape(const py::array& a, const Sizes& shape, const Name& name);

Activation activation_of(const std::string& name);
Curve curve_of(const std::string& name);
Reduction reduction_of(const std::string& name);

// In place, for activations that the tiles do not fuse.
void apply_activation(float* data, int64_t count, Activation activation, float alpha);

// Work (in multiply-adds, or elements times some weight) below which a parallel region costs more than it saves.
constexpr double kSerialWork = 25e3;

// Runs body(context) with as many threads as `work` deserves; the GIL is released for longer calls.
// `workspace(threads)` says how many bytes of scratch memory the kernel needs.
template <class Workspace, class Body>
void call(double work, Workspace workspace, Body body) {
    Context context{work < kSerialWork ? 1 : threads::count(), nullptr};
    pool::Scratch scratch(workspace(context.threads));
    if (scratch.failed()) throw std::bad_alloc();
    context.workspace = scratch.data();
    if (work < kSerialWork) {
        const profile::KernelTime time;
        body(context);
        return;
    }
    py::gil_scoped_release release;
    const profile::KernelTime time;
    body(context);
}

template <class Body>
void call(double work, Body body) {
    call(work, [](int) { return size_t{0}; }, body);
}

}  // namespace pynet
