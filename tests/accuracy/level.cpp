// The vector functions of csrc/kernels/math.h over arrays, compiled once per ISA level: evaluate_<level>.
#include <xmmintrin.h>

#include "../../csrc/kernels/math.h"

#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)

namespace pynet {
namespace PYNET_LEVEL {

template <vfloat (*kFunction)(vfloat)>
static void run(int count, const float* x, float* out) {
    for (int i = 0; i < count; i += kLanes) store(out + i, kFunction(load(x + i)));
}

}  // namespace PYNET_LEVEL
}  // namespace pynet

// count is a multiple of 16. Subnormals count as zero here, as in every kernel call.
extern "C" void JOIN(evaluate_, PYNET_LEVEL)(int function, int count, const float* x, float* out) {
    namespace level = pynet::PYNET_LEVEL;
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    switch (function) {
        case 0:
            level::run<level::exp>(count, x, out);
            break;
        case 1:
            level::run<level::log>(count, x, out);
            break;
        case 2:
            level::run<level::tanh>(count, x, out);
            break;
        case 3:
            level::run<level::sigmoid>(count, x, out);
            break;
        case 4:
            level::run<level::erf>(count, x, out);
            break;
        case 5:
            level::run<level::sqrt>(count, x, out);
            break;
    }
    _mm_setcsr(before);
}
