// Group normalisation, forward and backward: every sample is standardised over groups of channels,
// out = (x - mean) * rstd * weight + bias. One group is layer normalisation over a whole sample, as many groups
// as channels instance normalisation; a plain row is a sample of one pixel.
//
// Layout: x (N, rows, C), mean and rstd (N, groups); weight and bias (C) or null. Per-channel sums run in vectors over
// the channels, two passes for the variance while the sample lies in cache; groups are added up in double precision.
// Threads: fixed blocks of samples, whose sums for dweight and dbias are added in order. Aliasing: none allowed.
// Workspace: group_norm_workspace() bytes.
// Source: Wu & He 2018; Ba, Kiros & Hinton 2016; Ulyanov, Vedaldi & Lempitsky 2016.
#include "kernels.h"
#include "rows.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kMostBlocks = 64;
constexpr int64_t kScratchRows = 4;

int64_t padded(const GroupNorm& s) { return round_up(maximum(s.C, 1), 16); }
int64_t blocks_of(const GroupNorm& s) { return maximum(1, minimum(s.N, kMostBlocks)); }

// Per-channel sums over the rows of one sample: value(offset, channel, lanes) is what is added.
template <class Value>
PYNET_INLINE void sum_rows_of(const GroupNorm& s, float* sums, Value value) {
    for_row(s.C, [&](int64_t c, int64_t n) {
        vfloat sum = {};
        for (int64_t r = 0; r < s.rows; ++r) sum += value(r * s.C + c, c, n);
        store(sums + c, sum);
    });
}

// Replaces each group's entries of `values` by finish(their sum).
template <class Finish>
PYNET_INLINE void over_groups(const GroupNorm& s, float* values, Finish finish) {
    const int64_t size = s.C / s.groups;
    for (int64_t g = 0; g < s.groups; ++g) {
        double sum = 0.0;
        for (int64_t c = g * size; c < (g + 1) * size; ++c) sum += static_cast<double>(values[c]);
        const float result = finish(g, sum);
        for (int64_t c = g * size; c < (g + 1) * size; ++c) values[c] = result;
    }
}

PYNET_INLINE vfloat or_one(const float* weight, int64_t c, int64_t n) {
    return weight ? load_lanes(weight + c, n) : splat(1.0f);
}

}  // namespace

size_t group_norm_workspace(const GroupNorm& s, int threads) {
    return static_cast<size_t>(padded(s) * (kScratchRows * threads + 2 * blocks_of(s))) * sizeof(float);
}

void group_norm_forward(const Context& context, const GroupNorm& s, float* out, float* mean, float* rstd) {
    const int64_t blocks = blocks_of(s), width = padded(s);
    const double count = static_cast<double>(s.rows) * static_cast<double>(s.C / s.groups);
    parallel_for(context, blocks, [&](int64_t block, int thread) {
        float* m = reinterpret_cast<float*>(context.workspace) + thread * kScratchRows * width;
        float* scale = m + width;
        for (int64_t n = s.N * block / blocks; n < s.N * (block + 1) / blocks; ++n) {
            const float* x = s.x + n * s.rows * s.C;
            float* to = out + n * s.rows * s.C;
            sum_rows_of(s, m, [&](int64_t at, int64_t, int64_t lanes) { return load_lanes(x + at, lanes); });
            over_groups(
                s, m, [&](int64_t g, double sum) { return mean[n * s.groups + g] = static_cast<float>(sum / count); });
            sum_rows_of(s, scale, [&](int64_t at, int64_t c, int64_t lanes) {
                const vfloat d = load_lanes(x + at, lanes) - load(m + c);
                return d * d;
            });
            over_groups(s, scale, [&](int64_t g, double sum) {
                const double var = sum / count + static_cast<double>(s.eps);
                return rstd[n * s.groups + g] = static_cast<float>(1.0 / __builtin_sqrt(var));
            });
            for_row(s.C, [&](int64_t c, int64_t lanes) {
                const vfloat center = load(m + c), factor = load(scale + c) * or_one(s.weight, c, lanes);
                const vfloat add = s.bias ? load_lanes(s.bias + c, lanes) : vfloat{};
                for (int64_t at = c; at < s.rows * s.C; at += s.C)
                    store_lanes(to + at, (load_lanes(x + at, lanes) - center) * factor + add, lanes);
            });
        }
    });
}

void group_norm_backward(const Context& context, const GroupNorm& s, const float* dout, const float* mean,
                         const float* rstd, float* dx, float* dweight, float* dbias) {
    const int64_t blocks = blocks_of(s), width = padded(s), size = s.C / s.groups;
    const double count = static_cast<double>(s.rows) * static_cast<double>(size);
    float* partials = reinterpret_cast<float*>(context.workspace) + context.threads * kScratchRows * width;
    parallel_for(context, blocks, [&](int64_t block, int thread) {
        float* m = reinterpret_cast<float*>(context.workspace) + thread * kScratchRows * width;
        float* r = m + width;
        float* sums = r + width;
        float* products = sums + width;
        float* total_products = partials + block * 2 * width;
        float* total_sums = total_products + width;
        for (int64_t c = 0; c < 2 * width; ++c) total_products[c] = 0.0f;
        for (int64_t n = s.N * block / blocks; n < s.N * (block + 1) / blocks; ++n) {
            const float* x = s.x + n * s.rows * s.C;
            const float* d = dout + n * s.rows * s.C;
            float* to = dx + n * s.rows * s.C;
            for (int64_t c = 0; c < s.C; ++c)
                m[c] = mean[n * s.groups + c / size], r[c] = rstd[n * s.groups + c / size];
            sum_rows_of(s, sums, [&](int64_t at, int64_t, int64_t lanes) { return load_lanes(d + at, lanes); });
            sum_rows_of(s, products, [&](int64_t at, int64_t c, int64_t lanes) {
                return load_lanes(d + at, lanes) * ((load_lanes(x + at, lanes) - load(m + c)) * load(r + c));
            });
            for_row(s.C, [&](int64_t c, int64_t lanes) {
                const vfloat w = or_one(s.weight, c, lanes), sum = load(sums + c), product = load(products + c);
                store(total_sums + c, load(total_sums + c) + sum);
                store(total_products + c, load(total_products + c) + product);
                store(sums + c, sum * w);
                store(products + c, product * w);
            });
            over_groups(s, sums, [&](int64_t, double sum) { return static_cast<float>(sum / count); });
            over_groups(s, products, [&](int64_t, double sum) { return static_cast<float>(sum / count); });
            for_row(s.C, [&](int64_t c, int64_t lanes) {
                const vfloat inverse = load(r + c), w = or_one(s.weight, c, lanes), center = load(m + c);
                const vfloat constant = load(sums + c), slope = load(products + c) * inverse;
                for (int64_t at = c; at < s.rows * s.C; at += s.C) {
                    const vfloat centered = load_lanes(x + at, lanes) - center;
                    store_lanes(to + at, inverse * (load_lanes(d + at, lanes) * w - constant - centered * slope),
                                lanes);
                }
            });
        }
    });
    for (int64_t c = 0; c < s.C; ++c) {
        double product = 0.0, sum = 0.0;
        for (int64_t block = 0; block < blocks; ++block) {
            product += static_cast<double>(partials[block * 2 * width + c]);
            sum += static_cast<double>(partials[block * 2 * width + width + c]);
        }
        dweight[c] = static_cast<float>(product), dbias[c] = static_cast<float>(sum);
    }
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
