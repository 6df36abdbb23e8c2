"""Which side an image falls on when the data is split: its original decides, whatever becomes of it here."""

import dataclasses
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.data.dataset import Dataset
from sfumato.data.drawings import drawings
from sfumato.data.glyphs import glyphs
from sfumato.data.load import TEST_SHARE, load
from sfumato.data.scenes import load_scenes


def write(folder, count, side=12, ending="png", mode="RGB", first=0, prefix=""):
    """Pictures number `first` and on, of random pixels in random places; their names start with `prefix`."""
    folder.mkdir(exist_ok=True)
    for i in range(first, first + count):
        noise = np.random.default_rng(i).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).convert(mode).save(folder / f"{prefix}{i:03}.{ending}")
    return folder


def held_out(data):
    """Which of the images, by their order, are held out."""
    whole = {image.numpy().tobytes(): i for i, image in enumerate(data.pictures)}
    return [whole[image.numpy().tobytes()] for image in data.split(0.3, purpose="validation")[1].pictures]


@pytest.mark.parametrize(("side", "count"), [(12, 30), (257, 12)])
def test_the_parts_do_not_change_with_size_channels_or_crop(tmp_path, side, count):
    folder = write(tmp_path / "x", count, side)
    options = [{"size": (8, 8)}, {"size": (16, 12)}, {"size": (8, 8), "channels": 1}, {"crop": "stretch"}, {"channels": 4}, {}]
    sides = [[held_out(load(folder, part="all", **each)), load(folder, **each).kept_back] for each in options]
    assert sides[0][0]
    assert all(each == sides[0] for each in sides)
    scenes = [load_scenes(folder, channels=channels, part="all", largest=largest) for channels in (1, 3) for largest in (8, 1024)]
    assert all(held_out(each) == sides[0][0] for each in scenes)


def test_releases_before_went_by_the_pixels_at_the_size_asked_for(tmp_path):
    folder = write(tmp_path / "x", 30)
    small, same = (held_out(load(folder, part="all", size=size, split_by="resized")) for size in ((8, 8), (12, 12)))
    assert small != same
    assert same == held_out(load(folder, part="all")), "colour pictures that keep their size fall where they fell"
    resized = load(folder, part="all", size=(8, 8), split_by="resized")
    assert small == held_out(Dataset(name="by hand", pixels=resized.pixels))


def test_a_copy_under_another_name_or_in_another_lossless_format_falls_on_the_same_side(tmp_path):
    folder = write(write(tmp_path / "x", 30, prefix="a"), 30, ending="webp", prefix="b", mode="RGBA")
    for path in folder.glob("*.webp"):
        Image.open(folder / f"a{path.stem[1:]}.png").save(path, lossless=True)
    data = load(folder, part="all", size=(8, 8))
    held = data.positions_for("test") < 0.3
    assert torch.equal(held[:30], held[30:])
    assert 0 < int(held.sum()) < 60


def test_large_pictures_are_told_by_their_files(tmp_path):
    folder = write(write(tmp_path / "x", 4, 257, prefix="a"), 4, 257, prefix="b")
    data = load(folder, part="all", size=(8, 8))
    assert torch.equal(data.positions[:4], data.positions[4:])
    assert len(set(data.positions_for("test").tolist())) == 4


def test_what_is_drawn_falls_on_one_side_at_every_size():
    small, large, coloured = glyphs(60, (8, 8)), glyphs(60, (16, 16)), glyphs(60, (8, 8), channels=3)
    assert held_out(small) == held_out(large) == held_out(coloured) != []
    grey, colour = (drawings(6, (16, 16), channels=channels) for channels in (1, 3))
    assert torch.equal(grey.positions, colour.positions)
    assert torch.equal(glyphs(10, (8, 8), first=50).positions, small.positions[50:])


def test_idx_files_at_another_size_are_split_as_at_their_own(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 9, 9), dtype=np.uint8)
    (tmp_path / "images").write_bytes(bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4) for n in pixels.shape) + pixels.tobytes())
    own, large, coloured = (load(tmp_path / "images", part="all", **each) for each in ({}, {"size": (18, 18)}, {"channels": 3}))
    assert held_out(own) == held_out(large) == held_out(coloured) != []
    by_hand = Dataset(name="x", pixels=torch.from_numpy(pixels)[:, None])
    assert held_out(own) == held_out(by_hand)


def test_joined_pictures_keep_their_sides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, two = write(tmp_path / "one", 20), write(tmp_path / "two", 20, first=50)
    joined = load_scenes("one+two", channels=1, part="all")
    assert torch.equal(joined.positions, torch.cat([load_scenes(each, channels=3, part="all").positions for each in (one, two)]))


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_every_class_keeps_an_image_to_train_on(share):
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (80, 1, 2, 2), dtype=torch.uint8, generator=rng)
    labels = torch.cat([torch.arange(40), torch.zeros(40, dtype=torch.int64)])
    data = Dataset(name="x", pixels=pixels, labels=labels, classes=tuple(map(str, range(40))))
    training, held = data.split(share, purpose="test")
    assert set(training.labels.tolist()) == set(range(40))
    assert len(training) + len(held) == 80
    order = torch.randperm(80, generator=rng)
    again = dataclasses.replace(data, pixels=pixels[order], labels=labels[order]).split(share, purpose="test")[0]
    assert {p.numpy().tobytes() for p in again.pixels} == {p.numpy().tobytes() for p in training.pixels}


def test_duplicates_stay_together_where_a_class_keeps_its_image():
    pixels = torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1, 1)[[0, 0, 1, 2, 3, 3]]
    data = Dataset(name="x", pixels=pixels, labels=torch.tensor([0, 1, 1, 1, 2, 2]), classes=("a", "b", "c"))
    training, held = data.split(1.0, purpose="test")
    assert sorted(training.pixels.flatten().tolist())[:2] == [0, 0]
    assert not set(training.pixels.flatten().tolist()) & set(held.pixels.flatten().tolist())


@pytest.mark.parametrize("name", ["cats64", "eurosat"])
def test_the_parts_of_the_data_of_bundled_models_are_what_they_were(name, real_data, tmp_path):
    """Of every fortieth image: each one's own content decides."""
    with zipfile.ZipFile(real_data / f"{name}.zip") as whole, zipfile.ZipFile(tmp_path / "some.zip", "w") as some:
        for entry in [each for each in whole.namelist() if not each.endswith("/")][::40]:
            some.writestr(entry, whole.read(entry))
    data = load(tmp_path / "some.zip", part="all")
    now, before = (dataclasses.replace(data, split_by=each).split(TEST_SHARE, purpose="test")[1] for each in ("original", "resized"))
    assert len(now) > 5
    assert now.fingerprint == before.fingerprint
