// One job at a time, in one place. `g_open` holds how many of its chunks nobody has taken yet and how many threads may
// take them; whoever lowers the number by one owns the chunk. The job's other fields are read only by owners, and
// written only when no chunk is owned, so that a worker that comes late, or never, harms nobody.
//
// Idle workers spin for a tenth of a millisecond, in which the next job of a network usually comes, then sleep on
// `g_posted`; at once where they stand on the very core that the caller needs. A caller whose last chunks are in the
// hands of others does the same with `g_unfinished`: the core it leaves may be what they are waiting for.
#include "workers.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>

namespace pynet::workers {
namespace {

constexpr int kMaxThreads = 4096;
constexpr int kThreadsShift = 48;
constexpr uint64_t kChunksMask = (uint64_t{1} << kThreadsShift) - 1;
constexpr int kIdleSpins = 4096, kJoinSpins = 2048;

struct Job {
    int64_t chunks;
    Body body;
    void* data;
};

Job g_job;
alignas(64) std::atomic<uint64_t> g_open{0};        // threads << kThreadsShift | chunks not yet taken
alignas(64) std::atomic<uint32_t> g_unfinished{0};  // chunks not yet done; 0 wakes the caller
alignas(64) std::atomic<uint32_t> g_posted{0};      // counts jobs; idle workers sleep on it
std::atomic<int> g_sleeping{0};
std::atomic<bool> g_caller_sleeps{false};
std::atomic<int> g_caller_cpu{-1};
std::atomic<bool> g_busy{false};  // a caller has the workers
std::atomic<int> g_workers{0};    // started so far; changed by who holds g_busy

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

void sleep_on(std::atomic<uint32_t>& word, uint32_t value) {
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}
void wake(std::atomic<uint32_t>& word, int count) {
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

// Takes and runs chunks until none is open to this thread.
void take_chunks(int thread) {
    uint64_t open = g_open.load(std::memory_order_acquire);
    for (;;) {
        if ((open & kChunksMask) == 0 || static_cast<uint64_t>(thread) >= open >> kThreadsShift) return;
        if (!g_open.compare_exchange_weak(open, open - 1, std::memory_order_acq_rel, std::memory_order_acquire))
            continue;
        g_job.body(g_job.data, g_job.chunks - static_cast<int64_t>(open & kChunksMask), thread);
        if (g_unfinished.fetch_sub(1) == 1 && thread != 0 && g_caller_sleeps.load()) wake(g_unfinished, 1);
        open = g_open.load(std::memory_order_acquire);
    }
}

void* work(void* argument) {
    const int thread = static_cast<int>(reinterpret_cast<intptr_t>(argument));
    for (;;) {
        const uint32_t seen = g_posted.load();
        take_chunks(thread);
        for (int i = 0; i < kIdleSpins && g_posted.load(std::memory_order_relaxed) == seen; ++i) {
            if (i % 256 == 0 && sched_getcpu() == g_caller_cpu.load(std::memory_order_relaxed)) break;
            pause();
        }
        if (g_posted.load() != seen) continue;
        g_sleeping.fetch_add(1);
        sleep_on(g_posted, seen);
        g_sleeping.fetch_sub(1);
    }
}

// As many as the job can use; fewer where the system has no more threads.
void start(int wanted) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the threads of the program
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (int number = g_workers + 1; number <= wanted; ++number) {
        pthread_t thread;
        if (pthread_create(&thread, &detached, work, reinterpret_cast<void*>(intptr_t{number})) != 0) break;
        g_workers.store(number);
    }
    pthread_attr_destroy(&detached);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

void run(int threads, int64_t chunks, Body body, void* data) {
    if (threads > chunks) threads = static_cast<int>(chunks);
    if (threads > kMaxThreads) threads = kMaxThreads;
    if (threads <= 1 || chunks > INT_MAX || g_busy.exchange(true, std::memory_order_acquire)) {
        for (int64_t chunk = 0; chunk < chunks; ++chunk) body(data, chunk, 0);
        return;
    }
    if (g_workers.load(std::memory_order_relaxed) < threads - 1) start(threads - 1);
    g_job = {chunks, body, data};
    g_unfinished.store(static_cast<uint32_t>(chunks), std::memory_order_relaxed);
    g_open.store(static_cast<uint64_t>(threads) << kThreadsShift | static_cast<uint64_t>(chunks),
                 std::memory_order_release);
    g_caller_cpu.store(sched_getcpu(), std::memory_order_relaxed);
    g_posted.fetch_add(1);
    if (g_sleeping.load() > 0) wake(g_posted, INT_MAX);
    take_chunks(0);
    for (int i = 0; i < kJoinSpins && g_unfinished.load(std::memory_order_acquire) != 0; ++i) pause();
    if (g_unfinished.load(std::memory_order_acquire) != 0) {
        g_caller_sleeps.store(true);
        while (const uint32_t left = g_unfinished.load()) sleep_on(g_unfinished, left);
        g_caller_sleeps.store(false);
    }
    g_busy.store(false, std::memory_order_release);
}

bool started() { return g_workers.load() > 0; }

}  // namespace pynet::workers
