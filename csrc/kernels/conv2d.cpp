// 2-D convolution: chooses among the algorithms below, in order. "auto" takes the first that can compute the
// shape and prefers it (the last one always does); a caller may name one. A new algorithm is a file of its
// own and a line in this list.
#include "conv2d.h"

#include "kernels.h"
#include "parallel.h"
#include "statistics.h"

namespace pynet {
namespace PYNET_LEVEL {
namespace {

const ConvAlgorithm* const kAlgorithms[] = {&kConvFft,       &kConvDepthwise, &kConvNarrow, &kConvWinograd4,
                                            &kConvWinograd2, &kConvStrip,     &kConvIm2col, &kConvDirect};
constexpr int kCount = sizeof(kAlgorithms) / sizeof(kAlgorithms[0]);

bool empty(const Conv2d& conv) {
    const Conv2dShape& s = conv.shape;
    return s.N * s.OH() * s.OW() * s.F == 0 || s.C == 0 || s.H * s.W == 0;
}

void write_empty(const Context& context, const Conv2d& conv) {
    const Conv2dShape& s = conv.shape;
    if (conv.pass == ConvPass::forward) {  // sums of nothing: the bias alone
        const int64_t pixels = s.N * s.OH() * s.OW();
        parallel_for(context, pixels, [&](int64_t pixel, int) {
            float* out = conv.out + pixel * s.F;
            for (int64_t f = 0; f < s.F; ++f) out[f] = 0.0f;
            finish_tile(out, s.F, 1, s.F, conv.bias, conv.activation, conv.alpha);
        });
        return;
    }
    const bool data = conv.pass == ConvPass::backward_data;
    float* to = data ? conv.x : conv.weight;
    const int64_t count = data ? s.N * s.H * s.W * s.C : s.KH * s.KW * s.Cg() * s.F;
    for (int64_t i = 0; i < count; ++i) to[i] = 0.0f;
    if (conv.dbias)
        for (int64_t f = 0; f < s.F; ++f) conv.dbias[f] = 0.0f;
}

// Bytes of the statistics of all parts, 0 where the algorithm takes none.
size_t parts_bytes(const Conv2d& conv, const ConvAlgorithm& algorithm) {
    if (!conv.mean || !algorithm.parts) return 0;
    return static_cast<size_t>(algorithm.parts(conv) * part_size(conv.shape.F)) * sizeof(float);
}

}  // namespace

const char* conv2d_algorithm_name(int index) {
    return index >= 0 && index < kCount ? kAlgorithms[index]->name : nullptr;
}

bool conv2d_can(const Conv2d& conv, int index) { return kAlgorithms[index]->can(conv); }

int conv2d_choose(const Conv2d& conv) {
    if (conv.algorithm >= 0) return conv.algorithm;
    for (int i = 0; i < kCount; ++i)
        if (kAlgorithms[i]->can(conv) && kAlgorithms[i]->prefer(conv)) return i;
    return kCount - 1;
}

size_t conv2d_workspace(const Conv2d& conv, int threads) {
    const Conv2dShape& s = conv.shape;
    const int64_t pixels = s.N * s.OH() * s.OW();
    if (empty(conv)) return conv.mean ? batch_norm_workspace(pixels, s.F) : 0;
    const ConvAlgorithm& algorithm = *kAlgorithms[conv2d_choose(conv)];
    const size_t bytes = algorithm.workspace(conv, threads), parts = parts_bytes(conv, algorithm);
    size_t after = 0;  // what follows the algorithm in its memory
    if (conv.dbias && !algorithm.sums_bias) after = sum_rows_workspace(pixels, s.F, threads);
    if (conv.mean && !parts) after = batch_norm_workspace(pixels, s.F);
    return parts + (after > bytes ? after : bytes);
}

void conv2d(const Context& context, const Conv2d& given) {
    const Conv2dShape& s = given.shape;
    const int64_t pixels = s.N * s.OH() * s.OW();
    if (empty(given)) {
        write_empty(context, given);
        if (given.mean) batch_norm_statistics(context, pixels, s.F, given.out, given.mean, given.var);
        return;
    }
    const ConvAlgorithm& algorithm = *kAlgorithms[conv2d_choose(given)];
    const size_t parts = parts_bytes(given, algorithm);
    const Context rest = {context.threads, context.workspace + parts};
    Conv2d conv = given;
    if (parts) conv.parts = reinterpret_cast<float*>(context.workspace);
    algorithm.run(rest, conv);
    if (conv.dbias && !algorithm.sums_bias) sum_rows(rest, pixels, s.F, conv.out, conv.dbias);
    if (parts)
        merge_parts(rest, conv.parts, algorithm.parts(conv), s.F, [&](int64_t f, double mean, double squares) {
            conv.mean[f] = static_cast<float>(mean);
            conv.var[f] = static_cast<float>(squares / static_cast<double>(pixels));
        });
    else if (conv.mean)
        batch_norm_statistics(rest, pixels, s.F, conv.out, conv.mean, conv.var);
}

size_t conv2d_packed_bytes(const Conv2d& conv) {
    const ConvAlgorithm& algorithm = *kAlgorithms[conv2d_choose(conv)];
    return empty(conv) || !algorithm.pack ? 0 : algorithm.packed_bytes(conv);
}

void conv2d_pack(const Context& context, const Conv2d& conv, float* packed) {
    kAlgorithms[conv2d_choose(conv)]->pack(context, conv, packed);
}

void reduce_weight_partials(const Context& context, const Conv2dShape& s, const float* partials, int64_t parts,
                            float* dw) {
    const int64_t rows = s.KH * s.KW * s.Cg(), size = partial_size(rows, s.Fg()), panels = ceil_div(s.Fg(), kPanel);
    const int64_t row_blocks = ceil_div(rows, 32);
    parallel_for(context, s.groups * panels * row_blocks, [&](int64_t chunk, int) {
        const int64_t block = chunk % row_blocks, panel = chunk / row_blocks % panels,
                      group = chunk / row_blocks / panels;
        const int64_t columns = minimum(kPanel, s.Fg() - panel * kPanel), width = panel_vectors(columns) * kLanes;
        const float* from = partials + group * parts * size + panel * kPanel * rows;
        for (int64_t row = block * 32; row < minimum(rows, (block + 1) * 32); ++row) {
            float* to = dw + row * s.F + group * s.Fg() + panel * kPanel;
            for (int64_t j = 0; j < columns; j += kLanes) {
                vfloat sum = load(from + row * width + j);
                for (int64_t part = 1; part < parts; ++part) sum += load(from + part * size + row * width + j);
                if (columns - j >= kLanes)
                    store(to + j, sum);
                else
                    store_partial(to + j, sum, columns - j);
            }
        }
    });
}

}  // namespace PYNET_LEVEL
}  // namespace pynet
