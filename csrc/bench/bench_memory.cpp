// The memory-bound kernels: batch norm, pooling, activations, element-wise sums, optimizer steps. Rates count
// the bytes that must be read and written.
#include "bench.h"

namespace pynet::bench {
namespace {

constexpr int64_t kN = 64, kC = 64, kH = 32, kRows = kN * kH * kH, kCount = kRows * kC;

void batch_norm(benchmark::State& state) {
    const int threads = static_cast<int>(state.range(0));
    const Buffer x(kCount), out(kCount), dx(kCount), mean(kC), var(kC), weight(kC), bias(kC), dweight(kC), dbias(kC);
    for (int64_t c = 0; c < kC; ++c) var.data()[c] = 1;
    const Kernels& k = dispatch::kernels();
    const pool::Scratch workspace(k.batch_norm_workspace(kRows, kC));
    const Context context{threads, workspace.data()};
    const BatchNorm norm{kRows,       kC,      x.data(), mean.data(),      var.data(), weight.data(),
                         bias.data(), nullptr, 1e-5f,    Activation::relu, 0};
    for (auto _ : state) {
        k.batch_norm_statistics(context, kRows, kC, x.data(), mean.data(), var.data());
        k.batch_norm_forward(context, norm, out.data());
        if (state.range(1))
            k.batch_norm_backward(
                context, norm,
                BatchNormGradients{x.data(), nullptr, nullptr, dx.data(), dweight.data(), dbias.data(), nullptr, true});
    }
    report(state, 0, 4.0 * kCount * (state.range(1) ? 10 : 3));
}

void max_pool2d(benchmark::State& state) {
    const Context context{static_cast<int>(state.range(0)), nullptr};
    const Buffer x(kCount), out(kCount / 4), dx(kCount);
    std::vector<int32_t> indices(kCount / 4);
    const Pool2dShape s{kN, kC, kH, kH, kH / 2, kH / 2, 2, 2, 2, 2, 0, 0, 1, 1};
    const Kernels& k = dispatch::kernels();
    for (auto _ : state) {
        k.max_pool2d_forward(context, s, x.data(), out.data(), indices.data());
        if (state.range(1)) k.max_pool2d_backward_2x2(context, s, out.data(), indices.data(), dx.data());
    }
    report(state, 0, 4.0 * kCount * (state.range(1) ? 3 : 1.5));
}

void activation(benchmark::State& state) {
    const Context context{static_cast<int>(state.range(0)), nullptr};
    const Buffer x(kCount), out(kCount);
    const auto which = static_cast<Activation>(state.range(1));
    for (auto _ : state) dispatch::kernels().activation_forward(context, kCount, x.data(), out.data(), which, 0.1f);
    report(state, 0, 8.0 * kCount);
}

void sum_rows(benchmark::State& state) {
    const int threads = static_cast<int>(state.range(0));
    const Buffer x(kCount), out(kC);
    const Kernels& k = dispatch::kernels();
    const pool::Scratch workspace(k.sum_rows_workspace(kRows, kC, threads));
    for (auto _ : state) k.sum_rows(Context{threads, workspace.data()}, kRows, kC, x.data(), out.data());
    report(state, 0, 4.0 * kCount);
}

BENCHMARK(batch_norm)->ArgsProduct({{1, 2}, {0, 1}})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(max_pool2d)->ArgsProduct({{1, 2}, {0, 1}})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(activation)->ArgsProduct({{1, 2}, {1, 3, 4, 5}})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(sum_rows)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pynet::bench

PYNET_BENCHMARK_MAIN()
