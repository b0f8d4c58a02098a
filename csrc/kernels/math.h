// Elementary functions on one vector: exp, exp_minus_one, log, log_one_plus, tanh, sigmoid, erf, sin, cos, sqrt.
//
// Every function splits its argument exactly (Cody & Waite 1980: the constant that is subtracted lies in two
// parts, the first so short that its multiples are exact), evaluates a polynomial on the small rest and puts the
// parts together. The polynomials were fitted by reweighted least squares on Chebyshev nodes until the largest
// relative error levelled out, and rounded to float; their errors are below a quarter of a unit in the last place.
// Errors: at most 4 ULP where argument and result are normal. NaN stays, overflow gives infinity, underflow 0;
// subnormals count as 0 (parallel.h). No step needs a fused multiply-add.
#pragma once
#include "simd.h"

namespace pynet {
namespace PYNET_LEVEL {

constexpr float kInfinity = __builtin_inff();
constexpr float kLog2Upper = 0.693145752f;  // 15 bits, so that multiples up to 2^8 are exact
constexpr float kLog2Lower = 1.42860677e-06f;

// Keeps the sign of `sign`, for a magnitude that is not negative.
PYNET_INLINE vfloat with_sign_of(vfloat magnitude, vfloat sign) {
    return from_bits(bits(magnitude) | (bits(sign) & static_cast<int32_t>(0x80000000)));
}

PYNET_INLINE vfloat sqrt(vfloat v) {
#if PYNET_LANES == 16 && defined(__AVX512F__)
    return reinterpret_cast<vfloat>(_mm512_maskz_sqrt_ps(0xffff, reinterpret_cast<__m512>(v)));
#elif PYNET_LANES == 8 && defined(__AVX__)
    return reinterpret_cast<vfloat>(_mm256_sqrt_ps(reinterpret_cast<__m256>(v)));
#else
    for (int i = 0; i < kLanes; ++i) v[i] = __builtin_sqrtf(v[i]);
    return v;
#endif
}

// x = power * log 2 + rest with |rest| <= log(2) / 2; `power` is a whole number, |x| below some 2^7.
struct Exponent {
    vint power;
    vfloat rest;
};
PYNET_INLINE Exponent split_exponent(vfloat x) {
    const float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number, kept in the low bits
    const vfloat shifted = x * 1.44269504f + shift;
    const vfloat n = shifted - shift;
    return {bits(shifted) - 0x4b400000, x - n * kLog2Upper - n * kLog2Lower};
}

// e^r - 1 for |r| <= log(2) / 2.
PYNET_INLINE vfloat small_exp_minus_one(vfloat r) {
    const vfloat q = (((0.00139465544f * r + 0.00836664438f) * r + 0.0416662805f) * r + 0.16666542f) * r + 0.5f;
    return r + r * r * q;
}

// 2^n for -126 <= n <= 127.
PYNET_INLINE vfloat power_of_two(vint n) { return from_bits((n + 127) << 23); }

PYNET_INLINE vfloat exp(vfloat x) {
    x = select(x > 89.0f, splat(89.0f), x);  // in this order NaN stays
    x = select(x < -104.0f, splat(-104.0f), x);
    const Exponent e = split_exponent(x);
    // In two steps: 2^128 and 2^-150 are no floats.
    const vint half = e.power >> 1;
    return (small_exp_minus_one(e.rest) + 1.0f) * power_of_two(half) * power_of_two(e.power - half);
}

// e^x - 1 for x <= 0, without cancellation near 0.
PYNET_INLINE vfloat exp_minus_one(vfloat x) {
    x = select(x < -18.0f, splat(-18.0f), x);  // there the result is -1 already
    const Exponent e = split_exponent(x);
    const vfloat scale = power_of_two(e.power);
    return small_exp_minus_one(e.rest) * scale + (scale - 1.0f);
}

PYNET_INLINE vfloat log(vfloat x) {
    // x = 2^power * (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2)
    const vint power = (bits(x) - 0x3f3504f3) >> 23;
    const vfloat f = from_bits(bits(x) - (power << 23)) - 1.0f;
    const vfloat n = __builtin_convertvector(power, vfloat);
    vfloat p = -0.0763450786f * f + 0.127615944f;
    p = p * f - 0.13160187f;
    p = p * f + 0.142017558f;
    p = p * f - 0.166233569f;
    p = p * f + 0.200012267f;
    p = p * f - 0.250008196f;
    p = p * f + 0.333333313f;
    const vfloat square = f * f;
    const vfloat result = n * kLog2Upper + (f + ((square * f * p - 0.5f * square) + n * kLog2Lower));
    const vfloat special = select(x == 0.0f, splat(-kInfinity), splat(__builtin_nanf("")));
    return select(x == kInfinity, x, select(x > 0.0f, result, special));
}

// log(1 + e) for 0 <= e <= 1: what rounding 1 + e has cost is put back as a factor (Goldberg 1991, theorem 4).
PYNET_INLINE vfloat log_one_plus(vfloat e) {
    const vfloat u = 1.0f + e, taken = u - 1.0f;
    return select(taken == 0.0f, e, log(u) * (e / select(taken == 0.0f, splat(1.0f), taken)));
}

PYNET_INLINE vfloat sigmoid(vfloat x) { return 1.0f / (1.0f + exp(-x)); }

PYNET_INLINE vfloat tanh(vfloat x) {
    const vfloat e = exp_minus_one(-2.0f * abs(x));
    return with_sign_of(abs(e / (e + 2.0f)), x);
}

// x (2 / sqrt(pi) + q(x^2)) up to 0.92, the first factor in one piece: a part of it times the smallest x would be
// subnormal. Then 1 - e^-p(x); from 4 on the result is 1.
PYNET_INLINE vfloat erf(vfloat x) {
    const vfloat size = abs(x), t = select(size > 4.0f, splat(4.0f), size), u = t * t;
    vfloat q = 8.38238993e-05f * u - 0.000814559753f;
    q = q * u + 0.00520128617f;
    q = q * u - 0.0268594995f;
    q = q * u + 0.112836972f;
    q = q * u - 0.376126349f;
    vfloat p = 1.97405261e-05f * t - 0.000418012321f;
    p = p * t + 0.00408830913f;
    p = p * t - 0.02489537f;
    p = p * t + 0.107926749f;
    p = p * t + 0.633672059f;
    p = p * t + 1.12935293f;
    p = p * t - 0.000140946504f;
    return with_sign_of(select(size < 0.92f, t * 1.12837923f + t * u * q, 1.0f - exp(-p)), x);
}

struct SineCosine {
    vfloat sine, cosine;
};

// Of quadrant * pi / 2 + r for |r| <= pi / 4.
PYNET_INLINE SineCosine sine_cosine(vfloat r, vint quadrant) {
    const vfloat u = r * r;
    const vfloat s = r + r * (u * ((-0.00019514632f * u + 0.00833215564f) * u - 0.166666552f));
    const vfloat c = 1.0f - (0.5f * u - u * u * ((2.44324128e-05f * u - 0.00138873095f) * u + 0.0416666456f));
    const vint odd = (quadrant & 1) != 0;
    return {from_bits(bits(select(odd, c, s)) ^ ((quadrant & 2) << 30)),
            from_bits(bits(select(odd, s, c)) ^ (((quadrant + 1) & 2) << 30))};
}

// Of 2 pi t for 0 <= t < 1; the split is exact.
PYNET_INLINE SineCosine sine_cosine_of_turns(vfloat t) {
    const float shift = 12582912.0f;
    const vfloat shifted = 4.0f * t + shift;
    return sine_cosine((4.0f * t - (shifted - shift)) * 1.57079633f, bits(shifted) - 0x4b400000);
}

// x = quadrant * pi / 2 + rest for 0 <= x <= kLargestAngle, in double precision: the rest then keeps its relative
// accuracy even where x lies next to a multiple of pi / 2.
constexpr float kLargestAngle = 1048576.0f;
PYNET_INLINE void split_angle(const float* x, float* rest, int32_t* quadrant) {
    const double shift = 6755399441055744.0;  // 1.5 * 2^52
    for (int i = 0; i < kLanes; ++i) {
        const double angle = static_cast<double>(x[i]);
        const double n = (angle * 0.6366197723675814 + shift) - shift;
        // pi / 2 in two parts; the first has 33 bits, so that n times it is exact
        rest[i] = static_cast<float>((angle - n * 1.5707963267341256) - n * 6.077100509014471e-11);
        quadrant[i] = static_cast<int32_t>(n);
    }
}

// kQuarter 0: sine, 1: cosine. Larger angles, infinities and NaN are left to the C library, lane by lane.
template <int kQuarter>
PYNET_INLINE vfloat wave(vfloat x) {
    float angle[kLanes], rest[kLanes], result[kLanes];
    int32_t quadrant[kLanes], beyond = 0;
    const vfloat size = abs(x);
    const vint inside = size <= kLargestAngle;
    store(angle, select(inside, size, vfloat{}));
    split_angle(angle, rest, quadrant);
    const SineCosine both = sine_cosine(load(rest), load(quadrant));
    const vfloat found =
        kQuarter ? both.cosine : from_bits(bits(both.sine) ^ (bits(x) & static_cast<int32_t>(0x80000000)));
    store(quadrant, ~inside);
    for (int i = 0; i < kLanes; ++i) beyond |= quadrant[i];
    if (__builtin_expect(beyond == 0, 1)) return found;
    store(angle, x);
    store(result, found);
    for (int i = 0; i < kLanes; ++i)
        if (quadrant[i]) result[i] = kQuarter ? __builtin_cosf(angle[i]) : __builtin_sinf(angle[i]);
    return load(result);
}
PYNET_INLINE vfloat sin(vfloat x) { return wave<0>(x); }
PYNET_INLINE vfloat cos(vfloat x) { return wave<1>(x); }

}  // namespace PYNET_LEVEL
}  // namespace pynet
