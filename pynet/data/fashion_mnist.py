"""Fashion-MNIST: 60,000 + 10,000 pieces of clothing, 28x28 grey, in MNIST's format."""

from __future__ import annotations

from typing import ClassVar

from pynet.data.mnist import MNIST


class FashionMNIST(MNIST):
    """Fashion-MNIST, from a folder, from Debian's package `dataset-fashion-mnist`, or downloaded.

    Arguments, attributes and errors are MNIST's.

    Source:
        Xiao, Rasul, Vollgraf 2017, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
        algorithms".
    """

    NAME: ClassVar[str] = "fashion-mnist"
    CLASSES: ClassVar[tuple[str, ...]] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    # Debian's files hold the same images under other sums: their gzip headers are stripped of the file name.
    FILES: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    }
    MIRRORS: ClassVar[tuple[str, ...]] = (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    )
    FOLDERS: ClassVar[tuple[str, ...]] = ("/usr/share/datasets/fashion-mnist",)
    WAY_OUT: ClassVar[str] = (
        "Without a network: `apt install dataset-fashion-mnist` on Debian or Ubuntu, or put the four "
        "idx files into a folder and pass root=FOLDER."
    )
