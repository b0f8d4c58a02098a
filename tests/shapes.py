"""Shapes that kernels must survive, shared by tests and benchmarks."""

from __future__ import annotations

from typing import NamedTuple


class ConvCase(NamedTuple):
    """A convolution: (N, C, H, W) with F kernels (KH, KW)."""

    N: int
    C: int
    H: int
    W: int
    F: int
    KH: int
    KW: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


CONV_CASES = [
    ConvCase(1, 1, 1, 1, 1, 1, 1),
    ConvCase(0, 3, 8, 8, 4, 3, 3, padding=(1, 1)),  # batch 0
    ConvCase(2, 3, 8, 8, 5, 3, 3, padding=(1, 1)),
    ConvCase(3, 16, 7, 9, 33, 3, 3, padding=(1, 1)),  # one output beyond two vectors
    ConvCase(9, 20, 5, 4, 24, 3, 3, (2, 2), (1, 1)),
    ConvCase(2, 8, 9, 9, 12, 3, 3, (2, 1), (2, 0), (1, 2), 2),
    ConvCase(2, 17, 6, 6, 17, 3, 3, padding=(1, 1), groups=17),  # depthwise, one channel beyond a vector
    ConvCase(2, 17, 9, 9, 17, 3, 3, (2, 2), (1, 1), (2, 2), 17),
    ConvCase(2, 19, 9, 9, 19, 3, 3, padding=(4, 4), groups=19),  # more padding than the kernel reaches
    ConvCase(2, 4, 9, 9, 8, 3, 3, (2, 2), (1, 1), groups=4),  # channel multiplier 2
    ConvCase(10, 6, 6, 6, 40, 5, 5, padding=(2, 2)),
    ConvCase(2, 64, 4, 4, 64, 3, 3, padding=(1, 1)),
    ConvCase(12, 40, 3, 3, 70, 3, 3, padding=(1, 1)),  # a map smaller than a tile
    ConvCase(2, 5, 11, 13, 7, 1, 7, padding=(0, 3)),
    ConvCase(2, 5, 13, 11, 7, 7, 1, (3, 2), (3, 0)),
    ConvCase(4, 32, 8, 8, 48, 1, 1),
    ConvCase(4, 32, 8, 8, 48, 1, 1, (2, 2)),
    ConvCase(2, 130, 9, 17, 258, 1, 1),  # a weight gradient whose pixels are gathered first
    ConvCase(3, 20, 5, 96, 40, 1, 1),  # few channels of a wide map: short pieces, read in place
    ConvCase(3, 20, 5, 96, 40, 1, 1, padding=(1, 2)),
    ConvCase(2, 32, 3, 84, 96, 1, 1, groups=2),
    ConvCase(17, 20, 7, 8, 26, 5, 5, padding=(2, 2)),  # tiles of the same pixel of neighbouring images
    ConvCase(2, 42, 12, 9, 10, 3, 3, padding=(1, 1), groups=2),  # weight gradients of one vector of outputs
    ConvCase(3, 3, 19, 30, 64, 3, 3, padding=(1, 1)),  # a first layer of whole panels
    ConvCase(3, 1, 12, 12, 6, 5, 5, padding=(2, 2)),  # LeNet's first layer, small
    ConvCase(1, 3, 40, 40, 16, 7, 7, (2, 2), (3, 3)),  # a ResNet stem
    ConvCase(2, 3, 6, 6, 4, 3, 3, padding=(4, 4)),
    ConvCase(1, 2, 33, 7, 3, 11, 3, padding=(5, 1)),
    ConvCase(5, 3, 16, 31, 20, 3, 3, (1, 3), (1, 1)),
    ConvCase(20, 6, 14, 14, 16, 5, 5),  # LeNet's second layer: tiles of several channels' taps
    ConvCase(3, 3, 40, 37, 33, 3, 3, padding=(1, 2)),  # bands of rows, one output beyond two vectors
    ConvCase(2, 7, 9, 11, 50, 5, 7, (2, 3), (4, 6), (3, 1)),
    ConvCase(2, 3, 5, 6, 18, 2, 3, (1, 2), (5, 9)),  # padding beyond the map on all sides
    ConvCase(3, 72, 9, 10, 80, 3, 3, padding=(1, 0)),  # Winograd's shared weight gradient
    ConvCase(2, 320, 5, 5, 324, 3, 3, padding=(1, 1)),  # Winograd's blocked form: weights beyond the caches
    # Depthwise: runs of 2, 3, 5 neighbouring taps, phases of a stride, 7 taps one by one, C below a vector
    ConvCase(2, 20, 9, 21, 20, 3, 3, padding=(1, 1), groups=20),
    ConvCase(2, 40, 10, 11, 40, 3, 3, (2, 2), (1, 1), groups=40),
    ConvCase(3, 24, 12, 7, 24, 5, 5, padding=(2, 2), groups=24),
    ConvCase(2, 33, 11, 12, 33, 5, 5, (2, 2), (2, 2), groups=33),
    ConvCase(2, 18, 8, 9, 18, 7, 7, padding=(3, 3), groups=18),
    ConvCase(2, 18, 7, 9, 18, 2, 2, padding=(1, 0), groups=18),
    ConvCase(2, 24, 9, 7, 24, 3, 3, padding=(1, 1), groups=3),  # a pixel's inputs in one vector
    ConvCase(2, 20, 7, 12, 20, 3, 3, (2, 2), (1, 1), groups=5),
    ConvCase(1, 8, 6, 5, 24, 3, 3, padding=(1, 1), groups=4),
    ConvCase(1, 64, 6, 9, 16, 5, 5, padding=(2, 2), groups=8),  # and in four
    ConvCase(2, 6, 9, 33, 6, 3, 3, (1, 2), (1, 1), groups=6),
    ConvCase(2, 16, 13, 14, 16, 3, 3, (3, 3), (1, 1), groups=16),
    ConvCase(2, 40, 122, 121, 40, 3, 3, padding=(1, 1), groups=40),  # large enough to fetch rows ahead
    ConvCase(2, 40, 120, 121, 40, 3, 3, (2, 2), (1, 1), groups=40),
    # and pixels that are copied for the weight gradient
    ConvCase(2, 256, 9, 7, 256, 3, 3, padding=(1, 1), groups=256),
    ConvCase(3, 512, 5, 8, 512, 3, 3, (2, 2), (4, 4), groups=512),
    ConvCase(16, 256, 10, 16, 256, 3, 3, padding=(1, 1), groups=256),  # pieces of an image, the last short
    ConvCase(32, 256, 2, 16, 256, 3, 3, padding=(6, 1), groups=256),  # pieces beyond the edges
    ConvCase(2, 256, 13, 20, 256, 3, 2, (1, 2), (2, 1), (2, 1), groups=256),
    # Groups of few channels, spread over the lanes, and wider ones
    ConvCase(2, 16, 9, 10, 32, 3, 3, padding=(1, 1), groups=8),
    ConvCase(2, 20, 9, 10, 12, 3, 3, (2, 2), (1, 1), groups=4),
    ConvCase(2, 40, 8, 7, 64, 3, 3, padding=(1, 1), groups=8),
    ConvCase(2, 12, 11, 9, 12, 5, 3, (2, 1), (2, 1), (1, 2), 6),
    ConvCase(9, 24, 7, 7, 60, 3, 3, padding=(1, 1), groups=3),
    # Products of pixels: plain, large enough to fetch ahead, with gaps between what a stride meets
    ConvCase(3, 70, 9, 11, 100, 1, 1),
    ConvCase(2, 24, 101, 120, 72, 1, 1),
    ConvCase(3, 40, 9, 8, 33, 1, 1, (3, 2)),
    ConvCase(2, 30, 101, 122, 33, 1, 1, (2, 2)),
    # Weight gradients over several units of rows and of images
    ConvCase(5, 12, 7, 7, 20, 3, 3, padding=(1, 1)),
    ConvCase(2, 10, 37, 30, 35, 3, 3, (2, 1), (1, 1)),
    ConvCase(1, 48, 6, 6, 130, 5, 5, padding=(2, 2)),
    ConvCase(67, 5, 6, 6, 24, 3, 3, padding=(1, 1)),  # strips of several images
    ConvCase(70, 16, 5, 6, 40, 3, 3, (2, 2), (1, 1), groups=2),
    ConvCase(2, 40, 9, 7, 40, 3, 3, padding=(1, 1), groups=40),  # all columns of a row at once
    ConvCase(30, 17, 2, 9, 40, 1, 1, (2, 1)),  # images with gaps between the rows that count,
    ConvCase(30, 17, 3, 9, 40, 3, 1),  # and with several taps
    ConvCase(60, 131, 4, 5, 150, 3, 2, (2, 1), (1, 0)),  # taps' pixels gathered, of several units
    ConvCase(3, 260, 15, 9, 262, 2, 3, (1, 2), (0, 1), groups=2),
]

GEMM_CASES = [  # M, N, K
    (1, 1, 1),
    (5, 7, 3),
    (0, 4, 3),
    (4, 0, 3),
    (4, 5, 0),
    (8, 32, 16),
    (9, 33, 17),
    (7, 31, 15),
    (33, 65, 129),
    (128, 256, 784),
    (64, 10, 128),
    (7, 100, 5000),  # long sums, split
    (130, 31, 129),
    (300, 300, 400),
    (3, 1030, 300),  # a few rows: B is read where it lies
    (20, 1030, 300),  # more: each chunk packs its panels of B
    (20, 40, 512),  # rows of A a power of two apart
    (40, 200, 50),  # columns of A are packed where they are contiguous
    (131, 12, 70),  # panels of three vectors of 4, 8 or 16: read in place or packed,
    (130, 20, 70),
    (130, 24, 70),
    (50, 80, 33),
    (5, 48, 40),
    (61, 204, 40),  # and after others, with packed columns of A
    (128, 10, 130),  # one panel, which each chunk of rows packs
    (1, 300, 1000),  # a few rows or columns: dot products where both lie along K
    (2, 300, 77),
    (3, 45, 130),
    (4, 5, 64),
    (200, 1, 700),
    (70, 3, 100),
]
