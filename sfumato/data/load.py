"""Loads a data set from a name, a folder, a zip or an IDX file into one uint8 tensor.

Size. Without a size, images keep their own if all have the same and the longer side is at most 256 pixels; otherwise they become 64 x 64.
Images of another size are cropped in the centre to the aspect ratio of the size (not with `crop="stretch"`) and resized with an
antialiased Lanczos filter.

Channels. Without a number of channels, 1 if every image is grey, otherwise 3. Transparency is laid over white unless channels is 2 or 4.

Part. Named sets have official training and test images; folders and zips may have train/ and test/ (or val/) inside. For other sources
the content of each image's original decides, independent of the size, and about one in ten is for testing.

Labels. Classes are the outermost sub-folders that differ, if there are at least two, or come from a `dataset.json`.
"""

import dataclasses
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from sfumato.core.catalog import suggest
from sfumato.core.errors import DataError, SettingError
from sfumato.core.tensors import Crop
from sfumato.data import idx
from sfumato.data.collection import collection, map_in_threads
from sfumato.data.dataset import Dataset, Scenes, SplitBy, positions_of
from sfumato.data.glyphs import glyphs
from sfumato.data.public_sets import ARCHIVES, NAMES, Part, provided, published, remark_on_namesake
from sfumato.io import archive, decode

Collection = TypeVar("Collection", Dataset, Scenes)

TEST_SHARE = 0.1
"""Share of test images in a source without parts."""

_GLYPHS = {"train": range(20_000), "test": range(20_000, 22_000), "all": range(22_000)}


def load(
    source: str | Path,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    part: Part = "train",
    crop: Crop = "centre",
    tolerance: float = 0.05,
    seed: int = 0,
    split_by: SplitBy = "original",
) -> Dataset:
    """The images of a named data set, a folder, a zip or an IDX file, with labels if there are any.

    `size` is (height, width) in pixels and `channels` 1 to 4; None is explained above. Files that cannot be read are left out and listed in
    `skipped`, up to the share `tolerance`. `seed` applies to drawn images (glyphs) only. A string that is the name of a data set takes
    precedence over a folder of that name, with a remark: write ./mnist for the folder. `split_by="resized"` gives the parts of earlier
    releases, in which the resized pixels decided. Raises DataError for a source that cannot be used, SettingError for a size, channels or
    tolerance out of range.
    """
    _check(size, channels, tolerance)
    if isinstance(source, str) and source in NAMES:
        remark_on_namesake(source)
    if isinstance(source, str) and source in ARCHIVES:
        place = provided(source, f"{source}.zip")
        data = load(place, size=size, channels=channels, part=part, crop=crop, tolerance=tolerance, split_by=split_by)
        return dataclasses.replace(data, name=source, terms=ARCHIVES[source])
    if isinstance(source, str) and source in NAMES:
        data = _named(source, size=size, channels=channels, part=part, crop=crop, seed=seed)
        return dataclasses.replace(data, split_by=split_by, labels_from="its own labels")
    path = _path(source)
    if path.is_dir() or (path.is_file() and archive.is_zip(path)):
        data, parted = collection(path, size=size, channels=channels, part=part, crop=crop, tolerance=tolerance, split_by=split_by)
        return data if parted else part_of(data, part)
    if path.is_file() and idx.is_idx(path):
        return part_of(_conform(dataclasses.replace(_idx(path), split_by=split_by), size, channels, crop), part)
    problem = "one image is not a data set" if path.suffix.lower() in decode.SUFFIXES else "neither a zip nor an IDX file"
    raise DataError(f"{path}: {problem}; give a folder or a .zip of at least 2 images, an IDX file, or one of {', '.join(NAMES)}")


def _path(source: str | Path) -> Path:
    """The path of a source. Raises DataError if nothing exists there."""
    path = Path(source).expanduser()
    try:
        path.stat()
    except OSError as error:
        why = "" if isinstance(error, FileNotFoundError) else f" that can be read ({error.strerror})"
        near = suggest(str(source), NAMES)
        raise DataError(f"no file or folder {str(source)!r}{why}{near}; known data sets are {', '.join(NAMES)}") from error
    return path


def _check(size: tuple[int, int] | None, channels: int | None, tolerance: float) -> None:
    if size is not None and not all(1 <= side <= 4096 for side in size):
        raise SettingError(f"size = {size!r} must be (height, width), each from 1 to 4096 pixels")
    if channels not in (None, 1, 2, 3, 4):
        raise SettingError(f"channels = {channels!r} must be 1 (grey), 2 (grey and alpha), 3 (colour) or 4 (colour and alpha)")
    if not 0 <= tolerance <= 1:
        raise SettingError(f"tolerance = {tolerance!r} is outside [0, 1]")


def _named(name: str, *, size: tuple[int, int] | None, channels: int | None, part: Part, crop: Crop, seed: int) -> Dataset:
    if name != "glyphs":
        return _conform(published(name, part), size, channels, crop)
    which = _GLYPHS[part]
    drawn = glyphs(len(which), size or (32, 32), channels=3 if channels in (3, 4) else 1, seed=seed, first=which.start)
    return _conform(drawn, size, channels, crop)


def _idx(path: Path) -> Dataset:
    """The images of an IDX file, with the labels in the file beside it, if there is one."""
    pixels, beside = idx.read_images(path), idx.labels_beside(path)
    name = path.name.split(".")[0]
    if beside is None:
        return Dataset(name=name, pixels=pixels, labels_from="there is no file of labels beside the images")
    labels = idx.read_labels(beside)
    if len(labels) != len(pixels):
        raise DataError(f"{path}: {len(pixels)} images, but {beside} holds {len(labels)} labels; they do not belong together")
    classes = tuple(map(str, range(int(labels.max()) + 1)))
    return Dataset(name=name, pixels=pixels, labels=labels, classes=classes, labels_from=beside.name)


def part_of(data: Collection, part: Part) -> Collection:
    """The `part` of the data, split by the originals of its images. Raises DataError if the part is empty."""
    if part == "all":
        return data
    train, test = data.split(TEST_SHARE, purpose="test")
    chosen = test if part == "test" else train
    if not len(chosen):
        raise DataError(f"{data.name}: none of its {len(data)} images falls into the {part} part; add images, or ask for all")
    return dataclasses.replace(chosen, kept_back=len(data) - len(chosen))


def _conform(data: Dataset, size: tuple[int, int] | None, channels: int | None, crop: Crop) -> Dataset:
    """The same images at `size` and with `channels`, where these are not None."""
    count, now, *own = data.pixels.shape
    height, width = size or own
    channels = channels or now
    if [now, *own] == [channels, height, width]:
        return data
    if data.positions is None and data.split_by == "original":
        data = dataclasses.replace(data, positions=positions_of(data.pixels.flatten(1).numpy()))
    if [height, width] == own and (now, channels) == (1, 3):
        return dataclasses.replace(data, pixels=data.pixels.repeat(1, 3, 1, 1))
    pixels = torch.empty(count, channels, height, width, dtype=torch.uint8)
    old, new = data.pixels.numpy().transpose(0, 2, 3, 1), pixels.numpy()

    def convert(i: int) -> None:
        image = Image.fromarray(old[i].squeeze(-1) if now == 1 else np.ascontiguousarray(old[i]))
        new[i] = decode.prepare(image, channels=channels, size=(height, width), crop=crop).transpose(2, 0, 1)

    map_in_threads(convert, range(count))
    return dataclasses.replace(data, pixels=pixels)
