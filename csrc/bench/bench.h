// What the benchmark programs share: buffers, a context of a given thread count, rates.
#pragma once
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "../dispatch.h"
#include "../pool.h"

namespace pynet::bench {

// A pooled array of small numbers without subnormals.
class Buffer {
public:
    explicit Buffer(int64_t count) : scratch_(static_cast<size_t>(count) * sizeof(float) + 64) {
        for (int64_t i = 0; i < count; ++i)
            data()[i] = static_cast<float>((i * 2654435761u >> 8) & 0xffff) / 65536.0f - 0.5f;
    }
    float* data() const { return reinterpret_cast<float*>(scratch_.data()); }

private:
    pool::Scratch scratch_;
};

inline void report(benchmark::State& state, double flops, double bytes) {
    using benchmark::Counter;
    if (flops > 0) state.counters["FLOP/s"] = Counter(flops, Counter::kIsIterationInvariantRate, Counter::kIs1000);
    if (bytes > 0) state.counters["B/s"] = Counter(bytes, Counter::kIsIterationInvariantRate, Counter::kIs1000);
}

}  // namespace pynet::bench

#define PYNET_BENCHMARK_MAIN()                                                \
    int main(int argc, char** argv) {                                         \
        pynet::dispatch::initialise();                                        \
        benchmark::Initialize(&argc, argv);                                   \
        benchmark::AddCustomContext("isa", pynet::dispatch::kernels().level); \
        benchmark::RunSpecifiedBenchmarks();                                  \
        return 0;                                                             \
    }
