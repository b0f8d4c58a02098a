// The transforms of Winograd's minimal filtering F(m x m, 3 x 3) for m = 2 and 4 (Lavin & Gray 2015, section 4), one
// dimension at a time on vectors of channels:
//   Y = A^T [ (G g G^T) . (B^T d B) ] A
// and their adjoints, which give the weight gradient: dg = G^T [ (A dY A^T) . (B^T d B) ] G.
#pragma once
#include "simd.h"

namespace pynet {
namespace PYNET_LEVEL {

template <int m>
struct Winograd;

template <>
struct Winograd<2> {
    static constexpr int kIn = 4;

    static PYNET_INLINE void input(const vfloat* d, vfloat* o) {  // B^T d
        o[0] = d[0] - d[2];
        o[1] = d[1] + d[2];
        o[2] = d[2] - d[1];
        o[3] = d[1] - d[3];
    }
    static PYNET_INLINE void output(const vfloat* p, vfloat* o) {  // A^T p
        o[0] = p[0] + p[1] + p[2];
        o[1] = p[1] - p[2] - p[3];
    }
    static PYNET_INLINE void weight(const vfloat* g, vfloat* o) {  // G g
        const vfloat even = 0.5f * (g[0] + g[2]), odd = 0.5f * g[1];
        o[0] = g[0];
        o[1] = even + odd;
        o[2] = even - odd;
        o[3] = g[2];
    }
    static PYNET_INLINE void output_adjoint(const vfloat* y, vfloat* o) {  // A y
        o[0] = y[0];
        o[1] = y[0] + y[1];
        o[2] = y[0] - y[1];
        o[3] = -y[1];
    }
    static PYNET_INLINE void weight_adjoint(const vfloat* u, vfloat* o) {  // G^T u
        const vfloat sum = 0.5f * (u[1] + u[2]);
        o[0] = u[0] + sum;
        o[1] = 0.5f * (u[1] - u[2]);
        o[2] = sum + u[3];
    }
};

template <>
struct Winograd<4> {
    static constexpr int kIn = 6;

    static PYNET_INLINE void input(const vfloat* d, vfloat* o) {
        const vfloat a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1], c = d[4] - d[2], e = d[3] - d[1];
        o[0] = c + 4.0f * (d[0] - d[2]);
        o[1] = a + b;
        o[2] = a - b;
        o[3] = c + 2.0f * e;
        o[4] = c - 2.0f * e;
        o[5] = (d[5] - d[3]) - 4.0f * e;
    }
    static PYNET_INLINE void output(const vfloat* p, vfloat* o) {
        const vfloat s = p[1] + p[2], t = p[1] - p[2], u = p[3] + p[4], v = p[3] - p[4];
        o[0] = p[0] + s + u;
        o[1] = t + 2.0f * v;
        o[2] = s + 4.0f * u;
        o[3] = t + 8.0f * v + p[5];
    }
    static PYNET_INLINE void weight(const vfloat* g, vfloat* o) {
        const vfloat even = (-1.0f / 6) * (g[0] + g[2]), odd = (-1.0f / 6) * g[1];
        const vfloat even2 = (1.0f / 24) * g[0] + (1.0f / 6) * g[2], odd2 = (1.0f / 12) * g[1];
        o[0] = 0.25f * g[0];
        o[1] = even + odd;
        o[2] = even - odd;
        o[3] = even2 + odd2;
        o[4] = even2 - odd2;
        o[5] = g[2];
    }
    static PYNET_INLINE void output_adjoint(const vfloat* y, vfloat* o) {
        const vfloat even = y[0] + y[2], odd = y[1] + y[3], even2 = y[0] + 4.0f * y[2],
                     odd2 = 2.0f * y[1] + 8.0f * y[3];
        o[0] = y[0];
        o[1] = even + odd;
        o[2] = even - odd;
        o[3] = even2 + odd2;
        o[4] = even2 - odd2;
        o[5] = y[3];
    }
    static PYNET_INLINE void weight_adjoint(const vfloat* u, vfloat* o) {
        const vfloat s = u[1] + u[2], d = u[1] - u[2], p = u[3] + u[4], q = u[3] - u[4];
        o[0] = 0.25f * u[0] - (1.0f / 6) * s + (1.0f / 24) * p;
        o[1] = (-1.0f / 6) * d + (1.0f / 12) * q;
        o[2] = (-1.0f / 6) * s + (1.0f / 6) * p + u[5];
    }
};

}  // namespace PYNET_LEVEL
}  // namespace pynet
