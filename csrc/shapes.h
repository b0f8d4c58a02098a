// Plain argument structs shared by bindings and kernels. Everything here is compiled into objects of
// several ISA levels, so methods are always inlined: a shared out-of-line copy could hold instructions
// that an older CPU lacks.
#pragma once
#include <cstdint>

#define PYNET_INLINE inline __attribute__((always_inline))

namespace pynet {

enum class Activation : int { none, relu, leaky_relu, elu, sigmoid, tanh };
// Activations whose gradient needs their input; alpha and beta are hardtanh's ends, celu's and softplus's scale.
enum class Curve : int {
    gelu,
    gelu_tanh,
    silu,
    mish,
    softplus,
    softsign,
    selu,
    celu,
    hardtanh,
    hardsigmoid,
    hardswish,
    log_sigmoid,
    tanhshrink,
    hardshrink,
    softshrink,
    threshold,
};
enum class Reduction : int { none, mean, sum };
enum class ReduceOp : int { sum, product, largest, smallest };
enum class UnaryOp : int { negative, exp, log, sqrt, abs, square, reciprocal, sin, cos };
enum class BinaryOp : int { add, subtract, multiply, divide, maximum, minimum, power };

// C (M, N) = A (M, K) B (K, N); element (i, k) of A lies at a[i * a_row + k * a_col], likewise for B;
// C has unit column stride. `bias` (N) or null; the activation follows the bias. `packed_b`: what gemm_pack made of
// this B, which is then not read, or null. `b_sums` (N): receives the sums of B over k (the bias gradient beside a
// weight gradient), or null; not with `packed_b`.
struct Gemm {
    int64_t M, N, K;
    const float* a;
    int64_t a_row, a_col;
    const float* b;
    int64_t b_row, b_col;
    float* c;
    int64_t c_row;
    const float* bias;
    Activation activation;
    float alpha;
    const float* packed_b = nullptr;
    float* b_sums = nullptr;
    float* parts =
        nullptr;  // where the kernels leave the statistics of each column of C, by blocks of its rows, or null
};

// Activations (N, H, W, C) -> (N, OH, OW, F), weights (KH, KW, C / groups, F).
struct Conv2dShape {
    int64_t N, C, H, W, F, KH, KW;
    int64_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;

    PYNET_INLINE int64_t OH() const { return (H + 2 * pad_h - dilation_h * (KH - 1) - 1) / stride_h + 1; }
    PYNET_INLINE int64_t OW() const { return (W + 2 * pad_w - dilation_w * (KW - 1) - 1) / stride_w + 1; }
    PYNET_INLINE int64_t Cg() const { return C / groups; }
    PYNET_INLINE int64_t Fg() const { return F / groups; }
};

enum class ConvPass : int { forward, backward_data, backward_weight };

// One convolution call; the pass says which pointers are read and which one is written.
//   forward          x, weight, bias (or null) -> out, then the activation; and, unless they are null, the mean and the
//                    biased variance of each channel of out
//   backward_data    out (the incoming gradient), weight -> x (dx)
//   backward_weight  x, out (the incoming gradient) -> weight (dw) and, unless it is null, dbias
struct Conv2d {
    Conv2dShape shape;
    ConvPass pass;
    int algorithm;  // index into the level's ordered list, or -1: the first that is preferred
    float* x;
    float* weight;
    const float* bias;
    float* out;
    Activation activation;
    float alpha;
    float* dbias = nullptr;
    const float* packed = nullptr;  // weights as conv2d_pack left them for this shape, pass and algorithm, or null
    float* mean = nullptr;
    float* var = nullptr;
    float* parts = nullptr;  // from conv2d to an algorithm that takes statistics: where it leaves those of each part
};

// Activations (N, H, W, C) -> (N, OH, OW, C); OH and OW are given, since ceil_mode rounds them up.
struct Pool2dShape {
    int64_t N, C, H, W, OH, OW, KH, KW;
    int64_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    bool relu = false;  // max pooling forward: of max(x, 0)
};

// Losses over logits x (M, C) with one label a row; weight (C) or null.
struct LabelLoss {
    int64_t M, C;
    const float* x;
    const int64_t* target;  // in [0, C), or ignore_index
    const float* weight;
    int64_t ignore_index;
    float smoothing;  // cross-entropy
    float margin;     // multi-margin, with
    int power;        // 1 or 2
    Reduction reduction;
};

// Elementwise losses; weight and pos_weight (binary cross-entropy) may be null.
struct ElementLoss {
    int64_t count;
    const float* x;
    const float* target;
    const float* weight;
    const float* pos_weight;
    Reduction reduction;
};

// Optimizers: a run of consecutive elements of one parameter with its gradient and state arrays.
struct StepSegment {
    float* param;
    const float* grad;
    float* state[3];
    int64_t count;
};

struct SgdStep {
    float lr, momentum, keep, weight_decay, sign;  // keep = 1 - dampening; sign -1 maximizes
    bool nesterov, first;
};

struct AdagradStep {
    float lr, weight_decay, eps, sign;
};

struct AdadeltaStep {
    float lr, rho, keep, eps, weight_decay, sign;  // keep = 1 - rho
};

struct RmspropStep {
    float lr, alpha, keep, eps, weight_decay, momentum, sign;  // keep = 1 - alpha
    bool centered;
};

// In Adam and its relatives keep1 = 1 - beta1, keep2 = 1 - beta2; shrink = 1 - lr * weight_decay and weight_decay is 0
// where the decay is decoupled. The corrections of both moments are part of the sizes and eps, so that an element
// takes one division: c = sqrt(1 - beta2^t), step_size = c lr / (1 - beta1^t), eps = c times the user's.
struct AdamStep {
    float step_size, beta1, keep1, beta2, keep2, eps, weight_decay, shrink, sign;
    bool amsgrad;
};

struct AdamaxStep {
    float step_size, beta1, keep1, beta2, eps, weight_decay, sign;
};

struct NadamStep {
    float grad_size, average_size, beta1, keep1, beta2, keep2, eps, weight_decay, shrink, sign;
};

struct RadamStep {
    float step_size, beta1, keep1, beta2, keep2, eps, weight_decay, shrink, sign;
    bool rectified;
};

struct LionStep {
    float lr, beta1, keep1, beta2, keep2, weight_decay, shrink, sign;
};

// Average pooling; the divisor of a window counts padding or only what lies inside. Adaptive windows follow
// from the sizes alone: [floor(o H / OH), ceil((o + 1) H / OH)).
struct AveragePool2d {
    Pool2dShape shape;
    bool count_include_pad, adaptive;
    int64_t divisor = 0;  // of every window; 0: how many elements it counts
};

// A sparse matrix by its rows: row i has weights[k] in column positions[k] for starts[i] <= k < starts[i + 1].
struct Taps {
    const int64_t* starts;
    const int64_t* positions;
    const float* weights;
};

// Activations (N, H, W, C) -> (N, OH, OW, C) through the matrices down (OH, H) and across (OW, W).
struct Resample {
    int64_t N, C, H, W, OH, OW;
    Taps down, across;
};

// Batch normalisation of `rows` pixels with C channels; var is biased. weight, bias and residual may be null.
struct BatchNorm {
    int64_t rows, C;
    const float* x;
    const float* mean;
    const float* var;
    const float* weight;
    const float* bias;
    const float* residual;
    float eps;
    Activation activation;
    float alpha;
};

struct BatchNormGradients {
    const float* dout;
    const float* dout2;  // a second summand, or null
    const float* out;    // or null: where no residual was added, x tells it
    float* dx;
    float* dweight;
    float* dbias;
    float* dresidual;  // or null
    bool training;     // mean and var are functions of x
};

// Group normalisation of N samples of `rows` pixels with C channels in `groups`; weight and bias may be null.
struct GroupNorm {
    int64_t N, rows, C, groups;
    const float* x;
    const float* weight;
    const float* bias;
    float eps;
};

// Maxout of (outer, pieces, inner) in memory; out is (outer, inner).
struct MaxoutShape {
    int64_t outer, inner;
    int pieces;
};

// out[i...] = op(a[...], b[...]) over `rank` >= 2 axes in the memory order of out, which is dense. Strides in
// elements; 0 where an operand is broadcast. 64 is NumPy's limit.
struct Broadcast {
    int rank;
    int64_t size[64], a_stride[64], b_stride[64];
};

// x (outer, reduced, inner) -> out (outer, inner).
struct ReduceShape {
    int64_t outer, reduced, inner;
};

// A stream of random words: element i of draw number `offset` is a function of these three alone.
struct RandomDraw {
    uint64_t seed, offset;
};

}  // namespace pynet
