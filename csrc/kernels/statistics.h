// Mean and variance of channels, taken in parts where the values are made and merged in order.
//
// A part is some pixels of an (N, H, W, C) map. Its sums of values and of squares are relative to one of those values,
// so that a mean far from zero does not cancel the digits of the variance; parts are merged pairwise (Chan, Golub &
// LeVeque 1979) and in double precision. What a part is depends on the shape alone.
#pragma once
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {

// Merges mean and sum of squared differences of `count` values into those of `before` values.
PYNET_INLINE void merge(double before, double count, double other_mean, double other_squares, double& mean,
                        double& squares) {
    const double share = count / (before + count), delta = other_mean - mean;
    mean += delta * share;
    squares += other_squares + delta * delta * before * share;
}

// A part in memory: the means of C channels, their sums of squares, and how many pixels; in cache lines of its own.
PYNET_INLINE int64_t part_size(int64_t C) { return round_up(2 * C + 1, 16); }

// Channels [first, first + columns) of a part while its pixels come. `pixel` is the part's first one, channel 0.
class Part {
public:
    PYNET_INLINE Part(float* parts, int64_t index, int64_t C, int64_t first, int64_t columns, const float* pixel)
        : mean_(parts + index * part_size(C) + first),
          squares_(mean_ + C),
          count_(first == 0 ? mean_ + 2 * C : nullptr),
          pivot_(pixel + first),
          columns_(columns),
          pixels_(0) {
        for (int64_t c = 0; c < columns_; c += kLanes) {
            store_lanes(mean_ + c, vfloat{}, columns_ - c);
            store_lanes(squares_ + c, vfloat{}, columns_ - c);
        }
    }

    // Adds kPixels pixels, whose channel `first` lies at at(i).
    template <int kPixels, class At>
    PYNET_INLINE void add(At at) {
        int64_t c = 0;
        for (; c + kLanes <= columns_; c += kLanes) add_vector<kPixels, true>(c, kLanes, at);
        if (c < columns_) add_vector<kPixels, false>(c, columns_ - c, at);
        pixels_ += kPixels;
    }

    // After the last pixel.
    PYNET_INLINE void finish() const {
        const float n = static_cast<float>(pixels_), share = 1.0f / n;
        for (int64_t c = 0; c < columns_; c += kLanes) {
            const int64_t lanes = columns_ - c;
            const vfloat sum = load_lanes(mean_ + c, lanes), m = sum * share;
            store_lanes(mean_ + c, load_lanes(pivot_ + c, lanes) + m, lanes);
            const vfloat squares = load_lanes(squares_ + c, lanes) - sum * m;
            store_lanes(squares_ + c, select(squares < 0.0f, vfloat{}, squares), lanes);
        }
        if (count_) *count_ = n;
    }

private:
    template <int kPixels, bool kWhole, class At>
    PYNET_INLINE void add_vector(int64_t c, int64_t lanes, At at) const {
        const auto read = [=](const float* p) { return kWhole ? load(p) : load_partial(p, lanes); };
        const vfloat pivot = read(pivot_ + c);
        vfloat sum[2] = {}, square[2] = {};
        PYNET_UNROLL
        for (int i = 0; i < kPixels; ++i) {
            const vfloat d = read(at(i) + c) - pivot;
            sum[i % 2] += d;
            square[i % 2] += d * d;
        }
        store_lanes(mean_ + c, read(mean_ + c) + (sum[0] + sum[1]), lanes);
        store_lanes(squares_ + c, read(squares_ + c) + (square[0] + square[1]), lanes);
    }

    float *mean_, *squares_;  // until `finish`: sums of the differences from the pivot, and of their squares
    float* count_;            // null but for the first channels: the others need not write it again
    const float* pivot_;
    int64_t columns_, pixels_;
};

// Part number `index` of channels [first, first + columns) of so many pixels; channel 0 of pixel i lies at at(i).
template <class At>
PYNET_INLINE void take_part(float* parts, int64_t index, int64_t C, int64_t first, int64_t columns, int64_t pixels,
                            At at) {
    Part part(parts, index, C, first, columns, at(0));
    int64_t i = 0;
    for (; i + 8 <= pixels; i += 8) part.add<8>([=](int k) { return at(i + k) + first; });
    for (; i < pixels; ++i) part.add<1>([=](int) { return at(i) + first; });
    part.finish();
}

// visit(channel, mean, sum of squares) for every channel: all parts, merged in order.
template <class Visit>
PYNET_INLINE void merge_parts(const Context& context, const float* parts, int64_t count, int64_t C, Visit visit) {
    constexpr int64_t kAtOnce = 16, kSerial = 16384;
    const Context merging = {count * C < kSerial ? 1 : context.threads, nullptr};
    parallel_for(merging, ceil_div(C, kAtOnce), [&](int64_t chunk, int) {
        const int64_t first = chunk * kAtOnce, channels = minimum(kAtOnce, C - first);
        double mean[kAtOnce] = {}, squares[kAtOnce] = {}, seen = 0.0;
        for (int64_t part = 0; part < count; ++part) {
            const float* from = parts + part * part_size(C);
            const double pixels = static_cast<double>(from[2 * C]);
            for (int64_t c = 0; c < channels; ++c)
                merge(seen, pixels, static_cast<double>(from[first + c]), static_cast<double>(from[C + first + c]),
                      mean[c], squares[c]);
            seen += pixels;
        }
        for (int64_t c = 0; c < channels; ++c) visit(first + c, mean[c], squares[c]);
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
