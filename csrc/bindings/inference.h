// A plan for inference: a flat list of kernel calls over one arena, run by one native call.
//
// Operands are places: (buffer, offset in floats). Buffer 0 is the arena, then come the inputs, the outputs and the
// constants. Adding a step checks that what it touches lies inside its buffers, so that running checks nothing.
// A plan belongs to the ISA level that was chosen when it was made.
#pragma once
#include <functional>
#include <memory>
#include <mutex>

#include "arrays.h"
#include "resample.h"

namespace pynet {

using Place = std::pair<int, int64_t>;

inline int64_t aligned(int64_t floats) { return (floats + 15) / 16 * 16; }
// The product of sizes, checked.
int64_t count_of(const Sizes& shape);

class InferencePlan {
public:
    // `arena` in floats; inputs and outputs by shape, dense in kernel order (channels innermost).
    InferencePlan(int64_t arena, std::vector<Sizes> inputs, std::vector<Sizes> outputs);
    InferencePlan(const InferencePlan&) = delete;
    InferencePlan& operator=(const InferencePlan&) = delete;

    int add_constant(const py::array& a);  // the number of its buffer
    void add_conv2d(Place x, const Sizes& x_shape, const py::array& weight, const OptionalArray& bias, Pair stride,
                    Pair padding, Pair dilation, int64_t groups, const std::string& activation, float alpha, Place out);
    void add_linear(Place x, int64_t rows, const py::array& weight, const OptionalArray& bias,
                    const std::string& activation, float alpha, Place out);
    void add_affine(Place x, int64_t rows, int64_t C, const OptionalArray& mean, const OptionalArray& var,
                    const OptionalArray& weight, const OptionalArray& bias, double eps, std::optional<Place> residual,
                    const std::string& activation, float alpha, Place out);
    // x (N, rows, C) in memory.
    void add_group_norm(Place x, int64_t N, int64_t rows, int64_t C, int64_t groups, const OptionalArray& weight,
                        const OptionalArray& bias, double eps, Place out);
    void add_max_pool2d(Place x, const Sizes& x_shape, Pair kernel, Pair stride, Pair padding, Pair dilation,
                        bool ceil_mode, Place out);
    void add_avg_pool2d(Place x, const Sizes& x_shape, Pair kernel, Pair stride, Pair padding, bool ceil_mode,
                        bool count_include_pad, int64_t divisor, Place out);
    void add_adaptive_avg_pool2d(Place x, const Sizes& x_shape, Pair output_size, Place out);
    // The transposed convolution: x stands where conv2d has its output.
    void add_conv_transpose2d(Place x, const Sizes& out_shape, const py::array& weight, Pair stride, Pair padding,
                              Pair dilation, int64_t groups, Place out);
    // Matrices as for `resample`.
    void add_resample(Place x, const Sizes& x_shape, const TapArrays& down, const TapArrays& across, Place out);
    void add_curve(Place x, int64_t count, const std::string& curve, float alpha, float beta, Place out);
    void add_activation(Place x, int64_t count, const std::string& activation, float alpha, Place out);
    void add_unary(const std::string& op, Place x, int64_t count, Place out);
    // Sizes and strides (in elements, not negative) in the memory order of out, which is dense.
    void add_binary(const std::string& op, const Sizes& sizes, Place a, const Sizes& a_strides, Place b,
                    const Sizes& b_strides, Place out);
    void add_softmax(Place x, int64_t rows, int64_t C, bool logarithm, Place out);
    void add_transpose(Place x, int64_t count, int64_t R, int64_t C, Place out);
    // `rows` runs of `width` floats, x_stride and out_stride apart.
    void add_copy_rows(Place x, int64_t x_stride, int64_t rows, int64_t width, Place out, int64_t out_stride);

    py::list run(const std::vector<py::array>& inputs);
    int64_t arena_bytes() const { return arena_ * static_cast<int64_t>(sizeof(float)); }
    int64_t packed_bytes() const { return packed_bytes_; }

private:
    using Bases = const std::vector<float*>&;
    struct Step {
        double work;
        std::function<size_t(int threads)> workspace;
        std::function<void(const Context& context, Bases bases)> run;
    };
    // What one call in flight needs: the arena with the inputs' converted copies, scratch memory, and the buffers.
    struct State {
        State(const InferencePlan& plan, int threads);
        int threads;
        pool::Scratch memory;
        std::vector<float*> bases;
        char* workspace;
    };

    void check(Place place, int64_t count) const;
    void add(double work, std::function<void(const Context&, Bases)> run,
             std::function<size_t(int)> workspace = nullptr);
    py::array keep(py::array a);
    float* pack(size_t bytes);
    std::unique_ptr<State> acquire();
    void convert(const Context& context, const py::array& a, float* to) const;

    const Kernels& kernels_;
    const int64_t arena_;
    const std::vector<Sizes> inputs_, outputs_;
    int64_t input_copies_ = 0;    // floats
    std::vector<int64_t> sizes_;  // floats of each buffer
    std::vector<float*> constants_;
    std::vector<py::array> kept_;
    std::vector<std::unique_ptr<pool::Scratch>> packed_;
    int64_t packed_bytes_ = 0;
    std::vector<Step> steps_;
    double work_ = 0;
    std::mutex mutex_;
    std::vector<std::unique_ptr<State>> idle_;
};

}  // namespace pynet
