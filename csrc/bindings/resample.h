// Sparse matrices from Python, checked: for the resampling of images.
#pragma once
#include "arrays.h"

namespace pynet {

// (starts (outputs + 1), positions, weights): row i has weights[k] at column positions[k], starts[i] <= k <
// starts[i+1].
using TapArrays = std::tuple<py::array, py::array, py::array>;

// Converts the arrays to what the kernel reads and checks that every position lies in [0, size).
TapArrays checked_taps(const TapArrays& arrays, int64_t size);
// x (N, C, H, W) through two checked matrices.
Resample resample_of(const Sizes& x, const TapArrays& down, const TapArrays& across);
double resample_work(const Resample& s);

}  // namespace pynet
