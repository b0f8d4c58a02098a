// Largest error of the vector functions over all float32 numbers, or every stride-th bit pattern, whose value and
// result are normal, against the C library's float64. Usage: sweep STRIDE FUNCTION LEVEL...
// Prints a line a level: function, level, largest error in units of the last place of the true result, and where.
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

using Evaluate = void(int function, int count, const float* x, float* out);
extern "C" Evaluate evaluate_v2, evaluate_v3, evaluate_v4;

static const char* const kFunctions[] = {"exp", "log", "tanh", "sigmoid", "erf", "sqrt"};
static const struct {
    const char* name;
    Evaluate* evaluate;
} kLevels[] = {{"v2", evaluate_v2}, {"v3", evaluate_v3}, {"v4", evaluate_v4}};
constexpr int kBlock = 4096, kMostLevels = 3;

static double exact(int function, double x) {
    switch (function) {
        case 0:
            return std::exp(x);
        case 1:
            return std::log(x);
        case 2:
            return std::tanh(x);
        case 3:
            return 1 / (1 + std::exp(-x));
        case 4:
            return std::erf(x);
        default:
            return std::sqrt(x);
    }
}

struct Worst {
    double ulp = 0;
    float at = 0;
};

static float from_bits(uint32_t pattern) {
    float x;
    std::memcpy(&x, &pattern, sizeof x);
    return x;
}

int main(int argc, char** argv) {
    if (argc < 4) return 2;
    const uint64_t stride = std::strtoull(argv[1], nullptr, 10);
    int function = 0;
    while (function < 6 && std::strcmp(argv[2], kFunctions[function]) != 0) ++function;
    if (function == 6 || stride == 0 || argc - 3 > kMostLevels) return 2;
    Evaluate* evaluate[kMostLevels];
    const int levels = argc - 3;
    for (int l = 0; l < levels; ++l) {
        evaluate[l] = nullptr;
        for (const auto& level : kLevels)
            if (std::strcmp(argv[3 + l], level.name) == 0) evaluate[l] = level.evaluate;
        if (!evaluate[l]) return 2;
    }
    const int64_t patterns = static_cast<int64_t>(((uint64_t{1} << 32) + stride - 1) / stride);
    const int64_t blocks = (patterns + kBlock - 1) / kBlock;
    Worst worst[kMostLevels];
#pragma omp parallel
    {
        Worst mine[kMostLevels];
        alignas(64) float x[kBlock], out[kBlock];
        static thread_local double want[kBlock];
#pragma omp for schedule(dynamic, 64)
        for (int64_t block = 0; block < blocks; ++block) {
            int count = 0;
            for (int i = 0; i < kBlock; ++i) {
                const uint64_t pattern = static_cast<uint64_t>(block * kBlock + i) * stride;
                if (pattern >> 32) break;
                const float v = from_bits(static_cast<uint32_t>(pattern));
                if (!std::isnormal(v)) continue;
                const double y = exact(function, v);
                if (!(std::fabs(y) >= FLT_MIN && std::fabs(y) <= FLT_MAX)) continue;
                x[count] = v;
                want[count++] = y;
            }
            if (count == 0) continue;
            int padded = count;
            while (padded % 16) x[padded++] = 1.0f;
            for (int l = 0; l < levels; ++l) {
                evaluate[l](function, padded, x, out);
                for (int i = 0; i < count; ++i) {
                    // 2^(e - 23), e the exponent of the true result
                    const double unit = std::ldexp(1.0, std::ilogb(want[i]) - 23);
                    double ulp = std::fabs(out[i] - want[i]) / unit;
                    if (!(ulp < 1e9)) ulp = 1e9;  // NaN and infinities
                    if (ulp > mine[l].ulp) mine[l] = {ulp, x[i]};
                }
            }
        }
#pragma omp critical
        for (int l = 0; l < levels; ++l)
            if (mine[l].ulp > worst[l].ulp || (mine[l].ulp == worst[l].ulp && mine[l].at < worst[l].at))
                worst[l] = mine[l];
    }
    for (int l = 0; l < levels; ++l)
        std::printf("%s %s %.4f %.9g\n", kFunctions[function], argv[3 + l], worst[l].ulp, worst[l].at);
}
