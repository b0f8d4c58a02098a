#include "augment.h"

#include <algorithm>

#include "workers.h"

namespace pynet::augment {
namespace {

constexpr int kOne = 1 << 16;
constexpr int kSector = 4096;  // a sixth of the hue circle

template <class Body>
void each_image(const Context& context, int64_t images, Body body) {
    if (context.threads <= 1 || images <= 1) {
        for (int64_t i = 0; i < images; ++i) body(i, 0);
        return;
    }
    workers::run(
        static_cast<int>(std::min<int64_t>(context.threads, images)), images,
        [](void* data, int64_t i, int thread) { (*static_cast<Body*>(data))(i, thread); }, &body);
}

void philox(const uint32_t start[4], uint64_t seed, uint32_t out[4]) {
    uint32_t c[4] = {start[0], start[1], start[2], start[3]};
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        const uint64_t a = uint64_t{0xD2511F53u} * c[0], b = uint64_t{0xCD9E8D57u} * c[2];
        const uint32_t next[4] = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(b),
                                  static_cast<uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(a)};
        std::copy(next, next + 4, c);
    }
    std::copy(c, c + 4, out);
}

uint8_t byte(int64_t value) { return static_cast<uint8_t>(std::clamp<int64_t>(value, 0, 255)); }

// factor * x + (1 - factor) * other
uint8_t blend(int x, int other, int factor) {
    return byte((int64_t{x} * factor + int64_t{other} * (kOne - factor) + kOne / 2) >> 16);
}

int gray(const uint8_t* pixel, int64_t channels) {
    if (channels != 3) return pixel[0];
    return (19595 * pixel[0] + 38470 * pixel[1] + 7471 * pixel[2] + kOne / 2) >> 16;
}

void turn_hue(uint8_t* pixel, int turn) {
    const int r = pixel[0], g = pixel[1], b = pixel[2];
    const int high = std::max({r, g, b}), low = std::min({r, g, b}), chroma = high - low;
    if (chroma == 0 || turn == 0) return;
    const auto part = [chroma](int difference, int sector) {
        return sector * kSector + (difference * kSector + 6 * kSector * chroma) / chroma - 6 * kSector;
    };
    int hue = high == r ? part(g - b, 0) : high == g ? part(b - r, 2) : part(r - g, 4);
    hue = ((hue + turn) % (6 * kSector) + 6 * kSector) % (6 * kSector);
    const int sector = hue / kSector, f = hue % kSector;
    const int middle = low + ((chroma * (sector % 2 ? kSector - f : f) + kSector / 2) >> 12);
    static constexpr int kPlace[6][3] = {{2, 1, 0}, {1, 2, 0}, {0, 2, 1}, {0, 1, 2}, {1, 0, 2}, {2, 0, 1}};
    const int values[3] = {low, middle, high};
    for (int c = 0; c < 3; ++c) pixel[c] = static_cast<uint8_t>(values[kPlace[sector][c]]);
}

// C: the channels where they are known at compile time, else 0.
template <int C>
void warp_image(const Images& s, int64_t oh, int64_t ow, const uint8_t* in, const int64_t* m, const uint8_t* fill,
                bool edge, uint8_t* out) {
    const int64_t channels = C ? C : s.c;
    for (int64_t y = 0; y < oh; ++y) {
        for (int64_t x = 0; x < ow; ++x, out += channels) {
            const int64_t sx = m[0] * x + m[1] * y + m[2] + 128, sy = m[3] * x + m[4] * y + m[5] + 128;
            const int64_t x0 = sx >> 16, y0 = sy >> 16;
            const int wx = (sx >> 8) & 255, wy = (sy >> 8) & 255;
            const auto tap = [&](int64_t row, int64_t column) {
                if (edge) {
                    row = std::clamp<int64_t>(row, 0, s.h - 1), column = std::clamp<int64_t>(column, 0, s.w - 1);
                } else if (row < 0 || row >= s.h || column < 0 || column >= s.w) {
                    return fill;
                }
                return in + (row * s.w + column) * channels;
            };
            const uint8_t *a, *b, *c, *d;
            if (x0 >= 0 && y0 >= 0 && x0 + 1 < s.w && y0 + 1 < s.h) {
                a = in + (y0 * s.w + x0) * channels, b = a + channels;
                c = a + s.w * channels, d = c + channels;
            } else {
                a = tap(y0, x0), b = tap(y0, x0 + 1), c = tap(y0 + 1, x0), d = tap(y0 + 1, x0 + 1);
            }
            for (int64_t k = 0; k < channels; ++k) {
                const int top = a[k] * (256 - wx) + b[k] * wx, bottom = c[k] * (256 - wx) + d[k] * wx;
                out[k] = static_cast<uint8_t>((top * (256 - wy) + bottom * wy + kOne / 2) >> 16);
            }
        }
    }
}

}  // namespace

void uniform(const Context& context, int64_t samples, int64_t count, uint64_t seed, uint32_t epoch, uint32_t first,
             const int64_t* indices, double* out) {
    each_image(context, samples, [=](int64_t i, int) {
        const uint64_t index = static_cast<uint64_t>(indices[i]);
        for (int64_t j = 0; j < count; j += 4) {
            const uint32_t counter[4] = {static_cast<uint32_t>(first / 4 + j / 4), epoch, static_cast<uint32_t>(index),
                                         static_cast<uint32_t>(index >> 32)};
            uint32_t words[4];
            philox(counter, seed, words);
            for (int64_t k = j; k < std::min(j + 4, count); ++k) out[i * count + k] = words[k - j] * 0x1p-32;
        }
    });
}

void warp(const Context& context, const Images& s, int64_t oh, int64_t ow, const uint8_t* in, const int64_t* matrices,
          const uint8_t* fill, bool edge, uint8_t* out) {
    const auto image = s.c == 3 ? warp_image<3> : s.c == 1 ? warp_image<1> : warp_image<0>;
    each_image(context, s.n, [=](int64_t i, int) {
        image(s, oh, ow, in + i * s.h * s.w * s.c, matrices + i * 6, fill, edge, out + i * oh * ow * s.c);
    });
}

void color(const Context& context, const Images& s, const int32_t* factors, const int32_t* order, uint8_t* images) {
    const int64_t pixels = s.h * s.w, size = pixels * s.c;
    each_image(context, s.n, [=](int64_t i, int) {
        uint8_t* image = images + i * size;
        for (int step = 0; step < 4; ++step) {
            const int which = order[i * 4 + step], factor = factors[i * 4 + which];
            if (factor == (which == 3 ? 0 : kOne) || (which > 1 && s.c != 3)) continue;
            if (which < 2) {
                int64_t sum = pixels / 2;
                if (which == 1)
                    for (int64_t p = 0; p < pixels; ++p) sum += gray(image + p * s.c, s.c);
                const int other = which == 1 ? static_cast<int>(sum / pixels) : 0;
                uint8_t table[256];
                for (int v = 0; v < 256; ++v) table[v] = blend(v, other, factor);
                for (int64_t e = 0; e < size; ++e) image[e] = table[image[e]];
            } else if (which == 2) {
                for (int64_t p = 0; p < pixels; ++p) {
                    const int other = gray(image + p * 3, 3);
                    for (int k = 0; k < 3; ++k) image[p * 3 + k] = blend(image[p * 3 + k], other, factor);
                }
            } else {
                for (int64_t p = 0; p < pixels; ++p) turn_hue(image + p * 3, factor);
            }
        }
    });
}

void blur(const Context& context, const Images& s, int64_t taps, const uint8_t* in, const int32_t* weights,
          uint8_t* out) {
    const int64_t row = s.w * s.c, size = s.h * row, half = taps / 2;
    const auto mirror = [](int64_t i, int64_t length) { return i < 0 ? -i : i >= length ? 2 * length - 2 - i : i; };
    auto* scratch = reinterpret_cast<uint16_t*>(context.workspace);
    each_image(context, s.n, [=](int64_t i, int thread) {
        const int32_t* weight = weights + i * taps;
        uint16_t* across = scratch + thread * size;
        for (int64_t y = 0; y < s.h; ++y)
            for (int64_t x = 0; x < s.w; ++x)
                for (int64_t k = 0; k < s.c; ++k) {
                    int64_t sum = 128;
                    for (int64_t t = 0; t < taps; ++t)
                        sum += int64_t{weight[t]} * in[i * size + y * row + mirror(x + t - half, s.w) * s.c + k];
                    across[y * row + x * s.c + k] = static_cast<uint16_t>(sum >> 8);
                }
        for (int64_t y = 0; y < s.h; ++y)
            for (int64_t e = 0; e < row; ++e) {
                int64_t sum = 1 << 23;
                for (int64_t t = 0; t < taps; ++t)
                    sum += int64_t{weight[t]} * across[mirror(y + t - half, s.h) * row + e];
                out[i * size + y * row + e] = static_cast<uint8_t>(sum >> 24);
            }
    });
}

}  // namespace pynet::augment
