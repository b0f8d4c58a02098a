// Augmentation of uint8 batches (N, C, H, W), NHWC in memory; parameters are drawn and prepared in Python.
#include "../augment.h"

#include "arrays.h"

namespace pynet {
namespace {

py::array images_of(const py::array& x, const char* name) {
    return input(x, 4, Order::nhwc, name, py::dtype::of<uint8_t>());
}

augment::Images shape_of_images(const py::array& x) { return {x.shape(0), x.shape(2), x.shape(3), x.shape(1)}; }

template <class T>
py::array rows(const py::array& a, int64_t n, int64_t columns, const char* name) {
    py::array out = input(a, 2, Order::c, name, py::dtype::of<T>());
    require_shape(out, {n, columns}, name);
    return out;
}

template <class T>
const T* data(const py::array& a) {
    return static_cast<const T*>(a.data());
}
template <class T>
T* mutable_data(const py::array& a) {
    return static_cast<T*>(const_cast<void*>(a.data()));
}

py::array uniform(const py::array& indices_in, int64_t count, const py::int_& seed, uint32_t epoch, uint32_t first) {
    require(count >= 0 && first % 4 == 0, "augment_uniform: count must not be negative, first a multiple of 4");
    const uint64_t key = PyLong_AsUnsignedLongLongMask(seed.ptr());
    const py::array indices = input(indices_in, 1, Order::c, "augment_uniform: indices", py::dtype::of<int64_t>());
    const py::array out = new_array({indices.size(), count}, Order::c, py::dtype::of<double>());
    call(static_cast<double>(out.size()) * 4, [&](const Context& context) {
        augment::uniform(context, indices.size(), count, key, epoch, first, data<int64_t>(indices),
                         mutable_data<double>(out));
    });
    return out;
}

py::array warp(const py::array& x_in, const py::array& matrices_in, const std::array<int64_t, 2>& size,
               const py::array& fill_in, bool edge) {
    const py::array x = images_of(x_in, "augment_warp: images");
    const augment::Images s = shape_of_images(x);
    require(size[0] > 0 && size[1] > 0 && s.h > 0 && s.w > 0, "augment_warp: images and size must not be empty");
    const py::array matrices = rows<int64_t>(matrices_in, s.n, 6, "augment_warp: matrices");
    const py::array fill = input(fill_in, 1, Order::c, "augment_warp: fill", py::dtype::of<uint8_t>());
    require_shape(fill, {s.c}, "augment_warp: fill");
    const py::array out = new_array({s.n, s.c, size[0], size[1]}, Order::nhwc, py::dtype::of<uint8_t>());
    call(static_cast<double>(out.size()) * 8, [&](const Context& context) {
        augment::warp(context, s, size[0], size[1], data<uint8_t>(x), data<int64_t>(matrices), data<uint8_t>(fill),
                      edge, mutable_data<uint8_t>(out));
    });
    return out;
}

py::array color(const py::array& x_in, const py::array& factors_in, const py::array& order_in) {
    const py::array x = images_of(x_in, "augment_color: images");
    const augment::Images s = shape_of_images(x);
    require(s.h > 0 && s.w > 0 && s.c > 0, "augment_color: images must not be empty");
    const py::array factors = rows<int32_t>(factors_in, s.n, 4, "augment_color: factors");
    const py::array order = rows<int32_t>(order_in, s.n, 4, "augment_color: order");
    for (int64_t i = 0; i < order.size(); ++i)
        require(data<int32_t>(order)[i] >= 0 && data<int32_t>(order)[i] < 4,
                "augment_color: order must be from 0 to 3");
    const py::array out = new_array(shape_of(x), Order::nhwc, py::dtype::of<uint8_t>());
    call(static_cast<double>(out.size()) * 8, [&](const Context& context) {
        __builtin_memcpy(mutable_data<uint8_t>(out), data<uint8_t>(x), static_cast<size_t>(x.size()));
        augment::color(context, s, data<int32_t>(factors), data<int32_t>(order), mutable_data<uint8_t>(out));
    });
    return out;
}

py::array blur(const py::array& x_in, const py::array& weights_in) {
    const py::array x = images_of(x_in, "augment_blur: images");
    const augment::Images s = shape_of_images(x);
    require(weights_in.ndim() == 2 && weights_in.shape(1) % 2 == 1, "augment_blur: weights must be (N, odd)");
    const int64_t taps = weights_in.shape(1);
    require(taps / 2 < s.h && taps / 2 < s.w, "augment_blur: images must be larger than half the kernel");
    const py::array weights = rows<int32_t>(weights_in, s.n, taps, "augment_blur: weights");
    const py::array out = new_array(shape_of(x), Order::nhwc, py::dtype::of<uint8_t>());
    const size_t scratch = static_cast<size_t>(s.h * s.w * s.c) * sizeof(uint16_t);
    call(
        static_cast<double>(out.size()) * static_cast<double>(taps),
        [&](int threads) { return scratch * static_cast<size_t>(threads); },
        [&](const Context& context) {
            augment::blur(context, s, taps, data<uint8_t>(x), data<int32_t>(weights), mutable_data<uint8_t>(out));
        });
    return out;
}

}  // namespace

void bind_augment(Module& m) {
    m.def("augment_uniform", &uniform);
    m.def("augment_warp", &warp);
    m.def("augment_color", &color);
    m.def("augment_blur", &blur);
}

}  // namespace pynet
