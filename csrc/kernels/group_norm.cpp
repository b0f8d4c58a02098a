// Group normalisation, forward and backward: every sample is standardised over groups of channels,
// out = (x - mean) * rstd * weight + bias. One group is layer normalisation over a whole sample, as many groups
// as channels instance normalisation; a plain row is a sample of one pixel.
//
// Layout: x (N, rows, C), mean and rstd (N, groups); weight and bias (C) or null. Sums run in vectors over the channels
// and are then added up by groups. One pass finds mean and variance, from sums of x - shift and of its square; the
// shift is the mean of a head of the channel. A head of a part p of all values takes at most 1/p from the precision:
// where it lies far from the rest, the variance is large too. Groups of samples of one pixel (layer normalisation) are
// runs of memory, read again for the variance.
// Threads: fixed blocks of samples, whose sums for dweight and dbias are added in order. Aliasing: none allowed.
// Workspace: group_norm_workspace() bytes.
// Source: Wu & He 2018; Ba, Kiros & Hinton 2016; Ulyanov, Vedaldi & Lempitsky 2016. Shifted data: Chan, Golub &
// LeVeque 1983.
#include "kernels.h"
#include "rows.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kMostBlocks = 64, kBlockFloats = 8192;
constexpr int64_t kScratchRows = 4;
constexpr int64_t kHeadFloats = 4096, kHeadPart = 32;  // of a sample, whose mean is the shift
constexpr int64_t kRowsAtOnce = 128;                   // in one run of additions

int64_t padded(const GroupNorm& s) { return round_up(maximum(s.C, 1), 16); }
int64_t blocks_of(const GroupNorm& s) {
    return maximum(1, minimum(minimum(s.N, kMostBlocks), s.N * s.rows * s.C / kBlockFloats));
}

// sums[k][c]: the sum over the first rows of a sample of what value(offset, channel, lanes, v) writes to v[k].
template <int kSums, class Value>
PYNET_INLINE void sum_channels(int64_t C, int64_t rows, float* const (&sums)[kSums], Value value) {
    for_blocks(C, [&](int64_t c, auto vectors, int64_t lanes) {
        constexpr int NV = decltype(vectors)::value, kRows = 4 / NV;
        vfloat total[kSums][NV] = {};
        for (int64_t begin = 0; begin < rows; begin += kRowsAtOnce) {
            const int64_t end = minimum(rows, begin + kRowsAtOnce);
            vfloat sum[kSums][4] = {};
            const auto add = [&](int64_t r, int i) {
                vfloat v[kSums];
                const int64_t channel = c + i % NV * kLanes;
                value((r + i / NV) * C + channel, channel, lanes, v);
                PYNET_UNROLL
                for (int k = 0; k < kSums; ++k) sum[k][i] += v[k];
            };
            int64_t r = begin;
            for (; r + kRows <= end; r += kRows) {
                PYNET_UNROLL
                for (int i = 0; i < 4; ++i) add(r, i);
            }
            for (; r < end; ++r) {
                PYNET_UNROLL
                for (int i = 0; i < NV; ++i) add(r, i);
            }
            PYNET_UNROLL
            for (int k = 0; k < kSums; ++k) {
                if (NV == 1)
                    total[k][0] += (sum[k][0] + sum[k][1]) + (sum[k][2] + sum[k][3]);
                else
                    for (int i = 0; i < NV; ++i) total[k][i] += sum[k][i];
            }
        }
        PYNET_UNROLL
        for (int k = 0; k < kSums; ++k) {
            PYNET_UNROLL
            for (int i = 0; i < NV; ++i) store(sums[k] + c + i * kLanes, total[k][i]);
        }
    });
}

double sum_of(const float* values, int64_t count) {
    double rest = 0.0;
    vfloat sum[4] = {};
    int64_t i = 0;
    for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
        PYNET_UNROLL
        for (int j = 0; j < 4; ++j) sum[j] += load(values + i + j * kLanes);
    }
    if (i > 0) rest = static_cast<double>(sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3])));
    for (; i < count; ++i) rest += static_cast<double>(values[i]);
    return rest;
}

PYNET_INLINE void fill(float* values, int64_t count, float value) {
    for (int64_t i = 0; i < count; ++i) values[i] = value;
}

// Replaces each group's entries of `values` by finish(their sum).
template <class Finish>
PYNET_INLINE void over_groups(const GroupNorm& s, float* values, Finish finish) {
    const int64_t size = s.C / s.groups;
    for (int64_t g = 0; g < s.groups; ++g) fill(values + g * size, size, finish(g, sum_of(values + g * size, size)));
}

PYNET_INLINE vfloat or_one(const float* weight, int64_t c, int64_t n) {
    return weight ? load_lanes(weight + c, n) : splat(1.0f);
}

// One sample: the mean and 1 / deviation of each channel's group to `m` and `scale`, of each group to mean and rstd.
void sample_statistics(const GroupNorm& s, const float* x, float* memory, float* m, float* scale, float* mean,
                       float* rstd) {
    float *shift = memory, *sums = memory + padded(s);
    const double count = static_cast<double>(maximum(1, s.rows)) * static_cast<double>(s.C / s.groups);
    const float rows = static_cast<float>(s.rows);
    const int64_t head = minimum(s.rows, maximum(ceil_div(kHeadFloats, maximum(1, s.C)), ceil_div(s.rows, kHeadPart)));
    sum_channels<1>(s.C, head, {shift},
                    [&](int64_t at, int64_t, int64_t lanes, vfloat* v) { v[0] = load_lanes(x + at, lanes); });
    for_row(s.C, [&](int64_t c, int64_t) { store(shift + c, load(shift + c) / static_cast<float>(maximum(1, head))); });
    sum_channels<2>(s.C, s.rows, {sums, scale}, [&](int64_t at, int64_t c, int64_t lanes, vfloat* v) {
        v[0] = load_lanes(x + at, lanes) - load(shift + c);
        v[1] = v[0] * v[0];
    });
    for_row(s.C, [&](int64_t c, int64_t) { store(m + c, load(shift + c) * rows + load(sums + c)); });
    over_groups(s, m, [&](int64_t g, double sum) { return mean[g] = static_cast<float>(sum / count); });
    for_row(s.C, [&](int64_t c, int64_t) {
        const vfloat less = load(shift + c) - load(m + c);
        store(scale + c, load(scale + c) + less * (2.0f * load(sums + c) + less * rows));
    });
    over_groups(s, scale, [&](int64_t g, double sum) {
        const double variance = sum < 0.0 ? 0.0 : sum / count;
        return rstd[g] = static_cast<float>(1.0 / __builtin_sqrt(variance + static_cast<double>(s.eps)));
    });
}

// value(index, lanes) summed over a run of memory, in four sums of vectors.
template <class Value>
PYNET_INLINE float sum_run(int64_t count, Value value) {
    vfloat sum[4] = {};
    for_blocks(count, [&](int64_t i, auto vectors, int64_t lanes) {
        PYNET_UNROLL
        for (int j = 0; j < decltype(vectors)::value; ++j) sum[j] += keep_lanes(value(i + j * kLanes, lanes), lanes);
    });
    return sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// One group of a sample of one pixel; `weight` and `bias` are the group's, or null.
void normalise_run(int64_t count, float eps, const float* x, const float* weight, const float* bias, float* out,
                   float* mean, float* rstd) {
    const float size = static_cast<float>(count);
    const float center = sum_run(count, [&](int64_t i, int64_t n) { return load_lanes(x + i, n); }) / size;
    const float squares = sum_run(count, [&](int64_t i, int64_t n) {
        const vfloat v = load_lanes(x + i, n) - center;
        return v * v;
    });
    const float scale = 1.0f / __builtin_sqrtf(squares / size + eps);
    *mean = center, *rstd = scale;
    for_row(count, [&](int64_t i, int64_t n) {
        const vfloat v = (load_lanes(x + i, n) - center) * scale;
        const vfloat add = bias ? load_lanes(bias + i, n) : vfloat{};
        store_lanes(out + i, v * or_one(weight, i, n) + add, n);
    });
}

// Its gradient; adds to the group's part of the sums for dweight and dbias.
void run_gradient(int64_t count, float mean, float rstd, const float* x, const float* dout, const float* weight,
                  float* dx, float* total_products, float* total_sums) {
    vfloat sum = {}, product = {};
    for_row(count, [&](int64_t i, int64_t n) {
        const vfloat d = load_lanes(dout + i, n), p = d * ((load_lanes(x + i, n) - mean) * rstd);
        const vfloat w = or_one(weight, i, n);
        store_lanes(total_sums + i, load_lanes(total_sums + i, n) + d, n);
        store_lanes(total_products + i, load_lanes(total_products + i, n) + p, n);
        sum += keep_lanes(d * w, n);
        product += keep_lanes(p * w, n);
    });
    const float share = rstd / static_cast<float>(count);
    const float constant = sum_lanes(sum) * share, slope = sum_lanes(product) * share * rstd;
    for_row(count, [&](int64_t i, int64_t n) {
        const vfloat g = load_lanes(dout + i, n) * (or_one(weight, i, n) * rstd) - constant;
        store_lanes(dx + i, g - (load_lanes(x + i, n) - mean) * slope, n);
    });
}

PYNET_INLINE const float* at(const float* values, int64_t i) { return values ? values + i : nullptr; }

}  // namespace

size_t group_norm_workspace(const GroupNorm& s, int threads) {
    return static_cast<size_t>(padded(s) * (kScratchRows * threads + 2 * blocks_of(s))) * sizeof(float);
}

void group_norm_forward(const Context& context, const GroupNorm& s, float* out, float* mean, float* rstd) {
    const int64_t blocks = blocks_of(s), width = padded(s), size = s.C / s.groups;
    parallel_for(context, blocks, [&](int64_t block, int thread) {
        float* m = reinterpret_cast<float*>(context.workspace) + thread * kScratchRows * width;
        float* scale = m + width;
        for (int64_t n = s.N * block / blocks; n < s.N * (block + 1) / blocks; ++n) {
            const float* x = s.x + n * s.rows * s.C;
            float* to = out + n * s.rows * s.C;
            if (s.rows == 1) {
                for (int64_t g = 0, c = 0; g < s.groups; ++g, c += size)
                    normalise_run(size, s.eps, x + c, at(s.weight, c), at(s.bias, c), to + c, mean + n * s.groups + g,
                                  rstd + n * s.groups + g);
                continue;
            }
            sample_statistics(s, x, scale + width, m, scale, mean + n * s.groups, rstd + n * s.groups);
            for_blocks(s.C, [&](int64_t c, auto vectors, int64_t lanes) {
                constexpr int NV = decltype(vectors)::value;
                vfloat center[NV], factor[NV], add[NV];
                PYNET_UNROLL
                for (int i = 0; i < NV; ++i) {
                    const int64_t channel = c + i * kLanes;
                    center[i] = load(m + channel);
                    factor[i] = load(scale + channel) * or_one(s.weight, channel, lanes);
                    add[i] = s.bias ? load_lanes(s.bias + channel, lanes) : vfloat{};
                }
                for (int64_t at = c; at < s.rows * s.C; at += s.C) {
                    PYNET_UNROLL
                    for (int i = 0; i < NV; ++i) {
                        const vfloat v = load_lanes(x + at + i * kLanes, lanes);
                        store_lanes(to + at + i * kLanes, (v - center[i]) * factor[i] + add[i], lanes);
                    }
                }
            });
        }
    });
}

void group_norm_backward(const Context& context, const GroupNorm& s, const float* dout, const float* mean,
                         const float* rstd, float* dx, float* dweight, float* dbias) {
    const int64_t blocks = blocks_of(s), width = padded(s), size = s.C / s.groups;
    const double count = static_cast<double>(maximum(1, s.rows)) * static_cast<double>(size);
    float* partials = reinterpret_cast<float*>(context.workspace) + context.threads * kScratchRows * width;
    parallel_for(context, blocks, [&](int64_t block, int thread) {
        float* m = reinterpret_cast<float*>(context.workspace) + thread * kScratchRows * width;
        float* r = m + width;
        float* sums = r + width;
        float* products = sums + width;
        float* total_products = partials + block * 2 * width;
        float* total_sums = total_products + width;
        fill(total_products, 2 * width, 0.0f);
        for (int64_t n = s.N * block / blocks; n < s.N * (block + 1) / blocks; ++n) {
            const float* x = s.x + n * s.rows * s.C;
            const float* d = dout + n * s.rows * s.C;
            float* to = dx + n * s.rows * s.C;
            if (s.rows == 1) {
                for (int64_t g = 0, c = 0; g < s.groups; ++g, c += size)
                    run_gradient(size, mean[n * s.groups + g], rstd[n * s.groups + g], x + c, d + c, at(s.weight, c),
                                 to + c, total_products + c, total_sums + c);
                continue;
            }
            for (int64_t g = 0; g < s.groups; ++g) {
                fill(m + g * size, size, mean[n * s.groups + g]);
                fill(r + g * size, size, rstd[n * s.groups + g]);
            }
            sum_channels<2>(s.C, s.rows, {sums, products}, [&](int64_t at, int64_t c, int64_t lanes, vfloat* v) {
                v[0] = load_lanes(d + at, lanes);
                v[1] = v[0] * (load_lanes(x + at, lanes) - load(m + c));
            });
            for_row(s.C, [&](int64_t c, int64_t lanes) {
                const vfloat w = or_one(s.weight, c, lanes), sum = load(sums + c),
                             product = load(products + c) * load(r + c);
                store(total_sums + c, load(total_sums + c) + sum);
                store(total_products + c, load(total_products + c) + product);
                store(sums + c, sum * w);
                store(products + c, product * w);
            });
            over_groups(s, sums, [&](int64_t, double sum) { return static_cast<float>(sum / count); });
            over_groups(s, products, [&](int64_t, double sum) { return static_cast<float>(sum / count); });
            for_blocks(s.C, [&](int64_t c, auto vectors, int64_t lanes) {
                constexpr int NV = decltype(vectors)::value;
                vfloat center[NV], factor[NV], slope[NV], constant[NV];
                PYNET_UNROLL
                for (int i = 0; i < NV; ++i) {
                    const int64_t channel = c + i * kLanes;
                    const vfloat inverse = load(r + channel);
                    center[i] = load(m + channel);
                    factor[i] = inverse * or_one(s.weight, channel, lanes);
                    constant[i] = inverse * load(sums + channel);
                    slope[i] = inverse * inverse * load(products + channel);
                }
                for (int64_t at = c; at < s.rows * s.C; at += s.C) {
                    PYNET_UNROLL
                    for (int i = 0; i < NV; ++i) {
                        const int64_t place = at + i * kLanes;
                        const vfloat centered = load_lanes(x + place, lanes) - center[i];
                        const vfloat g = load_lanes(d + place, lanes) * factor[i] - constant[i];
                        store_lanes(to + place, g - centered * slope[i], lanes);
                    }
                }
            });
        }
    });
    const auto add_blocks = [&](const float* from, float* to) {
        constexpr int64_t kColumns = 64;
        for (int64_t c = 0; c < s.C; c += kColumns) {
            double sum[kColumns] = {};
            const int64_t n = minimum(kColumns, s.C - c);
            for (int64_t block = 0; block < blocks; ++block)
                for (int64_t i = 0; i < n; ++i) sum[i] += static_cast<double>(from[block * 2 * width + c + i]);
            for (int64_t i = 0; i < n; ++i) to[c + i] = static_cast<float>(sum[i]);
        }
    };
    add_blocks(partials, dweight);
    add_blocks(partials + width, dbias);
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
