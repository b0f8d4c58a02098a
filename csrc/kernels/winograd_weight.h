// Winograd's weight gradient (conv2d_winograd_weight.cpp), for the entries of the list in conv2d_winograd.cpp.
#pragma once
#include "conv2d.h"

namespace pynet {
namespace PYNET_LEVEL {

template <int m>
size_t winograd_weight_workspace(const Conv2d& conv, int threads);  // bytes
template <int m>
void winograd_weight(const Context& context, const Conv2d& conv);

}  // namespace PYNET_LEVEL
}  // namespace pynet
