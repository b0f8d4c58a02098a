// Activation functions and Maxout, forward and backward.
//
// Layout: activations are elementwise, any dense order. Maxout sees (outer, channels, pieces, inner): with
// channels innermost in memory `inner` is 1 and one flat pass does it.
// Threads: fixed chunks of elements. Aliasing: an activation's out or dx may be an operand itself; none else.
// Workspace: none.
// Source: Nair & Hinton 2010 (ReLU); Maas et al. 2013 (leaky); Clevert et al. 2016 (ELU); Goodfellow et al. 2013
// (Maxout).
#include "activation.h"

#include "flat.h"
#include "kernels.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kRun = 128;         // outputs of Maxout computed at a time
constexpr int64_t kMostPieces = 256;  // as many as an uint8 can tell apart

// At most kRun outputs; piece j of them starts at x + j * stride.
void maxout_run(int64_t count, int pieces, int64_t stride, const float* x, float* out, uint8_t* indices) {
    int32_t winners[kRun];
    for (int64_t i = 0; i < count; i += kLanes) {
        const int64_t n = minimum(kLanes, count - i);
        vfloat best = load_lanes(x + i, n);
        vint winner = {};
        for (int j = 1; j < pieces; ++j) {
            const vfloat v = load_lanes(x + j * stride + i, n);
            // a larger value wins, and so does the first NaN
            const vint better = ~(v <= best) & (best == best);
            best = select(better, v, best);
            winner = better ? vint{} + j : winner;
        }
        store_lanes(out + i, best, n);
        store(winners + i, winner);
    }
    for (int64_t i = 0; i < count; ++i) indices[i] = static_cast<uint8_t>(winners[i]);
}

// The reverse: dx where the piece won, 0 elsewhere.
void maxout_gradient_run(int64_t count, int pieces, int64_t stride, const float* dout, const uint8_t* indices,
                         float* dx) {
    int32_t winners[kRun] = {};
    for (int64_t i = 0; i < count; ++i) winners[i] = indices[i];
    for (int64_t i = 0; i < count; i += kLanes) {
        const int64_t n = minimum(kLanes, count - i);
        const vfloat gradient = load_lanes(dout + i, n);
        const vint winner = load(winners + i);
        for (int j = 0; j < pieces; ++j) store_lanes(dx + j * stride + i, select(winner == j, gradient, vfloat{}), n);
    }
}

// Between neighbouring pieces x[i * pieces + j] and runs of each piece [j * kRun + i]. kPieces 0: the number is only
// known at run time; others are worth shuffles that the compiler finds.
template <int kPieces>
void split_pieces(int64_t count, int pieces, const float* __restrict x, float* __restrict runs) {
    const int step = kPieces ? kPieces : pieces;
    for (int j = 0; j < step; ++j)
        for (int64_t i = 0; i < count; ++i) runs[j * kRun + i] = x[i * step + j];
}
template <int kPieces>
void join_pieces(int64_t count, int pieces, const float* __restrict runs, float* __restrict dx) {
    const int step = kPieces ? kPieces : pieces;
    for (int64_t i = 0; i < count; ++i)
        for (int j = 0; j < step; ++j) dx[i * step + j] = runs[j * kRun + i];
}

// body(first row, last row) for fixed runs of rows that make up about a chunk.
template <class Body>
PYNET_INLINE void for_row_runs(const Context& context, int64_t rows, int64_t columns, Body body) {
    const int64_t run = maximum(1, kChunk / maximum(1, columns));
    parallel_for(context, ceil_div(rows, run),
                 [&](int64_t chunk, int) { body(chunk * run, minimum(rows, (chunk + 1) * run)); });
}

}  // namespace

void activation_forward(const Context& context, int64_t count, const float* x, float* out, Activation activation,
                        float alpha) {
    with_activation(activation, [&](auto tag) {
        constexpr Activation kActivation = decltype(tag)::value;
        constexpr int kUnroll = kActivation <= Activation::leaky_relu ? 4 : 2;
        for_chunks(context, count, [=](int64_t begin, int64_t end) {
            map_run<kUnroll>(begin, end, out, [=](auto at) { return activation_value<kActivation>(at(x), alpha); });
        });
    });
}

void activation_backward(const Context& context, int64_t count, const float* dout, const float* out, float* dx,
                         Activation activation, float alpha) {
    with_activation(activation, [&](auto tag) {
        constexpr Activation kActivation = decltype(tag)::value;
        for_chunks(context, count, [=](int64_t begin, int64_t end) {
            map_run<4>(begin, end, dx,
                       [=](auto at) { return activation_gradient<kActivation>(at(dout), at(out), alpha); });
        });
    });
}

void maxout_forward(const Context& context, const MaxoutShape& s, const float* x, float* out, uint8_t* indices) {
    const int64_t inner = s.inner, k = s.pieces;
    if (inner != 1) {
        for_row_runs(context, s.outer, inner * k, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r)
                for (int64_t i = 0; i < inner; i += kRun)
                    maxout_run(minimum(kRun, inner - i), s.pieces, inner, x + r * inner * k + i, out + r * inner + i,
                               indices + r * inner + i);
        });
        return;
    }
    const auto split = k == 2 ? split_pieces<2> : k == 3 ? split_pieces<3> : k == 4 ? split_pieces<4> : split_pieces<0>;
    for_row_runs(context, s.outer, k, [&](int64_t begin, int64_t end) {
        float runs[kMostPieces * kRun];
        for (int64_t i = begin; i < end; i += kRun) {
            const int64_t count = minimum(kRun, end - i);
            split(count, s.pieces, x + i * k, runs);
            maxout_run(count, s.pieces, kRun, runs, out + i, indices + i);
        }
    });
}

bool maxout_backward(const Context& context, const MaxoutShape& s, const float* dout, const uint8_t* indices,
                     float* dx) {
    const int64_t inner = s.inner, k = s.pieces;
    int invalid = 0;
    const auto join = k == 2 ? join_pieces<2> : k == 3 ? join_pieces<3> : k == 4 ? join_pieces<4> : join_pieces<0>;
    for_row_runs(context, s.outer, inner * k, [&](int64_t begin, int64_t end) {
        uint8_t largest = 0;
        for (int64_t i = begin * inner; i < end * inner; ++i) largest = indices[i] > largest ? indices[i] : largest;
        if (largest >= k) __atomic_store_n(&invalid, 1, __ATOMIC_RELAXED);
        if (inner != 1) {
            for (int64_t r = begin; r < end; ++r)
                for (int64_t i = 0; i < inner; i += kRun)
                    maxout_gradient_run(minimum(kRun, inner - i), s.pieces, inner, dout + r * inner + i,
                                        indices + r * inner + i, dx + r * inner * k + i);
            return;
        }
        float runs[kMostPieces * kRun];
        for (int64_t i = begin; i < end; i += kRun) {
            const int64_t count = minimum(kRun, end - i);
            maxout_gradient_run(count, s.pieces, kRun, dout + i, indices + i, runs);
            join(count, s.pieces, runs, dx + i * k);
        }
    });
    return !invalid;
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
