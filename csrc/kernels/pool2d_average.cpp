// Average pooling with fixed windows (stride, padding, ceil mode) or adaptive ones, forward and backward.
//
// Layout: x (N, H, W, C), out (N, OH, OW, C). Threads: forward by output rows, backward by input rows, each
// gathering from the windows that cover it in ascending order. Aliasing: none allowed. Workspace: none.
// Source: divisors as in torch.nn.AvgPool2d: a window never counts what lies beyond the padding; one number for all
// of them where `divisor` is given.
#include "channels.h"
#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kChunkElements = 32768;  // input elements of one chunk

// One axis of the pooling. `count` is the window's share of the divisor.
struct Axis {
    int64_t size, outputs, taps, stride, pad;
    bool include_pad, adaptive;
};

struct Window {
    int64_t begin, end, count;
};

PYNET_INLINE Window window_of(const Axis& a, int64_t o) {
    if (a.adaptive) {
        const int64_t begin = o * a.size / a.outputs, end = ceil_div((o + 1) * a.size, a.outputs);
        return {begin, end, end - begin};
    }
    const int64_t low = o * a.stride - a.pad, high = minimum(low + a.taps, a.size + a.pad);
    const int64_t begin = maximum(0, low), end = minimum(high, a.size);
    return {begin, end, a.include_pad ? high - low : end - begin};
}

// The first and last window that may cover position i.
PYNET_INLINE int64_t first_window(const Axis& a, int64_t i) {
    if (a.adaptive) return i * a.outputs / a.size;
    const int64_t reach = i + a.pad - a.taps + 1;
    return reach <= 0 ? 0 : ceil_div(reach, a.stride);
}
PYNET_INLINE int64_t last_window(const Axis& a, int64_t i) {
    if (a.adaptive) return ceil_div((i + 1) * a.outputs, a.size) - 1;
    return minimum(a.outputs - 1, (i + a.pad) / a.stride);
}

PYNET_INLINE Axis vertical(const AveragePool2d& p) {
    return {p.shape.H, p.shape.OH, p.shape.KH, p.shape.stride_h, p.shape.pad_h, p.count_include_pad, p.adaptive};
}
PYNET_INLINE Axis horizontal(const AveragePool2d& p) {
    return {p.shape.W, p.shape.OW, p.shape.KW, p.shape.stride_w, p.shape.pad_w, p.count_include_pad, p.adaptive};
}

PYNET_INLINE float weight_of(const AveragePool2d& p, const Window& h, const Window& w) {
    return 1.0f / static_cast<float>(p.divisor ? p.divisor : h.count * w.count);
}

template <bool kNarrow>
void forward_row(const AveragePool2d& pool, const Window& rows, const Axis& across, const float* image,
                 const float* end, float* out) {
    const Pool2dShape& s = pool.shape;
    for (int64_t ow = 0; ow < s.OW; ++ow) {
        const Window columns = window_of(across, ow);
        const bool empty = rows.begin >= rows.end || columns.begin >= columns.end;
        const float weight = empty ? 0.0f : weight_of(pool, rows, columns);
        for_channels(s.C, [&](int64_t c, auto count, int32_t) {
            constexpr int NV = decltype(count)::value;
            vfloat sum[NV] = {};
            for (int64_t h = rows.begin; h < rows.end; ++h) {
                vfloat row[NV] = {};  // sums of sums: large windows lose fewer digits
                for (int64_t w = columns.begin; w < columns.end; ++w) {
                    const float* from = image + (h * s.W + w) * s.C + c;
                    PYNET_UNROLL
                    for (int j = 0; j < NV; ++j) row[j] += load_within<kNarrow>(from + j * kLanes, s.C, end - from);
                }
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) sum[j] += row[j];
            }
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j)
                store_within<kNarrow>(out + ow * s.C + c + j * kLanes, sum[j] * weight, s.C, (s.OW - ow) * s.C);
        });
    }
}

// Input row h: zero, then one addition for every window that covers it.
template <bool kNarrow>
void backward_row(const AveragePool2d& pool, int64_t h, const Axis& down, const Axis& across, const float* dout,
                  const float* end, float* dx) {
    const Pool2dShape& s = pool.shape;
    for (int64_t i = 0; i < s.W * s.C; ++i) dx[i] = 0.0f;
    const int64_t last = last_window(down, h);
    // Where no two windows meet, the first row of them need not read what it writes.
    bool fresh = across.adaptive ? across.size % across.outputs == 0 : across.stride >= across.taps;
    for (int64_t oh = first_window(down, h); oh <= last; ++oh) {
        const Window rows = window_of(down, oh);
        if (h < rows.begin || h >= rows.end) continue;
        for (int64_t ow = 0; ow < s.OW; ++ow) {
            const Window columns = window_of(across, ow);
            if (columns.begin >= columns.end) continue;
            const float weight = weight_of(pool, rows, columns);
            const float* from = dout + (oh * s.OW + ow) * s.C;
            for_channels(s.C, [&](int64_t c, auto count, int32_t repeated) {
                constexpr int NV = decltype(count)::value;
                vfloat g[NV];
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j)
                    g[j] = load_within<kNarrow>(from + c + j * kLanes, s.C, end - from) * weight;
                if (kNarrow) g[0] = select(lane_numbers() < static_cast<int32_t>(s.C), g[0], vfloat{});
                if (repeated && !fresh) g[0] = select(lane_numbers() >= repeated, g[0], vfloat{});
                for (int64_t w = columns.begin; w < columns.end; ++w) {
                    const int64_t room = (s.W - w) * s.C;
                    PYNET_UNROLL
                    for (int j = 0; j < NV; ++j) {
                        float* to = dx + w * s.C + c + j * kLanes;
                        const vfloat sum = fresh ? g[j] : load_within<kNarrow>(to, s.C, room) + g[j];
                        store_within<kNarrow>(to, sum, s.C, room);
                    }
                }
            });
        }
        fresh = false;
    }
}

PYNET_INLINE int64_t rows_a_chunk(int64_t elements_a_row) {
    return maximum(1, kChunkElements / maximum(1, elements_a_row));
}

}  // namespace

void avg_pool2d_forward(const Context& context, const AveragePool2d& pool, const float* x, float* out) {
    const Pool2dShape& s = pool.shape;
    const Axis down = vertical(pool), across = horizontal(pool);
    const int64_t rows = s.N * s.OH, step = rows_a_chunk(s.W * s.C * ceil_div(s.H, maximum(1, s.OH)));
    const float* end = x + s.N * s.H * s.W * s.C;
    const auto run = s.C < kLanes ? forward_row<true> : forward_row<false>;
    parallel_for(context, ceil_div(rows, step), [&](int64_t chunk, int) {
        for (int64_t r = chunk * step; r < minimum(rows, (chunk + 1) * step); ++r)
            run(pool, window_of(down, r % s.OH), across, x + r / s.OH * s.H * s.W * s.C, end, out + r * s.OW * s.C);
    });
}

void avg_pool2d_backward(const Context& context, const AveragePool2d& pool, const float* dout, float* dx) {
    const Pool2dShape& s = pool.shape;
    const Axis down = vertical(pool), across = horizontal(pool);
    const int64_t rows = s.N * s.H, step = rows_a_chunk(s.W * s.C);
    const float* end = dout + s.N * s.OH * s.OW * s.C;
    const auto run = s.C < kLanes ? backward_row<true> : backward_row<false>;
    parallel_for(context, ceil_div(rows, step), [&](int64_t chunk, int) {
        for (int64_t r = chunk * step; r < minimum(rows, (chunk + 1) * step); ++r)
            run(pool, r % s.H, down, across, dout + r / s.H * s.OH * s.OW * s.C, end, dx + r * s.W * s.C);
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
