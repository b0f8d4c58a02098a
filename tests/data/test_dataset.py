"""Data sets: ArrayDataset, ImageDataset, Subset, ConcatDataset and the splits."""

from __future__ import annotations

import numpy as np
import pytest

from pynet.autograd import from_numpy
from pynet.data import (
    ArrayDataset,
    ConcatDataset,
    Dataset,
    ImageDataset,
    Subset,
    TensorDataset,
    random_split,
    stratified_split,
)
from pynet.random import Generator


def ten(transform=None):
    return ArrayDataset(np.arange(20.0).reshape(10, 2), np.arange(10), transform=transform)


def test_array_dataset_gives_tuples_and_shares_memory():
    array = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    dataset = TensorDataset(array, from_numpy(np.array([5, 6, 7])))
    assert len(dataset) == 3
    row, label = dataset[-1]
    assert row.tolist() == [4, 5] and label == 7
    array[2] = 9
    assert dataset[2][0].tolist() == [9, 9]


def test_array_dataset_slices():
    rows, labels = ten()[2:5]
    assert rows.tolist() == [[4, 5], [6, 7], [8, 9]] and labels.tolist() == [2, 3, 4]
    assert ten()[[7, -1]][1].tolist() == [7, 9]
    assert ten(transform=lambda row: row * 2)[8:][0].tolist() == [[32, 34], [36, 38]]


@pytest.mark.parametrize("index", [10, -11, 2**70])
def test_array_dataset_index_out_of_range(index):
    with pytest.raises(IndexError, match=rf"ArrayDataset: index {index} is out of range for 10 samples"):
        ten()[index]


@pytest.mark.parametrize("index", [1.0, True, "1", None])
def test_array_dataset_index_of_a_wrong_type(index):
    with pytest.raises(TypeError, match="an index must be an integer"):
        ten()[index]


def test_array_dataset_refuses():
    with pytest.raises(ValueError, match=r"equally long, got shapes \[\(3,\), \(4,\)\]"):
        ArrayDataset(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="at least one array"):
        ArrayDataset()
    with pytest.raises(ValueError, match="first axis"):
        ArrayDataset(np.array(3.0))
    with pytest.raises(TypeError, match="masked arrays"):
        ArrayDataset(np.ma.masked_array([1.0, 2.0], [0, 1]))
    for bad in (np.array([None, 1]), np.zeros(2, "f4,i4"), np.array(["a"]), np.zeros(2, complex)):
        with pytest.raises(TypeError, match="must hold floats, integers or booleans"):
            ArrayDataset(bad)


def test_gather_equals_the_samples_one_by_one():
    dataset = ten()
    rows, labels = dataset.gather(np.array([3, 3, 0]))
    assert np.array_equal(rows, np.stack([dataset[i][0] for i in (3, 3, 0)])) and labels.tolist() == [3, 3, 0]


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2)])
def test_gather_keeps_the_memory_order(axes):
    stored = np.random.default_rng(0).random([(6, 3, 4, 5)[axis] for axis in axes]).astype(np.float32)
    array = stored.transpose(np.argsort(axes))
    assert array.shape == (6, 3, 4, 5)
    (batch,) = ArrayDataset(array).gather(np.array([4, 1]))
    assert np.array_equal(batch, array[[4, 1]])
    assert batch.transpose(axes).flags.c_contiguous


@pytest.mark.parametrize(
    "view", [lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a[:, :, ::2], np.asfortranarray]
)
def test_gather_of_any_strides(view):
    array = view(np.arange(240, dtype=np.float32).reshape(5, 4, 4, 3))
    (batch,) = ArrayDataset(array).gather(np.array([4, 0, 2]))
    assert np.array_equal(batch, array[[4, 0, 2]])


def test_gather_of_a_mirrored_array_in_kernel_order_is_in_kernel_order():
    stored = np.arange(120, dtype=np.float32).reshape(2, 4, 5, 3)[:, ::-1, ::-1]
    (batch,) = ArrayDataset(stored.transpose(0, 3, 1, 2)).gather(np.array([1, 0]))
    assert batch.transpose(0, 2, 3, 1).flags.c_contiguous
    assert np.array_equal(batch.transpose(0, 2, 3, 1), stored[[1, 0]])


def test_gather_reads_memory_mapped_read_only_and_big_endian_arrays(tmp_path):
    values = np.arange(12.0).reshape(6, 2)
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    swapped = values.astype(">f8")
    one, two = ArrayDataset(mapped, swapped).gather(np.array([5, 1]))
    assert np.array_equal(one, values[[5, 1]]) and np.array_equal(two, values[[5, 1]])
    one[...] = 0  # a batch is the caller's own
    assert np.array_equal(mapped, values)


def test_gather_leaves_transforms_of_single_samples_to_the_loader():
    def double(row):
        return row * 2

    assert ten(transform=double).gather(np.array([1])) is None
    double.batched = True
    assert ten(transform=double).gather(np.array([1]))[0].tolist() == [[4, 6]]


def test_a_subclass_with_its_own_getitem_is_not_bypassed():
    class Shifted(ArrayDataset):
        def __getitem__(self, index):
            return super().__getitem__(index)[0] + 100

    dataset = Shifted(np.arange(3.0))
    assert dataset.gather(np.array([0])) is None
    assert Subset(dataset, [1]).gather(np.array([0])) is None
    assert dataset[0] == 100


def test_subset_maps_indices_and_nests():
    part = Subset(ten(), [9, 0, -2])
    assert [part[i][1] for i in range(3)] == [9, 0, 8] and len(part) == 3
    nested = Subset(part, [2, 0])
    assert nested.gather(np.array([0, 1]))[1].tolist() == [8, 9]
    assert nested.labels.tolist() == [8, 9]
    assert [int(sample[1]) for sample in part[1:]] == [0, 8]


def test_subset_refuses():
    with pytest.raises(IndexError, match="Subset: index 10 is out of range for 10 samples"):
        Subset(ten(), [0, 10])
    with pytest.raises(TypeError, match="indices must be integers"):
        Subset(ten(), [0.5])
    with pytest.raises(IndexError, match="Subset: index 2 is out of range for 2 samples"):
        Subset(ten(), [3, 4])[2]


def test_an_empty_subset():
    assert len(Subset(ten(), [])) == 0


def test_concat():
    both = ConcatDataset([ten(), Subset(ten(), [3]), ten()])
    assert len(both) == 21
    assert [both[i][1] for i in (0, 9, 10, 11, 20, -1, -21)] == [0, 9, 3, 0, 9, 9, 0]
    with pytest.raises(IndexError, match="ConcatDataset: index 21"):
        both[21]
    with pytest.raises(ValueError, match="at least one data set"):
        ConcatDataset([])
    assert len(ten() + ten()) == 20


def test_concat_passes_over_empty_parts():
    both = ConcatDataset([Subset(ten(), []), ten()])
    assert both[0][1] == 0


def test_base_class_says_what_is_missing():
    with pytest.raises(NotImplementedError, match="must define __getitem__"):
        Dataset()[0]


def test_image_dataset():
    images = np.full((4, 3, 2, 2), 51, np.uint8)
    dataset = ImageDataset(images, np.array([0, 1, 1, 0], np.uint8), ["no", "yes"], train=True)
    assert dataset.labels.dtype == np.int64 and dataset.classes == ("no", "yes") and dataset.train is True
    image, label = dataset[1]
    assert image.dtype == np.float32 and image.shape == (3, 2, 2) and label == 1
    assert np.allclose(image, 0.2)
    raw = dataset.with_transform(None)
    assert raw[0][0].dtype == np.uint8 and raw.images is dataset.images
    assert dataset[0][0].dtype == np.float32


def test_image_dataset_refuses():
    images, labels = np.zeros((2, 1, 2, 2), np.uint8), np.array([0, 1])
    with pytest.raises(TypeError, match="images must be uint8"):
        ImageDataset(images.astype(np.float32), labels, "ab")
    with pytest.raises(TypeError, match="labels integers"):
        ImageDataset(images, labels * 1.0, "ab")
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        ImageDataset(images[:, 0], labels, "ab")
    with pytest.raises(ValueError, match=r"labels must be in \[0, 1\), got 0 to 1"):
        ImageDataset(images, labels, "a")
    with pytest.raises(ValueError, match="equally long"):
        ImageDataset(images, labels[:1], "ab")


def test_random_split_by_lengths_and_fractions():
    parts = random_split(range(10), [7, 3], generator=Generator(3))
    assert [len(part) for part in parts] == [7, 3]
    assert sorted(sample for part in parts for sample in part) == list(range(10))
    assert [len(part) for part in random_split(range(10), [0.5, 0.25, 0.25], generator=0)] == [6, 2, 2]
    assert [len(part) for part in random_split(range(3), [0, 3], generator=0)] == [0, 3]


def test_random_split_is_a_function_of_the_seed():
    first, again, other = (random_split(range(50), [25, 25], generator=Generator(s))[0] for s in (1, 1, 2))
    assert list(first) == list(again) and list(first) != list(other)


def test_random_split_refuses():
    with pytest.raises(ValueError, match=r"lengths \[7, 2\] add up to 9, the data set has 10 samples"):
        random_split(range(10), [7, 2])
    with pytest.raises(ValueError, match="fractions must add up to 1"):
        random_split(range(10), [0.5, 0.4])
    with pytest.raises(ValueError, match="must not be negative"):
        random_split(range(10), [11, -1])
    with pytest.raises(TypeError, match=r"generator must be a pynet\.random\.Generator"):
        random_split(range(10), [5, 5], generator="0")


def test_stratified_split_keeps_every_share():
    labels = np.repeat([0, 1, 2], [80, 16, 4])
    rest, part = stratified_split(ArrayDataset(np.arange(100), labels), 0.25, seed=0)
    assert np.bincount(part.labels).tolist() == [20, 4, 1]
    assert np.bincount(rest.labels).tolist() == [60, 12, 3]
    assert sorted([*rest.indices, *part.indices]) == list(range(100))


def test_stratified_split_size_is_rounded_once():
    labels = np.repeat(np.arange(7), 3)
    _, part = stratified_split(range(21), 0.5, labels=labels)
    assert len(part) == 10 and np.bincount(part.indices // 3, minlength=7).max() == 2


def test_stratified_split_is_a_function_of_the_seed():
    labels = np.arange(200) % 4
    chosen = [
        stratified_split(range(200), 0.25, seed=s, labels=labels)[1].indices.tolist() for s in (0, 0, 1)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_stratified_split_of_subsets_and_joins():
    labelled = ArrayDataset(np.zeros((8, 2)), np.arange(8) % 2)
    _, part = stratified_split(ConcatDataset([labelled, Subset(labelled, [0, 1, 2, 3])]), 0.5)
    assert len(part) == 6


def test_stratified_split_refuses():
    with pytest.raises(ValueError, match="fraction must be between 0 and 1"):
        stratified_split(range(4), 1.0, labels=[0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"labels must have shape \(4,\)"):
        stratified_split(range(4), 0.5, labels=[0, 1])
    with pytest.raises(ValueError, match="leaves one part empty"):
        stratified_split(range(4), 0.01, labels=[0, 1, 0, 1])
    with pytest.raises(ValueError, match="pass labels="):
        stratified_split(ArrayDataset(np.zeros((4, 2))), 0.5)
