// Bands and spread rows of convolution in narrow groups: see conv2d_depthwise.cpp.
#include "conv2d_depthwise.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

constexpr int64_t kBandBytes = 384 * 1024;    // of a band of rows: L2, with the next one on its way
constexpr int64_t kVectorBytes = 24 * 1024;   // of one vector of channels of a band: L1
constexpr int64_t kSpreadBytes = 160 * 1024;  // of a band of spread rows
constexpr int64_t kWantedChunks = 32, kFewChunks = 8;

int64_t most_source_rows(const View& v, int64_t rows) {
    const int64_t reach = (v.KH - 1) * v.dilation_h;
    return minimum(v.SH, v.backward ? (rows - 1 + reach) / v.stride_h + 2 : (rows - 1) * v.stride_h + reach + 1);
}

// Lane l of the result is lane from[l] of v.
PYNET_INLINE vfloat permute(vfloat v, vint from) {
#ifdef __clang__
    vfloat result;
    for (int l = 0; l < kLanes; ++l) result[l] = v[from[l]];
    return result;
#else
    return __builtin_shuffle(v, from);
#endif
}

}  // namespace

View view_of(const Conv2d& c) {
    const Conv2dShape& s = c.shape;
    const bool back = c.pass == ConvPass::backward_data;
    View v{s.N,
           s.KH,
           s.KW,
           s.stride_h,
           s.stride_w,
           s.pad_h,
           s.pad_w,
           s.dilation_h,
           s.dilation_w,
           back ? s.OH() : s.H,
           back ? s.OW() : s.W,
           back ? s.F : s.C,
           back ? s.H : s.OH(),
           back ? s.W : s.OW(),
           back ? s.C : s.F,
           back ? s.Fg() : s.Cg(),
           back ? s.Cg() : s.Fg(),
           s.groups,
           back,
           s.Cg() > 1 || s.Fg() > 1,
           0};
    v.blocks = ceil_div(v.DC, kLanes);
    return v;
}

void split_blocks(const View& v, int64_t bands, Bands* b) {
    while (b->blocks > 1 && bands * ceil_div(v.blocks, b->blocks) < kFewChunks) b->blocks = ceil_div(b->blocks, 2);
    b->block_groups = ceil_div(v.blocks, b->blocks);
}

Bands bands_of(const View& v, bool weights) {
    Bands b;
    const int64_t source_row = v.SW * (v.spread ? v.Sg * kLanes : v.SC) * 4,
                  row = v.DW * (v.spread ? kLanes : v.DC) * 4, most = v.spread ? kSpreadBytes : kBandBytes;
    const int64_t blocks = v.spread ? v.blocks : 1;
    b.rows = v.DH;
    auto bytes = [&](int64_t source, int64_t destination) {
        return most_source_rows(v, b.rows) * source + b.rows * destination;
    };
    while ((b.rows > 1 && bytes(source_row, row) > most) ||
           (b.rows > 1 && weights && !v.spread && bytes(v.SW * kLanes * 4, v.DW * kLanes * 4) > kVectorBytes) ||
           (b.rows > 2 && v.N * ceil_div(v.DH, b.rows) * blocks < kWantedChunks))
        b.rows = ceil_div(b.rows, 2);
    b.count = ceil_div(v.DH, b.rows);
    b.blocks = v.spread ? 1 : v.blocks;
    split_blocks(v, v.N * b.count, &b);
    b.spread_floats = v.spread ? round_up(most_source_rows(v, b.rows) * v.Sg * v.SW * kLanes, 16) : 0;
    return b;
}

void spread_rows(const View& v, const float* image, int64_t channel, int64_t y0, int64_t y1, float* to) {
    const int64_t group0 = channel / v.Dg, segments = minimum(v.groups - 1, (channel + kLanes - 1) / v.Dg) - group0 + 1;
    if (segments * v.Sg <= kLanes) {  // all that a pixel gives lies in one vector
        vint first;
        for (int64_t l = 0; l < kLanes; ++l)
            first[l] = static_cast<int32_t>(minimum(segments - 1, (channel + l) / v.Dg - group0) * v.Sg);
        for (int64_t y = y0; y < y1; ++y)
            for (int64_t c = 0; c < v.Sg; ++c) {
                const float* from = image + y * v.SW * v.SC + group0 * v.Sg;
                for (int64_t x = 0; x < v.SW; ++x, from += v.SC, to += kLanes)
                    store(to, permute(load_lanes(from, segments * v.Sg), first + static_cast<int32_t>(c)));
            }
        return;
    }
    vint from_here[kLanes];  // the lanes of a segment and of all behind it
    for (int64_t s = 1; s < segments; ++s)
        from_here[s] = lane_numbers() >= static_cast<int32_t>((group0 + s) * v.Dg - channel);
    for (int64_t y = y0; y < y1; ++y)
        for (int64_t c = 0; c < v.Sg; ++c) {
            const float* from = image + y * v.SW * v.SC + group0 * v.Sg + c;
            for (int64_t x = 0; x < v.SW; ++x, from += v.SC, to += kLanes) {
                vfloat lanes = splat(from[0]);
                for (int64_t s = 1; s < segments; ++s) lanes = select(from_here[s], splat(from[s * v.Sg]), lanes);
                store(to, lanes);
            }
        }
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
