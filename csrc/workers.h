// Persistent worker threads that share the chunks of one kernel call at a time with its caller.
#pragma once
#include <stdint.h>

namespace pynet::workers {

// Runs body(data, chunk, thread) once for every chunk from 0 to chunks - 1 and returns when all of them are done.
// The caller is thread 0 and takes chunks like everybody else; workers have numbers below `threads`. A worker that
// the system does not run in the meantime is not waited for. Where the workers are busy with another caller's chunks,
// and where a body calls run itself, the caller does all of its own.
using Body = void (*)(void* data, int64_t chunk, int thread);
void run(int threads, int64_t chunks, Body body, void* data);

// Whether workers have ever been started: a child of fork has none of them.
bool started();

}  // namespace pynet::workers
