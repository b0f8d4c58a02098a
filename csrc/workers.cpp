// One job at a time, in one place. Every thread has a range of the job's chunks of its own, taken from the front, so
// that its memory is one piece and what it wrote in one job lies in its caches for the next; who has nothing left takes
// from the back of the others' ranges. `g_range` says which chunks nobody has taken yet; whoever shortens a range owns
// the chunk. The job's other fields are read only by owners, and written only when no chunk is owned, so that a worker
// that comes late, or never, harms nobody.
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
constexpr int kThreadsShift = 48, kFirstShift = 24;
constexpr int64_t kMostChunks = 1 << 23;  // of one job
constexpr int kIdleSpins = 4096, kJoinSpins = 2048;

struct Job {
    Body body;
    void* data;
};

// Chunks [first, last), and how many threads the job has: a thread beyond them takes nothing.
struct Range {
    uint64_t word;

    static Range of(int threads, int64_t first, int64_t last) {
        return {static_cast<uint64_t>(threads) << kThreadsShift | static_cast<uint64_t>(first) << kFirstShift |
                static_cast<uint64_t>(last)};
    }
    int threads() const { return static_cast<int>(word >> kThreadsShift); }
    int64_t first() const { return static_cast<int64_t>(word >> kFirstShift & 0xffffff); }
    int64_t last() const { return static_cast<int64_t>(word & 0xffffff); }
};

struct alignas(64) SharedRange {
    std::atomic<uint64_t> word{0};
};

Job g_job;
SharedRange g_range[kMaxThreads];                   // by thread
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

// The next chunk of a range, from its front or from its back; -1 where there is none for this thread.
int64_t claim(std::atomic<uint64_t>& word, int thread, bool front) {
    Range range{word.load(std::memory_order_acquire)};
    for (;;) {
        const int64_t first = range.first(), last = range.last();
        if (first >= last || thread >= range.threads()) return -1;
        const Range rest =
            front ? Range::of(range.threads(), first + 1, last) : Range::of(range.threads(), first, last - 1);
        if (word.compare_exchange_weak(range.word, rest.word, std::memory_order_acq_rel, std::memory_order_acquire))
            return front ? first : last - 1;
    }
}

// Takes and runs chunks until none is open to this thread.
void take_chunks(int thread) {
    const int threads = Range{g_range[0].word.load(std::memory_order_acquire)}.threads();
    uint32_t done = 0;
    for (int i = 0; i < threads && thread < threads; ++i) {
        std::atomic<uint64_t>& word = g_range[(thread + i) % threads].word;
        for (int64_t chunk; (chunk = claim(word, thread, i == 0)) >= 0; ++done) g_job.body(g_job.data, chunk, thread);
    }
    if (done > 0 && g_unfinished.fetch_sub(done) == done && thread != 0 && g_caller_sleeps.load())
        wake(g_unfinished, 1);
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
    if (threads <= 1 || chunks > kMostChunks || g_busy.exchange(true, std::memory_order_acquire)) {
        for (int64_t chunk = 0; chunk < chunks; ++chunk) body(data, chunk, 0);
        return;
    }
    if (g_workers.load(std::memory_order_relaxed) < threads - 1) start(threads - 1);
    g_job = {body, data};
    g_unfinished.store(static_cast<uint32_t>(chunks), std::memory_order_relaxed);
    for (int thread = 0; thread < threads; ++thread) {
        const Range range = Range::of(threads, chunks * thread / threads, chunks * (thread + 1) / threads);
        g_range[thread].word.store(range.word, std::memory_order_release);
    }
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
