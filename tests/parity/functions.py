"""Cases of functions and of Tensors' methods."""

from __future__ import annotations

from tests.parity.case import Case
from tests.parity.modules import each

UNARY = [
    "exp", "sqrt", "abs", "neg", "square", "reciprocal", "sin", "cos", "tanh", "sigmoid", "relu", "log", "negative",
    "erf", "erfc", "expm1", "log1p", "log2", "log10", "rsqrt", "sign", "floor", "ceil", "round", "trunc", "tan",
    "sinh", "cosh", "atan", "frac", "exp2", "logical_not", "isnan", "isinf", "isfinite", "softplus",
]  # fmt: skip
BINARY = ["add", "sub", "mul", "div", "maximum", "minimum", "pow", "atan2", "fmod", "remainder", "hypot"]
DIMS = ["", "0", "1", "-1", "(0, 2)", "1, keepdim=True"]


def _elementwise() -> list[Case]:
    shapes = ["x: positive 2 3 4", "x: positive 5", "x: positive 1 33"]
    pairs = [
        "x: positive 3 4; y: positive 3 4", "x: positive 2 3 4; y: positive 4", "x: positive 3 1; y: positive 1 5",
        "x: positive 2 1 4; y: positive 3 1",
    ]  # fmt: skip
    # Beyond the functions' accuracy, sums over what was broadcast.
    return [
        *each([f"torch.{name}(x)" for name in UNARY[:-1]], *shapes, K=4),
        *each([f"x.{name}()" for name in UNARY[:-1]], "x: wide 3 4", K=4, special=False),
        *each([f"torch.{name}(x, y)" for name in BINARY], *pairs, K=12),
        *each(["x + y", "x - y", "x * y", "x / y", "x ** y", "-x / (1 + y)"], *pairs, K=12),
        *each(
            ["x + 2", "2 - x", "x * 0.3", "3 / x", "x ** 2", "x ** 0.5", "2 ** x", "x ** 3", "x ** -1", "+x"],
            *shapes,
            K=4,
        ),
        *each(["x < y", "x <= y", "x > y", "x >= y", "x == y", "x != y"], *pairs),
        *each(["torch.where(x > 1, x, y)", "torch.where(x < y, x * 2, 0.5)"], *pairs, K=12),
        *each(
            [
                "torch.clamp(x, 0.7, 1.3)", "x.clamp(min=1.0)", "x.clamp(max=1.0)", "torch.lerp(x, x * 2, 0.3)",
                "torch.nan_to_num(x)", "x.masked_fill(x > 1, 7.0)", "x.clip(0.7, 1.3)", "torch.addcmul(x, x, x)",
            ],
            *shapes,
        ),
    ]  # fmt: skip


def _reductions() -> list[Case]:
    calls = [
        f"torch.{f}(x{', ' + d if d else ''})"
        for f in ("sum", "mean", "var", "std", "amax", "amin")
        for d in DIMS
    ]
    calls += [
        f"torch.{f}(x{d})"
        for f in ("prod", "max", "min", "argmax", "argmin")
        for d in ("", ", 0", ", -1", ", 1, keepdim=True")
    ]
    calls += [f"torch.var(x{d}, correction=0)" for d in (", 0", ", (0, 1)")] + ["x.var(1, unbiased=False)"]
    calls += [
        f"torch.norm(x{d})"
        for d in ("", ", p=1", ", p=2, dim=1", ", p=float('inf')", ", dim=(0, 1)", ", p=3, dim=-1")
    ]
    calls += [f"torch.cumsum(x, {d})" for d in (0, 1, -1)] + ["torch.cumprod(x, 1)", "torch.logsumexp(x, 1)"]
    calls += [
        "torch.any(x > 1)",
        "torch.all(x > 1, 1)",
        "torch.any(x > 1, dim=0)",
        "torch.median(x, 1)",
        "x.mean((0, 2), keepdim=True)",
    ]
    return [
        *each(calls, "x: distinct 3 4 5", K=60),
        *each([c for c in calls if "(0, " not in c and ", 1" not in c and "=1" not in c and "(1" not in c], "x: distinct 1", "x: distinct 37", K=37),
    ]  # fmt: skip


def _shapes() -> list[Case]:
    calls = [
        "x.reshape(6, 4)", "x.reshape(-1)", "x.view(2, 12)", "x.transpose(0, 1)", "torch.transpose(x, -1, 0)",
        "x.permute(2, 0, 1)", "torch.permute(x, (1, 0, 2))", "x.unsqueeze(1)", "x.unsqueeze(-1)", "x[None].squeeze()",
        "x[:, None].squeeze(1)", "x.flatten()", "x.flatten(1)", "torch.flatten(x, 0, 1)", "x.unflatten(2, (2, 2))",
        "torch.cat([x, x * 2], 1)", "torch.cat((x, x), dim=-1)", "torch.stack([x, x], 0)", "torch.stack([x, -x], -1)",
        "torch.split(x, 2, 2)", "x.split([1, 3], dim=2)", "x.chunk(3, 1)", "torch.chunk(x, 2, -1)", "x.unbind(1)",
        "torch.flip(x, (0, 2))", "x.flip(1)", "torch.roll(x, 1, 0)", "x.roll((1, -2), (1, 2))", "torch.roll(x, 5)",
        "x.expand(2, 3, 4)", "x[:, :1].expand(2, 5, 4)", "x[0]", "x[1, 2]", "x[..., 1]", "x[:, 1:]", "x[:, ::2, -1]",
        "x[None, :, 1]", "x[torch.tensor([0, 1, 1])]", "x[:, torch.tensor([2, 0])]", "x[x > 0]", "list(x)",
        "x.gather(1, torch.tensor([[[0, 2, 1, 0]], [[1, 1, 0, 2]]]))", "torch.index_select(x, 2, torch.tensor([3, 0, 0]))",
        "F.pad(x, (1, 2))", "F.pad(x, (1, 2, 0, 1), value=3.0)", "F.pad(x, (1, 1), mode='reflect')",
        "F.pad(x, (1, 1), mode='replicate')", "F.pad(x, (1, 1), mode='circular')", "F.pad(x, (-1, 1))",
        "torch.repeat_interleave(x, 2, 1)", "x.repeat(2, 1, 3)", "torch.tile(x, (2, 1))", "torch.tril(x)", "torch.triu(x, 1)",
        "torch.movedim(x, 0, 2)", "x.narrow(1, 0, 2)", "x.select(1, 2)", "x.masked_select(x > 0)", "torch.take_along_dim(x, torch.argsort(x, 1), 1)",
        "torch.scatter(x, 1, torch.tensor([[[0, 2, 1, 0]], [[1, 1, 0, 2]]]), 0.5)", "torch.diagonal(x, 0, 1, 2)", "x.swapaxes(0, 1)",
        "x.T", "x.mT", "x.t()", "x.clone()", "x.contiguous()", "x.detach()", "x.view_as(x)", "x.expand_as(x)", "torch.diff(x)",
        "torch.meshgrid(x[0, 0], x[0, 1], indexing='ij')", "torch.sort(x, 1)", "torch.sort(x, -1, descending=True)", "torch.argsort(x, 0)",
        "torch.topk(x, 2)", "x.topk(2, 1, largest=False)", "torch.unique((x * 0).long())", "torch.bincount((x[0, 0] > 0).long())",
        "torch.nonzero(x > 0)", "torch.softmax(x, 1)", "torch.log_softmax(x, -1)", "F.softmax(x, 0)", "F.normalize(x, dim=1)",
        "x.double()", "x.float()", "x.long()", "x.int()", "x.bool()", "x.to(torch.float64)", "x.type_as(x)", "torch.zeros_like(x)",
        "torch.ones_like(x)", "torch.full_like(x, 2.5)", "x.new_zeros(2)", "x.numel()", "x.dim()", "tuple(x.shape)", "x.size(1)", "tuple(x.stride())[:0]",
    ]  # fmt: skip
    wanted = [c for c in calls if c not in ("x.T", "x.t()")]
    return [
        *each(wanted, "x: distinct 2 3 4", K=24, special=False),
        *each(["x.t()", "x.T", "x @ x.t()", "x.t() @ x"], "x: normal 3 4", K=4, special=False),
    ]


def _products() -> list[Case]:
    return [
        *each(["x @ y", "torch.matmul(x, y)"], "x: normal 3 4; y: normal 4 5", "x: normal 4; y: normal 4",
              "x: normal 3 4; y: normal 4", "x: normal 4; y: normal 4 5", "x: normal 2 3 4; y: normal 2 4 5",
              "x: normal 2 3 4; y: normal 4 5", "x: normal 17 65; y: normal 65 33", "x: normal 0 4; y: normal 4 5", K=70),
        *each(["torch.mm(x, y)", "torch.einsum('ij,jk->ik', x, y)", "torch.einsum('ij,jk->', x, y)"],
              "x: normal 3 4; y: normal 4 5", K=60),
        *each(["torch.einsum('bij,bjk->bik', x, y)", "torch.bmm(x, y)"], "x: normal 2 3 4; y: normal 2 4 5", K=8),
        *each(["torch.einsum('ii->i', x)", "torch.einsum('ij->ji', x)", "torch.einsum('ij->j', x)", "torch.trace(x)"], "x: normal 4 4", K=4),
        *each(["torch.outer(x, y)", "torch.einsum('i,j->ij', x, y)"], "x: normal 4; y: normal 5", K=5),
        *each(["torch.dot(x, y)"], "x: normal 7; y: normal 7", K=7),
        *each(["torch.addmm(z, x, y)"], "x: normal 3 4; y: normal 4 5; z: normal 3 5", K=5),
        *each(["F.linear(x, y)", "F.linear(x, y, z)"], "x: normal 3 4; y: normal 5 4; z: normal 5", K=5),
        *each(["F.conv2d(x, y)", "F.conv2d(x, y, z, 2, 1)", "F.conv2d(x, y, z, padding='same')"],
              "x: normal 2 3 6 7; y: normal 4 3 3 3; z: normal 4", K=84),
        *each(["F.conv1d(x, y, z, 2, 1)"], "x: normal 2 3 9; y: normal 4 3 3; z: normal 4", K=18),
        *each(["F.conv_transpose2d(x, y, z, 2, 1, 1)"], "x: normal 2 3 4 5; y: normal 3 4 3 3; z: normal 4", K=60),
    ]  # fmt: skip


def _functional() -> list[Case]:
    from tests.parity.modules import ACTIVATIONS

    lower = {
        "ReLU": "relu", "ReLU6": "relu6", "LeakyReLU": "leaky_relu", "ELU": "elu", "SELU": "selu", "CELU": "celu",
        "GELU": "gelu", "SiLU": "silu", "Mish": "mish", "Softplus": "softplus", "Softsign": "softsign",
        "Hardtanh": "hardtanh", "Hardsigmoid": "hardsigmoid", "Hardswish": "hardswish", "Softmax": "softmax",
        "LogSoftmax": "log_softmax", "LogSigmoid": "logsigmoid", "Tanhshrink": "tanhshrink", "Softshrink": "softshrink",
        "Hardshrink": "hardshrink", "Softmin": "softmin", "Threshold": "threshold", "GLU": "glu", "Sigmoid": "sigmoid",
        "Tanh": "tanh",
    }  # fmt: skip
    calls = []
    for a in ACTIVATIONS:
        name, _, rest = a.partition("(")
        if name in lower and "." not in rest.partition(")")[2]:
            arguments = rest.rstrip(")").replace("'tanh'", "approximate='tanh'")
            calls.append(f"F.{lower[name]}(x{', ' + arguments if arguments else ''})")
    return [
        *each(sorted(set(calls)), "x: wide 4 6", "x: wide 2 3 4", K=8),
        *each(["F.prelu(x, w)"], "x: wide 4 6; w: positive 1", "x: wide 2 6 5; w: positive 6", K=24),
        *each(["F.batch_norm(x, None, None, training=True)", "F.instance_norm(x)", "F.group_norm(x, 2)",
               "F.layer_norm(x, (5,))", "F.local_response_norm(x, 3)"], "x: normal 3 4 5", K=60),
        *each(["F.batch_norm(x, None, None, w, b, True)", "F.group_norm(x, 2, w, b, 0.1)",
               "F.instance_norm(x, weight=w, bias=b)"], "x: normal 3 4 5; w: positive 4; b: normal 4", K=60),
        *each(["F.avg_pool2d(x, 2)", "F.adaptive_avg_pool2d(x, (2, 3))", "F.interpolate(x, scale_factor=2)",
               "F.interpolate(x, size=(3, 7), mode='bilinear', align_corners=False)", "F.unfold(x, 2)", "F.pixel_shuffle(x[:, :1].expand(2, 4, 5, 6), 2)",
               "F.dropout(x, 0.3, training=False)", "F.lp_pool2d(x.abs() + 0.1, 2, 2)"], "x: normal 2 3 5 6", K=12, special=False),
        *each(["F.max_pool2d(x, 2)", "F.max_pool2d(x, 3, 2, 1, return_indices=True)", "F.adaptive_max_pool2d(x, 2)"], "x: distinct 2 3 5 6"),
        *each(["F.one_hot(x, 5)", "F.one_hot(x)", "torch.eye(5)[x]"], "x: labels 7 < 5"),
        *each(["F.embedding(x, w)"], "x: labels 6 < 5; w: normal 5 3", K=6),
    ]  # fmt: skip


def _integers() -> list[Case]:
    calls = [
        "x + 1", "x * 2", "x / 2", "x.sum()", "x.sum(0)", "x.max()", "x.min(1)", "x.argmax(1)", "x.float()", "x.double().mean()",
        "-x", "x.abs()", "x == 3", "x > 0", "(x > 0) & (x < 5)", "(x > 0) | (x < 5)", "~(x > 0)", "x.cumsum(1)", "x.prod(1)",
        "x ** 2", "x - x", "x.exp()", "x.sqrt()", "(x > 0).sum()", "(x > 0).float().mean()", "torch.where(x > 0, x, -x)", "x.clamp(0, 5)",
        "x + 0.5", "x * 1.5", "x // 2", "x % 3", "torch.sin(x)", "x.reshape(-1)", "torch.cat([x, x])", "x.flip(0)", "torch.sort(x.reshape(-1))[0]",
    ]  # fmt: skip
    return [Case(c, {"x": "whole 4 5"}, special=False) for c in calls]


def _creation() -> list[Case]:
    calls = [
        "torch.zeros(2, 3)", "torch.zeros((2, 3))", "torch.ones(4)", "torch.full((2, 2), 1.5)", "torch.full((2,), 3)", "torch.eye(3)",
        "torch.eye(2, 4)", "torch.arange(5)", "torch.arange(1, 7, 2)", "torch.arange(0.0, 1.0, 0.25)", "torch.arange(3, dtype=torch.float64)",
        "torch.linspace(0, 1, 5)", "torch.linspace(-2, 3, 4, dtype=torch.float64)", "torch.tensor([1, 2])", "torch.tensor([1.0, 2])",
        "torch.tensor(3.5)", "torch.tensor([[True, False]])", "torch.zeros(3, dtype=torch.int64)", "torch.tensor([1, 2], dtype=torch.float64)",
        "torch.zeros(0, 3)", "torch.ones(2, 1).expand(2, 3)", "torch.full((2,), True)", "torch.logspace(0, 2, 3)", "torch.arange(5, 0, -1)",
        "torch.empty(2, 3).shape[0]", "torch.rand(2, 3).shape[1]", "torch.randperm(5).sort()[0]", "torch.randint(0, 1, (2, 3))", "torch.as_tensor([1.0])",
    ]  # fmt: skip
    return [Case(c, {}, special=False) for c in calls]


CASES = [
    *_elementwise(), *_reductions(), *_shapes(), *_products(), *_functional(), *_integers(), *_creation(),
]  # fmt: skip
