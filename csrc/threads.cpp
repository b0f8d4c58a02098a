#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <set>
#include <sstream>

#include "pool.h"
#include "workers.h"

namespace pynet::threads {
namespace {

std::atomic<int> g_count{1};
std::atomic<bool> g_forked{false};
std::string g_choice = "not initialised", g_warning;

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

// Physical cores among the CPUs this process may run on: hyper-threads of one core count once.
int physical_cores() {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (sched_getaffinity(0, sizeof mask, &mask) != 0) return 1;
    std::set<std::string> cores;
    int cpus = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &mask)) continue;
        ++cpus;
        const std::string topology = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
        const std::string core = first_line(topology + "core_id");
        cores.insert(core.empty() ? "cpu" + std::to_string(cpu)
                                  : first_line(topology + "physical_package_id") + ":" + core);
    }
    return std::max(1, std::min<int>(cpus, static_cast<int>(cores.size())));
}

// "max 100000" or "150000 100000" -> CPUs rounded down; 0 when there is no quota.
int quota_of(const std::string& quota, const std::string& period) {
    char* end = nullptr;
    const double microseconds = strtod(quota.c_str(), &end), each = strtod(period.c_str(), nullptr);
    if (end == quota.c_str() || microseconds <= 0 || each <= 0) return 0;
    return std::max(1, static_cast<int>(microseconds / each));
}

// The tightest quota on the way from this process's cgroup up to the root (v2), or the v1 controller's.
int cgroup_quota() {
    int tightest = 0;
    auto tighten = [&](int cpus) {
        if (cpus > 0) tightest = tightest ? std::min(tightest, cpus) : cpus;
    };
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        const bool v2 = line.rfind("0::", 0) == 0;
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (!v2 && controllers.find("cpu") == std::string::npos) continue;
        std::string path = line.substr(second + 1);
        for (;;) {
            if (v2) {
                std::istringstream fields(first_line("/sys/fs/cgroup" + path + "/cpu.max"));
                std::string quota, period;
                fields >> quota >> period;
                tighten(quota_of(quota, period));
            } else {
                const std::string root = "/sys/fs/cgroup/cpu" + path;
                tighten(quota_of(first_line(root + "/cpu.cfs_quota_us"), first_line(root + "/cpu.cfs_period_us")));
            }
            const size_t slash = path.rfind('/');
            if (path.empty() || slash == std::string::npos) break;
            path = path.substr(0, slash);
        }
    }
    return tightest;
}

void before_fork() { pool::lock_for_fork(); }
void after_fork_parent() { pool::unlock_after_fork(); }
void after_fork_child() {
    pool::unlock_after_fork();
    if (workers::started()) g_forked.store(true);
}

}  // namespace

void initialise() {
    const int cores = physical_cores(), quota = cgroup_quota();
    int chosen = cores;
    g_choice = std::to_string(cores) + (cores == 1 ? " physical core" : " physical cores") + " in the affinity mask";
    if (quota && quota < chosen) {
        chosen = quota;
        g_choice = "the cgroup's CPU quota, rounded down";
    }
    if (const char* text = getenv("OMP_NUM_THREADS"); text && *text) {
        char* end = nullptr;
        const long asked = strtol(text, &end, 10);
        const bool list = *end == ',';  // "4,2" names nested levels; the first is ours
        if (end == text || (*end && !list) || asked < 1 || asked > 4096) {
            g_warning = "OMP_NUM_THREADS is \"" + std::string(text) + "\", not a positive number: using " +
                        std::to_string(chosen) + " (" + g_choice + ")";
        } else if (asked < chosen) {
            chosen = static_cast<int>(asked);
            g_choice = "OMP_NUM_THREADS";
        }
    }
    g_count.store(chosen);
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

int count() { return g_forked.load(std::memory_order_relaxed) ? 1 : g_count.load(std::memory_order_relaxed); }

void set_count(int n) {
    g_count.store(n);
    g_choice = "set_num_threads";
}

bool in_forked_child() { return g_forked.load(); }

std::string choice() {
    return g_forked.load() ? "forked child of a process that had used its threads: serial" : g_choice;
}

std::string warning() { return g_warning; }

}  // namespace pynet::threads
