"""Cases of modules: what their constructors can be told, over small and awkward shapes."""

from __future__ import annotations

from tests.parity.case import Case


def each(texts: list[str], *specs: str, K: int = 1, special: bool = True) -> list[Case]:
    """Every text with every list of inputs: "x: normal 2 3; y: normal 3"."""
    return [Case(t, _inputs(s), K, special) for t in texts for s in specs]


def _inputs(spec: str) -> dict[str, str]:
    return dict(part.strip().split(": ") for part in spec.split(";")) if spec else {}


def _linear() -> list[Case]:
    return [
        *each(["nn.Linear(5, 7)", "nn.Linear(5, 7, bias=False)"], "x: normal 5", "x: normal 4 5", K=5),
        *each(["nn.Linear(5, 1)"], "x: normal 2 3 5", "x: normal 0 5", K=5),
        *each(["nn.Linear(130, 33)"], "x: normal 17 130", K=130),
        *each(
            ["nn.Bilinear(3, 4, 5)", "nn.Bilinear(3, 4, 5, bias=False)"], "x: normal 6 3; y: normal 6 4", K=12
        ),
    ]


def _convolutions() -> list[Case]:
    two = [
        "", ", stride=2", ", padding=1", ", padding='same'", ", padding='valid'", ", dilation=2", ", bias=False",
        ", stride=(2, 1), padding=(2, 0)", ", groups=2", ", padding=1, stride=2, dilation=(1, 2), groups=2",
        ", padding=1, padding_mode='reflect'", ", padding=1, padding_mode='replicate'",
        ", padding=(2, 1), padding_mode='circular'", ", padding='same', padding_mode='reflect'",
    ]  # fmt: skip
    transposed = [
        "", ", stride=2", ", stride=2, padding=1, output_padding=1", ", groups=2", ", dilation=2", ", bias=False",
        ", stride=(3, 2), padding=(1, 0), output_padding=(2, 1)", ", stride=2, padding=1, dilation=2, groups=2",
    ]  # fmt: skip
    return [
        *each([f"nn.Conv2d(4, 6, 3{o})" for o in two], "x: normal 2 4 9 8", K=480),
        *each(["nn.Conv2d(4, 6, 3, padding=1)"], "x: normal 4 9 8", "x: normal 0 4 9 8", K=480),
        *each(["nn.Conv2d(3, 5, (1, 5))", "nn.Conv2d(3, 5, 1)"], "x: normal 2 3 6 7", K=100),
        *each(["nn.Conv2d(4, 8, 3, groups=4, padding=1)"], "x: normal 2 4 6 7", K=84),
        *each(["nn.Conv2d(20, 16, 3, padding=1)", "nn.Conv2d(20, 20, 5)"], "x: normal 1 20 9 9", K=600),
        *each(["nn.Conv2d(20, 17, 3, padding=1)", "nn.Conv2d(20, 9, 7, 2, 3)"], "x: normal 2 20 9 9", K=980),
        *each([f"nn.Conv1d(4, 6, 3{o})" for o in two if "(" not in o], "x: normal 2 4 9", K=60),
        *each(["nn.Conv1d(4, 6, 3)"], "x: normal 4 9", K=60),
        *each([f"nn.ConvTranspose2d(4, 6, 3{o})" for o in transposed], "x: normal 2 4 5 6", K=300),
    ]


def _pooling() -> list[Case]:
    # Infinities in the rows that the tail of a window shares are sums in one order or another.
    sizes = ["3", "2, 2", "(2, 3)", "3, 2, 1", "3, (1, 2), (1, 0)", "3, 2, 1, ceil_mode=True"]
    ones = ["3", "2, 2", "3, 2, 1", "3, 2, 1, ceil_mode=True"]
    return [
        *each([f"nn.MaxPool2d({s})" for s in sizes], "x: distinct 2 3 7 8", "x: distinct 3 7 8"),
        *each(["nn.MaxPool2d(2, dilation=2)", "nn.MaxPool2d(3, 1, 1, 2)"], "x: distinct 2 3 7 8"),
        *each(["nn.MaxPool2d(3, 2, 1, return_indices=True)"], "x: distinct 2 3 7 8"),
        *each([f"nn.AvgPool2d({s})" for s in sizes], "x: normal 2 3 7 8", K=9),
        *each(
            [f"nn.AvgPool2d({s}, count_include_pad=False)" for s in sizes[3:]],
            "x: normal 2 3 7 8",
            "x: normal 3 7 8",
            K=9,
        ),
        *each(["nn.AvgPool2d(2, divisor_override=3)"], "x: normal 2 3 7 8", K=9),
        *each([f"nn.MaxPool1d({s})" for s in ones], "x: distinct 2 3 9"),
        *each(["nn.MaxPool1d(2, return_indices=True)", "nn.MaxPool1d(2, dilation=3)"], "x: distinct 2 3 9"),
        *each([f"nn.AvgPool1d({s})" for s in ones], "x: normal 2 3 9", K=3),
        *each(["nn.AvgPool1d(3, 2, 1, count_include_pad=False)"], "x: normal 2 3 9", K=3),
        *each(
            [f"nn.AdaptiveAvgPool2d({s})" for s in ("1", "(3, 2)", "(None, 2)", "5")],
            "x: normal 2 3 7 8",
            K=56,
        ),
        *each([f"nn.AdaptiveMaxPool2d({s})" for s in ("1", "(3, 2)", "(None, 2)")], "x: distinct 2 3 7 8"),
        *each(
            ["nn.LPPool2d(2, 3)", "nn.LPPool2d(1, 2, 1)", "nn.LPPool2d(3, 2, ceil_mode=True)"],
            "x: positive 2 3 7 8",
            K=27,
            special=False,
        ),
        *each(["F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)"], "x: distinct 2 3 6 8"),
        *each(["nn.Fold((4, 5), (2, 3))", "nn.Fold((4, 5), (2, 3), padding=0)"], "x: normal 2 12 9", K=6),
        *each(
            ["nn.Unfold((2, 3))", "nn.Unfold(2, dilation=2, padding=1, stride=2)"], "x: normal 2 3 6 7", K=6
        ),
    ]


def _norms() -> list[Case]:
    options = [
        "",
        ", affine=False",
        ", eps=0.01, momentum=0.3",
        ", momentum=None",
        ", track_running_stats=False",
    ]
    return [
        *each([f"nn.BatchNorm2d(4{o})" for o in options], "x: normal 3 4 5 6", K=90),
        *each([f"nn.BatchNorm2d(4{o}).eval()" for o in options], "x: normal 3 4 5 6", K=90),
        *each([f"nn.BatchNorm1d(4{o})" for o in options], "x: normal 9 4", "x: normal 3 4 5", K=15),
        *each(["nn.LayerNorm(6)", "nn.LayerNorm((5, 6), eps=0.1)"], "x: normal 3 5 6", K=90),
        *each(
            ["nn.LayerNorm(6, bias=False)", "nn.LayerNorm(6, elementwise_affine=False)"],
            "x: normal 4 6",
            K=24,
        ),
        *each(
            ["nn.GroupNorm(2, 4)", "nn.GroupNorm(4, 4, affine=False)", "nn.GroupNorm(1, 4, eps=0.1)"],
            "x: normal 3 4 5 6",
            "x: normal 3 4 5",
            K=120,
        ),
        *each(["nn.InstanceNorm2d(4)", "nn.InstanceNorm2d(4, affine=True)"], "x: normal 3 4 5 6", K=90),
        *each(
            ["nn.InstanceNorm1d(4, track_running_stats=True)", "nn.InstanceNorm1d(4)"],
            "x: normal 3 4 5",
            K=90,
        ),
        *each(["nn.InstanceNorm2d(4, track_running_stats=True).eval()"], "x: normal 3 4 5 6", K=90),
        *each(
            ["nn.LocalResponseNorm(3)", "nn.LocalResponseNorm(2, 0.1, 0.5, 2.0)"], "x: normal 3 4 5 6", K=3
        ),
    ]


ACTIVATIONS = [
    "ReLU()", "ReLU(inplace=False)", "ReLU6()", "LeakyReLU()", "LeakyReLU(0.2)", "PReLU()", "RReLU().eval()",
    "RReLU(0.1, 0.4).eval()", "ELU()", "ELU(0.5)", "SELU()", "CELU()", "CELU(0.7)", "GELU()", "GELU('tanh')",
    "SiLU()", "Mish()", "Sigmoid()", "Tanh()", "Softplus()", "Softplus(2.0, 3.0)", "Softsign()", "Hardtanh()",
    "Hardtanh(-0.5, 2.0)", "Hardsigmoid()", "Hardswish()", "Softmax(1)", "Softmax(-1)", "LogSoftmax(0)",
    "LogSoftmax(-1)", "LogSigmoid()", "Tanhshrink()", "Softshrink()", "Hardshrink()", "Softmin(1)",
    "Threshold(0.1, 2.0)", "GLU()", "Identity()", "Dropout(0.5).eval()", "Dropout(0.0)",
]  # fmt: skip


def _activations() -> list[Case]:
    return [
        *each([f"nn.{a}" for a in ACTIVATIONS], "x: wide 2 3 5 6", "x: wide 7 4", "x: wide 3 1 70", K=8),
        *each(["nn.Dropout2d(0.5).eval()", "nn.Softmax2d()"], "x: wide 2 3 5 6", "x: wide 3 1 70"),
        *each(["nn.PReLU(3)", "nn.PReLU(3, 0.1)"], "x: wide 2 3 5 6", "x: wide 7 3", K=60),
    ]


def _shapes() -> list[Case]:
    return [
        *each(["nn.Flatten()", "nn.Flatten(0)", "nn.Flatten(1, 2)", "nn.Flatten(-2)"], "x: normal 2 3 4 5"),
        *each(["nn.Unflatten(1, (2, 3))", "nn.Unflatten(-1, (2, -1))"], "x: normal 4 6"),
        *each(["nn.PixelShuffle(2)"], "x: normal 2 8 3 4"),
        *each(["nn.PixelUnshuffle(2)"], "x: normal 2 3 4 6"),
        *each(
            ["nn.ZeroPad2d(1)", "nn.ZeroPad2d((1, 0, 2, 3))", "nn.ConstantPad2d(1, 3.5)"], "x: normal 2 3 4 5"
        ),
        *each(
            ["nn.ReflectionPad2d(2)", "nn.ReplicationPad2d((1, 0, 2, 3))", "nn.CircularPad2d(1)"],
            "x: normal 2 3 4 5",
            K=4,
        ),
        *each(
            [
                "nn.Upsample(scale_factor=2)",
                "nn.Upsample((5, 9))",
                "nn.Upsample(scale_factor=2, mode='bilinear')",
                "nn.Upsample((5, 9), mode='bilinear', align_corners=True)",
                "nn.Upsample(scale_factor=(1.5, 2.0), mode='bilinear')",
            ],
            "x: normal 2 3 4 5",
            K=16,
        ),
        *each(
            ["nn.Embedding(10, 4)", "nn.Embedding(10, 4, padding_idx=2)"],
            "x: labels 6 < 10",
            "x: labels 2 3 < 10",
            K=6,
        ),
        *each(
            ["nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))"],
            "x: normal 7 6",
            "x: normal 6",
            K=12,
        ),
        *each(
            [
                "nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())",
                "nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.GroupNorm(2, 4), nn.SiLU(), nn.AvgPool2d(2))",
            ],
            "x: normal 2 3 8 8",
            K=200,
            special=False,
        ),
    ]


def _losses() -> list[Case]:
    reductions = ["'none'", "'mean'", "'sum'"]
    pairs = {
        "MSELoss": ["x: normal 4 5; y: normal 4 5"],
        "L1Loss": ["x: normal 4 5; y: normal 4 5"],
        "SmoothL1Loss": ["x: normal 4 5; y: normal 4 5"],
        "HuberLoss": ["x: normal 4 5; y: normal 4 5"],
        "SoftMarginLoss": ["x: normal 4 5; y: signs 4 5"],
        "BCELoss": ["x: unit 4 5; y: target 4 5"],
        "BCEWithLogitsLoss": ["x: wide 4 5; y: target 4 5"],
        "KLDivLoss": ["x: log_shares 4 5; y: shares 4 5"],
        "HingeEmbeddingLoss": ["x: positive 4 5; y: signs 4 5"],
        "MultiLabelMarginLoss": ["x: normal 3 4; y: labels 3 4 < 4"],
        "MultiMarginLoss": ["x: wide 6 5; y: labels 6 < 5"],
        "NLLLoss": ["x: log_shares 6 5; y: labels 6 < 5", "x: log_shares 2 5 3; y: labels 2 3 < 5"],
        "CrossEntropyLoss": [
            "x: wide 6 5; y: labels 6 < 5", "x: wide 2 5 3 4; y: labels 2 3 4 < 5", "x: wide 6 5; y: shares 6 5",
            "x: wide 5; y: shares 5",
        ],
        "CosineEmbeddingLoss": ["x: normal 4 5; y: normal 4 5; z: signs 4"],
        "TripletMarginLoss": ["x: normal 4 5; y: normal 4 5; z: normal 4 5"],
        "MultiLabelSoftMarginLoss": ["x: normal 4 5; y: unit 4 5"],
        "GaussianNLLLoss": ["x: normal 4 5; y: normal 4 5; z: positive 4 5"],
        "PoissonNLLLoss": ["x: normal 4 5; y: positive 4 5"],
        "MarginRankingLoss": ["x: normal 4; y: normal 4; z: signs 4"],
    }  # fmt: skip
    options = {
        "SmoothL1Loss": ["beta=0.3"],
        "HuberLoss": ["delta=0.4"],
        "KLDivLoss": ["log_target=True"],
        "HingeEmbeddingLoss": ["margin=2.0"],
        "MultiMarginLoss": ["p=2", "margin=0.5", "weight=torch.arange(1, 6, dtype=x.dtype)"],
        "CosineEmbeddingLoss": ["margin=0.3"],
        "TripletMarginLoss": ["margin=0.3, swap=True", "p=1"],
        "CrossEntropyLoss": ["label_smoothing=0.2"],
        "NLLLoss": ["ignore_index=2"],
    }
    cases = []
    for name, specs in pairs.items():
        for option in ["", *(o for o in options.get(name, []) if "weight" not in o)]:
            texts = [
                f"nn.{name}({', '.join(p for p in (option, 'reduction=' + r) if p)})" for r in reductions
            ]
            if name == "KLDivLoss":
                texts.append("nn.KLDivLoss(reduction='batchmean')")
            cases += each(texts, *specs, K=20, special=name not in ("BCELoss", "MultiLabelMarginLoss"))
    labelled = "x: wide 6 5; y: labels 6 < 5"
    for r in reductions:
        weighted = [
            f"F.cross_entropy(x, y, w, reduction={r})",
            f"F.cross_entropy(x, y, w, ignore_index=1, label_smoothing=0.1, reduction={r})",
            f"F.nll_loss(F.log_softmax(x, 1), y, w, reduction={r})",
            f"F.multi_margin_loss(x, y, p=2, margin=0.7, weight=w, reduction={r})",
        ]
        cases += [Case(t, {**_inputs(labelled), "w": "weight 5"}, 30) for t in weighted]
        masks = "x: wide 4 5; y: target 4 5; w: weight 4 5; v: weight 5"
        cases += each(
            [
                f"F.binary_cross_entropy_with_logits(x, y, w, reduction={r})",
                f"F.binary_cross_entropy_with_logits(x, y, pos_weight=v, reduction={r})",
                f"F.binary_cross_entropy(torch.sigmoid(x), y, w, reduction={r})",
            ],
            masks,
            K=20,
            special=False,
        )
    cases += each(["F.pairwise_distance(x, y)", "F.pairwise_distance(x, y, 1.0, keepdim=True)"], "x: normal 4 5; y: normal 4 5", K=5)  # fmt: skip
    cases += each(["F.cosine_similarity(x, y)", "F.cosine_similarity(x, y, dim=0)"], "x: normal 4 5; y: normal 4 5", K=5)  # fmt: skip
    return cases


CASES = [*_linear(), *_convolutions(), *_pooling(), *_norms(), *_activations(), *_shapes(), *_losses()]
