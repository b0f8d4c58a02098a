// GEMM in the four transpositions, beside the register-only peak of the same machine. Arguments: M, N, K,
// transpose A, transpose B, threads.
#include "bench.h"

namespace pynet::bench {
namespace {

void gemm(benchmark::State& state) {
    const int64_t M = state.range(0), N = state.range(1), K = state.range(2);
    const bool ta = state.range(3) != 0, tb = state.range(4) != 0;
    const int threads = static_cast<int>(state.range(5));
    const Buffer a(M * K), b(K * N), c(M * N);
    const Gemm g{M,          N,          K,        a.data(), ta ? 1 : K, ta ? M : 1,       b.data(),
                 tb ? 1 : N, tb ? K : 1, c.data(), N,        nullptr,    Activation::none, 0};
    const pool::Scratch workspace(dispatch::kernels().gemm_workspace(g, threads));
    const Context context{threads, workspace.data()};
    for (auto _ : state) dispatch::kernels().gemm(context, g);
    report(state, 2.0 * static_cast<double>(M * N) * static_cast<double>(K), 0);
}

void peak(benchmark::State& state) {
    const int threads = static_cast<int>(state.range(0));
    std::vector<float> sink(static_cast<size_t>(threads));
    const int64_t iterations = 1000000;
    for (auto _ : state) dispatch::kernels().peak_loop(Context{threads, nullptr}, iterations, sink.data());
    report(
        state,
        static_cast<double>(dispatch::kernels().peak_flops_per_iteration()) * static_cast<double>(iterations) * threads,
        0);
}

void cases(benchmark::internal::Benchmark* b) {
    for (int64_t threads : {1, 2}) {
        for (int64_t n : {256, 512, 1024, 2048})
            for (int64_t ta : {0, 1})
                for (int64_t tb : {0, 1}) b->Args({n, n, n, ta, tb, threads});
        b->Args({128, 256, 784, 0, 0, threads})
            ->Args({784, 256, 128, 1, 0, threads})
            ->Args({128, 784, 256, 0, 1, threads});
    }
    b->UseRealTime()->Unit(benchmark::kMicrosecond);
}

BENCHMARK(gemm)->Apply(cases);
BENCHMARK(peak)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pynet::bench

PYNET_BENCHMARK_MAIN()
