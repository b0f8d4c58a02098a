#include "profile.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "families.h"

namespace pynet {
namespace profile {

std::atomic<bool> recording{false};

namespace {

// Shared by all profilers: each is a window on the list, from its start to its stop.
std::vector<Record> records;
int profilers = 0;
bool memory_ran_out = false;

thread_local Frame* frame_of_thread = nullptr;
thread_local bool walking_back = false;

}  // namespace

int64_t now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

Frame* open_frame() { return frame_of_thread; }

WalkingBack::WalkingBack() : before_(std::exchange(walking_back, true)) {}
WalkingBack::~WalkingBack() { walking_back = before_; }

void Frame::open(const char* name) {
    if (frame_of_thread) return;  // part of the call that is being recorded
    frame_of_thread = this;
    open_ = true;
    record_.name = name;
    record_.thread = PyThread_get_thread_ident();
    record_.backward = walking_back;
    record_.start = now();
}

void Frame::close() {
    frame_of_thread = nullptr;
    record_.duration = now() - record_.start;
    if (!recording.load(std::memory_order_relaxed)) return;  // the last profiler stopped meanwhile
    try {
        records.push_back(record_);
    } catch (const std::bad_alloc&) {
        memory_ran_out = true;
    }
}

void Frame::add_shape(int rank, const py::ssize_t* sizes) {
    const int room = static_cast<int>(sizeof(record_.shapes) / sizeof(record_.shapes[0]));
    if (record_.used + 1 + rank > room) return;
    record_.shapes[record_.used++] = rank;
    for (int i = 0; i < rank; ++i) record_.shapes[record_.used++] = sizes[i];
}

namespace {

// Begins to record where nobody did, and answers where in the list this profiler's records begin.
size_t start() {
    if (profilers++ == 0) {
        records.reserve(1 << 14);
        recording.store(true, std::memory_order_relaxed);
    }
    return records.size();
}

py::tuple as_tuple(const Record& r) {
    py::list shapes;
    for (int i = 0; i < r.used; i += 1 + static_cast<int>(r.shapes[i])) {
        const auto rank = static_cast<size_t>(r.shapes[i]);
        py::tuple shape(rank);
        for (size_t k = 0; k < rank; ++k) shape[k] = r.shapes[static_cast<size_t>(i) + 1 + k];
        shapes.append(shape);
    }
    return py::make_tuple(r.name, r.algorithm ? r.algorithm : "", r.backward, r.thread, r.start, r.duration, r.kernels,
                          r.flop, r.bytes, py::tuple(shapes));
}

// The records since `begin`; with the last profiler the list is emptied and recording ends.
py::list stop(size_t begin) {
    if (profilers == 0) throw std::runtime_error("profile: nothing is being recorded");
    const size_t end = records.size();
    if (--profilers == 0) recording.store(false, std::memory_order_relaxed);
    const bool failed = memory_ran_out;
    py::list result;
    for (size_t i = std::min(begin, end); i < end; ++i) result.append(as_tuple(records[i]));
    if (profilers == 0) {
        std::vector<Record>().swap(records);
        memory_ran_out = false;
    }
    if (failed) throw std::bad_alloc();
    return result;
}

}  // namespace
}  // namespace profile

void bind_profile(Module& module) {
    py::module_& m = module;  // what follows is not recorded itself
    m.def("_profile_start", &profile::start);
    m.def("_profile_stop", &profile::stop);
}

}  // namespace pynet
