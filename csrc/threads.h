// How many threads a kernel call may use: chosen once from OMP_NUM_THREADS, the affinity mask and the
// cgroup's CPU quota; changed by set_count; one for ever in the forked child of a process that had workers.
#pragma once
#include <string>

namespace pynet::threads {

// Reads the environment, installs the fork guard. Called once, when the module is imported.
void initialise();
int count();
void set_count(int n);
bool in_forked_child();
// One line that says which bound decided.
std::string choice();
// Not empty when OMP_NUM_THREADS was unusable: a sentence for a Python warning.
std::string warning();

}  // namespace pynet::threads
