#include "inference.h"

#include <algorithm>

namespace pynet {

// Below this many multiply-adds a parallel region costs more than it saves: steps follow each other without a pause,
// and their operands are warm.
constexpr double kSerialStep = 300e3;

int64_t count_of(const Sizes& shape) {
    int64_t count = 1;
    for (const int64_t size : shape) {
        require(size >= 0, "InferencePlan: a size is negative in " + shape_text(shape));
        require(!__builtin_mul_overflow(count, size, &count), "InferencePlan: too large: " + shape_text(shape));
    }
    return count;
}

// --- making a plan ---

InferencePlan::InferencePlan(int64_t arena, std::vector<Sizes> inputs, std::vector<Sizes> outputs)
    : kernels_(dispatch::kernels()), arena_(arena), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {
    require(arena >= 0 && arena < (int64_t{1} << 50), "InferencePlan: the arena's size is out of range");
    sizes_.push_back(arena);
    for (const Sizes& shape : inputs_) {
        sizes_.push_back(count_of(shape));
        input_copies_ += aligned(sizes_.back());
    }
    for (const Sizes& shape : outputs_) sizes_.push_back(count_of(shape));
}

void InferencePlan::check(Place place, int64_t count) const {
    require(place.first >= 0 && place.first < static_cast<int>(sizes_.size()), "InferencePlan: no such buffer");
    const int64_t size = sizes_[static_cast<size_t>(place.first)];
    require(place.second >= 0 && count >= 0 && place.second <= size && count <= size - place.second,
            "InferencePlan: " + std::to_string(count) + " floats at " + std::to_string(place.second) +
                " do not fit into buffer " + std::to_string(place.first) + " of " + std::to_string(size));
}

void InferencePlan::add(double work, std::function<void(const Context&, Bases)> run,
                        std::function<size_t(int)> workspace) {
    steps_.push_back({work, std::move(workspace), std::move(run)});
    work_ += work;
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.clear();  // their scratch memory may be too small now
}

// The plan's own reference to an array that nobody else writes.
py::array InferencePlan::keep(py::array a) {
    kept_.push_back(a);
    return a;
}

// Memory for packed weights; null for none.
float* InferencePlan::pack(size_t bytes) {
    if (!bytes) return nullptr;
    packed_.push_back(std::make_unique<pool::Scratch>(bytes));
    if (packed_.back()->failed()) throw std::bad_alloc();
    packed_bytes_ += static_cast<int64_t>(bytes);
    return reinterpret_cast<float*>(packed_.back()->data());
}

int InferencePlan::add_constant(const py::array& a) {
    const py::array kept = keep(input_any_order(a, "InferencePlan: constant"));
    constants_.push_back(mutable_floats(kept));
    sizes_.push_back(kept.size());
    return static_cast<int>(sizes_.size()) - 1;
}

// --- running it ---

InferencePlan::State::State(const InferencePlan& plan, int thread_count)
    : threads(thread_count),
      memory([&] {
          size_t scratch = 0;
          for (const Step& step : plan.steps_)
              if (step.workspace) scratch = std::max(scratch, step.workspace(thread_count));
          const int64_t floats = aligned(plan.arena_) + plan.input_copies_;
          return static_cast<size_t>(floats) * sizeof(float) + scratch;
      }()),
      bases(plan.sizes_.size()) {
    if (memory.failed()) throw std::bad_alloc();
    bases[0] = reinterpret_cast<float*>(memory.data());
    workspace = memory.data() + static_cast<size_t>(aligned(plan.arena_) + plan.input_copies_) * sizeof(float);
    std::copy(plan.constants_.begin(), plan.constants_.end(),
              bases.end() - static_cast<int64_t>(plan.constants_.size()));
}

std::unique_ptr<InferencePlan::State> InferencePlan::acquire() {
    const int count = threads::count();
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        while (!idle_.empty()) {
            std::unique_ptr<State> state = std::move(idle_.back());
            idle_.pop_back();
            if (state->threads == count) return state;
        }
    }
    return std::make_unique<State>(*this, count);
}

// An input in any memory order, dense in kernel order in `to`.
void InferencePlan::convert(const Context& context, const py::array& a, float* to) const {
    const Sizes shape = shape_of(a);
    if (shape.size() == 4 && is_dense(a, Order::c)) {
        kernels_.transpose_matrices(context, shape[0], shape[1], shape[2] * shape[3], floats(a), to);
        return;
    }
    const py::array dense = new_array(shape, Order::nhwc);
    py::module_::import("numpy").attr("copyto")(dense, a);
    std::copy_n(floats(dense), dense.size(), to);
}

py::list InferencePlan::run(const std::vector<py::array>& inputs) {
    profile::Frame frame("inference_plan");  // its steps are kernels of one call
    if (frame.is_open())
        for (const py::array& a : inputs) frame.add_argument(a);
    require(inputs.size() == inputs_.size(),
            "InferencePlan: " + std::to_string(inputs.size()) + " inputs, expected " + std::to_string(inputs_.size()));
    std::unique_ptr<State> state = acquire();
    const Context context{work_ < kSerialStep ? 1 : state->threads, state->workspace};
    float* copy = state->bases[0] + aligned(arena_);
    for (size_t i = 0; i < inputs.size(); ++i) {
        const py::array a = inputs[i];
        require_shape(a, inputs_[i], "InferencePlan: input");
        if (a.dtype().num() != py::dtype::of<float>().num() || a.dtype().byteorder() == '>')
            throw py::type_error("InferencePlan: an input is not float32");
        if (is_dense(a, Order::nhwc) && reinterpret_cast<uintptr_t>(a.data()) % sizeof(float) == 0) {
            state->bases[i + 1] = mutable_floats(a);
        } else {
            convert(context, a, copy);
            state->bases[i + 1] = copy;
        }
        copy += aligned(a.size());
    }
    py::list results;
    for (size_t i = 0; i < outputs_.size(); ++i) {
        const py::array out = new_array(outputs_[i], Order::nhwc);
        state->bases[1 + inputs.size() + i] = mutable_floats(out);
        results.append(out);
    }
    const auto steps = [&] {
        for (const Step& step : steps_)
            step.run(Context{step.work < kSerialStep ? 1 : state->threads, state->workspace}, state->bases);
    };
    if (work_ < kSerialWork) {
        const profile::KernelTime time;
        steps();
    } else {
        py::gil_scoped_release release;
        const profile::KernelTime time;
        steps();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(state));
    return results;
}

// --- Python ---

void bind_inference(Module& m) {
    using P = InferencePlan;
    py::class_<P> plan(m, "InferencePlan");
    plan.def(py::init<int64_t, std::vector<Sizes>, std::vector<Sizes>>(), py::arg("arena"), py::arg("inputs"),
             py::arg("outputs"));
#define METHOD(name) plan.def(#name, &P::name)
    METHOD(add_constant);
    METHOD(add_conv2d);
    METHOD(add_linear);
    METHOD(add_affine);
    METHOD(add_group_norm);
    METHOD(add_max_pool2d);
    METHOD(add_avg_pool2d);
    METHOD(add_adaptive_avg_pool2d);
    METHOD(add_conv_transpose2d);
    METHOD(add_resample);
    METHOD(add_activation);
    METHOD(add_curve);
    METHOD(add_unary);
    METHOD(add_binary);
    METHOD(add_softmax);
    METHOD(add_transpose);
    METHOD(add_copy_rows);
    METHOD(run);
#undef METHOD
    plan.def_property_readonly("arena_bytes", &P::arena_bytes);
    plan.def_property_readonly("packed_bytes", &P::packed_bytes);
}

}  // namespace pynet
