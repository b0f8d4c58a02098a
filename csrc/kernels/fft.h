// Two-dimensional discrete Fourier transforms of small real tiles, T x T with T = 16, 32 or 64, kLanes channels at a
// time. A length is two passes of radix 4 or 8 (Cooley & Tukey 1965), whose first reads and whose second writes
// wherever the caller wants. Rows are real, so two of them make one complex row and are told apart by symmetry; of the
// columns T / 2 + 1 are needed, since the rest are their conjugates. Frequency (u, v) is position v * T + u.
//
// Nothing is normalised: a product of two transforms comes back from inverse_transform 4 * T * T times too large.
#pragma once
#include "tile.h"

namespace pynet {
namespace PYNET_LEVEL {

template <int T>
struct Roots {  // e^(-2 pi i k / T)
    float re[T], im[T];
};

// Series in double precision; the angle is at most pi / 4 once symmetry has been used.
constexpr double sine(double x) {
    double term = x, sum = x;
    for (int n = 1; n < 12; ++n) sum += term *= -x * x / ((2 * n) * (2 * n + 1));
    return sum;
}
constexpr double cosine(double x) {
    double term = 1, sum = 1;
    for (int n = 1; n < 12; ++n) sum += term *= -x * x / ((2 * n - 1) * (2 * n));
    return sum;
}

template <int T>
constexpr Roots<T> roots() {
    Roots<T> r{};
    for (int k = 0; k < T; ++k) {
        const int quarter = (k + T / 8) / (T / 4);  // the nearest multiple of a right angle
        const double rest = 2 * 3.14159265358979323846 / T * (k - quarter * (T / 4));
        const double c = cosine(rest), s = -sine(rest);
        const int turn = quarter % 4;  // times (-i)^turn
        r.re[k] = static_cast<float>(turn == 0 ? c : turn == 1 ? s : turn == 2 ? -c : -s);
        r.im[k] = static_cast<float>(turn == 0 ? s : turn == 1 ? -c : turn == 2 ? -s : c);
    }
    return r;
}

template <int T>
constexpr Roots<T> kRoots = roots<T>();

template <int R>
PYNET_INLINE void butterfly(vfloat* re, vfloat* im);

template <>
PYNET_INLINE void butterfly<4>(vfloat* re, vfloat* im) {
    const vfloat ar = re[0] + re[2], ai = im[0] + im[2], br = re[0] - re[2], bi = im[0] - im[2];
    const vfloat cr = re[1] + re[3], ci = im[1] + im[3], dr = re[1] - re[3], di = im[1] - im[3];
    re[0] = ar + cr, im[0] = ai + ci;
    re[1] = br + di, im[1] = bi - dr;
    re[2] = ar - cr, im[2] = ai - ci;
    re[3] = br - di, im[3] = bi + dr;
}

template <>
PYNET_INLINE void butterfly<8>(vfloat* re, vfloat* im) {
    constexpr float h = 0.70710678118654752f;
    vfloat er[4] = {re[0], re[2], re[4], re[6]}, ei[4] = {im[0], im[2], im[4], im[6]};
    vfloat dr[4] = {re[1], re[3], re[5], re[7]}, di[4] = {im[1], im[3], im[5], im[7]};
    butterfly<4>(er, ei);
    butterfly<4>(dr, di);
    const vfloat r1 = h * (dr[1] + di[1]), i1 = h * (di[1] - dr[1]);
    const vfloat r3 = h * (di[3] - dr[3]), i3 = -h * (dr[3] + di[3]);
    re[0] = er[0] + dr[0], im[0] = ei[0] + di[0];
    re[4] = er[0] - dr[0], im[4] = ei[0] - di[0];
    re[1] = er[1] + r1, im[1] = ei[1] + i1;
    re[5] = er[1] - r1, im[5] = ei[1] - i1;
    re[2] = er[2] + di[2], im[2] = ei[2] - dr[2];
    re[6] = er[2] - di[2], im[6] = ei[2] + dr[2];
    re[3] = er[3] + r3, im[3] = ei[3] + i3;
    re[7] = er[3] - r3, im[7] = ei[3] - i3;
}

// X[k] = sum_n x[n] e^(-2 pi i n k / T): in(n, re, im) reads x[n], out(k, re, im) takes X[k].
template <int T, class In, class Out>
PYNET_INLINE void fft(In in, Out out) {
    constexpr int R1 = T == 16 ? 4 : 8, R2 = T / R1;  // n = R2 n1 + n2, k = k1 + R1 k2
    vfloat re[T], im[T];
    for (int n2 = 0; n2 < R2; ++n2) {
        vfloat r[R1], i[R1];
        PYNET_UNROLL
        for (int n1 = 0; n1 < R1; ++n1) in(R2 * n1 + n2, r[n1], i[n1]);
        butterfly<R1>(r, i);
        re[n2 * R1] = r[0], im[n2 * R1] = i[0];
        PYNET_UNROLL
        for (int k1 = 1; k1 < R1; ++k1) {
            const float c = kRoots<T>.re[n2 * k1], s = kRoots<T>.im[n2 * k1];
            re[n2 * R1 + k1] = c * r[k1] - s * i[k1];
            im[n2 * R1 + k1] = c * i[k1] + s * r[k1];
        }
    }
    for (int k1 = 0; k1 < R1; ++k1) {
        vfloat r[R2], i[R2];
        PYNET_UNROLL
        for (int n2 = 0; n2 < R2; ++n2) r[n2] = re[n2 * R1 + k1], i[n2] = im[n2 * R1 + k1];
        butterfly<R2>(r, i);
        PYNET_UNROLL
        for (int k2 = 0; k2 < R2; ++k2) out(k1 + R1 * k2, r[k2], i[k2]);
    }
}

// Positions of a transformed tile.
template <int T>
constexpr int64_t kPositions = (T / 2 + 1) * T;

// Between the two dimensions a tile lies in scratch as [column v][row][re, im], columns apart by a little more than a
// power of two: those share cache sets. Floats of scratch:
constexpr int64_t column_stride(int64_t T) { return (2 * T + 2) * kLanes; }
constexpr int64_t transform_scratch(int64_t T) { return (T / 2 + 1) * column_stride(T); }

// Pixels (i, j) with row0 <= i < row1 and col0 <= j < col1, at base + i * row_step + j * col_step; the others are zero.
struct Window {
    const float* base;
    int64_t row_step, col_step, row0, row1, col0, col1, lanes;
};

constexpr float kZeros[kLanes] = {};

// Twice the transform of a window. Position p goes to to[p * stride], its imaginary part `imaginary` floats further.
template <int T>
PYNET_NOINLINE void transform(const Window& w, float* scratch, float* to, int64_t stride, int64_t imaginary) {
    constexpr int64_t kColumn = column_stride(T);
    for (int64_t y = 0; y < T; y += 2) {
        float* row = scratch + y * 2 * kLanes;
        if (y + 1 < w.row0 || y >= w.row1) {
            for (int64_t v = 0; v <= T / 2; ++v)
                for (int64_t i = 0; i < 4; ++i) store(row + v * kColumn + i * kLanes, vfloat{});
            continue;
        }
        const bool has_a = y >= w.row0, has_b = y + 1 < w.row1;
        const float* a = w.base + y * w.row_step;
        const float* b = a + w.row_step;
        vfloat re[T], im[T];
        fft<T>(
            [&](int64_t n, vfloat& r, vfloat& i) {
                const bool inside = n >= w.col0 && n < w.col1;
                r = load_lanes(inside && has_a ? a + n * w.col_step : kZeros, w.lanes);
                i = load_lanes(inside && has_b ? b + n * w.col_step : kZeros, w.lanes);
            },
            [&](int64_t k, vfloat r, vfloat i) { re[k] = r, im[k] = i; });
        for (int64_t v = 0; v <= T / 2; ++v) {
            const int64_t mirror = (T - v) % T;
            float* at = row + v * kColumn;
            store(at, re[v] + re[mirror]);
            store(at + kLanes, im[v] - im[mirror]);
            store(at + 2 * kLanes, im[v] + im[mirror]);
            store(at + 3 * kLanes, re[mirror] - re[v]);
        }
    }
    for (int64_t v = 0; v <= T / 2; ++v) {
        const float* column = scratch + v * kColumn;
        float* spectrum = to + v * T * stride;
        fft<T>(
            [&](int64_t n, vfloat& r, vfloat& i) {
                r = load(column + n * 2 * kLanes);
                i = load(column + n * 2 * kLanes + kLanes);
            },
            [&](int64_t k, vfloat r, vfloat i) {
                store(spectrum + k * stride, r);
                store(spectrum + k * stride + imaginary, i);
            });
    }
}

// Where the first `rows` x `columns` pixels of a tile go: scaled, with bias (of these channels, or null) and
// activation.
struct Target {
    float* base;
    int64_t row_step, col_step, rows, columns, lanes;
    float scale;
    const float* bias;
    Activation activation;
    float alpha;
};

// The inverse of transform. The inverse of a length is the transform with real and imaginary parts exchanged.
template <int T>
PYNET_NOINLINE void inverse_transform(const float* from, int64_t stride, int64_t imaginary, float* scratch,
                                      const Target& t) {
    constexpr int64_t kColumn = column_stride(T);
    for (int64_t v = 0; v <= T / 2; ++v) {
        const float* spectrum = from + v * T * stride;
        float* column = scratch + v * kColumn;
        fft<T>(
            [&](int64_t n, vfloat& r, vfloat& i) {
                r = load(spectrum + n * stride + imaginary);
                i = load(spectrum + n * stride);
            },
            [&](int64_t k, vfloat r, vfloat i) {
                store(column + k * 2 * kLanes, i);
                store(column + k * 2 * kLanes + kLanes, r);
            });
    }
    const vfloat bias = t.bias ? load_lanes(t.bias, t.lanes) : vfloat{};
    for (int64_t y = 0; y < t.rows; y += 2) {
        const float* row = scratch + y * 2 * kLanes;
        float* a = t.base + y * t.row_step;
        float* b = y + 1 < t.rows ? a + t.row_step : nullptr;
        fft<T>(
            [&](int64_t k, vfloat& r, vfloat& i) {  // a + i b, of which the second half are conjugates
                const float sign = k <= T / 2 ? 1.0f : -1.0f;
                const float* at = row + (k <= T / 2 ? k : T - k) * kColumn;
                i = load(at) - sign * load(at + 3 * kLanes);
                r = load(at + 2 * kLanes) + sign * load(at + kLanes);
            },
            [&](int64_t x, vfloat r, vfloat i) {
                if (x >= t.columns) return;
                store_lanes(a + x * t.col_step, activate(t.scale * i + bias, t.activation, t.alpha), t.lanes);
                if (b) store_lanes(b + x * t.col_step, activate(t.scale * r + bias, t.activation, t.alpha), t.lanes);
            });
    }
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
