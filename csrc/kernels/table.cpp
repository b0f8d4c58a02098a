// The table of this level: kernels.def once more, as pointers.
#include "../dispatch.h"
#include "kernels.h"

#define PYNET_STRING_OF(x) #x
#define PYNET_STRING(x) PYNET_STRING_OF(x)

namespace pynet {
namespace PYNET_LEVEL {

extern const Kernels kTable;
const Kernels kTable = {
    PYNET_STRING(PYNET_LEVEL),
    PYNET_LANES,
#define KERNEL(result, name, arguments) name,
#include "kernels.def"
#undef KERNEL
};

}  // namespace PYNET_LEVEL
}  // namespace pynet
