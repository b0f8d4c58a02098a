"""ImageFolder and the reading of single images."""

from __future__ import annotations

import numpy as np
import pytest

from pynet.data import DataLoader, ImageFolder, open_image, read_image
from pynet.data.transforms import Compose, Grayscale, Resize, ToTensor

pillow = pytest.importorskip("PIL.Image")


@pytest.fixture
def root(tmp_path):
    for name, colour in (("owl", (255, 0, 0)), ("ant", (0, 255, 0)), ("bee", (0, 0, 255))):
        (tmp_path / name / "deep").mkdir(parents=True)
        pillow.new("RGB", (6, 4), colour).save(tmp_path / name / "b.PNG")
        pillow.new("RGB", (6, 4), colour).save(tmp_path / name / "deep" / "a.jpg", quality=95)
        (tmp_path / name / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_classes_and_samples_are_sorted(root):
    folder = ImageFolder(root)
    assert folder.classes == ("ant", "bee", "owl") and folder.class_to_idx == {"ant": 0, "bee": 1, "owl": 2}
    assert len(folder) == 6 and folder.labels.tolist() == folder.targets == [0, 0, 1, 1, 2, 2]
    assert [path for path, _ in folder.samples[:2]] == [str(root / "ant/b.PNG"), str(root / "ant/deep/a.jpg")]
    image, label = folder[0]
    assert label == 0 and image.shape == (3, 4, 6) and image[:, 0, 0].tolist() == [0, 1, 0]


def test_through_the_loader(root):
    transform = Compose([Grayscale(), Resize((8, 8)), ToTensor()])
    loader = DataLoader(ImageFolder(root, transform=transform), 4, num_workers=2)
    images, labels = next(iter(loader))
    assert images.shape == (4, 1, 8, 8) and labels.array.tolist() == [0, 0, 1, 1]


def test_own_loader_and_target_transform(root):
    folder = ImageFolder(root, transform=str.upper, loader=str, target_transform=lambda label: -label)
    assert folder[5] == (str(root / "owl/deep/a.jpg").upper(), -2)


def test_a_broken_image_is_named(root):
    good = (root / "bee" / "b.PNG").read_bytes()
    for content in (b"", b"<html>", good[: good.index(b"IDAT") + 8], good[:40]):
        (root / "bee" / "b.PNG").write_bytes(content)
        with pytest.raises(ValueError, match=r"bee/b\.PNG: not an image that can be read"):
            ImageFolder(root)[2]

    def loader(path):
        raise KeyError("odd")

    with pytest.raises(ValueError, match=r"ant/b\.PNG: the image cannot be read: 'odd'"):
        ImageFolder(root, loader=loader)[0]


def test_folders_without_classes_or_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        ImageFolder(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"has no class folders; images are expected in .*/CLASS/"):
        ImageFolder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(FileNotFoundError, match=r"class folder .*cat has no images"):
        ImageFolder(tmp_path)


@pytest.mark.parametrize("channels", [1, 3])
def test_read_image(root, channels):
    image = read_image(root / "owl" / "b.PNG", channels=channels, size=(5, 7))
    assert image.shape == (channels, 5, 7) and image.dtype == np.uint8
    assert image.transpose(1, 2, 0).flags.c_contiguous
    assert image[:, 0, 0].tolist() == ([76] if channels == 1 else [255, 0, 0])


def test_transparent_parts_are_white(tmp_path):
    pillow.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()


def test_sixteen_bit_greys_keep_their_shades(tmp_path):
    pillow.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png", channels=1)[0, 0].tolist() == [0, 128, 255]


def test_a_photograph_is_turned_upright(tmp_path):
    image = pillow.new("L", (4, 2))
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (2, 4)


def test_reading_refuses(tmp_path, root, monkeypatch):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "missing.png")
    with pytest.raises(ValueError, match="channels must be 1 or 3, got 2"):
        read_image(root / "owl" / "b.PNG", channels=2)
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 4)
    with pytest.raises(ValueError, match=r"b\.PNG: the image is too large"):
        read_image(root / "owl" / "b.PNG")
