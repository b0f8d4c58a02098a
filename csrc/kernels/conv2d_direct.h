// The weight gradient of direct convolution.
#pragma once
#include "conv2d.h"

namespace pynet {
namespace PYNET_LEVEL {

size_t direct_weight_workspace(const Conv2dShape& s, int threads);
void direct_weight(const Context& context, const Conv2d& c);

}  // namespace PYNET_LEVEL
}  // namespace pynet
