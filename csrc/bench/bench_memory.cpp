// The memory-bound kernels, a program for all families: batch norm, pooling, activations, element-wise arithmetic,
// sums, softmax, losses, random numbers, optimizer steps. Rates count the bytes that must be read and written. The
// first argument is the thread count; where there is a second, 1 adds the backward pass or names the variant.
#include "bench.h"

namespace pynet::bench {
namespace {

constexpr int64_t kN = 64, kC = 64, kH = 32, kRows = kN * kH * kH, kCount = kRows * kC;
constexpr int64_t kLabelRows = 4096, kClasses = 1000, kLogits = kLabelRows * kClasses;

const Kernels& kernels() { return dispatch::kernels(); }

// Runs body(context) again and again; `bytes` is what one run must move.
template <class Body>
void measure(benchmark::State& state, double bytes, size_t workspace, Body body) {
    const pool::Scratch scratch(workspace);
    const Context context{static_cast<int>(state.range(0)), scratch.data()};
    for (auto _ : state) body(context);
    report(state, 0, bytes);
}

void batch_norm(benchmark::State& state) {
    const Buffer x(kCount), out(kCount), dx(kCount), mean(kC), var(kC), weight(kC), bias(kC), dweight(kC), dbias(kC);
    for (int64_t c = 0; c < kC; ++c) var.data()[c] = 1;
    const Kernels& k = kernels();
    const bool backward = state.range(1) != 0;
    const BatchNorm norm{kRows,       kC,      x.data(), mean.data(),      var.data(), weight.data(),
                         bias.data(), nullptr, 1e-5f,    Activation::relu, 0};
    const BatchNormGradients gradients{x.data(),       nullptr,      nullptr, dx.data(),
                                       dweight.data(), dbias.data(), nullptr, true};
    measure(state, 4.0 * kCount * (backward ? 8 : 3), k.batch_norm_workspace(kRows, kC), [&](const Context& context) {
        k.batch_norm_statistics(context, kRows, kC, x.data(), mean.data(), var.data());
        k.batch_norm_forward(context, norm, out.data());
        if (!backward) return;
        k.batch_norm_backward_sums(context, norm, gradients);
        k.batch_norm_backward_apply(context, norm, gradients);
    });
}

constexpr Pool2dShape kPool{kN, kC, kH, kH, kH / 2, kH / 2, 2, 2, 2, 2, 0, 0, 1, 1};

void max_pool2d(benchmark::State& state) {
    const Buffer x(kCount), out(kCount / 4), dx(kCount);
    std::vector<int32_t> indices(kCount / 4);
    const bool backward = state.range(1) != 0;
    measure(state, 4.0 * kCount * (backward ? 3 : 1.5), 0, [&](const Context& context) {
        kernels().max_pool2d_forward(context, kPool, x.data(), out.data(), indices.data());
        if (backward) kernels().max_pool2d_backward_windows(context, kPool, out.data(), indices.data(), dx.data());
    });
}

void avg_pool2d(benchmark::State& state) {
    const Buffer x(kCount), out(kCount / 4), dx(kCount);
    const AveragePool2d pool{kPool, true, false};
    const bool backward = state.range(1) != 0;
    measure(state, 4.0 * kCount * (backward ? 2.5 : 1.25), 0, [&](const Context& context) {
        kernels().avg_pool2d_forward(context, pool, x.data(), out.data());
        if (backward) kernels().avg_pool2d_backward(context, pool, out.data(), dx.data());
    });
}

void activation_forward(benchmark::State& state) {
    const Buffer x(kCount), out(kCount);
    const auto which = static_cast<Activation>(state.range(1));
    measure(state, 8.0 * kCount, 0, [&](const Context& context) {
        kernels().activation_forward(context, kCount, x.data(), out.data(), which, 0.1f);
    });
}

void activation_backward(benchmark::State& state) {
    const Buffer out(kCount), dout(kCount), dx(kCount);
    const auto which = static_cast<Activation>(state.range(1));
    measure(state, 12.0 * kCount, 0, [&](const Context& context) {
        kernels().activation_backward(context, kCount, dout.data(), out.data(), dx.data(), which, 0.1f);
    });
}

void unary(benchmark::State& state) {
    const Buffer x(kCount), out(kCount);
    const auto which = static_cast<UnaryOp>(state.range(1));
    measure(state, 8.0 * kCount, 0,
            [&](const Context& context) { kernels().unary(context, kCount, x.data(), out.data(), which); });
}

void binary(benchmark::State& state) {
    const Buffer a(kCount), b(kCount), out(kCount);
    const auto which = static_cast<BinaryOp>(state.range(1));
    Broadcast flat;
    flat.rank = 2;
    flat.size[0] = 1, flat.size[1] = kCount;
    flat.a_stride[0] = flat.b_stride[0] = 0;
    flat.a_stride[1] = flat.b_stride[1] = 1;
    measure(state, 12.0 * kCount, 0,
            [&](const Context& context) { kernels().binary(context, flat, a.data(), b.data(), out.data(), which); });
}

void sum(benchmark::State& state) {
    const Buffer x(kCount), out(kCount);
    const ReduceShape all{1, kCount, 1}, columns{1, kRows, kC};
    const ReduceShape& s = state.range(1) ? columns : all;
    measure(state, 4.0 * kCount, kernels().reduce_workspace(s),
            [&](const Context& context) { kernels().reduce(context, s, x.data(), out.data(), ReduceOp::sum); });
}

void sum_rows(benchmark::State& state) {
    const Buffer x(kCount), out(kC);
    const size_t workspace = kernels().sum_rows_workspace(kRows, kC, static_cast<int>(state.range(0)));
    measure(state, 4.0 * kCount, workspace,
            [&](const Context& context) { kernels().sum_rows(context, kRows, kC, x.data(), out.data()); });
}

void softmax(benchmark::State& state) {
    const Buffer x(kLogits), out(kLogits), dx(kLogits);
    const bool backward = state.range(1) != 0;
    measure(state, 4.0 * kLogits * (backward ? 5 : 2), 0, [&](const Context& context) {
        kernels().softmax_forward(context, kLabelRows, kClasses, x.data(), out.data());
        if (backward) kernels().softmax_backward(context, kLabelRows, kClasses, x.data(), out.data(), dx.data());
    });
}

void cross_entropy(benchmark::State& state) {
    const Buffer x(kLogits), lse(kLabelRows), dx(kLogits), dout(1);
    std::vector<int64_t> labels(kLabelRows);
    for (int64_t i = 0; i < kLabelRows; ++i) labels[static_cast<size_t>(i)] = i % kClasses;
    const LabelLoss loss{kLabelRows, kClasses, x.data(), labels.data(), nullptr, -100, 0, 1, 1, Reduction::mean};
    const bool backward = state.range(1) != 0;
    double totals[2];
    measure(state, 4.0 * kLogits * (backward ? 3 : 1), kernels().label_loss_workspace(kLabelRows, kClasses),
            [&](const Context& context) {
                kernels().cross_entropy_forward(context, loss, nullptr, lse.data(), totals);
                if (backward)
                    kernels().cross_entropy_backward(context, loss, dout.data(), lse.data(), totals[1], dx.data());
            });
}

void mse(benchmark::State& state) {
    const Buffer x(kCount), target(kCount), dx(kCount), dout(1);
    const ElementLoss loss{kCount, x.data(), target.data(), nullptr, nullptr, Reduction::mean};
    const bool backward = state.range(1) != 0;
    double total;
    measure(state, 4.0 * kCount * (backward ? 5 : 2), kernels().element_loss_workspace(kCount),
            [&](const Context& context) {
                kernels().mse_forward(context, loss, nullptr, &total);
                if (backward) kernels().mse_backward(context, loss, dout.data(), dx.data());
            });
}

// 0 uniform, 1 normal, 2 dropout
void random(benchmark::State& state) {
    const Buffer x(kCount), out(kCount);
    const int64_t which = state.range(1);
    const RandomDraw draw{1, 2};
    measure(state, 4.0 * kCount * (which == 2 ? 2 : 1), 0, [&](const Context& context) {
        if (which == 0) kernels().random_uniform(context, kCount, 0, 1, draw, out.data());
        if (which == 1) kernels().random_normal(context, kCount, 0, 1, draw, out.data());
        if (which == 2) kernels().dropout(context, kCount, 0.5f, 2, draw, x.data(), out.data());
    });
}

// 0 SGD, 1 SGD with momentum, 2 Adagrad, 3 RMSprop, 4 Adam, 5 Adamax, 6 NAdam, 7 RAdam, 8 Adadelta, 9 Lion
void optimizer_step(benchmark::State& state) {
    const Buffer param(kCount), grad(kCount), first(kCount), second(kCount);
    for (int64_t i = 0; i < kCount; ++i) second.data()[i] = 1;  // averages of squares
    const int64_t which = state.range(1);
    const bool squares_first = which == 2 || which == 3;
    float* const states[] = {squares_first ? second.data() : first.data(),
                             which >= 4 && which <= 8 ? second.data() : nullptr};
    const int64_t length = 8192;
    std::vector<StepSegment> segments;
    for (int64_t at = 0; at < kCount; at += length) {
        StepSegment segment{param.data() + at, grad.data() + at, {}, length};
        for (int i = 0; i < 2; ++i) segment.state[i] = which > 0 && states[i] ? states[i] + at : nullptr;
        segments.push_back(segment);
    }
    const auto count = static_cast<int64_t>(segments.size());
    const double arrays = which == 0 ? 3 : which >= 4 && which <= 8 ? 7 : 5;
    measure(state, 4.0 * kCount * arrays, 0, [&](const Context& context) {
        const Kernels& k = kernels();
        const StepSegment* s = segments.data();
        if (which <= 1) k.sgd_step(context, count, s, SgdStep{1e-6f, which ? 0.9f : 0.0f, 1, 0, 1, false, false});
        if (which == 2) k.adagrad_step(context, count, s, AdagradStep{1e-6f, 0, 1e-8f, 1});
        if (which == 3) k.rmsprop_step(context, count, s, RmspropStep{1e-6f, 0.99f, 0.01f, 1e-8f, 0, 0, 1, false});
        if (which == 4)
            k.adam_step(context, count, s, AdamStep{1e-6f, 0.9f, 0.1f, 0.999f, 0.001f, 1e-8f, 0, 1, 1, false});
        if (which == 5) k.adamax_step(context, count, s, AdamaxStep{1e-6f, 0.9f, 0.1f, 0.999f, 1e-8f, 0, 1});
        if (which == 6)
            k.nadam_step(context, count, s, NadamStep{1e-6f, 1e-6f, 0.9f, 0.1f, 0.999f, 0.001f, 1e-8f, 0, 1, 1});
        if (which == 7)
            k.radam_step(context, count, s, RadamStep{1e-6f, 0.9f, 0.1f, 0.999f, 0.001f, 1e-8f, 0, 1, 1, true});
        if (which == 8) k.adadelta_step(context, count, s, AdadeltaStep{1e-6f, 0.9f, 0.1f, 1e-6f, 0, 1});
        if (which == 9) k.lion_step(context, count, s, LionStep{1e-6f, 0.9f, 0.1f, 0.99f, 0.01f, 0, 1, 1});
    });
}

#define MEASURE(name, ...) \
    BENCHMARK(name)->ArgsProduct({{1, 2}, {__VA_ARGS__}})->UseRealTime()->Unit(benchmark::kMillisecond)
MEASURE(batch_norm, 0, 1);
MEASURE(max_pool2d, 0, 1);
MEASURE(avg_pool2d, 0, 1);
MEASURE(activation_forward, 1, 3, 4, 5);
MEASURE(activation_backward, 1, 3, 4, 5);
MEASURE(unary, 0, 1, 2, 3);
MEASURE(binary, 0, 3);
MEASURE(sum, 0, 1);
MEASURE(sum_rows, 0);
MEASURE(softmax, 0, 1);
MEASURE(cross_entropy, 0, 1);
MEASURE(mse, 0, 1);
MEASURE(random, 0, 1, 2);
MEASURE(optimizer_step, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9);

}  // namespace
}  // namespace pynet::bench

PYNET_BENCHMARK_MAIN()
