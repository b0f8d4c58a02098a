// Max pooling: the largest value of each window and, for the gradient, where it lies (h * W + w). The first
// maximum wins a tie, a NaN wins over every number, the last of several NaNs is the one that is reported;
// a window without a pixel (dilation and padding can make one) gives -inf and -1. With a ReLU before the pooling, an
// output at which its slope is 0 gives -1 too: nowhere goes the gradient.
//
// Layout: x (N, H, W, C), out and indices (N, OH, OW, C). Threads: forward by runs of output rows; backward, where
// the windows are known, by rows of disjoint 2 x 2 windows (each input pixel is written once) or by input rows that
// gather, else by images and channel blocks that scatter. Aliasing: none allowed. Workspace: none.
#include "activation.h"
#include "channels.h"
#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kChunkElements = 16384;  // output elements: a chunk and its input stay in L2

// The taps of one window along one axis that lie inside the image: first <= k < end.
struct Taps {
    int64_t origin, first, end;
};

PYNET_INLINE Taps taps_of(int64_t o, int64_t stride, int64_t pad, int64_t dilation, int64_t taps, int64_t size) {
    const int64_t origin = o * stride - pad;
    if (dilation == 1) return {origin, maximum(0, -origin), minimum(taps, size - origin)};  // spares two divisions
    return {origin, origin < 0 ? ceil_div(-origin, dilation) : 0,
            origin >= size ? 0 : minimum(taps, ceil_div(size - origin, dilation))};
}
PYNET_INLINE Taps vertical_taps(const Pool2dShape& s, int64_t oh) {
    return taps_of(oh, s.stride_h, s.pad_h, s.dilation_h, s.KH, s.H);
}
PYNET_INLINE Taps horizontal_taps(const Pool2dShape& s, int64_t ow) {
    return taps_of(ow, s.stride_w, s.pad_w, s.dilation_w, s.KW, s.W);
}

PYNET_INLINE bool is_halving(const Pool2dShape& s) {
    return s.KH == 2 && s.KW == 2 && s.stride_h == 2 && s.stride_w == 2 && s.pad_h == 0 && s.pad_w == 0 &&
           s.dilation_h == 1 && s.dilation_w == 1 && s.H / 2 == s.OH && s.W / 2 == s.OW;
}

// kHalves: whole 2 x 2 windows side by side, known to the compiler. kExact handles NaN; the quick version only notices
// (through an accumulated difference that is NaN when a value is not finite) and answers false.
template <bool kIndices, bool kExact, bool kNarrow, bool kHalves, bool kRelu>
bool max_row(const Pool2dShape& s, int64_t oh, const float* image, const float* end, float* out, int32_t* indices) {
    const Taps rows = kHalves ? Taps{2 * oh, 0, 2} : vertical_taps(s, oh);
    const int64_t dilation_h = kHalves ? 1 : s.dilation_h, dilation_w = kHalves ? 1 : s.dilation_w;
    const auto value = [](vfloat v) { return kRelu ? activation_value<Activation::relu>(v, 0.0f) : v; };
    vfloat doubt = {};
    for (int64_t ow = 0; ow < s.OW; ++ow) {
        const Taps columns = kHalves ? Taps{2 * ow, 0, 2} : horizontal_taps(s, ow);
        const bool empty = rows.first >= rows.end || columns.first >= columns.end;
        const int64_t h0 = rows.origin + rows.first * dilation_h, w0 = columns.origin + columns.first * dilation_w;
        const int64_t room = (s.OW - ow) * s.C;
        for_channels(s.C, [&](int64_t c, auto count, int32_t) {
            constexpr int NV = decltype(count)::value;
            vfloat best[NV], sum[NV];
            vint at[NV];
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) {
                const float* first = image + (h0 * s.W + w0) * s.C + c + j * kLanes;
                best[j] = empty ? splat(-__builtin_inff()) : value(load_within<kNarrow>(first, s.C, end - first));
                sum[j] = best[j];
                at[j] = vint{} + static_cast<int32_t>(empty ? -1 : h0 * s.W + w0);
            }
            for (int64_t kh = rows.first; kh < rows.end; ++kh) {
                const int64_t row = (rows.origin + kh * dilation_h) * s.W + columns.origin;
                const int64_t skip = kh == rows.first ? 1 : 0;
                for (int64_t kw = columns.first + skip; kw < columns.end; ++kw) {
                    const int64_t position = row + kw * dilation_w;
                    const float* from = image + position * s.C + c;
                    PYNET_UNROLL
                    for (int j = 0; j < NV; ++j) {
                        const vfloat v = value(load_within<kNarrow>(from + j * kLanes, s.C, end - from));
                        vint better = v > best[j];
                        if (kExact) better |= v != v;
                        best[j] = select(better, v, best[j]);
                        if (kIndices) at[j] = better ? vint{} + static_cast<int32_t>(position) : at[j];
                        if (!kExact) sum[j] += v;
                    }
                }
            }
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) {
                const int64_t to = ow * s.C + c + j * kLanes;
                store_within<kNarrow>(out + to, best[j], s.C, room);
                if (kIndices && kRelu) at[j] = best[j] <= 0.0f ? vint{} - 1 : at[j];
                if (kIndices) store_within<kNarrow>(indices + to, at[j], s.C, room);
                if (!kExact) doubt += sum[j] - sum[j];
            }
        });
    }
    return kExact || !any(doubt != doubt);
}

template <bool kIndices, bool kNarrow, bool kHalves, bool kRelu>
void max_rows(const Context& context, const Pool2dShape& s, const float* x, float* out, int32_t* indices) {
    const int64_t rows = s.N * s.OH, step = maximum(1, kChunkElements / maximum(1, s.OW * s.C));
    const float* end = x + s.N * s.H * s.W * s.C;
    parallel_for(context, ceil_div(rows, step), [&](int64_t chunk, int) {
        for (int64_t r = chunk * step; r < minimum(rows, (chunk + 1) * step); ++r) {
            const float* image = x + r / s.OH * s.H * s.W * s.C;
            float* to = out + r * s.OW * s.C;
            int32_t* to_indices = kIndices ? indices + r * s.OW * s.C : nullptr;
            if (!max_row<kIndices, false, kNarrow, kHalves, kRelu>(s, r % s.OH, image, end, to, to_indices))
                max_row<kIndices, true, kNarrow, kHalves, kRelu>(s, r % s.OH, image, end, to, to_indices);
        }
    });
}

// One output row of disjoint 2 x 2 windows: the two input rows below it, and the odd last row and column.
template <bool kNarrow>
bool backward_row_2x2(const Pool2dShape& s, int64_t oh, const float* dout, const int32_t* indices,
                      const float* dout_end, float* dx) {
    const int64_t line = s.W * s.C;
    float* upper = dx + 2 * oh * line;
    float* lower = upper + line;
    vint foreign = {};
    for (int64_t ow = 0; ow < s.OW; ++ow) {
        const vint corner = vint{} + static_cast<int32_t>(2 * oh * s.W + 2 * ow);
        const int32_t W = static_cast<int32_t>(s.W);
        const float* g_row = dout + ow * s.C;
        const int32_t* i_row = indices + ow * s.C;
        const int64_t left = 2 * ow * s.C, right = left + s.C;
        for_channels(s.C, [&](int64_t c, auto count, int32_t) {
            PYNET_UNROLL
            for (int j = 0; j < decltype(count)::value; ++j) {
                const int64_t k = c + j * kLanes;
                const vfloat g = load_within<kNarrow>(g_row + k, s.C, dout_end - g_row);
                const vint at = load_within<kNarrow>(i_row + k, s.C, dout_end - g_row);
                const vint a = at == corner, b = at == corner + 1, e = at == corner + W, f = at == corner + (W + 1);
                vint strange = ~(a | b | e | f | (at == -1));
                if (kNarrow) strange &= lane_numbers() < static_cast<int32_t>(s.C);
                foreign |= strange;
                store_within<kNarrow>(upper + left + k, select(a, g, vfloat{}), s.C, line - left);
                store_within<kNarrow>(upper + right + k, select(b, g, vfloat{}), s.C, line - right);
                store_within<kNarrow>(lower + left + k, select(e, g, vfloat{}), s.C, line - left);
                store_within<kNarrow>(lower + right + k, select(f, g, vfloat{}), s.C, line - right);
            }
        });
    }
    for (int64_t i = 2 * s.OW * s.C; i < line; ++i) upper[i] = lower[i] = 0.0f;
    if (oh == s.OH - 1)
        for (int64_t i = 0; i < (s.H - 2 * s.OH) * line; ++i) lower[line + i] = 0.0f;
    return !any(foreign);
}

// True when all indices of one output row lie in the windows of their pixels.
template <bool kNarrow>
bool row_keeps_to_windows(const Pool2dShape& s, int64_t oh, const int32_t* indices, const int32_t* end) {
    const Taps rows = vertical_taps(s, oh);
    vint foreign = {};
    for (int64_t ow = 0; ow < s.OW; ++ow) {
        const Taps columns = horizontal_taps(s, ow);
        const int32_t* pixel = indices + ow * s.C;
        for_channels(s.C, [&](int64_t c, auto count, int32_t) {
            PYNET_UNROLL
            for (int j = 0; j < decltype(count)::value; ++j) {
                const vint at = load_within<kNarrow>(pixel + c + j * kLanes, s.C, end - pixel);
                vint own = at == -1;
                for (int64_t kh = rows.first; kh < rows.end; ++kh)
                    for (int64_t kw = columns.first; kw < columns.end; ++kw)
                        own |= at == static_cast<int32_t>((rows.origin + kh) * s.W + columns.origin + kw);
                if (kNarrow) own |= lane_numbers() >= static_cast<int32_t>(s.C);
                foreign |= ~own;
            }
        });
    }
    return !any(foreign);
}

// Input row h: zero, then what every window that covers it gives, in ascending order.
template <bool kNarrow>
void gather_row(const Pool2dShape& s, int64_t h, const float* dout, const int32_t* indices, const float* end,
                float* dx) {
    for (int64_t i = 0; i < s.W * s.C; ++i) dx[i] = 0.0f;
    const int64_t reach = h + s.pad_h - s.KH + 1, first = reach <= 0 ? 0 : ceil_div(reach, s.stride_h);
    const int64_t last = minimum(s.OH - 1, (h + s.pad_h) / s.stride_h);
    for (int64_t oh = first; oh <= last; ++oh) {
        for (int64_t ow = 0; ow < s.OW; ++ow) {
            const Taps columns = horizontal_taps(s, ow);
            const int64_t pixel = (oh * s.OW + ow) * s.C, room = end - (dout + pixel);
            for_channels(s.C, [&](int64_t c, auto count, int32_t repeated) {
                constexpr int NV = decltype(count)::value;
                vfloat g[NV];
                vint at[NV];
                PYNET_UNROLL
                for (int j = 0; j < NV; ++j) {
                    g[j] = load_within<kNarrow>(dout + pixel + c + j * kLanes, s.C, room);
                    at[j] = load_within<kNarrow>(indices + pixel + c + j * kLanes, s.C, room);
                }
                if (kNarrow) g[0] = select(lane_numbers() < static_cast<int32_t>(s.C), g[0], vfloat{});
                if (repeated) g[0] = select(lane_numbers() >= repeated, g[0], vfloat{});
                for (int64_t kw = columns.first; kw < columns.end; ++kw) {
                    const int64_t w = columns.origin + kw, left = (s.W - w) * s.C;
                    const int32_t position = static_cast<int32_t>(h * s.W + w);
                    PYNET_UNROLL
                    for (int j = 0; j < NV; ++j) {
                        float* to = dx + w * s.C + c + j * kLanes;
                        const vfloat sum =
                            load_within<kNarrow>(to, s.C, left) + select(at[j] == position, g[j], vfloat{});
                        store_within<kNarrow>(to, sum, s.C, left);
                    }
                }
            });
        }
    }
}

// row(n, i) -> bool for `count` rows of each image, in chunks of some `elements` a row; true when all are. The
// first row goes ahead: where it says no, the others need not be asked.
template <class Row>
PYNET_INLINE bool all_rows(const Context& context, int64_t images, int64_t count, int64_t elements, Row row) {
    const int64_t rows = images * count, step = maximum(1, kChunkElements / maximum(1, elements));
    if (rows > 0 && !row(0, 0)) return false;
    int refused = 0;
    parallel_for(context, ceil_div(rows, step), [&](int64_t chunk, int) {
        bool good = true;
        for (int64_t r = chunk * step; r < minimum(rows, (chunk + 1) * step); ++r) good &= row(r / count, r % count);
        if (!good) __atomic_store_n(&refused, 1, __ATOMIC_RELAXED);
    });
    return refused == 0;
}

template <bool kNarrow>
bool backward_windows(const Context& context, const Pool2dShape& s, const float* dout, const int32_t* indices,
                      float* dx) {
    const int64_t in = s.H * s.W * s.C, out = s.OH * s.OW * s.C, row = s.OW * s.C;
    const float* end = dout + s.N * out;
    if (is_halving(s))
        return all_rows(context, s.N, s.OH, row, [&](int64_t n, int64_t oh) {
            const int64_t from = n * out + oh * row;
            return backward_row_2x2<kNarrow>(s, oh, dout + from, indices + from, end, dx + n * in);
        });
    if (!all_rows(context, s.N, s.OH, row, [&](int64_t n, int64_t oh) {
            return row_keeps_to_windows<kNarrow>(s, oh, indices + n * out + oh * row, indices + s.N * out);
        }))
        return false;
    return all_rows(context, s.N, s.H, s.W * s.C, [&](int64_t n, int64_t h) {
        gather_row<kNarrow>(s, h, dout + n * out, indices + n * out, end, dx + n * in + h * s.W * s.C);
        return true;
    });
}

}  // namespace

void max_pool2d_forward(const Context& context, const Pool2dShape& s, const float* x, float* out, int32_t* indices) {
    const auto run = [&](auto indexed, auto relu) {
        constexpr bool kIndices = decltype(indexed)::value != 0, kRelu = decltype(relu)::value != 0;
        const bool narrow = s.C < kLanes;
        const auto rows =
            is_halving(s) ? (narrow ? max_rows<kIndices, true, true, kRelu> : max_rows<kIndices, false, true, kRelu>)
                          : (narrow ? max_rows<kIndices, true, false, kRelu> : max_rows<kIndices, false, false, kRelu>);
        rows(context, s, x, out, indices);
    };
    if (indices)
        s.relu ? run(Count<1>{}, Count<1>{}) : run(Count<1>{}, Count<0>{});
    else
        s.relu ? run(Count<0>{}, Count<1>{}) : run(Count<0>{}, Count<0>{});
}

bool max_pool2d_backward_windows(const Context& context, const Pool2dShape& s, const float* dout,
                                 const int32_t* indices, float* dx) {
    return (s.C < kLanes ? backward_windows<true> : backward_windows<false>)(context, s, dout, indices, dx);
}

bool max_pool2d_backward(const Context& context, const Pool2dShape& s, const float* dout, const int32_t* indices,
                         float* dx) {
    // Few images: whole cache lines of channels share them.
    const int64_t width = s.N >= 16 ? s.C : maximum(16, round_up(ceil_div(s.C, 16), 16));
    const int64_t blocks = ceil_div(s.C, width), pixels = s.OH * s.OW;
    const uint32_t positions = static_cast<uint32_t>(s.H * s.W);
    int outside = 0;
    parallel_for(context, s.N * blocks, [&](int64_t chunk, int) {
        const int64_t n = chunk / blocks, c0 = chunk % blocks * width, c1 = minimum(s.C, c0 + width);
        float* image = dx + n * positions * s.C;
        for (int64_t p = 0; p < positions; ++p)
            for (int64_t c = c0; c < c1; ++c) image[p * s.C + c] = 0.0f;
        const float* g = dout + n * pixels * s.C;
        const int32_t* at = indices + n * pixels * s.C;
        bool inside = true;
        for (int64_t p = 0; p < pixels; ++p)
            for (int64_t c = c0; c < c1; ++c) {
                const uint32_t position = static_cast<uint32_t>(at[p * s.C + c]);
                if (position < positions)
                    image[position * s.C + c] += g[p * s.C + c];
                else
                    inside &= at[p * s.C + c] == -1;  // a window without pixels
            }
        if (!inside) __atomic_store_n(&outside, 1, __ATOMIC_RELAXED);
    });
    return outside == 0;
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
