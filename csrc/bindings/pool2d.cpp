// Max, average and adaptive average pooling.
#include <algorithm>
#include <limits>

#include "arrays.h"
#include "geometry.h"

namespace pynet {
namespace {

// Output size along one axis as PyTorch rounds it: in ceil mode the last window must start inside the image
// or its left padding.
int64_t output_size(int64_t size, int64_t taps, int64_t stride, int64_t pad, int64_t dilation, bool ceil_mode) {
    const int64_t span = size + 2 * pad - dilation * (taps - 1) - 1;
    if (span < 0) return 0;
    int64_t out = (span + (ceil_mode ? stride - 1 : 0)) / stride + 1;
    if (ceil_mode && (out - 1) * stride >= size + pad) --out;
    return out;
}

std::string pair_text(const Pair& p) { return shape_text({p[0], p[1]}); }

}  // namespace

Pool2dShape pool2d_shape(const std::string& op, const Sizes& x, const Pair& kernel, const Pair& stride,
                         const Pair& padding, const Pair& dilation, bool ceil_mode) {
    constexpr int64_t kLargest = 1 << 24;  // keeps every product below 2^63
    for (size_t i = 0; i < 2; ++i) {
        require(kernel[i] >= 1 && stride[i] >= 1 && dilation[i] >= 1 && kernel[i] <= kLargest &&
                    stride[i] <= kLargest && dilation[i] <= kLargest,
                op + ": kernel " + pair_text(kernel) + ", stride " + pair_text(stride) + " and dilation " +
                    pair_text(dilation) + " must be at least 1");
        require(
            padding[i] >= 0 && 2 * padding[i] <= dilation[i] * (kernel[i] - 1) + 1,
            op + ": padding " + pair_text(padding) + " must lie between 0 and half of the kernel " + pair_text(kernel));
    }
    Pool2dShape s{x[0],      x[1],      x[2],      x[3],       0,          0,           kernel[0],
                  kernel[1], stride[0], stride[1], padding[0], padding[1], dilation[0], dilation[1]};
    s.OH = output_size(s.H, s.KH, s.stride_h, s.pad_h, s.dilation_h, ceil_mode);
    s.OW = output_size(s.W, s.KW, s.stride_w, s.pad_w, s.dilation_w, ceil_mode);
    require(s.OH > 0 && s.OW > 0, op + ": the kernel " + pair_text(kernel) + " exceeds the padded input; x is " +
                                      shape_text(x) + ", padding " + pair_text(padding));
    return s;
}

AveragePool2d adaptive_pool2d(const Sizes& x, const Pair& output_size) {
    require(output_size[0] >= 1 && output_size[1] >= 1,
            "adaptive_avg_pool2d: output_size " + pair_text(output_size) + " must be at least 1");
    require(x[2] >= 1 && x[3] >= 1,
            "adaptive_avg_pool2d: x is " + shape_text(x) + ", its height and width must be at least 1");
    return {Pool2dShape{x[0], x[1], x[2], x[3], output_size[0], output_size[1], 1, 1, 1, 1, 0, 0, 1, 1}, false, true};
}

namespace {

double elements(const Pool2dShape& s) { return static_cast<double>(s.N * s.C) * static_cast<double>(s.H * s.W); }

const Sizes& rank_4(const std::string& op, const Sizes& x_shape) {
    require(x_shape.size() == 4 && *std::min_element(x_shape.begin(), x_shape.end()) >= 0,
            op + ": x_shape is " + shape_text(x_shape) + ", expected (N, C, H, W)");
    return x_shape;
}

void require_int32_positions(const char* op, int64_t H, int64_t W) {
    require(W == 0 || H <= std::numeric_limits<int32_t>::max() / W,
            std::string(op) + ": an image of " + pair_text({H, W}) + " has more pixels than int32 indices can name");
}

std::tuple<py::array, OptionalArray> max_pool2d_forward(const py::array& x_in, const Pair& kernel, const Pair& stride,
                                                        const Pair& padding, const Pair& dilation, bool ceil_mode,
                                                        bool needs_indices, bool relu) {
    const py::array x = input(x_in, 4, Order::nhwc, "x");
    Pool2dShape s = pool2d_shape("max_pool2d", shape_of(x), kernel, stride, padding, dilation, ceil_mode);
    s.relu = relu;
    require_int32_positions("max_pool2d", s.H, s.W);
    const py::array out = new_array({s.N, s.C, s.OH, s.OW}, Order::nhwc);
    OptionalArray indices;
    if (needs_indices) indices = new_array({s.N, s.C, s.OH, s.OW}, Order::nhwc, py::dtype::of<int32_t>());
    int32_t* at = indices ? static_cast<int32_t*>(indices->mutable_data()) : nullptr;
    call(elements(s), [&](const Context& context) {
        dispatch::kernels().max_pool2d_forward(context, s, floats(x), mutable_floats(out), at);
    });
    return {out, indices};
}

// Whether windows of `taps` with this stride and padding make s.OH x s.OW outputs, and if so, s with these windows.
bool fits(Pool2dShape& s, int64_t taps, int64_t stride, int64_t pad) {
    const auto axis = [&](int64_t size, int64_t outputs) {
        return outputs > 0 && (output_size(size, taps, stride, pad, 1, false) == outputs ||
                               output_size(size, taps, stride, pad, 1, true) == outputs);
    };
    if (!axis(s.H, s.OH) || !axis(s.W, s.OW)) return false;
    s.KH = s.KW = taps;
    s.stride_h = s.stride_w = stride;
    s.pad_h = s.pad_w = pad;
    return true;
}

// The indices alone decide; the usual windows {taps, stride, padding} are only tried first because they are faster.
constexpr int64_t kUsualWindows[][3] = {{2, 2, 0}, {3, 2, 1}, {3, 2, 0}, {3, 1, 1}};

py::array max_pool2d_backward(const py::array& dout_in, const py::array& indices_in, const Sizes& x_shape) {
    rank_4("max_pool2d backward", x_shape);
    const py::array dout = input(dout_in, 4, Order::nhwc, "dout");
    const py::array indices = input(indices_in, 4, Order::nhwc, "indices", py::dtype::of<int32_t>());
    Pool2dShape s{x_shape[0], x_shape[1], x_shape[2], x_shape[3], dout.shape(2), dout.shape(3), 2, 2, 2, 2, 0, 0, 1, 1};
    require_shape(dout, {s.N, s.C, s.OH, s.OW}, "max_pool2d backward: dout");
    require_shape(indices, {s.N, s.C, s.OH, s.OW}, "max_pool2d backward: indices");
    require_int32_positions("max_pool2d backward", s.H, s.W);
    const py::array dx = new_array(x_shape, Order::nhwc);
    const auto* at = static_cast<const int32_t*>(indices.data());
    bool valid = false;
    call(elements(s), [&](const Context& context) {
        const Kernels& k = dispatch::kernels();
        for (const auto& window : kUsualWindows)
            if (!valid && fits(s, window[0], window[1], window[2]))
                valid = k.max_pool2d_backward_windows(context, s, floats(dout), at, mutable_floats(dx));
        if (!valid) valid = k.max_pool2d_backward(context, s, floats(dout), at, mutable_floats(dx));
    });
    if (!valid) throw py::index_error("max_pool2d backward: an index lies outside the image " + pair_text({s.H, s.W}));
    return dx;
}

py::array average_forward(const py::array& x, const AveragePool2d& pool) {
    const Pool2dShape& s = pool.shape;
    const py::array out = new_array({s.N, s.C, s.OH, s.OW}, Order::nhwc);
    call(elements(s), [&](const Context& context) {
        dispatch::kernels().avg_pool2d_forward(context, pool, floats(x), mutable_floats(out));
    });
    return out;
}

py::array average_backward(const py::array& dout_in, const AveragePool2d& pool, const char* name) {
    const Pool2dShape& s = pool.shape;
    const py::array dout = input(dout_in, 4, Order::nhwc, "dout");
    require_shape(dout, {s.N, s.C, s.OH, s.OW}, name);
    const py::array dx = new_array({s.N, s.C, s.H, s.W}, Order::nhwc);
    call(elements(s), [&](const Context& context) {
        dispatch::kernels().avg_pool2d_backward(context, pool, floats(dout), mutable_floats(dx));
    });
    return dx;
}

py::array avg_pool2d_forward(const py::array& x_in, const Pair& kernel, const Pair& stride, const Pair& padding,
                             bool ceil_mode, bool count_include_pad, int64_t divisor) {
    const py::array x = input(x_in, 4, Order::nhwc, "x");
    const Pool2dShape s = pool2d_shape("avg_pool2d", shape_of(x), kernel, stride, padding, {1, 1}, ceil_mode);
    return average_forward(x, AveragePool2d{s, count_include_pad, false, divisor});
}

py::array avg_pool2d_backward(const py::array& dout, const Sizes& x_shape, const Pair& kernel, const Pair& stride,
                              const Pair& padding, bool ceil_mode, bool count_include_pad, int64_t divisor) {
    const Pool2dShape s = pool2d_shape("avg_pool2d backward", rank_4("avg_pool2d backward", x_shape), kernel, stride,
                                       padding, {1, 1}, ceil_mode);
    return average_backward(dout, AveragePool2d{s, count_include_pad, false, divisor}, "avg_pool2d backward: dout");
}

py::array adaptive_avg_pool2d_forward(const py::array& x_in, const Pair& output_size) {
    const py::array x = input(x_in, 4, Order::nhwc, "x");
    return average_forward(x, adaptive_pool2d(shape_of(x), output_size));
}

py::array adaptive_avg_pool2d_backward(const py::array& dout, const Sizes& x_shape) {
    rank_4("adaptive_avg_pool2d backward", x_shape);
    require(dout.ndim() == 4,
            "adaptive_avg_pool2d backward: dout is " + shape_text(shape_of(dout)) + ", expected (N, C, OH, OW)");
    return average_backward(dout, adaptive_pool2d(x_shape, {dout.shape(2), dout.shape(3)}),
                            "adaptive_avg_pool2d backward: dout");
}

}  // namespace

void bind_pool2d(Module& m) {
    m.def("max_pool2d_forward", &max_pool2d_forward);
    m.def("max_pool2d_backward", &max_pool2d_backward);
    m.def("avg_pool2d_forward", &avg_pool2d_forward);
    m.def("avg_pool2d_backward", &avg_pool2d_backward);
    m.def("adaptive_avg_pool2d_forward", &adaptive_avg_pool2d_forward);
    m.def("adaptive_avg_pool2d_backward", &adaptive_avg_pool2d_backward);
}

}  // namespace pynet
