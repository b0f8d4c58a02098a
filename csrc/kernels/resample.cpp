// Separable linear maps of images: out[:, oh, ow] = sum over h, w of down[oh, h] across[ow, w] x[:, h, w], both
// matrices sparse. Interpolation and padding are such maps; their gradients are the same with transposed matrices.
//
// Layout: x (N, H, W, C), out (N, OH, OW, C); a matrix by its rows (Taps). Threads: by output rows. An output row is
// the weighted sum of input rows, kept in scratch memory, then of that row's pixels: taps in the order in which they
// are listed, by fused multiply-adds. A single tap of weight one copies. Aliasing: none allowed.
// Workspace: one input row a thread.
#include "channels.h"
#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kChunkElements = 16384;  // elements of one chunk, in and out

PYNET_INLINE int64_t row_floats(const Resample& s) { return round_up(s.W * s.C, 64); }

PYNET_INLINE bool is_copy(const Taps& taps, int64_t output) {
    const int64_t first = taps.starts[output];
    return taps.starts[output + 1] == first + 1 && taps.weights[first] == 1.0f;
}

void copy(const float* from, int64_t count, float* to) {
    for (; count >= kLanes; count -= kLanes, from += kLanes, to += kLanes) store(to, load(from));
    if (count) store_partial(to, load_partial(from, count), count);
}

// sum over taps of weight[t] * rows[position[t]], `count` floats each.
void add_rows(const float* image, int64_t count, int64_t taps, const int64_t* position, const float* weight,
              float* out) {
    const auto block = [&](int64_t i, auto vectors, int64_t n) {
        constexpr int NV = decltype(vectors)::value;
        vfloat sum[NV] = {};
        for (int64_t t = 0; t < taps; ++t) {
            const float* from = image + position[t] * count + i;
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j)
                sum[j] += weight[t] * (n >= kLanes ? load(from + j * kLanes) : load_partial(from, n));
        }
        PYNET_UNROLL
        for (int j = 0; j < NV; ++j) store(out + i + j * kLanes, sum[j]);  // scratch memory has room
    };
    int64_t i = 0;
    for (; i + 4 * kLanes <= count; i += 4 * kLanes) block(i, Count<4>{}, kLanes);
    for (; i + kLanes <= count; i += kLanes) block(i, Count<1>{}, kLanes);
    if (i < count) block(i, Count<1>{}, count - i);
}

// One output row from one input row; `end`: where the memory of `row` ends.
template <bool kNarrow>
void across_row(const Resample& s, const float* row, const float* end, float* out) {
    const int64_t* starts = s.across.starts;
    for (int64_t ow = 0; ow < s.OW;) {
        const int64_t first = starts[ow], taps = starts[ow + 1] - first;
        const int64_t* position = s.across.positions + first;
        const float* weight = s.across.weights + first;
        if (is_copy(s.across, ow)) {
            int64_t run = 1;
            while (ow + run < s.OW && is_copy(s.across, ow + run) && position[run] == position[0] + run) ++run;
            if (run > 1 || !kNarrow) {
                copy(row + position[0] * s.C, run * s.C, out + ow * s.C);
                ow += run;
                continue;
            }
        }
        for_channels(s.C, [&](int64_t c, auto count, int32_t) {
            constexpr int NV = decltype(count)::value;
            vfloat sum[NV] = {};
            for (int64_t t = 0; t < taps; ++t) {
                const float* from = row + position[t] * s.C + c;
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j)
                    sum[j] += weight[t] * load_within<kNarrow>(from + j * kLanes, s.C, end - from);
            }
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j)
                store_within<kNarrow>(out + ow * s.C + c + j * kLanes, sum[j], s.C, (s.OW - ow) * s.C);
        });
        ++ow;
    }
}

}  // namespace

size_t resample_workspace(const Resample& s, int threads) {
    return sizeof(float) * static_cast<size_t>(row_floats(s)) * static_cast<size_t>(threads);
}

void resample(const Context& context, const Resample& s, const float* x, float* out) {
    const int64_t rows = s.N * s.OH, step = maximum(1, kChunkElements / maximum(1, (s.W + s.OW) * s.C));
    float* scratch = reinterpret_cast<float*>(context.workspace);
    const auto across = s.C < kLanes ? across_row<true> : across_row<false>;
    parallel_for(context, ceil_div(rows, step), [&](int64_t chunk, int thread) {
        float* sum = scratch + thread * row_floats(s);
        for (int64_t r = chunk * step; r < minimum(rows, (chunk + 1) * step); ++r) {
            const int64_t oh = r % s.OH, first = s.down.starts[oh], taps = s.down.starts[oh + 1] - first;
            const float* image = x + r / s.OH * s.H * s.W * s.C;
            const float* row = sum;
            const float* end = sum + row_floats(s);
            if (is_copy(s.down, oh)) {
                row = image + s.down.positions[first] * s.W * s.C;
                end = x + s.N * s.H * s.W * s.C;
            } else {
                add_rows(image, s.W * s.C, taps, s.down.positions + first, s.down.weights + first, sum);
            }
            across(s, row, end, out + r * s.OW * s.C);
        }
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
