"""Data sets in memory, with names and fingerprints: images of one size in one tensor, or pictures of different sizes."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float64, UInt8
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Bytes, Labels

Scene: TypeAlias = UInt8[Tensor, "c _h _w"]

Purpose = Literal["test", "validation"]
"""Purposes for which images are held out."""
PURPOSES: tuple[Purpose, ...] = ("test", "validation")

SplitBy = Literal["original", "resized"]
"""Content that decides on the side of an image in a split: its original, or its resized pixels, as in earlier releases."""

Positions: TypeAlias = Float64[Tensor, "n 2"]
"""Split positions in [0, 1) of each image, one for each of `PURPOSES`; images below the held-out share are held out."""

PurposePositions: TypeAlias = Float64[Tensor, " n"]
"""Split positions in [0, 1) of each image for one purpose."""

_NAMED = 5
"""Number of classes that are listed with their counts."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images of one size, with labels if there are classes."""

    name: str
    """Name of the data set or its source."""
    pixels: Bytes
    """Images (n, c, h, w), uint8."""
    labels: Labels | None = None
    """Index of the class of each image; None without classes."""
    classes: tuple[str, ...] = ()
    """Class names, in the order of the labels; empty without labels."""
    terms: str = "not stated"
    """Licence or terms of use of the images."""
    skipped: tuple[str, ...] = ()
    """A line for each file that could not be read, with its name and the reason."""
    kept_back: int = 0
    """Number of images of the source that belong to another part."""
    labels_from: str = ""
    """Source of the labels or, without labels, the reason why there are none."""
    passed_over: str = ""
    """One line on files of the source that are no pictures or cannot be read."""
    positions: Positions | None = None
    """Split positions of the originals of the images; None if the pixels are the originals."""
    split_by: SplitBy = "original"
    """Content that decides on the side of an image in a split."""

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels and labels, in hexadecimal."""
        digest = hashlib.sha256(str(tuple(self.pixels.shape)).encode())
        digest.update(self.pixels.contiguous().numpy().data)
        if self.labels is not None:
            digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()

    @property
    def pictures(self) -> tuple[Tensor, ...]:
        """The images as a tuple of tensors (c, h, w)."""
        return self.pixels.unbind(0)

    @property
    def labelling(self) -> str:
        """The classes with their counts and their source in one line, or the reason why there are none; empty if unknown."""
        if not self.labels_from or self.labels is None:
            return self.labels_from and f"no classes: {self.labels_from}"
        counts = torch.bincount(self.labels.cpu(), minlength=len(self.classes)).tolist()
        named = ", ".join(f"{name} ({count:,})" for name, count in list(zip(self.classes, counts, strict=True))[:_NAMED])
        more = f" and {len(self.classes) - _NAMED:,} more" if len(self.classes) > _NAMED else ""
        return f"{len(self.classes):,} classes from {self.labels_from}: {named}{more}"

    def split(self, share: float, *, purpose: Purpose) -> tuple["Dataset", "Dataset"]:
        """The images to train on, and about `share` of the images held out.

        The side of an image depends on `purpose` and the content of its original only: not on its size, name, order, or other images.
        Duplicates stay on one side; splits for different purposes are independent. A class that would be held out entirely keeps the image
        with the largest split position, and its duplicates, for training.
        """
        places = self.positions_for(purpose)
        held = places < share
        if self.split_by == "original" and self.labels is not None and self.classes:
            held = _keep_one_per_class(held, places, self.labels)
        return self.selected(~held), self.selected(held)

    def positions_for(self, purpose: Purpose) -> PurposePositions:
        """Split position in [0, 1) of each image for `purpose`: that of its original, or of its pixels if `positions` is not usable."""
        return _positions_for(self, purpose, lambda: self.pixels.flatten(1).contiguous().numpy())

    def selected(self, chosen: Bool[Tensor, " n"]) -> "Dataset":
        """The images for which `chosen` is true, in their order."""
        labels = None if self.labels is None else self.labels[chosen]
        positions = _usable_positions(self)
        return dataclasses.replace(
            self, pixels=self.pixels[chosen], labels=labels, positions=None if positions is None else positions[chosen]
        )


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Pictures of different sizes, without labels."""

    name: str
    """Name of the data set or its source."""
    pictures: tuple[Scene, ...]
    """Pictures (c, h, w), uint8."""
    terms: str = "not stated"
    """Licence or terms of use of the pictures."""
    skipped: tuple[str, ...] = ()
    """A line for each file that could not be read, with its name and the reason."""
    kept_back: int = 0
    """Number of pictures of the source that belong to another part."""
    passed_over: str = ""
    """One line on files of the source that are no pictures or cannot be read."""
    positions: Positions | None = None
    """Split positions of the originals of the pictures; None if the pictures are the originals."""
    split_by: SplitBy = "original"
    """Content that decides on the side of a picture in a split."""
    labels: None = None
    """None: pictures have no labels."""
    classes: tuple[str, ...] = ()
    """Empty: pictures have no classes."""

    def __len__(self) -> int:
        return len(self.pictures)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shapes and pixels, in hexadecimal."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            digest.update(str(tuple(picture.shape)).encode())
            digest.update(picture.contiguous().numpy().data)
        return digest.hexdigest()

    def split(self, share: float, *, purpose: Purpose) -> tuple["Scenes", "Scenes"]:
        """The pictures to train on, and about `share` of the pictures held out, decided by their originals as in `Dataset.split`."""
        held = self.positions_for(purpose) < share
        return self.selected(~held), self.selected(held)

    def positions_for(self, purpose: Purpose) -> PurposePositions:
        """Split position in [0, 1) of each picture for `purpose`, as in `Dataset.positions_for`."""
        return _positions_for(self, purpose, lambda: (picture.numpy() for picture in self.pictures))

    def selected(self, chosen: Bool[Tensor, " n"]) -> "Scenes":
        """The pictures for which `chosen` is true, in their order."""
        pictures = tuple(picture for picture, taken in zip(self.pictures, chosen.tolist(), strict=True) if taken)
        positions = _usable_positions(self)
        return dataclasses.replace(self, pictures=pictures, positions=None if positions is None else positions[chosen])


def position(content: np.ndarray | bytes, purpose: str) -> float:
    """The split position in [0, 1) of an image's content for `purpose`: the first 48 bits of a SHA-256, as a fraction."""
    digest = hashlib.sha256(purpose.encode())
    digest.update(content if isinstance(content, bytes) else np.ascontiguousarray(content).data)
    return int.from_bytes(digest.digest()[:6], "little") / 2**48


def positions_of(contents: Iterable[np.ndarray | bytes]) -> Positions:
    """`position` of each of `contents` for each of `PURPOSES`."""
    rows = [[position(content, purpose) for purpose in PURPOSES] for content in contents]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, len(PURPOSES))


def _usable_positions(data: Dataset | Scenes) -> Positions | None:
    """The split positions of the originals; None if there are none, if `split_by` does not use them, or if their number does not fit."""
    useful = data.split_by == "original" and data.positions is not None and len(data.positions) == len(data)
    return data.positions if useful else None


def _positions_for(data: Dataset | Scenes, purpose: Purpose, rows: Callable[[], Iterable[np.ndarray]]) -> PurposePositions:
    """Split positions for one purpose: usable `positions` of the data, else those of the pixels in `rows`. Raises SettingError."""
    if purpose not in PURPOSES:
        raise SettingError(f"purpose = {purpose!r} is unknown; give one of {', '.join(PURPOSES)}")
    positions = _usable_positions(data)
    if positions is None:
        return torch.tensor([position(row, purpose) for row in rows()], dtype=torch.float64)
    return positions[:, PURPOSES.index(purpose)]


def _keep_one_per_class(held: Bool[Tensor, " n"], places: PurposePositions, labels: Labels) -> Bool[Tensor, " n"]:
    """`held`, changed so that each class that would be held out entirely keeps one image and its duplicates."""
    counts = torch.bincount(labels, minlength=1)
    left = torch.bincount(labels[~held], minlength=len(counts))
    for label in ((left == 0) & (counts > 0)).nonzero().flatten():
        held = held & (places != places[labels == label].max())
    return held
