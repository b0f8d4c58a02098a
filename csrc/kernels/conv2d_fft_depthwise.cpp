// Depthwise convolution by FFT: each channel has its own kernel, so spectra are multiplied value by value and a tile of
// kLanes channels goes there and back within a thread's own cache. The weight gradient sums spectra over fixed parts of
// the tiles, adds the parts in order and transforms back once.
// Layout: (N, H, W, C), weights (KH, KW, 1, C). Threads: vectors of channels times tiles, or parts. Aliasing: none.
// Workspace: the spectra of all weights, or of all parts of their gradient; two tiles a thread. Source: conv2d_fft.cpp.
#include "fft_maps.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

// Spectra here are [position][re: kLanes, im: kLanes].
template <int T>
constexpr int64_t kSpectrum = kPositions<T> * 2 * kLanes;

// a conj(b), into `to` or added to it.
template <int T>
void multiply(const float* a, const float* b, float* to, bool accumulate) {
    for (int64_t i = 0; i < kSpectrum<T>; i += 2 * kLanes) {
        const vfloat ar = load(a + i), ai = load(a + i + kLanes), br = load(b + i), bi = load(b + i + kLanes);
        const vfloat re = ar * br + ai * bi, im = ai * br - ar * bi;
        store(to + i, accumulate ? load(to + i) + re : re);
        store(to + i + kLanes, accumulate ? load(to + i + kLanes) + im : im);
    }
}

struct Plan {
    int64_t vectors, parts;        // parts of the tiles, backward-weight
    int64_t scratch, each, total;  // floats: where the threads' own start, and how much each has
};

// `parts` makes some 16 chunks of few channels.
template <int T>
Plan plan_of(const Conv2d& c, const FftMaps& m, int threads) {
    Plan p;
    p.vectors = ceil_div(c.shape.C, kLanes);
    p.parts = c.pass == ConvPass::backward_weight ? minimum(m.tiles, ceil_div(16, p.vectors)) : 1;
    p.scratch = p.vectors * p.parts * kSpectrum<T>;
    p.each = transform_scratch(T) + 2 * kSpectrum<T>;
    p.total = p.scratch + threads * p.each;
    return p;
}

template <int T>
void run_maps(const Context& context, const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const FftMaps m = fft_maps(c, T);
    const Plan p = plan_of<T>(c, m, context.threads);
    float* spectra = reinterpret_cast<float*>(context.workspace);
    const bool back = c.pass == ConvPass::backward_data;
    parallel_for(context, p.vectors, [&](int64_t vector, int thread) {
        const int64_t at = vector * kLanes, step = back ? -s.C : s.C;  // backward: from the last tap on
        const float* from = c.weight + (back ? (s.KH * s.KW - 1) * s.C : 0) + at;
        transform<T>({from, s.KW * step, step, 0, s.KH, 0, s.KW, minimum(kLanes, s.C - at)},
                     spectra + p.scratch + thread * p.each, spectra + vector * kSpectrum<T>, 2 * kLanes, kLanes);
    });
    parallel_for(context, p.vectors * m.tiles, [&](int64_t chunk, int thread) {
        const int64_t vector = chunk / m.tiles, at = vector * kLanes, lanes = minimum(kLanes, s.C - at);
        const FftTile tile = tile_at(m, chunk % m.tiles);
        float* own = spectra + p.scratch + thread * p.each;
        float* values = own + transform_scratch(T);
        transform<T>(source_window(m, T, tile, at, lanes), own, values, 2 * kLanes, kLanes);
        multiply<T>(values, spectra + vector * kSpectrum<T>, values, false);
        inverse_transform<T>(values, 2 * kLanes, kLanes, own, destination_target(m, T, c, tile, at, lanes));
    });
}

template <int T>
void run_weight(const Context& context, const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const FftMaps m = fft_maps(c, T);
    const Plan p = plan_of<T>(c, m, context.threads);
    float* spectra = reinterpret_cast<float*>(context.workspace);
    parallel_for(context, p.vectors * p.parts, [&](int64_t chunk, int thread) {
        const int64_t at = chunk / p.parts * kLanes, part = chunk % p.parts, lanes = minimum(kLanes, s.C - at);
        const int64_t first = m.tiles * part / p.parts, last = m.tiles * (part + 1) / p.parts;
        float* own = spectra + p.scratch + thread * p.each;
        float* values = own + transform_scratch(T);
        float* gradient = values + kSpectrum<T>;
        for (int64_t i = first; i < last; ++i) {
            const FftTile tile = tile_at(m, i);
            transform<T>(source_window(m, T, tile, at, lanes), own, values, 2 * kLanes, kLanes);
            transform<T>(gradient_window(m, tile, at, lanes), own, gradient, 2 * kLanes, kLanes);
            multiply<T>(values, gradient, spectra + chunk * kSpectrum<T>, i > first);
        }
    });
    parallel_for(context, p.vectors, [&](int64_t vector, int thread) {
        const int64_t at = vector * kLanes;
        float* sum = spectra + vector * p.parts * kSpectrum<T>;
        for (int64_t part = 1; part < p.parts; ++part)
            for (int64_t i = 0; i < kSpectrum<T>; i += kLanes)
                store(sum + i, load(sum + i) + load(sum + part * kSpectrum<T> + i));
        inverse_transform<T>(sum, 2 * kLanes, kLanes, spectra + p.scratch + thread * p.each,
                             weight_target(s, T, c.weight + at, s.C, minimum(kLanes, s.C - at)));
    });
}

template <int T>
void run(const Context& context, const Conv2d& c) {
    if (c.pass == ConvPass::backward_weight)
        run_weight<T>(context, c);
    else
        run_maps<T>(context, c);
}

}  // namespace

size_t fft_depthwise_workspace(const Conv2d& c, int64_t T, int threads) {
    const FftMaps m = fft_maps(c, T);
    const Plan p = T == 16   ? plan_of<16>(c, m, threads)
                   : T == 32 ? plan_of<32>(c, m, threads)
                             : plan_of<64>(c, m, threads);
    return static_cast<size_t>(p.total) * sizeof(float);
}

void fft_depthwise(const Context& context, const Conv2d& c, int64_t T) {
    T == 16 ? run<16>(context, c) : T == 32 ? run<32>(context, c) : run<64>(context, c);
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
