#include "arrays.h"

#include <algorithm>

namespace pynet {
namespace {

constexpr size_t kMaxRank = 64;  // NumPy's

// Axes from outermost to innermost in memory; null: as they come.
const int* axes_of(Order order, int rank) {
    static constexpr int nhwc[] = {0, 2, 3, 1}, hwio[] = {2, 3, 1, 0}, io[] = {1, 0};
    if (order == Order::nhwc && rank == 4) return nhwc;
    if (order == Order::hwio && rank == 4) return hwio;
    if (order == Order::io && rank == 2) return io;
    return nullptr;
}

size_t checked_bytes(const Sizes& shape, size_t item) {
    size_t bytes = item;
    bool empty = false;
    for (const int64_t size : shape) {
        require(size >= 0, "a size is negative: " + shape_text(shape));
        if (size == 0) empty = true;
    }
    if (empty) return item;
    for (const int64_t size : shape)
        require(!__builtin_mul_overflow(bytes, static_cast<size_t>(size), &bytes) && bytes <= (size_t{1} << 62),
                "an array of shape " + shape_text(shape) + " is larger than the address space");
    return bytes;
}

// NumPy's own constructor: pybind11's copies the sizes, and its capsules look for errors in flight.
py::array from_pool(const Sizes& shape, const py::ssize_t* strides, size_t bytes, const py::dtype& type) {
    void* data = pool::allocate(bytes);
    if (!data) throw std::bad_alloc();
    PyObject* owner =
        PyCapsule_New(data, nullptr, [](PyObject* capsule) { pool::release(PyCapsule_GetPointer(capsule, nullptr)); });
    if (!owner) {
        pool::release(data);
        throw py::error_already_set();
    }
    const auto& numpy = py::detail::npy_api::get();
    static_assert(sizeof(py::ssize_t) == sizeof(int64_t), "sizes are handed over as they are");
    PyObject* array = numpy.PyArray_NewFromDescr_(
        numpy.PyArray_Type_, type.inc_ref().ptr(), static_cast<int>(shape.size()),
        reinterpret_cast<const Py_intptr_t*>(shape.data()), reinterpret_cast<const Py_intptr_t*>(strides), data,
        py::detail::npy_api::NPY_ARRAY_WRITEABLE_, nullptr);
    if (!array) {
        Py_DECREF(owner);
        throw py::error_already_set();
    }
    if (numpy.PyArray_SetBaseObject_(array, owner) != 0) {  // takes the reference to owner
        Py_DECREF(array);
        throw py::error_already_set();
    }
    return py::reinterpret_steal<py::array>(array);
}

bool is_plain_float(const py::array& a) {
    const auto flags = py::detail::array_proxy(a.ptr())->flags;
    return a.dtype().num() == py::dtype::of<float>().num() && a.dtype().byteorder() != '>' &&
           (flags & py::detail::npy_api::NPY_ARRAY_ALIGNED_);
}

void check_type(const py::array& a, const Name& name, const py::dtype& type) {
    const auto flags = py::detail::array_proxy(a.ptr())->flags;
    if (a.dtype().num() == type.num() && a.dtype().byteorder() != '>') {
        require(flags & py::detail::npy_api::NPY_ARRAY_ALIGNED_, name.str() + " is not aligned in memory; pass a copy");
        return;
    }
    throw py::type_error(name.str() + " has dtype " + py::str(a.dtype()).cast<std::string>() + ", expected " +
                         py::str(type).cast<std::string>() + "; convert it with .astype()");
}

py::array converted(const py::array& a, Order order) {
    py::array copy = new_array(shape_of(a), order, a.dtype());
    const bool inwards = order == Order::nhwc && is_dense(a, Order::c),
               outwards = order == Order::c && is_dense(a, Order::nhwc);
    if (a.ndim() == 4 && is_plain_float(a) && (inwards || outwards)) {  // maps, channels to the innermost or back
        const int64_t C = a.shape(1), pixels = a.shape(2) * a.shape(3);
        call(static_cast<double>(a.size()), [&](const Context& context) {
            dispatch::kernels().transpose_matrices(context, a.shape(0), inwards ? C : pixels, inwards ? pixels : C,
                                                   floats(a), mutable_floats(copy));
        });
    } else {
        py::module_::import("numpy").attr("copyto")(copy, a);
    }
    return copy;
}

}  // namespace

Order order_of(const std::string& name) {
    if (name == "c") return Order::c;
    if (name == "nhwc") return Order::nhwc;
    if (name == "hwio") return Order::hwio;
    if (name == "io") return Order::io;
    throw py::value_error("layout \"" + name + "\" is none of c, nhwc, hwio, io");
}

bool is_dense(const py::array& a, Order order) {
    const int rank = static_cast<int>(a.ndim());
    if (a.size() == 0) return true;
    int64_t expected = a.itemsize();
    const int* axes = axes_of(order, rank);
    for (int i = rank - 1; i >= 0; --i) {
        const int axis = axes ? axes[i] : i;
        if (a.shape(axis) == 1) continue;  // the stride of a unit axis means nothing
        if (a.strides(axis) != expected) return false;
        expected *= a.shape(axis);
    }
    return true;
}

py::array new_array(const Sizes& shape, Order order, const py::dtype& type) {
    const size_t bytes = checked_bytes(shape, static_cast<size_t>(type.itemsize()));
    require(shape.size() <= kMaxRank, "an array of " + std::to_string(shape.size()) + " axes is more than NumPy has");
    py::ssize_t strides[kMaxRank];
    int64_t step = type.itemsize();
    const int* axes = axes_of(order, static_cast<int>(shape.size()));
    for (size_t i = shape.size(); i-- > 0;) {
        const size_t axis = axes ? static_cast<size_t>(axes[i]) : i;
        strides[axis] = step;
        step *= std::max<int64_t>(1, shape[axis]);
    }
    return from_pool(shape, strides, bytes, type);
}

bool is_dense_in_any_order(const py::array& a) {
    if (a.size() <= 1 || py::detail::check_flags(a.ptr(), py::array::c_style) ||
        py::detail::check_flags(a.ptr(), py::array::f_style))
        return true;
    std::vector<std::pair<int64_t, int64_t>> axes;  // (stride, size)
    for (int i = 0; i < a.ndim(); ++i)
        if (a.shape(i) != 1) axes.emplace_back(a.strides(i), a.shape(i));
    std::sort(axes.begin(), axes.end());
    int64_t expected = a.itemsize();
    for (const auto& [stride, size] : axes) {
        if (stride != expected) return false;
        expected *= size;
    }
    return true;
}

bool same_strides(const py::array& a, const py::array& b) {
    if (a.ndim() != b.ndim()) return false;
    for (int i = 0; i < a.ndim(); ++i) {
        if (a.shape(i) != b.shape(i)) return false;
        if (a.shape(i) > 1 && a.strides(i) != b.strides(i)) return false;
    }
    return true;
}

std::pair<uintptr_t, uintptr_t> byte_bounds(const py::array& a) {
    auto low = reinterpret_cast<uintptr_t>(a.data()), high = low;
    if (a.size() == 0) return {low, low};
    for (int i = 0; i < a.ndim(); ++i) {
        const int64_t reach = (a.shape(i) - 1) * a.strides(i);
        (reach < 0 ? low : high) += static_cast<uintptr_t>(reach);
    }
    return {low, high + static_cast<uintptr_t>(a.itemsize())};
}

py::array new_like(const py::array& like) {
    const Sizes shape = shape_of(like);
    if (!is_dense_in_any_order(like) || like.size() == 0) return new_array(shape, Order::c, like.dtype());
    const size_t bytes = checked_bytes(shape, static_cast<size_t>(like.itemsize()));
    return from_pool(shape, like.strides(), bytes, like.dtype());
}

py::array input(const py::array& a, int rank, Order order, const Name& name, const py::dtype& type) {
    check_type(a, name, type);
    if (rank >= 0 && a.ndim() != rank)
        throw py::value_error(name.str() + " has " + std::to_string(a.ndim()) + " dimensions, expected " +
                              std::to_string(rank) + "; its shape is " + shape_text(shape_of(a)));
    return in_order(a, order);
}

py::array in_order(const py::array& a, Order order) { return is_dense(a, order) ? a : converted(a, order); }

py::array input_any_order(const py::array& a, const Name& name) {
    check_type(a, name, py::dtype::of<float>());
    return is_dense_in_any_order(a) ? a : converted(a, Order::c);
}

py::array in_place(const py::array& a, const Name& name) {
    check_type(a, name, py::dtype::of<float>());
    require(a.writeable(), name.str() + " is read-only and cannot be updated in place");
    require(is_dense_in_any_order(a), name.str() + " is not dense in memory and cannot be updated in place");
    if (profile::Frame* frame = profile::current())
        frame->add_bytes(static_cast<double>(a.nbytes()));  // written as well as read
    return a;
}

std::string shape_text(const Sizes& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

void refuse(const std::string& why) { throw py::value_error(why); }

std::string Name::str() const {
    return list ? std::string(text) + ": " + list + "[" + std::to_string(index) + "]" : std::string(text);
}

void require_shape(const py::array& a, const Sizes& shape, const Name& name) {
    if (a.ndim() == static_cast<py::ssize_t>(shape.size()) && std::equal(shape.begin(), shape.end(), a.shape())) return;
    throw py::value_error(name.str() + " has shape " + shape_text(shape_of(a)) + ", expected " + shape_text(shape));
}

Activation activation_of(const std::string& name) {
    if (name == "none") return Activation::none;
    if (name == "relu") return Activation::relu;
    if (name == "leaky_relu") return Activation::leaky_relu;
    if (name == "elu") return Activation::elu;
    if (name == "sigmoid") return Activation::sigmoid;
    if (name == "tanh") return Activation::tanh;
    throw py::value_error("activation \"" + name + "\" is none of none, relu, leaky_relu, elu, sigmoid, tanh");
}

Reduction reduction_of(const std::string& name) {
    if (name == "none") return Reduction::none;
    if (name == "mean") return Reduction::mean;
    if (name == "sum") return Reduction::sum;
    throw py::value_error("reduction \"" + name + "\" is none of none, mean, sum");
}

}  // namespace pynet
