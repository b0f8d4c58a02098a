// Separable sparse maps of (N, C, H, W) images: interpolation, padding and their gradients.
#include "resample.h"

namespace pynet {
namespace {

Taps taps_of(const TapArrays& a) {
    return Taps{static_cast<const int64_t*>(std::get<0>(a).data()), static_cast<const int64_t*>(std::get<1>(a).data()),
                floats(std::get<2>(a))};
}

}  // namespace

TapArrays checked_taps(const TapArrays& arrays, int64_t size) {
    const py::dtype integers = py::dtype::of<int64_t>();
    TapArrays a{input(std::get<0>(arrays), 1, Order::c, "resample: starts", integers),
                input(std::get<1>(arrays), 1, Order::c, "resample: positions", integers),
                input(std::get<2>(arrays), 1, Order::c, "resample: weights")};
    const int64_t outputs = std::get<0>(a).size() - 1, count = std::get<1>(a).size();
    require_shape(std::get<2>(a), {count}, "resample: weights");
    const auto* starts = static_cast<const int64_t*>(std::get<0>(a).data());
    const auto* positions = static_cast<const int64_t*>(std::get<1>(a).data());
    require(outputs >= 0 && starts[0] == 0 && starts[outputs] == count,
            "resample: starts must run from 0 to " + std::to_string(count) + ", the number of positions");
    for (int64_t i = 0; i < outputs; ++i) require(starts[i] <= starts[i + 1], "resample: starts must not fall");
    for (int64_t k = 0; k < count; ++k)
        require(positions[k] >= 0 && positions[k] < size, "resample: position " + std::to_string(positions[k]) +
                                                              " lies outside an axis of size " + std::to_string(size));
    return a;
}

Resample resample_of(const Sizes& x, const TapArrays& down, const TapArrays& across) {
    return Resample{
        x[0],          x[1],           x[2], x[3], std::get<0>(down).size() - 1, std::get<0>(across).size() - 1,
        taps_of(down), taps_of(across)};
}

double resample_work(const Resample& s) {
    return static_cast<double>(s.N * s.C * s.OH) * static_cast<double>(s.W + s.OW) * 2;
}

namespace {

py::array resample(const py::array& x_in, const TapArrays& down_in, const TapArrays& across_in) {
    const py::array x = input(x_in, 4, Order::nhwc, "x");
    const Sizes shape = shape_of(x);
    const TapArrays down = checked_taps(down_in, shape[2]), across = checked_taps(across_in, shape[3]);
    const Resample s = resample_of(shape, down, across);
    const py::array out = new_array({s.N, s.C, s.OH, s.OW}, Order::nhwc);
    call(
        resample_work(s), [&](int threads) { return dispatch::kernels().resample_workspace(s, threads); },
        [&](const Context& context) { dispatch::kernels().resample(context, s, floats(x), mutable_floats(out)); });
    return out;
}

}  // namespace

void bind_resample(Module& m) { m.def("resample", &resample); }

}  // namespace pynet
