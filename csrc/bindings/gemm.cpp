// Matrix products and the linear layer. Linear weights are (out, in) for the user and (in, out) in memory.
#include "arrays.h"

namespace pynet {
namespace {

void run(const Gemm& g) {
    const Kernels& k = dispatch::kernels();
    const double work = static_cast<double>(g.M) * static_cast<double>(g.N) * static_cast<double>(g.K);
    if (profile::Frame* frame = profile::current()) frame->add_work(2 * work);
    call(
        work, [&](int threads) { return k.gemm_workspace(g, threads); },
        [&](const Context& context) { k.gemm(context, g); });
}

// Element strides of the last two axes if the kernel can walk them, else of a C-order copy.
py::array matrix_input(const py::array& a, const char* name) {
    py::array view = input(a, -1, Order::c, name);
    require(view.ndim() >= 2,
            std::string("matmul: ") + name + " has " + std::to_string(a.ndim()) + " dimensions, at least 2 are needed");
    return view;
}

py::array walkable(const py::array& a, const char* name) {
    // Any two non-negative strides of whole floats will do for a plain matrix; batches are made dense.
    if (a.ndim() == 2 && a.dtype().num() == py::dtype::of<float>().num() && a.dtype().byteorder() != '>' &&
        a.strides(0) >= 0 && a.strides(1) >= 0 && a.strides(0) % 4 == 0 && a.strides(1) % 4 == 0 &&
        reinterpret_cast<uintptr_t>(a.data()) % 4 == 0)
        return a;
    return matrix_input(a, name);
}

int64_t stride(const py::array& a, int axis) { return a.strides(axis) / static_cast<int64_t>(sizeof(float)); }

py::array matmul(const py::array& a_in, const py::array& b_in) {
    const py::array a = walkable(a_in, "a"), b = walkable(b_in, "b");
    const int ra = static_cast<int>(a.ndim()), rb = static_cast<int>(b.ndim());
    const int64_t M = a.shape(ra - 2), K = a.shape(ra - 1), N = b.shape(rb - 1);
    require(b.shape(rb - 2) == K,
            "matmul: inner sizes differ: " + shape_text(shape_of(a)) + " @ " + shape_text(shape_of(b)));
    // Batch axes broadcast, right-aligned.
    const int batch_rank = std::max(ra, rb) - 2;
    Sizes shape(static_cast<size_t>(batch_rank));
    int64_t batches = 1;
    auto size_at = [&](const py::array& x, int rank, int axis) {
        const int own = axis - (batch_rank - (rank - 2));
        return own < 0 ? int64_t{1} : static_cast<int64_t>(x.shape(own));
    };
    for (int i = 0; i < batch_rank; ++i) {
        const int64_t sa = size_at(a, ra, i), sb = size_at(b, rb, i);
        require(sa == sb || sa == 1 || sb == 1,
                "matmul: batch sizes do not broadcast: " + shape_text(shape_of(a)) + " @ " + shape_text(shape_of(b)));
        shape[static_cast<size_t>(i)] = sa == 1 ? sb : sa;
        batches *= shape[static_cast<size_t>(i)];
    }
    Sizes full = shape;
    full.push_back(M);
    full.push_back(N);
    py::array out = new_array(full);
    for (int64_t batch = 0; batch < batches; ++batch) {
        int64_t rest = batch, a_index = 0, b_index = 0, a_step = 1, b_step = 1;
        for (int i = batch_rank - 1; i >= 0; --i) {
            const int64_t at = rest % shape[static_cast<size_t>(i)];
            rest /= shape[static_cast<size_t>(i)];
            const int64_t sa = size_at(a, ra, i), sb = size_at(b, rb, i);
            if (sa > 1) a_index += at * a_step;
            if (sb > 1) b_index += at * b_step;
            a_step *= sa;
            b_step *= sb;
        }
        run(Gemm{M, N, K, floats(a) + a_index * M * K, stride(a, ra - 2), stride(a, ra - 1),
                 floats(b) + b_index * K * N, stride(b, rb - 2), stride(b, rb - 1), mutable_floats(out) + batch * M * N,
                 N, nullptr, Activation::none, 0});
    }
    return out;
}

// a @ b with b packed ahead of the product, for tests of packed weights.
py::array matmul_packed(const py::array& a_in, const py::array& b_in) {
    const py::array a = walkable(a_in, "a"), b = walkable(b_in, "b");
    require(a.ndim() == 2 && b.ndim() == 2 && a.shape(1) == b.shape(0), "matmul_packed: needs (M, K) and (K, N)");
    const int64_t M = a.shape(0), K = a.shape(1), N = b.shape(1);
    py::array out = new_array({M, N});
    Gemm g{M,
           N,
           K,
           floats(a),
           stride(a, 0),
           stride(a, 1),
           floats(b),
           stride(b, 0),
           stride(b, 1),
           mutable_floats(out),
           N,
           nullptr,
           Activation::none,
           0};
    const Kernels& k = dispatch::kernels();
    pool::Scratch packed(k.gemm_packed_bytes(g));
    if (packed.failed()) throw std::bad_alloc();
    call(static_cast<double>(K) * static_cast<double>(N),
         [&](const Context& context) { k.gemm_pack(context, g, reinterpret_cast<float*>(packed.data())); });
    g.packed_b = reinterpret_cast<const float*>(packed.data());
    run(g);
    return out;
}

py::array linear_forward(const py::array& x_in, const py::array& weight_in, const OptionalArray& bias_in,
                         const std::string& activation_name, float alpha) {
    const py::array x = input(x_in, 2, Order::c, "x"), weight = input(weight_in, 2, Order::io, "weight");
    const int64_t M = x.shape(0), K = x.shape(1), N = weight.shape(0);
    require(weight.shape(1) == K, "linear: x has " + std::to_string(K) + " features but weight expects " +
                                      std::to_string(weight.shape(1)) + "; x is " + shape_text(shape_of(x)) +
                                      ", weight " + shape_text(shape_of(weight)));
    OptionalArray bias;
    if (bias_in) {
        bias = input(*bias_in, 1, Order::c, "bias");
        require_shape(*bias, {N}, "linear: bias");
    }
    const Activation activation = activation_of(activation_name);
    const bool fused =
        activation == Activation::none || activation == Activation::relu || activation == Activation::leaky_relu;
    py::array out = new_array({M, N});
    run(Gemm{M, N, K, floats(x), K, 1, floats(weight), N, 1, mutable_floats(out), N, floats(bias),
             fused ? activation : Activation::none, alpha});
    if (!fused) apply_activation(mutable_floats(out), M * N, activation, alpha);
    return out;
}

py::array linear_backward_data(const py::array& dout_in, const py::array& weight_in) {
    const py::array dout = input(dout_in, 2, Order::c, "dout"), weight = input(weight_in, 2, Order::io, "weight");
    const int64_t M = dout.shape(0), N = dout.shape(1), K = weight.shape(1);
    require(weight.shape(0) == N,
            "linear backward: dout is " + shape_text(shape_of(dout)) + ", weight " + shape_text(shape_of(weight)));
    py::array dx = new_array({M, K});
    run(Gemm{M, K, N, floats(dout), N, 1, floats(weight), 1, N, mutable_floats(dx), K, nullptr, Activation::none, 0});
    return dx;
}

std::tuple<py::array, OptionalArray> linear_backward_weight(const py::array& dout_in, const py::array& x_in,
                                                            bool needs_bias) {
    const py::array dout = input(dout_in, 2, Order::c, "dout"), x = input(x_in, 2, Order::c, "x");
    const int64_t M = dout.shape(0), N = dout.shape(1), K = x.shape(1);
    require(x.shape(0) == M,
            "linear backward: dout is " + shape_text(shape_of(dout)) + ", x " + shape_text(shape_of(x)));
    py::array dweight = new_array({N, K}, Order::io);
    Gemm g{K, N, M, floats(x), 1, K, floats(dout), N, 1, mutable_floats(dweight), N, nullptr, Activation::none, 0};
    OptionalArray dbias;
    if (needs_bias) {
        dbias = new_array({N});
        g.b_sums = mutable_floats(*dbias);
    }
    run(g);
    return {dweight, dbias};
}

}  // namespace

void apply_activation(float* data, int64_t count, Activation activation, float alpha) {
    const Kernels& k = dispatch::kernels();
    call(static_cast<double>(count) * 4,
         [&](const Context& context) { k.activation_forward(context, count, data, data, activation, alpha); });
}

void bind_gemm(Module& m) {
    m.def("matmul", &matmul);
    m.def("_matmul_packed", &matmul_packed);
    m.def("linear_forward", &linear_forward);
    m.def("linear_backward_data", &linear_backward_data);
    m.def("linear_backward_weight", &linear_backward_weight);
}

}  // namespace pynet
