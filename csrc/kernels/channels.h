// Vectors over the channels of one pixel, whatever their number. From kLanes channels on, the last vector
// overlaps the one before it, so that every access is whole; with fewer ("narrow"), a vector also covers the
// neighbouring pixels, whose lanes the caller ignores or overwrites in order, and accesses are cut where the
// memory ends.
#pragma once
#include "simd.h"

namespace pynet {
namespace PYNET_LEVEL {

template <int kValue>
struct Count {
    static constexpr int value = kValue;
};

// visit(first channel, Count<vectors>, repeated) for blocks that cover all channels. The last block may overlap the
// one before: its first `repeated` lanes come a second time, which sums must leave out.
template <class Visit>
PYNET_INLINE void for_channels(int64_t C, Visit visit) {
    int64_t c = 0;
    for (; c + 4 * kLanes <= C; c += 4 * kLanes) visit(c, Count<4>{}, 0);
    for (; c + kLanes <= C; c += kLanes) visit(c, Count<1>{}, 0);
    if (c == C) return;
    if (C < kLanes)
        visit(0, Count<1>{}, 0);
    else
        visit(C - kLanes, Count<1>{}, static_cast<int32_t>(c - (C - kLanes)));
}

// AVX-512 moves part of a vector at no extra cost, and crosses fewer cache lines.
#if PYNET_LANES == 16 && defined(__AVX512F__)
constexpr bool kMaskedMoves = true;
#else
constexpr bool kMaskedMoves = false;
#endif

// A vector of which n lanes count and `room` floats exist.
template <bool kNarrow>
PYNET_INLINE vfloat load_within(const float* p, int64_t n, int64_t room) {
    return !kNarrow || (!kMaskedMoves && room >= kLanes) ? load(p) : load_partial(p, n);
}
template <bool kNarrow>
PYNET_INLINE void store_within(float* p, vfloat v, int64_t n, int64_t room) {
    if (!kNarrow || (!kMaskedMoves && room >= kLanes))
        store(p, v);
    else
        store_partial(p, v, n);
}
template <bool kNarrow>
PYNET_INLINE vint load_within(const int32_t* p, int64_t n, int64_t room) {
    return bits(load_within<kNarrow>(reinterpret_cast<const float*>(p), n, room));
}
template <bool kNarrow>
PYNET_INLINE void store_within(int32_t* p, vint v, int64_t n, int64_t room) {
    store_within<kNarrow>(reinterpret_cast<float*>(p), from_bits(v), n, room);
}

PYNET_INLINE vint lane_numbers() {
    vint lanes = {};
    PYNET_UNROLL
    for (int i = 0; i < kLanes; ++i) lanes[i] = i;
    return lanes;
}

// True when any lane of a mask is set.
PYNET_INLINE bool any(vint mask) {
    int32_t lane[kLanes];
    store(lane, mask);
    int32_t set = 0;
    for (int i = 0; i < kLanes; ++i) set |= lane[i];
    return set != 0;
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
