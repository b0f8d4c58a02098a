"""Augmentation: right pixels beside independent oracles, and the same ones whatever the threads, workers and
batches.
"""

from __future__ import annotations

import colorsys
import json

import numpy as np
import pytest
from scipy import ndimage

import pynet
from pynet.data import ArrayDataset, DataLoader, Dataset, ImageDataset, augment, stratified_split, transforms
from pynet.data.augment.color import adjust
from pynet.data.augment.geometry import affine, identity, warp
from pynet.data.augment.rand_augment import autocontrasted, equalized, posterized, sharpened, solarized
from pynet.data.draws import Draws, drawing

ALL = [
    augment.RandomHorizontalFlip(),
    augment.RandomVerticalFlip(),
    augment.RandomCrop((5, 7), padding=2),
    augment.RandomResizedCrop((6, 5)),
    augment.RandomRotation(30, fill=9),
    augment.RandomAffine(20, translate=(0.2, 0.1), scale=(0.7, 1.3), shear=(-10, 10, -5, 5)),
    augment.ColorJitter(0.4, 0.4, 0.4, 0.2),
    augment.RandomGrayscale(0.5),
    augment.GaussianBlur(3),
    augment.GaussianNoise(0.02, 0.1),
    augment.RandomErasing(0.7, value="random"),
    augment.Cutout(4, value=7),
    augment.RandAugment(2, 20),
    transforms.Compose([augment.RandomCrop(7, padding=1), augment.RandomRotation(9), augment.Cutout(2)]),
]
NAMED = pytest.mark.parametrize("augmentation", ALL, ids=lambda a: type(a).__name__)


def images(samples=13, channels=3, height=8, width=9, seed=0):
    """Kernel order, as data sets hold colour images; smooth, so that interpolation is a fair question."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(samples, channels, height, width))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 1, 1))
    scaled = 127 + 200 * smooth / np.abs(smooth).max()
    pixels = np.clip(scaled, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


# Streams ------------------------------------------------------------------------------------------


def test_numbers_are_uniform_normal_and_a_samples_own():
    draws = Draws((3, 1), 2, np.arange(2000))
    uniform, normal = draws.uniform(50), draws.normal(50)
    assert uniform.min() >= 0 and uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 5 * (1 / 12 / 1e5) ** 0.5
    assert abs(normal.mean()) < 5 / 1e5**0.5 and abs(normal.std() - 1) < 0.02
    assert len(np.unique(uniform)) > 99_000
    # A sample's stream does not depend on its neighbours.
    alone = Draws((3, 1), 2, [1234])
    assert np.array_equal(alone.uniform(50)[0], uniform[1234])
    assert np.array_equal(alone.normal(50)[0], normal[1234])
    for other in (Draws((4, 1), 2, [1234]), Draws((3, 2), 2, [1234]), Draws((3, 1), 3, [1234])):
        assert not np.array_equal(other.uniform(50)[0], uniform[1234])


def test_integers_reach_both_ends_and_nothing_else():
    values = Draws((0, 0), 0, np.arange(4000)).integers(-2, 3)
    counts = np.bincount(values + 2, minlength=5)
    assert counts.size == 5 and counts.min() > 650


@NAMED
def test_the_same_images_at_every_thread_count_and_batch_size(augmentation):
    x = images(40)
    before, results = x.copy(), []
    for threads, size in ((1, 40), (2, 40), (3, 40), (2, 7), (1, 1)):
        pynet.set_num_threads(threads)
        loader = DataLoader(ArrayDataset(x, np.arange(40), transform=augmentation), size, generator=5)
        results.append([np.concatenate([batch.array for batch, _ in loader]) for _ in range(2)])
    pynet.set_num_threads(2)
    for epochs in results[1:]:
        for first, other in zip(results[0], epochs, strict=True):
            assert np.array_equal(first, other)
    assert not np.array_equal(*results[0]), "two epochs are the same"
    assert np.array_equal(x, before), "the data set was written to"


@NAMED
@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_images_with_workers(augmentation, workers):
    dataset = ArrayDataset(images(40), np.arange(40), transform=augmentation)
    without, with_workers = (
        [batch.array for batch, _ in DataLoader(dataset, 6, shuffle=True, generator=1, num_workers=number)]
        for number in (0, workers)
    )
    assert all(np.array_equal(a, b) for a, b in zip(without, with_workers, strict=True))


def test_sample_by_sample_is_the_same_as_whole_batches():
    x = images(20)
    augmentation = transforms.Compose([augment.RandomAffine(20, (0.1, 0.1)), augment.ColorJitter(0.3)])

    class Single(Dataset):
        random = True

        def __len__(self):
            return 20

        def __getitem__(self, index):
            return augmentation(x[index]), index

    whole = DataLoader(ArrayDataset(x, np.arange(20), transform=augmentation), 6, shuffle=True, generator=3)
    single = DataLoader(Single(), 6, shuffle=True, generator=3, num_workers=2)
    for (a, labels), (b, others) in zip(whole, single, strict=True):
        assert np.array_equal(labels.array, others.array)
        assert np.array_equal(a.array, b.array)


def test_a_resumed_loader_goes_on_with_the_same_images():
    def loader(**options):
        dataset = ImageDataset(images(30), np.arange(30) % 3, "abc", transform=augment.RandAugment())
        part, _ = stratified_split(dataset, 0.2, seed=0)
        return DataLoader(part, 4, **options)

    for options in ({"shuffle": True}, {}):
        pynet.manual_seed(8)
        whole = loader(**options)
        expected = [[batch.array for batch, _ in whole] for _ in range(3)]
        pynet.manual_seed(8)
        first = loader(**options)
        list(first)
        iterator = iter(first)
        next(iterator)
        state = json.loads(json.dumps(first.state_dict()))
        second = loader(**options)
        second.load_state_dict(state)
        rest = [[batch.array for batch, _ in second] for _ in range(2)]
        for mine, theirs in zip(rest, [expected[1][1:], expected[2]], strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_outside_a_loader_pynets_seed_rules():
    x, augmentation = images(), augment.RandomAffine(30)
    pynet.manual_seed(1)
    first, second = augmentation(x), augmentation(x)
    pynet.manual_seed(1)
    assert np.array_equal(augmentation(x), first)
    assert not np.array_equal(first, second)


# Geometry -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("edge", [False, True])
def test_warp_is_scipys_affine_transform(channels, edge):
    x = images(6, channels, 11, 7)
    rng = np.random.default_rng(1)
    maps = identity(6)
    maps[:, :2, :2] += rng.normal(size=(6, 2, 2)) * 0.4
    maps[:, :2, 2] = rng.normal(size=(6, 2)) * 3
    got = warp(x, maps, (9, 12), fill=50, edge=edge)
    assert got.shape == (6, channels, 9, 12)
    for image, m, out in zip(x, maps, got, strict=True):
        turned = m[:2, :2][::-1, ::-1]  # SciPy counts (row, column)
        for plane, result in zip(image.astype(float), out, strict=True):
            expected = ndimage.affine_transform(
                plane,
                turned,
                m[:2, 2][::-1],
                (9, 12),
                order=1,
                mode="nearest" if edge else "grid-constant",
                cval=50,
            )
            # 8 binary digits of each weight: a step of 255 moves by at most 2.
            assert np.abs(result - expected).max() <= 2.01


def test_flips_and_crops_copy_pixels():
    x = images(60)
    for flip, axis in ((augment.RandomHorizontalFlip, 3), (augment.RandomVerticalFlip, 2)):
        assert np.array_equal(flip(1.0)(x), np.flip(x, axis))
        assert np.array_equal(flip(0.0)(x), x)
        out = flip()(x)
        mirrored = (out == np.flip(x, axis)).all(axis=(1, 2, 3))
        assert (mirrored | (out == x).all(axis=(1, 2, 3))).all()
        assert 12 < mirrored.sum() < 48
    for mode in ("constant", "edge"):
        options = {"constant_values": 3} if mode == "constant" else {}
        padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (1, 1)), mode, **options)
        out = augment.RandomCrop((8, 7), padding=(1, 2), fill=3, padding_mode=mode)(x)
        places = [(r, c) for r in range(5) for c in range(5)]
        hits = np.stack([(padded[:, :, r : r + 8, c : c + 7] == out).all(axis=(1, 2, 3)) for r, c in places])
        assert hits.any(axis=0).all(), "an output is no window of the padded image"
        assert hits.any(axis=1).sum() > 15, "most windows are never taken"


def test_a_window_larger_than_the_image():
    with pytest.raises(
        ValueError, match=r"the window \(20, 20\) is larger than the padded image, \(10, 11\)"
    ):
        augment.RandomCrop(20, padding=1)(images())
    out = augment.RandomCrop(20, pad_if_needed=True, fill=4)(images(3))
    assert out.shape == (3, 3, 20, 20)
    assert (out == 4).mean() > 0.5


def test_affine_maps_turn_clockwise_about_the_centre():
    size, zero, one = (9, 9), np.zeros((1, 2)), np.ones(1)
    point = np.array([8.0, 4.0, 1.0])  # right of the centre comes from above it
    assert np.allclose(affine(size, np.array([90.0]), zero, one, zero)[0] @ point, [4, 0, 1])
    moved = affine(size, np.zeros(1), np.array([[2.0, -1.0]]), one, zero)[0]
    assert np.allclose(moved @ point, [6, 5, 1])
    larger = affine(size, np.zeros(1), zero, np.array([2.0]), zero)[0]
    assert np.allclose(larger @ point, [6, 4, 1])
    sheared = affine(size, np.zeros(1), zero, one, np.array([[45.0, 0.0]]))[0]
    assert np.allclose(np.linalg.inv(sheared) @ [4, 6, 1], [2, 6, 1])
    # RandomRotation counts the other way round, as torchvision's does.
    x = images(1, 3, 9, 9)
    assert np.array_equal(augment.RandomRotation((90, 90))(x), np.rot90(x, axes=(2, 3)))


def test_a_resized_crop_of_everything_is_the_image_resized():
    from PIL import Image

    x = images(4, 1, 6, 6)
    same = augment.RandomResizedCrop(6, scale=(1, 1), ratio=(1, 1))(x)
    assert np.array_equal(same, x)
    larger = augment.RandomResizedCrop((13, 17), scale=(1, 1), ratio=(1, 1))(x)
    for image, out in zip(x, larger, strict=True):
        expected = np.asarray(Image.fromarray(image[0]).resize((17, 13), Image.Resampling.BILINEAR))
        assert np.abs(out[0].astype(int) - expected).max() <= 2


def test_resized_crops_have_the_areas_and_shapes_asked_for():
    # The image holds its own coordinates, so that the window can be read off the corners of what comes out.
    rows, columns = np.mgrid[0:200, 0:240]
    x = np.broadcast_to(np.stack([rows, columns]).astype(np.uint8), (300, 2, 200, 240))
    out = augment.RandomResizedCrop(100, scale=(0.2, 0.5), ratio=(0.5, 2.0))(x).astype(float)
    height, width = (np.ptp(out[:, k], axis=(1, 2)) * 1.01 for k in (0, 1))
    area, ratio = height * width / (200 * 240), width / height
    assert 0.17 < area.min() < 0.26 and 0.44 < area.max() < 0.53
    assert 0.45 < ratio.min() < 0.6 and 1.7 < ratio.max() < 2.2


def test_a_run_of_warps_is_one_warp():
    crop, flip = augment.RandomCrop(9, padding=3), augment.RandomHorizontalFlip()
    joined = transforms.Compose([crop, flip, augment.RandomVerticalFlip()])
    assert len(joined.transforms) == 1
    x = images(30, 3, 9, 9)
    with drawing((1, 2), 3, np.arange(30)):
        one = joined(x)
    with drawing((1, 2), 3, np.arange(30)):
        steps = augment.RandomVerticalFlip()(flip(crop(x)))
    assert np.array_equal(one, steps)
    apart = transforms.Compose([augment.RandomCrop(9, padding=1, fill=1), flip, augment.RandomRotation(5)])
    assert len(apart.transforms) == 2, "warps with another outside were joined"


# Colour -------------------------------------------------------------------------------------------


def test_colours_are_torchvisions():
    x = images(3, 3, 6, 5, seed=4)
    pixels = x.astype(float)
    grey = 0.299 * pixels[:, 0] + 0.587 * pixels[:, 1] + 0.114 * pixels[:, 2]
    ones = np.tile(np.array([1.0, 1, 1, 0]), (3, 1))

    def adjusted(column, value):
        factors = ones.copy()
        factors[:, column] = value
        return adjust(x, factors)

    def close(got, expected):
        return np.abs(got - np.clip(expected, 0, 255)).max() <= 1.01

    for factor in (0.0, 0.5, 1.7):
        assert close(adjusted(0, factor), factor * pixels)
        mean = grey.mean(axis=(1, 2))[:, None, None, None]
        assert close(adjusted(1, factor), factor * pixels + (1 - factor) * mean)
        assert close(adjusted(2, factor), factor * pixels + (1 - factor) * grey[:, None])
    for turn in (-0.3, 0.1, 0.5):
        got = adjusted(3, turn)
        for image, out in zip(x, got, strict=True):
            for r, c in np.ndindex(6, 5):
                hue, saturation, value = colorsys.rgb_to_hsv(*(image[:, r, c] / 255))
                expected = 255 * np.array(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value))
                assert np.abs(out[:, r, c] - expected).max() <= 1.01
    assert np.array_equal(adjust(x, ones), x)
    grey_only = augment.RandomGrayscale(1.0)(x)
    assert (grey_only[:, 0] == grey_only[:, 1]).all() and close(grey_only, grey[:, None])


def test_colour_of_grey_images():
    x = images(4, 1)
    assert np.array_equal(augment.ColorJitter(saturation=0.9, hue=0.5)(x), x)
    assert not np.array_equal(augment.ColorJitter(brightness=0.9)(x), x)


@pytest.mark.parametrize("size", [(8, 9), (5, 40)])
def test_blur_is_scipys(size):
    x = images(3, 2, *size)
    got = augment.GaussianBlur(7, 1.3)(x)
    weights = np.exp(-0.5 * (np.arange(-3, 4) / 1.3) ** 2)
    weights /= weights.sum()
    expected = x.astype(float)
    for axis in (2, 3):
        expected = ndimage.correlate1d(expected, weights, axis, mode="mirror")
    assert np.abs(got - expected).max() <= 1
    flat = np.full((1, 1, 9, 9), 201, np.uint8)
    assert (augment.GaussianBlur(9, (0.1, 3))(flat) == 201).all()


def test_noise_has_its_mean_and_deviation():
    x = np.full((20, 1, 40, 40), 128, np.uint8)
    noise = augment.GaussianNoise(0.1, 0.05)(x).astype(float) - 128
    assert abs(noise.mean() - 25.5) < 0.5 and abs(noise.std() - 12.75) < 0.3
    assert np.array_equal(augment.GaussianNoise(0, 0)(x), x)


# Hiding -------------------------------------------------------------------------------------------


def test_cutout_hides_one_square_that_may_be_cut_off():
    x = np.full((300, 3, 12, 10), 200, np.uint8)
    hidden = augment.Cutout(4, value=[1, 2, 3])(x) != 200
    areas = hidden[:, 0].sum(axis=(1, 2))
    assert areas.max() == 16 and areas.min() <= 8
    assert (hidden[:, 0] == hidden[:, 2]).all()
    assert hidden.any(axis=(0, 1)).all(), "some pixel is never hidden"
    assert np.array_equal(augment.Cutout(4, p=0)(x), x)


def test_erased_rectangles_have_the_areas_and_shapes_asked_for():
    x = np.full((400, 1, 40, 40), 200, np.uint8)
    out = augment.RandomErasing(0.5, scale=(0.1, 0.2), ratio=(0.5, 2))(x)[:, 0] == 0
    erased = out.any(axis=(1, 2))
    assert 150 < erased.sum() < 250
    height, width = (out.any(axis=axis).sum(axis=1)[erased] for axis in (2, 1))
    assert (out.sum(axis=(1, 2))[erased] == height * width).all(), "what is erased is no rectangle"
    area = height * width / 1600
    assert 0.09 < area.min() < 0.13 and 0.17 < area.max() < 0.22
    assert 0.45 < (height / width).min() < 0.6


# RandAugment --------------------------------------------------------------------------------------


def test_the_operations_of_randaugment_are_pillows():
    from PIL import Image, ImageEnhance, ImageOps

    x = images(3, 3, 20, 17, seed=2)
    strength = np.array([0.6, -0.6, 1.0])
    for image, s, *results in zip(
        x, strength, posterized(x, strength), solarized(x, strength), autocontrasted(x, strength),
        equalized(x, strength), sharpened(x, strength), strict=True,
    ):  # fmt: skip
        picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
        expected = [
            ImageOps.posterize(picture, 8 - round(4 * abs(s))),
            ImageOps.solarize(picture, int(np.ceil(255 * (1 - abs(s))))),
            ImageOps.autocontrast(picture),
            ImageOps.equalize(picture),
            ImageEnhance.Sharpness(picture).enhance(1 + 0.9 * s),
        ]
        for name, got, right in zip(
            ["posterize", "solarize", "autocontrast", "equalize", "sharpness"], results, expected, strict=True
        ):
            difference = np.abs(got.astype(int) - np.asarray(right).transpose(2, 0, 1))
            assert difference.max() <= (0 if name in ("posterize", "solarize", "equalize") else 2), name


def test_randaugment_without_operations_or_strength():
    x = images()
    assert np.array_equal(augment.RandAugment(0)(x), x)
    changed = augment.RandAugment(2, 30)(images(200))
    assert (changed != images(200)).any(axis=(1, 2, 3)).mean() > 0.9


# Mixing -------------------------------------------------------------------------------------------


def test_mixup_and_cutmix_keep_the_labels_honest():
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 4
    # The pixel is the sample's number, so that the mixture tells its shares.
    x = np.broadcast_to(np.arange(12, dtype=np.float32)[:, None, None, None], (12, 3, 10, 10)).copy()
    partner = np.roll(np.arange(12), 1)
    for seed in range(20):
        pynet.manual_seed(seed)
        mixed, targets = augment.MixUp(alpha=0.8, num_classes=4)(x, labels)
        share = (mixed[1, 0, 0, 0] - 0) / 1  # sample 1 with sample 0
        one_hot = np.eye(4)[labels]
        assert np.allclose(targets, share * one_hot + (1 - share) * one_hot[partner], atol=1e-5)
        cut, targets = augment.CutMix(num_classes=4)(x, labels)
        assert np.isin(cut, np.arange(12)).all()
        share = (cut[5] == 5).mean()
        assert np.allclose(targets[5], share * one_hot[5] + (1 - share) * one_hot[4], atol=1e-6)
    tensor, targets = augment.CutMix(num_classes=4)(pynet.from_numpy(x), pynet.from_numpy(labels))
    loss = pynet.nn.CrossEntropyLoss()(pynet.tensor(rng.normal(size=(12, 4)).astype(np.float32)), targets)
    assert np.isfinite(loss.item()) and isinstance(tensor, pynet.Tensor)


# Kinds of images, and what is refused -------------------------------------------------------------


def test_single_images_and_pillow_images():
    from PIL import Image

    x = images(1)
    rotate = augment.RandomRotation((90, 90))
    assert np.array_equal(rotate(x[0]), rotate(x)[0])
    picture = Image.fromarray(np.ascontiguousarray(x[0].transpose(1, 2, 0)))
    out = rotate(picture)
    assert isinstance(out, Image.Image)
    assert np.array_equal(np.asarray(out).transpose(2, 0, 1), rotate(x)[0])
    assert transforms.ToTensor()(augment.RandomGrayscale(0)(picture.convert("L"))).shape == (1, 8, 9)


@NAMED
def test_an_empty_batch_stays_empty(augmentation):
    assert len(augmentation(images(1)[:0])) == 0


def test_the_contact_sheet(tmp_path):
    sheet = augment.contact_sheet(ALL[-1], images(3), tmp_path / "sheet.png", columns=5, side=16)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert np.array_equal(sheet, augment.contact_sheet(ALL[-1], images(3), columns=5, side=16))
    with pytest.raises(TypeError, match="leave the preprocessing out"):
        augment.contact_sheet(transforms.ToFloat(), images(3))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: augment.RandomHorizontalFlip(1.5), ValueError, "p must be from 0 to 1, got 1.5"),
        (lambda: augment.RandomHorizontalFlip("a"), TypeError, "p must be a number, got 'a'"),
        (lambda: augment.RandomCrop(0), ValueError, "size must be at least 1"),
        (lambda: augment.RandomCrop(2.5), TypeError, "size must be an integer or two"),
        (lambda: augment.RandomCrop(8, padding=(1, 2, 3)), ValueError, "padding must be one, two or four"),
        (lambda: augment.RandomCrop(8, padding_mode="reflect"), ValueError, "padding_mode must be"),
        (lambda: augment.RandomCrop(8, fill=(1, 2))(images()), ValueError, "one number or one a channel"),
        (lambda: augment.RandomRotation((20, 10)), ValueError, "must rise from its first"),
        (lambda: augment.RandomRotation(-5), ValueError, "degrees must be at least 0"),
        (lambda: augment.RandomAffine(0, translate=0.1), TypeError, "translate must be two shares"),
        (lambda: augment.RandomAffine(0, translate=(0, 2)), ValueError, "translate must be from 0 to 1"),
        (lambda: augment.RandomAffine(0, scale=(0, 1)), ValueError, "scale must be from 0.001"),
        (lambda: augment.RandomAffine(0, shear=float("nan")), ValueError, "shear must be"),
        (lambda: augment.RandomResizedCrop(8, scale=0.5), TypeError, "scale must be a pair"),
        (lambda: augment.ColorJitter(hue=(0, 0.7)), ValueError, "hue must be from -0.5 to 0.5"),
        (lambda: augment.ColorJitter(brightness=-1), ValueError, "brightness must be at least 0"),
        (lambda: augment.GaussianBlur(4), ValueError, "kernel_size must be odd"),
        (lambda: augment.GaussianBlur(31)(images()), ValueError, "larger than half the kernel"),
        (lambda: augment.GaussianNoise(sigma=-1), ValueError, "sigma must be at least 0"),
        (lambda: augment.RandomErasing(value="x"), ValueError, "value must be numbers or 'random'"),
        (lambda: augment.Cutout(0), ValueError, "size must be at least 1"),
        (lambda: augment.RandAugment(magnitude=31), ValueError, "magnitude must be below"),
        (lambda: augment.MixUp(num_classes=0), ValueError, "num_classes must be"),
        (lambda: augment.MixUp(alpha=0, num_classes=2), ValueError, "alpha must be"),
        (lambda: augment.MixUp(num_classes=2)(images(), np.zeros(13)), TypeError, "images must be float"),
        (lambda: augment.MixUp(num_classes=2)(np.zeros((1, 1, 4, 4)), np.array([2])), ValueError, "labels"),
        (lambda: augment.RandomRotation(5)(images().astype(np.float32)), TypeError, "images must be uint8"),
        (lambda: augment.RandomRotation(5)(images()[0, 0]), ValueError, r"images must be \(N, C, H, W\)"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()
