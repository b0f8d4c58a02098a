// One float vector type for all levels, kLanes wide, on GCC/Clang vector extensions: loads, stores, tails,
// selects and the in-register transpose. Comparisons give a mask vector (all ones or zero per lane).
#pragma once
#include <stdint.h>

#include "../shapes.h"

#if defined(__AVX__)
#include <immintrin.h>
#endif

#define PYNET_NOINLINE __attribute__((noinline))
#define PYNET_UNROLL _Pragma("GCC unroll 64")

// Keeps the compiler from knowing a vector's value.
#if defined(__x86_64__) && (PYNET_LANES < 16 || defined(__AVX512F__))
#define PYNET_OPAQUE(v) asm volatile("" : "+x"(v))
#elif defined(__aarch64__)
#define PYNET_OPAQUE(v) asm volatile("" : "+w"(v))
#else
#define PYNET_OPAQUE(v) asm volatile("" : : : "memory")
#endif

namespace pynet {
namespace PYNET_LEVEL {

constexpr int kLanes = PYNET_LANES;
typedef float vfloat __attribute__((vector_size(PYNET_LANES * 4)));
typedef float vfloat_unaligned __attribute__((vector_size(PYNET_LANES * 4), aligned(4), may_alias));
typedef int32_t vint __attribute__((vector_size(PYNET_LANES * 4)));
typedef int32_t vint_unaligned __attribute__((vector_size(PYNET_LANES * 4), aligned(4), may_alias));
typedef uint32_t vuint __attribute__((vector_size(PYNET_LANES * 4)));

PYNET_INLINE vfloat load(const float* p) { return *reinterpret_cast<const vfloat_unaligned*>(p); }
PYNET_INLINE void store(float* p, vfloat v) { *reinterpret_cast<vfloat_unaligned*>(p) = v; }
PYNET_INLINE vint load(const int32_t* p) { return *reinterpret_cast<const vint_unaligned*>(p); }
PYNET_INLINE void store(int32_t* p, vint v) { *reinterpret_cast<vint_unaligned*>(p) = v; }
PYNET_INLINE vfloat splat(float x) { return vfloat{} + x; }

// The first n lanes (n <= kLanes); the rest is zero, respectively left alone. Masked moves where the level has
// them: channel counts below a vector would otherwise pay for a loop at every pixel.
#if PYNET_LANES == 16 && defined(__AVX512F__)
PYNET_INLINE vfloat load_partial(const float* p, int64_t n) {
    return reinterpret_cast<vfloat>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p));
}
PYNET_INLINE void store_partial(float* p, vfloat v, int64_t n) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), reinterpret_cast<__m512>(v));
}
#elif PYNET_LANES == 8 && defined(__AVX__)
PYNET_INLINE __m256i first_lanes(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
PYNET_INLINE vfloat load_partial(const float* p, int64_t n) {
    return reinterpret_cast<vfloat>(_mm256_maskload_ps(p, first_lanes(n)));
}
PYNET_INLINE void store_partial(float* p, vfloat v, int64_t n) {
    _mm256_maskstore_ps(p, first_lanes(n), reinterpret_cast<__m256>(v));
}
#else
PYNET_INLINE vfloat load_partial(const float* p, int64_t n) {
    float lane[kLanes] = {};
    for (int64_t i = 0; i < n; ++i) lane[i] = p[i];
    return load(lane);
}
PYNET_INLINE void store_partial(float* p, vfloat v, int64_t n) {
    float lane[kLanes];
    store(lane, v);
    for (int64_t i = 0; i < n; ++i) p[i] = lane[i];
}
#endif
// n lanes, whole vectors by plain moves.
PYNET_INLINE vfloat load_lanes(const float* p, int64_t n) { return n >= kLanes ? load(p) : load_partial(p, n); }
PYNET_INLINE void store_lanes(float* p, vfloat v, int64_t n) {
    if (n >= kLanes)
        store(p, v);
    else
        store_partial(p, v, n);
}

PYNET_INLINE vfloat select(vint mask, vfloat a, vfloat b) { return mask ? a : b; }
PYNET_INLINE vfloat max(vfloat a, vfloat b) { return a > b ? a : b; }
PYNET_INLINE vfloat min(vfloat a, vfloat b) { return a < b ? a : b; }
PYNET_INLINE vint bits(vfloat v) { return reinterpret_cast<vint>(v); }
PYNET_INLINE vfloat from_bits(vint v) { return reinterpret_cast<vfloat>(v); }
PYNET_INLINE vfloat abs(vfloat v) { return from_bits(bits(v) & 0x7fffffff); }

PYNET_INLINE int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
PYNET_INLINE int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }
PYNET_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
PYNET_INLINE int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// kLanes x kLanes transpose in registers: log2(kLanes) stages of two-input shuffles.
PYNET_INLINE void transpose(vfloat* row) {
    PYNET_UNROLL
    for (int step = 1; step < kLanes; step *= 2) {
        vint low = {}, high = {};
        PYNET_UNROLL
        for (int i = 0; i < kLanes; ++i) {
            low[i] = (i & step) ? (i - step + kLanes) : i;
            high[i] = (i & step) ? (i + kLanes) : (i + step);
        }
        PYNET_UNROLL
        for (int i = 0; i < kLanes; ++i) {
            if (i & step) continue;
            const vfloat a = row[i], b = row[i + step];
#ifdef __clang__
            // clang has no run-time two-input shuffle; its vectors index like arrays
            for (int k = 0; k < kLanes; ++k) {
                row[i][k] = low[k] < kLanes ? a[low[k]] : b[low[k] - kLanes];
                row[i + step][k] = high[k] < kLanes ? a[high[k]] : b[high[k] - kLanes];
            }
#else
            row[i] = __builtin_shuffle(a, b, low);
            row[i + step] = __builtin_shuffle(a, b, high);
#endif
        }
    }
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
