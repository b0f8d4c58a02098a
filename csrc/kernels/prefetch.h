// Fetching ahead what the hardware does not foresee: kernels that take 64 bytes of every pixel jump through
// memory, while the rows that they will need next are one contiguous piece.
#pragma once
#include "simd.h"

namespace pynet {
namespace PYNET_LEVEL {

// Bytes from which it repays: smaller arrays are in the caches already.
constexpr int64_t kPrefetchFrom = 4 << 20;

// A piece of memory that is fetched in `calls` equal shares, one at each call of share(). Fetching beyond the end of an
// array does no harm.
template <bool kToWrite>
class Ahead {
public:
    PYNET_INLINE Ahead(const float* from, int64_t floats, int64_t calls)
        : at_(reinterpret_cast<const char*>(from)),
          end_(at_ + floats * 4),
          each_(round_up(ceil_div(floats * 4, maximum(1, calls)), 4 * kLine)) {}

    PYNET_INLINE void share() {
        const char* stop = minimum_of(at_ + each_, end_);
        for (; at_ < stop; at_ += 4 * kLine) {
            PYNET_UNROLL
            for (int i = 0; i < 4; ++i) __builtin_prefetch(at_ + i * kLine, kToWrite, 2);
        }
    }

private:
    static constexpr int64_t kLine = 64;
    static PYNET_INLINE const char* minimum_of(const char* a, const char* b) { return a < b ? a : b; }
    const char *at_, *end_;
    int64_t each_;
};

}  // namespace PYNET_LEVEL
}  // namespace pynet
