"""Data sets, loaders and transforms.

`train, test = load("digits")` gives the two parts of a named data set; `DataLoader(train, batch_size=64,
shuffle=True)` iterates over it in batches of Tensors.
"""

from pynet.data import augment, preprocess, transforms
from pynet.data.cifar10 import CIFAR10
from pynet.data.collate import default_collate
from pynet.data.dataset import (
    ArrayDataset,
    ConcatDataset,
    Dataset,
    ImageDataset,
    Subset,
    TensorDataset,
)
from pynet.data.digits import Digits
from pynet.data.fashion_mnist import FashionMNIST
from pynet.data.image_folder import ImageFolder
from pynet.data.images import open_image, read_image
from pynet.data.loader import DataLoader
from pynet.data.mnist import MNIST
from pynet.data.registry import available, load
from pynet.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from pynet.data.split import random_split, stratified_split

__all__ = [
    "CIFAR10",
    "MNIST",
    "ArrayDataset",
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Digits",
    "FashionMNIST",
    "ImageDataset",
    "ImageFolder",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "augment",
    "available",
    "default_collate",
    "load",
    "open_image",
    "preprocess",
    "random_split",
    "read_image",
    "stratified_split",
    "transforms",
]
