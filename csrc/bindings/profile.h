// The recorder behind pynet.profile(): one record for every call of a function of _core, off by default.
//
// Module::def wraps each bound function in a Frame, which knows the function's name and the arrays that go in and out;
// arrays.h: call() adds the time of the kernels inside; bindings that know their arithmetic add it and the algorithm.
// Threads: frames open and close with the GIL held, which is what guards the list of records. While nothing records, a
// call costs two relaxed loads.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace pynet {

namespace py = pybind11;

namespace profile {

extern std::atomic<bool> recording;
int64_t now();  // nanoseconds of the clock that Python calls time.perf_counter

struct Record {
    const char* name;
    const char* algorithm = nullptr;
    int64_t start, duration = 0, kernels = 0;  // nanoseconds; `kernels` is the part inside kernels
    double flop = 0, bytes = 0;
    uint64_t thread;
    bool backward;
    // Shapes of the first array arguments, each its rank and its sizes; a list of n arrays is written as (n).
    int used = 0;
    int64_t shapes[15];
};

class Frame {
public:
    explicit Frame(const char* name) {
        if (recording.load(std::memory_order_relaxed)) open(name);
    }
    ~Frame() {
        if (open_) close();
    }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;

    bool is_open() const { return open_; }
    void add_kernels(int64_t nanoseconds) { record_.kernels += nanoseconds; }
    void add_work(double flop, const char* algorithm = nullptr) {
        record_.flop += flop;
        record_.algorithm = algorithm;
    }
    void add_bytes(double bytes) { record_.bytes += bytes; }

    // Arguments and results: arrays count as read or written once, everything else not at all.
    template <class T>
    void add_argument(const T&) {}
    void add_argument(const py::array& a) {
        add_bytes(static_cast<double>(a.nbytes()));
        add_shape(static_cast<int>(a.ndim()), a.shape());
    }
    void add_argument(const std::optional<py::array>& a) {
        if (a) add_argument(*a);
    }
    void add_argument(const std::vector<py::array>& list) {
        for (const py::array& a : list) add_bytes(static_cast<double>(a.nbytes()));
        const auto count = static_cast<py::ssize_t>(list.size());
        add_shape(1, &count);
    }
    void add_argument(const std::optional<std::vector<py::array>>& list) {
        if (list) add_argument(*list);
    }
    template <class T>
    void add_result(const T&) {}
    void add_result(const py::array& a) { add_bytes(static_cast<double>(a.nbytes())); }
    void add_result(const std::optional<py::array>& a) {
        if (a) add_result(*a);
    }
    template <class... T>
    void add_result(const std::tuple<T...>& results) {
        std::apply([this](const T&... each) { (add_result(each), ...); }, results);
    }

private:
    void open(const char* name);
    void close();
    void add_shape(int rank, const py::ssize_t* sizes);

    bool open_ = false;
    Record record_;
};

// This thread's open frame; null where nothing records.
Frame* open_frame();
inline Frame* current() { return recording.load(std::memory_order_relaxed) ? open_frame() : nullptr; }

// While it lives, what this thread records counts as backward.
class WalkingBack {
public:
    WalkingBack();
    ~WalkingBack();
    WalkingBack(const WalkingBack&) = delete;
    WalkingBack& operator=(const WalkingBack&) = delete;

private:
    bool before_;
};

// Adds its own lifetime to the open frame as time of a kernel.
class KernelTime {
public:
    KernelTime() : frame_(current()), start_(frame_ ? now() : 0) {}
    ~KernelTime() {
        if (frame_) frame_->add_kernels(now() - start_);
    }
    KernelTime(const KernelTime&) = delete;
    KernelTime& operator=(const KernelTime&) = delete;

private:
    Frame* frame_;
    int64_t start_;
};

}  // namespace profile

// The extension module; functions bound by its `def` are recorded under their names.
class Module : public py::module_ {
public:
    explicit Module(const py::module_& m) : py::module_(m) {}

    template <class F, class... Extra>
    void def(const char* name, F f, const Extra&... extra) {
        bind(name, f, static_cast<py::detail::function_signature_t<F>*>(nullptr), extra...);
    }

private:
    template <class F, class Result, class... Arguments, class... Extra>
    void bind(const char* name, F f, Result (*)(Arguments...), const Extra&... extra) {
        const auto recorded = [f, name](Arguments... arguments) -> Result {
            profile::Frame frame(name);
            if (frame.is_open()) (frame.add_argument(arguments), ...);
            if constexpr (std::is_void_v<Result>) {
                f(std::forward<Arguments>(arguments)...);
            } else {
                Result result = f(std::forward<Arguments>(arguments)...);
                if (frame.is_open()) frame.add_result(result);
                return result;
            }
        };
        py::module_::def(name, recorded, extra...);
    }
};

}  // namespace pynet
