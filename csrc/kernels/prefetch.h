// Fetching ahead what the hardware does not foresee: kernels that take 64 bytes of every pixel jump through
// memory, while the rows that they will need next are one contiguous piece.
#pragma once
#include "simd.h"

namespace pynet {
namespace PYNET_LEVEL {

// Bytes from which it repays: smaller arrays are in the caches already.
constexpr int64_t kPrefetchFrom = 4 << 20;

// Two pieces of memory, as a rule what the next piece of work reads and writes, that are fetched in `calls` equal
// shares, one at each call of share(). Many small shares between the arithmetic: a core waits for what it has asked for
// once that is more than some two dozen lines. Fetching beyond the end of an array does no harm.
class Ahead {
public:
    struct Piece {
        const float* from;
        int64_t floats;
        bool written;
    };

    PYNET_INLINE Ahead(const Piece& one, const Piece& other, int64_t calls) : one_(one, calls), other_(other, calls) {}

    PYNET_INLINE void share() {
        one_.share();
        other_.share();
    }

private:
    static constexpr int64_t kLineBytes = 64;

    struct Rest {
        const char *at, *end;
        int64_t each;
        bool written;

        PYNET_INLINE Rest(const Piece& p, int64_t calls)
            : at(reinterpret_cast<const char*>(p.from)),
              end(at + p.floats * 4),
              each(round_up(ceil_div(p.floats * 4, maximum(1, calls)), 4 * kLineBytes)),
              written(p.written) {}

        PYNET_INLINE void share() {
            const char* stop = at + each < end ? at + each : end;
            for (; at < stop; at += 4 * kLineBytes) {
                PYNET_UNROLL
                for (int i = 0; i < 4; ++i) {
                    if (written)
                        __builtin_prefetch(at + i * kLineBytes, 1, 2);
                    else
                        __builtin_prefetch(at + i * kLineBytes, 0, 2);
                }
            }
        }
    };
    Rest one_, other_;
};

}  // namespace PYNET_LEVEL
}  // namespace pynet
