// Random numbers as a function of (seed, draw, element): Philox4x32-10; uniform, normal, and dropout, whose
// backward pass is the same call on the gradient.
//
// Element i takes word i % 4 of the block with key `seed` and counter (i / 4, offset), 64 bits each.
// Uniform: the upper 24 bits of a word. Normal: Box-Muller on the word pairs (0, 1) and (2, 3).
// Layout: flat; elements are numbered as they lie in memory. Threads: fixed chunks.
// Aliasing: dropout's out may be x. Workspace: none.
// Source: Salmon et al. 2011; Box & Muller 1958; Srivastava et al. 2014.
#include "flat.h"
#include "kernels.h"
#include "math.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kBatch = 64 * kLanes;  // elements computed at a time; divides kChunk
static_assert(kChunk % kBatch == 0, "a chunk is whole batches");

// A 32-bit word of kLanes / 2 blocks, each in the lower half of a lane: the product of two words then needs no
// shuffle. What is in the upper halves does not matter.
constexpr int kWide = kLanes / 2;
typedef uint64_t vwide __attribute__((vector_size(PYNET_LANES * 4)));

// The 64-bit products of the lower halves. Intrinsics, since compilers multiply 64 by 64 bits otherwise.
PYNET_INLINE vwide multiply_lower(vwide a, vwide b) {
#if PYNET_LANES == 16 && defined(__AVX512F__)
    return reinterpret_cast<vwide>(
        _mm512_maskz_mul_epu32(0xff, reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif PYNET_LANES == 8 && defined(__AVX2__)
    return reinterpret_cast<vwide>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif PYNET_LANES == 4 && defined(__SSE2__)
    return reinterpret_cast<vwide>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
    return (a & 0xffffffff) * (b & 0xffffffff);
#endif
}

struct Blocks {
    vwide word[4];
};

// The kWide blocks from number `block` on.
PYNET_INLINE Blocks philox(uint64_t block, RandomDraw draw) {
    vwide number = {};
    PYNET_UNROLL
    for (int i = 0; i < kWide; ++i) number[i] = static_cast<uint64_t>(i);
    number += block;
    vwide c0 = number, c1 = number >> 32, c2 = vwide{} + draw.offset, c3 = c2 >> 32;
    uint32_t k0 = static_cast<uint32_t>(draw.seed), k1 = static_cast<uint32_t>(draw.seed >> 32);
    const vwide m0 = vwide{} + 0xD2511F53u, m1 = vwide{} + 0xCD9E8D57u;
    PYNET_UNROLL
    for (int round = 0; round < 10; ++round) {
        const vwide left = multiply_lower(m0, c0), right = multiply_lower(m1, c2);
        c0 = (right >> 32) ^ c1 ^ uint64_t{k0};
        c1 = right;
        c2 = (left >> 32) ^ c3 ^ uint64_t{k1};
        c3 = left;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    return {{c0, c1, c2, c3}};
}

// Numbers in [0, 1) of the words a[0], b[0], a[1], b[1], ...
PYNET_INLINE vfloat units(vwide a, vwide b) {
    const vuint words = reinterpret_cast<vuint>((a & 0xffffffff) | (b << 32));
    return __builtin_convertvector(reinterpret_cast<vint>(words >> 8), vfloat) * 0x1p-24f;
}

// 2 * kLanes uniform numbers in element order.
PYNET_INLINE void uniform_step(int64_t first, RandomDraw draw, float* out) {
    const Blocks b = philox(static_cast<uint64_t>(first) / 4, draw);
    const vfloat front = units(b.word[0], b.word[1]), back = units(b.word[2], b.word[3]);
    // each has pairs of one block; the blocks' pairs alternate
    vint low = {}, high = {};
    PYNET_UNROLL
    for (int i = 0; i < kLanes; ++i) {
        const int pair = i / 4 * 2 + i % 2, from_back = i / 2 % 2 * kLanes;
        low[i] = pair + from_back;
        high[i] = pair + kWide + from_back;
    }
#ifdef __clang__
    for (int i = 0; i < kLanes; ++i) {
        out[i] = low[i] < kLanes ? front[low[i]] : back[low[i] - kLanes];
        out[kLanes + i] = high[i] < kLanes ? front[high[i]] : back[high[i] - kLanes];
    }
#else
    store(out, __builtin_shuffle(front, back, low));
    store(out + kLanes, __builtin_shuffle(front, back, high));
#endif
}

// kBatch uniform numbers in element order.
PYNET_NOINLINE void uniform_batch(int64_t first, RandomDraw draw, float* out) {
    for (int64_t i = 0; i < kBatch; i += 2 * kLanes) uniform_step(first + i, draw, out + i);
}

PYNET_NOINLINE void normal_batch(int64_t first, RandomDraw draw, float mean, float std, float* out) {
    for (int64_t i = 0; i < kBatch; i += 2 * kLanes) {
        const Blocks b = philox(static_cast<uint64_t>(first + i) / 4, draw);
        const vfloat radius = sqrt(-2.0f * log(1.0f - units(b.word[0], b.word[2])));
        const SineCosine angle = sine_cosine_of_turns(units(b.word[1], b.word[3]));
        float a[kLanes], c[kLanes];
        store(a, mean + std * (radius * angle.cosine));
        store(c, mean + std * (radius * angle.sine));
        for (int j = 0; j < kLanes; ++j) {
            out[i + 2 * j] = a[j];
            out[i + 2 * j + 1] = c[j];
        }
    }
}

// fill(first, to) writes a whole batch; the last one may not fit.
template <class Fill>
PYNET_INLINE void for_batches(const Context& context, int64_t count, float* out, Fill fill) {
    for_chunks(context, count, [=](int64_t begin, int64_t end) {
        int64_t i = begin;
        for (; i + kBatch <= end; i += kBatch) fill(i, out + i);
        if (i == end) return;
        float last[kBatch];
        fill(i, last);
        for (int64_t j = 0; i + j < end; ++j) out[i + j] = last[j];
    });
}

}  // namespace

void random_uniform(const Context& context, int64_t count, double low, double high, RandomDraw draw, float* out) {
    const double range = high - low;
    // Rounding to float may reach the upper bound, which is not part of the interval.
    const bool bounded = static_cast<float>(low) < static_cast<float>(high);
    const float top = bounded ? static_cast<float>(high) : kInfinity, largest = __builtin_nextafterf(top, -kInfinity);
    for_batches(context, count, out, [=](int64_t first, float* to) {
        uniform_batch(first, draw, to);
        if (low == 0.0 && high == 1.0) return;
        for (int64_t i = 0; i < kBatch; ++i) {
            const float value = static_cast<float>(low + range * static_cast<double>(to[i]));
            to[i] = value >= top ? largest : value;
        }
    });
}

void random_normal(const Context& context, int64_t count, float mean, float std, RandomDraw draw, float* out) {
    for_batches(context, count, out, [=](int64_t first, float* to) { normal_batch(first, draw, mean, std, to); });
}

void dropout(const Context& context, int64_t count, float p, float scale, RandomDraw draw, const float* x, float* out) {
    for_chunks(context, count, [=](int64_t begin, int64_t end) {
        float u[kBatch];
        for (int64_t i = begin; i < end; i += kBatch) {
            uniform_batch(i, draw, u);
            // A product, not a choice: NaN and infinity show even where they are dropped.
            const float* from = x + i;
            map_run<4>(0, minimum(kBatch, end - i), out + i,
                       [=, &u](auto at) { return at(from) * select(at(u) >= p, splat(scale), vfloat{}); });
        }
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
