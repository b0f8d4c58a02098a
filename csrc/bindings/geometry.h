// Shapes of convolutions and poolings from what Python passes, checked: ValueErrors that name the sizes.
#pragma once
#include <string>

#include "arrays.h"

namespace pynet {

Conv2dShape conv2d_shape(const Sizes& x, const Sizes& weight, Pair stride, Pair padding, Pair dilation, int64_t groups);
double conv2d_work(const Conv2dShape& s);  // multiply-adds
// `op` begins the message of an error.
Pool2dShape pool2d_shape(const std::string& op, const Sizes& x, const Pair& kernel, const Pair& stride,
                         const Pair& padding, const Pair& dilation, bool ceil_mode);
AveragePool2d adaptive_pool2d(const Sizes& x, const Pair& output_size);

}  // namespace pynet
