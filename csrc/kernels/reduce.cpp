// out[c] = sum over rows of x (rows, columns): bias gradients. Rows are cut into fixed blocks, each with a
// partial sum of its own; the partials are added in order. Workspace: sum_rows_workspace() bytes.
#include "reduce.h"

#include "kernels.h"
#include "parallel.h"

namespace pynet {
namespace PYNET_LEVEL {

// Several columns at once, rows in runs, so that sums stay in registers.
void sum_block(int64_t rows, int64_t columns, const float* x, float* out, bool accumulate) {
    constexpr int kWide = 4;
    int64_t c = 0;
    for (; c + kWide * kLanes <= columns; c += kWide * kLanes) {
        vfloat sum[kWide] = {};
        for (int64_t r = 0; r < rows; ++r) {
            PYNET_UNROLL
            for (int j = 0; j < kWide; ++j) sum[j] += load(x + r * columns + c + j * kLanes);
        }
        PYNET_UNROLL
        for (int j = 0; j < kWide; ++j) {
            float* to = out + c + j * kLanes;
            store(to, accumulate ? load(to) + sum[j] : sum[j]);
        }
    }
    for (; c + kLanes <= columns; c += kLanes) {
        vfloat sum[2] = {};
        int64_t r = 0;
        for (; r + 2 <= rows; r += 2) {
            sum[0] += load(x + r * columns + c);
            sum[1] += load(x + (r + 1) * columns + c);
        }
        if (r < rows) sum[0] += load(x + r * columns + c);
        sum[0] += sum[1];
        store(out + c, accumulate ? load(out + c) + sum[0] : sum[0]);
    }
    if (c == columns) return;
    const int64_t rest = columns - c;
    vfloat sum = {};
    for (int64_t r = 0; r < rows; ++r) {
        // whole vectors as long as they end inside the array; the extra lanes are dropped
        const float* from = x + r * columns + c;
        sum += r + 1 + ceil_div(kLanes, columns) <= rows ? load(from) : load_partial(from, rest);
    }
    store_partial(out + c, accumulate ? load_partial(out + c, rest) + sum : sum, rest);
}

size_t sum_rows_workspace(int64_t rows, int64_t columns, int) {
    return static_cast<size_t>(row_blocks(rows, columns) * columns) * sizeof(float);
}

void sum_rows(const Context& context, int64_t rows, int64_t columns, const float* x, float* out) {
    float* partial = reinterpret_cast<float*>(context.workspace);
    const int64_t blocks = row_blocks(rows, columns);
    parallel_for(context, blocks, [&](int64_t block, int) {
        const int64_t r0 = rows * block / blocks, r1 = rows * (block + 1) / blocks;
        sum_block(r1 - r0, columns, x + r0 * columns, partial + block * columns, false);
    });
    add_parts(blocks, columns, columns, partial, out);
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
