// Max pooling: the largest value of each window and, for the gradient, where it lies (h * W + w). The first
// maximum wins a tie, a NaN wins over every number, the last of several NaNs is the one that is reported;
// a window without a pixel (dilation and padding can make one) gives -inf and -1.
//
// Layout: x (N, H, W, C), out and indices (N, OH, OW, C). Threads: forward by runs of output rows; backward
// by output rows where windows are 2 x 2 and disjoint (each input pixel written once), else by images and
// channel blocks (a scatter in fixed order). Aliasing: none allowed. Workspace: none.
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
    const int64_t first = origin < 0 ? ceil_div(-origin, dilation) : 0;
    const int64_t end = origin >= size ? 0 : minimum(taps, ceil_div(size - origin, dilation));
    return {origin, first, end};
}

// kExact handles NaN; the quick version only notices (through an accumulated difference that is NaN when a
// value is not finite) and answers false.
template <bool kIndices, bool kExact, bool kNarrow>
bool max_row(const Pool2dShape& s, int64_t oh, const float* image, const float* end, float* out, int32_t* indices) {
    const Taps rows = taps_of(oh, s.stride_h, s.pad_h, s.dilation_h, s.KH, s.H);
    vfloat doubt = {};
    for (int64_t ow = 0; ow < s.OW; ++ow) {
        const Taps columns = taps_of(ow, s.stride_w, s.pad_w, s.dilation_w, s.KW, s.W);
        const bool empty = rows.first >= rows.end || columns.first >= columns.end;
        const int64_t h0 = rows.origin + rows.first * s.dilation_h, w0 = columns.origin + columns.first * s.dilation_w;
        const int64_t room = (s.OW - ow) * s.C;
        for_channels(s.C, [&](int64_t c, auto count, int32_t) {
            constexpr int NV = decltype(count)::value;
            vfloat best[NV], sum[NV];
            vint at[NV];
            PYNET_UNROLL
            for (int j = 0; j < NV; ++j) {
                const float* first = image + (h0 * s.W + w0) * s.C + c + j * kLanes;
                best[j] = empty ? splat(-__builtin_inff()) : load_within<kNarrow>(first, s.C, end - first);
                sum[j] = best[j];
                at[j] = vint{} + static_cast<int32_t>(empty ? -1 : h0 * s.W + w0);
            }
            for (int64_t kh = rows.first; kh < rows.end; ++kh) {
                const int64_t row = (rows.origin + kh * s.dilation_h) * s.W + columns.origin;
                const int64_t skip = kh == rows.first ? 1 : 0;
                for (int64_t kw = columns.first + skip; kw < columns.end; ++kw) {
                    const int64_t position = row + kw * s.dilation_w;
                    const float* from = image + position * s.C + c;
                    PYNET_UNROLL
                    for (int j = 0; j < NV; ++j) {
                        const vfloat v = load_within<kNarrow>(from + j * kLanes, s.C, end - from);
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
                if (kIndices) store_within<kNarrow>(indices + to, at[j], s.C, room);
                if (!kExact) doubt += sum[j] - sum[j];
            }
        });
    }
    return kExact || !any(doubt != doubt);
}

template <bool kIndices, bool kNarrow>
void max_rows(const Context& context, const Pool2dShape& s, const float* x, float* out, int32_t* indices) {
    const int64_t rows = s.N * s.OH, step = maximum(1, kChunkElements / maximum(1, s.OW * s.C));
    const float* end = x + s.N * s.H * s.W * s.C;
    parallel_for(context, ceil_div(rows, step), [&](int64_t chunk, int) {
        for (int64_t r = chunk * step; r < minimum(rows, (chunk + 1) * step); ++r) {
            const float* image = x + r / s.OH * s.H * s.W * s.C;
            float* to = out + r * s.OW * s.C;
            int32_t* to_indices = kIndices ? indices + r * s.OW * s.C : nullptr;
            if (!max_row<kIndices, false, kNarrow>(s, r % s.OH, image, end, to, to_indices))
                max_row<kIndices, true, kNarrow>(s, r % s.OH, image, end, to, to_indices);
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
                vint strange = ~(a | b | e | f);
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

template <bool kNarrow>
bool backward_2x2(const Context& context, const Pool2dShape& s, const float* dout, const int32_t* indices, float* dx) {
    const int64_t rows = s.N * s.OH, step = maximum(1, kChunkElements / maximum(1, s.OW * s.C));
    const float* end = dout + rows * s.OW * s.C;
    const auto row = [&](int64_t r) {
        const int64_t from = r * s.OW * s.C;
        return backward_row_2x2<kNarrow>(s, r % s.OH, dout + from, indices + from, end,
                                         dx + r / s.OH * s.H * s.W * s.C);
    };
    // Other windows may have the same sizes: the first row nearly always tells.
    if (rows > 0 && !row(0)) return false;
    int foreign = 0;
    parallel_for(context, ceil_div(rows, step), [&](int64_t chunk, int) {
        bool own = true;
        for (int64_t r = chunk * step; r < minimum(rows, (chunk + 1) * step); ++r) own &= row(r);
        if (!own) __atomic_store_n(&foreign, 1, __ATOMIC_RELAXED);
    });
    return foreign == 0;
}

}  // namespace

void max_pool2d_forward(const Context& context, const Pool2dShape& s, const float* x, float* out, int32_t* indices) {
    const bool narrow = s.C < kLanes;
    if (indices)
        (narrow ? max_rows<true, true> : max_rows<true, false>)(context, s, x, out, indices);
    else
        (narrow ? max_rows<false, true> : max_rows<false, false>)(context, s, x, out, indices);
}

bool max_pool2d_backward_2x2(const Context& context, const Pool2dShape& s, const float* dout, const int32_t* indices,
                             float* dx) {
    return (s.C < kLanes ? backward_2x2<true> : backward_2x2<false>)(context, s, dout, indices, dx);
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
