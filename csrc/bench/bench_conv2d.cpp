// Convolution, each pass, with every algorithm that can compute it. Arguments: N, C, H (= W), F, K, stride,
// groups, pass (0 forward, 1 backward data, 2 backward weight), algorithm (-1 auto), threads.
#include "bench.h"

namespace pynet::bench {
namespace {

void conv2d(benchmark::State& state) {
    const int64_t N = state.range(0), C = state.range(1), H = state.range(2), F = state.range(3), K = state.range(4);
    const int64_t stride = state.range(5), groups = state.range(6);
    const auto pass = static_cast<ConvPass>(state.range(7));
    const int threads = static_cast<int>(state.range(9));
    const Conv2dShape s{N, C, H, H, F, K, K, stride, stride, K / 2, K / 2, 1, 1, groups};
    const Buffer x(N * C * H * H), w(K * K * s.Cg() * F), out(N * F * s.OH() * s.OW());
    const Conv2d conv{
        s, pass, static_cast<int>(state.range(8)), x.data(), w.data(), nullptr, out.data(), Activation::none, 0};
    const Kernels& k = dispatch::kernels();
    if (conv.algorithm >= 0 && !k.conv2d_can(conv, conv.algorithm)) {
        state.SkipWithError("this algorithm cannot compute this pass");
        return;
    }
    const pool::Scratch workspace(k.conv2d_workspace(conv, threads));
    const Context context{threads, workspace.data()};
    for (auto _ : state) k.conv2d(context, conv);
    state.SetLabel(k.conv2d_algorithm_name(k.conv2d_choose(conv)));
    report(state, 2.0 * static_cast<double>(N * F * s.OH() * s.OW()) * static_cast<double>(K * K * s.Cg()), 0);
}

void cases(benchmark::internal::Benchmark* b) {
    const std::vector<std::vector<int64_t>> layers = {
        {64, 64, 32, 64, 3, 1, 1},  {64, 128, 16, 128, 3, 1, 1}, {64, 256, 8, 256, 3, 1, 1}, {64, 512, 4, 512, 3, 1, 1},
        {128, 16, 32, 16, 3, 1, 1}, {128, 32, 16, 32, 3, 1, 1},  {128, 64, 8, 64, 3, 1, 1},  {64, 3, 32, 64, 3, 1, 1},
        {128, 1, 28, 6, 5, 1, 1},   {64, 64, 32, 128, 3, 2, 1},  {64, 64, 32, 64, 1, 1, 1},  {8, 96, 28, 96, 3, 1, 96}};
    for (const auto& layer : layers)
        for (int64_t pass : {0, 1, 2})
            for (int64_t threads : {1, 2}) {
                std::vector<int64_t> arguments = layer;
                arguments.insert(arguments.end(), {pass, -1, threads});
                b->Args(arguments);
            }
    b->UseRealTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK(conv2d)->Apply(cases);

}  // namespace
}  // namespace pynet::bench

PYNET_BENCHMARK_MAIN()
