// Convolution of very few input channels (a first layer: C = 1 or 3): pixels fill the vectors, since channels
// cannot. An image is copied once into padded planes, one a channel and column phase (x mod stride), so that
// every tap of a run of output pixels is one contiguous run of a plane.
//   forward          out[f][pixels] = sum over taps k of w[k][f] * plane_k[pixels], transposed back to (pixels, F)
//   backward_weight  dw[k][f] = sum over pixels of plane_k[pixels] * dout[f][pixels], dout transposed to planes too;
//                    images are cut into fixed parts with partial sums, added in order
// Layout: (N, H, W, C) activations, (KH, KW, C, F) weights. Threads: images, respectively parts. Aliasing: none.
// Workspace: planes and transposed outputs of one image a thread, packed weights, partial sums.
#include "conv2d.h"
#include "kernels.h"
#include "parallel.h"
#include "rows.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int kOutputs = kLanes == 16 ? 8 : 6;  // at most so many outputs f of one forward tile, of two vectors
constexpr int kTaps = kLanes == 16 ? 4 : 3;     // taps x outputs of one backward-weight tile
constexpr int kDouts = kLanes == 16 ? 6 : 3;

struct Planes {
    int64_t K;       // taps: KH * KW * C
    int64_t width;   // floats of one plane row, with slack for whole vectors
    int64_t height;  // padded rows
    int64_t phases;
    int64_t size;     // floats of all planes of an image
    int64_t columns;  // OW rounded up to whole vectors
    int64_t outputs;  // F rounded up to whole vectors
};

Planes planes_of(const Conv2dShape& s) {
    Planes p;
    p.K = s.KH * s.KW * s.C;
    p.phases = s.stride_w;
    p.columns = round_up(s.OW(), kLanes);
    p.width = round_up(p.columns + s.dilation_w * (s.KW - 1) / s.stride_w + 1, kLanes) + kLanes;
    p.height = (s.OH() - 1) * s.stride_h + s.dilation_h * (s.KH - 1) + 1;
    p.size = s.C * p.phases * p.height * p.width;
    p.outputs = round_up(s.F, kLanes);
    return p;
}

// planes[(c * phases + phase) * height + row][column] = x[row - pad_h][column * stride + phase - pad_w][c], zero
// outside.
void write_planes(const Conv2dShape& s, const Planes& p, const float* image, float* planes) {
    for (int64_t i = 0; i < p.size; i += kLanes) store_lanes(planes + i, vfloat{}, p.size - i);
    for (int64_t c = 0; c < s.C; ++c)
        for (int64_t phase = 0; phase < p.phases; ++phase) {
            float* plane = planes + (c * p.phases + phase) * p.height * p.width;
            int64_t first, last;  // columns whose pixel exists
            valid_range(p.width, s.stride_w, phase - s.pad_w, s.W, &first, &last);
            for (int64_t row = 0; row < p.height; ++row) {
                const int64_t y = row - s.pad_h;
                if (y < 0 || y >= s.H) continue;
                const float* from = image + (y * s.W + phase - s.pad_w) * s.C + c;
                float* to = plane + row * p.width;
                const int64_t step = s.stride_w * s.C;
                if (step == 1) {
                    for (int64_t i = first; i < last; i += kLanes)
                        store_lanes(to + i, load_lanes(from + i, last - i), last - i);
                } else {
                    for (int64_t i = first; i < last; ++i) to[i] = from[i * step];
                }
            }
        }
}

// Where tap k starts in the planes, relative to output row 0, column 0.
void tap_offsets(const Conv2dShape& s, const Planes& p, int64_t* offset) {
    int64_t k = 0;
    for (int64_t kh = 0; kh < s.KH; ++kh)
        for (int64_t kw = 0; kw < s.KW; ++kw)
            for (int64_t c = 0; c < s.C; ++c) {
                const int64_t column = kw * s.dilation_w;
                offset[k++] = ((c * p.phases + column % s.stride_w) * p.height + kh * s.dilation_h) * p.width +
                              column / s.stride_w;
            }
}

// out[f][pixel] for Outputs outputs and Vectors vectors of pixels: a holds the weights [k][Outputs].
template <int Outputs, int Vectors>
PYNET_NOINLINE void tile_outputs(int64_t K, const float* a, const float* planes, const int64_t* offset,
                                 const float* bias, Activation activation, float alpha, float* out, int64_t out_row) {
    vfloat sum[Outputs][Vectors];
    PYNET_UNROLL
    for (int f = 0; f < Outputs; ++f) {
        PYNET_UNROLL
        for (int v = 0; v < Vectors; ++v) sum[f][v] = splat(bias[f]);
    }
    for (int64_t k = 0; k < K; ++k) {
        vfloat pixel[Vectors];
        PYNET_UNROLL
        for (int v = 0; v < Vectors; ++v) pixel[v] = load(planes + offset[k] + v * kLanes);
        PYNET_UNROLL
        for (int f = 0; f < Outputs; ++f) {
            const float w = a[f];
            PYNET_UNROLL
            for (int v = 0; v < Vectors; ++v) sum[f][v] += w * pixel[v];
        }
        a += Outputs;
    }
    activate(sum, activation, alpha);
    store_rows(sum, kLanes, [&](int f) { return out + f * out_row; });
}

typedef void (*OutputsFunction)(int64_t, const float*, const float*, const int64_t*, const float*, Activation, float,
                                float*, int64_t);

template <int Outputs = kOutputs>
PYNET_INLINE OutputsFunction outputs_for(int64_t outputs, bool pair) {
    if constexpr (Outputs > 1) {
        if (outputs < Outputs) return outputs_for<Outputs - 1>(outputs, pair);
    }
    return pair ? tile_outputs<Outputs, 2> : tile_outputs<Outputs, 1>;
}

// A transposing copy between planes [f][pixel] and (pixels, F), a square of kLanes at a time. Up to `end` whole vectors
// are written, in ascending order.
PYNET_INLINE void to_pixels(const float* planes, int64_t plane_row, int64_t pixels, int64_t outputs, float* out,
                            const float* end, int64_t F) {
    for (int64_t q = 0; q < pixels; q += kLanes)
        for (int64_t f = 0; f < outputs; f += kLanes) {
            vfloat square[kLanes];
            PYNET_UNROLL
            for (int i = 0; i < kLanes; ++i) square[i] = load(planes + (f + i) * plane_row + q);
            transpose(square);
            float* to = out + q * F + f;
            // What lies beyond the last output is written after it, by the next pixel or the next row.
            if (q + kLanes <= pixels && to + (kLanes - 1) * F + kLanes <= end) {
                PYNET_UNROLL
                for (int i = 0; i < kLanes; ++i) store(to + i * F, square[i]);
            } else {
                for (int64_t i = 0; i < minimum(kLanes, pixels - q); ++i)
                    store_lanes(to + i * F, square[i], outputs - f);
            }
        }
}

// The other way, from gradients that reach to `end`; planes beyond F hold numbers that nobody reads.
void to_planes(const float* out, const float* end, int64_t F, int64_t pixels, int64_t columns, float* planes,
               int64_t plane_row) {
    for (int64_t q = 0; q < columns; q += kLanes)
        for (int64_t f = 0; f < F; f += kLanes) {
            vfloat square[kLanes];
            const float* from = out + q * F + f;
            if (q + kLanes <= pixels && from + (kLanes - 1) * F + kLanes <= end) {
                PYNET_UNROLL
                for (int i = 0; i < kLanes; ++i) square[i] = load(from + i * F);
            } else {
                for (int64_t i = 0; i < kLanes; ++i)
                    square[i] = q + i < pixels ? load_lanes(from + i * F, F - f) : vfloat{};
            }
            transpose(square);
            PYNET_UNROLL
            for (int i = 0; i < kLanes; ++i) store(planes + (f + i) * plane_row + q, square[i]);
        }
}

// Floats from one gradient plane to the next: never a power of two, or the planes would share their cache sets.
PYNET_INLINE int64_t dout_plane(const Conv2dShape& s, const Planes& p) { return s.OH() * p.columns + kLanes; }

struct Layout {  // floats
    int64_t weights, bias, offsets, threads, each, total;
    int64_t parts, partial;
};

Layout layout_of(const Conv2d& c, const Planes& p, int threads) {
    const Conv2dShape& s = c.shape;
    Layout l;
    l.parts = minimum(s.N, 32);
    l.partial = p.K * p.outputs;
    l.weights = 0;
    const bool forward = c.pass == ConvPass::forward;
    const int64_t shared = forward ? p.K * s.F : l.parts * l.partial;
    l.bias = round_up(shared, 16);
    l.offsets = l.bias + round_up(s.F, 16);
    l.threads = l.offsets + round_up(2 * p.K, 16);
    const int64_t transposed = p.outputs * (forward ? p.columns : dout_plane(s, p));
    l.each = round_up(p.size, 16) + round_up(transposed, 16) + 4 * kLanes;
    l.total = l.threads + threads * l.each;
    return l;
}

void run_forward(const Context& context, const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const Planes p = planes_of(s);
    const Layout l = layout_of(c, p, context.threads);
    float* base = reinterpret_cast<float*>(context.workspace);
    int64_t* offset = reinterpret_cast<int64_t*>(base + l.offsets);
    tap_offsets(s, p, offset);
    const int64_t blocks = ceil_div(s.F, kOutputs), each = ceil_div(s.F, blocks), OH = s.OH(), OW = s.OW();
    for (int64_t f = 0; f < s.F; ++f) {
        const int64_t first = f / each * each, outputs = minimum(each, s.F - first);
        base[l.bias + f] = c.bias ? c.bias[f] : 0.0f;
        for (int64_t k = 0; k < p.K; ++k)
            base[l.weights + first * p.K + k * outputs + f - first] = c.weight[k * s.F + f];
    }
    parallel_for(context, s.N, [&](int64_t n, int thread) {
        float* planes = base + l.threads + thread * l.each;
        float* transposed = planes + round_up(p.size, 16);
        float* image = c.out + n * OH * OW * s.F;
        const float* end = s.F < kLanes ? image + OH * OW * s.F : image;  // of whole vectors
        for (int64_t i = s.F * p.columns; i < p.outputs * p.columns; i += kLanes) store(transposed + i, vfloat{});
        write_planes(s, p, c.x + n * s.H * s.W * s.C, planes);
        for (int64_t oh = 0; oh < OH; ++oh) {
            const float* row = planes + oh * s.stride_h * p.width;
            for (int64_t f = 0; f < s.F; f += each)
                for (int64_t ow = 0, step; ow < p.columns; ow += step) {
                    const bool pair = ow + 2 * kLanes <= p.columns;
                    step = pair ? 2 * kLanes : kLanes;
                    outputs_for<>(minimum(each, s.F - f), pair)(p.K, base + l.weights + f * p.K, row + ow, offset,
                                                                base + l.bias + f, c.activation, c.alpha,
                                                                transposed + f * p.columns + ow, p.columns);
                }
            float* out = image + oh * OW * s.F;
            for (int64_t f = 0; f < s.F; f += kLanes)
                to_pixels(transposed + f * p.columns, p.columns, OW, minimum(kLanes, s.F - f), out + f, end, s.F);
        }
    });
}

struct Rows {  // what a backward-weight tile walks: every output row of an image
    int64_t rows, vectors, plane_step, dout_step;
};

// partial[k][f] += sum over pixels of plane_k * dout_f for Taps x Douts pairs.
template <int Taps, int Douts>
PYNET_NOINLINE void tile_dots(const Rows& r, const float* planes, const int64_t* offset, const float* dout,
                              int64_t dout_plane, float* partial, int64_t partial_row) {
    vfloat sum[Taps][Douts];
    PYNET_UNROLL
    for (int k = 0; k < Taps; ++k) {
        PYNET_UNROLL
        for (int f = 0; f < Douts; ++f) sum[k][f] = vfloat{};
    }
    for (int64_t row = 0; row < r.rows; ++row) {
        const float* from = planes + row * r.plane_step;
        const float* gradient = dout + row * r.dout_step;
        for (int64_t v = 0; v < r.vectors; ++v) {
            vfloat pixel[Taps];
            PYNET_UNROLL
            for (int k = 0; k < Taps; ++k) pixel[k] = load(from + offset[k] + v * kLanes);
            PYNET_UNROLL
            for (int f = 0; f < Douts; ++f) {
                const vfloat g = load(gradient + f * dout_plane + v * kLanes);
                PYNET_UNROLL
                for (int k = 0; k < Taps; ++k) sum[k][f] += pixel[k] * g;
            }
        }
    }
    for (int k = 0; k < Taps; ++k)
        for (int f = 0; f < Douts; ++f) {
            partial[k * partial_row + f] += sum_lanes(sum[k][f]);
        }
}

typedef void (*DotsFunction)(const Rows&, const float*, const int64_t*, const float*, int64_t, float*, int64_t);

template <int Taps = kTaps, int Douts = kDouts>
PYNET_INLINE DotsFunction dots_for(int64_t taps, int64_t douts) {
    if constexpr (Taps > 1) {
        if (taps < Taps) return dots_for<Taps - 1, Douts>(taps, douts);
    }
    if constexpr (Douts > 1) {
        if (douts < Douts) return dots_for<Taps, Douts - 1>(taps, douts);
    }
    return tile_dots<Taps, Douts>;
}

void run_weight(const Context& context, const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const Planes p = planes_of(s);
    const Layout l = layout_of(c, p, context.threads);
    float* base = reinterpret_cast<float*>(context.workspace);
    int64_t* offset = reinterpret_cast<int64_t*>(base + l.offsets);
    tap_offsets(s, p, offset);
    const int64_t OH = s.OH(), OW = s.OW(), plane = dout_plane(s, p);
    parallel_for(context, l.parts, [&](int64_t part, int thread) {
        float* planes = base + l.threads + thread * l.each;
        float* dout = planes + round_up(p.size, 16);
        float* partial = base + part * l.partial;
        for (int64_t i = 0; i < l.partial; ++i) partial[i] = 0.0f;
        for (int64_t n = s.N * part / l.parts; n < s.N * (part + 1) / l.parts; ++n) {
            write_planes(s, p, c.x + n * s.H * s.W * s.C, planes);
            for (int64_t oh = 0; oh < OH; ++oh)
                to_planes(c.out + (n * OH + oh) * OW * s.F, c.out + s.N * OH * OW * s.F, s.F, OW, p.columns,
                          dout + oh * p.columns, plane);
            const Rows r{OH, ceil_div(OW, kLanes), s.stride_h * p.width, p.columns};
            for (int64_t f = 0; f < s.F; f += kDouts)  // a few gradient planes stay in L1 for all taps
                for (int64_t k = 0; k < p.K; k += kTaps)
                    dots_for<>(p.K - k, s.F - f)(r, planes, offset + k, dout + f * plane, plane,
                                                 partial + k * p.outputs + f, p.outputs);
        }
    });
    for (int64_t k = 0; k < p.K; ++k)
        for (int64_t f = 0; f < s.F; ++f) {
            float sum = base[k * p.outputs + f];
            for (int64_t part = 1; part < l.parts; ++part) sum += base[part * l.partial + k * p.outputs + f];
            c.weight[k * s.F + f] = sum;
        }
}

bool can(const Conv2d& c) { return c.pass != ConvPass::backward_data && c.shape.groups == 1; }

bool prefer(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const int64_t OW = s.OW();
    // Rows must fill the vectors, and planes plus transposed gradients stay in L2; many outputs fill vectors
    // themselves.
    return s.F < kLanes && s.C <= 4 && s.KH * s.KW > 1 && OW * 4 >= round_up(OW, kLanes) * 3 &&
           (planes_of(s).size + (c.pass == ConvPass::forward ? 0 : s.OH() * OW * s.F)) * 4 <= 768 * 1024;
}

size_t workspace(const Conv2d& c, int threads) {
    return static_cast<size_t>(layout_of(c, planes_of(c.shape), threads).total) * sizeof(float);
}

void run(const Context& context, const Conv2d& c) {
    if (c.pass == ConvPass::forward)
        run_forward(context, c);
    else
        run_weight(context, c);
}

}  // namespace

const ConvAlgorithm kConvNarrow = {"narrow", can, prefer, workspace, run};

}  // namespace PYNET_LEVEL
}  // namespace pynet
