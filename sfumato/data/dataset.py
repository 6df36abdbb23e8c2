"""Collections of images in memory, with a name and a fingerprint: one tensor of images of one size, or pictures each of its own."""

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
"""What images can be held out for."""
PURPOSES: tuple[Purpose, ...] = ("test", "validation")

SplitBy = Literal["original", "resized"]
"""Whether the original of an image decides on its side, or its pixels at the size that it was brought to, as in releases before this."""

Positions: TypeAlias = Float64[Tensor, "n 2"]
"""Where in [0, 1) each image falls, for each of `PURPOSES`."""

PurposePositions: TypeAlias = Float64[Tensor, " n"]
"""The same for one purpose."""

_NAMED = 5
"""So many classes are named, with their counts."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images of one size, ready to train on."""

    name: str
    pixels: Bytes
    labels: Labels | None = None
    classes: tuple[str, ...] = ()
    """Class names, in the order of the labels; empty without labels."""
    terms: str = "not stated"
    """Licence or terms of use of the images."""
    skipped: tuple[str, ...] = ()
    """One line for each file that could not be read, naming it and saying why."""
    kept_back: int = 0
    """Images of the same source that belong to another part."""
    labels_from: str = ""
    """Where the labels come from or, without labels, why there are none."""
    passed_over: str = ""
    """One line on the files of the source that are no pictures or cannot be read here."""
    positions: Positions | None = None
    """Where the originals of the images fall when the data is split; None if the pixels are the originals."""
    split_by: SplitBy = "original"
    """What decides on an image's side when the data is split."""

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels and labels."""
        digest = hashlib.sha256(str(tuple(self.pixels.shape)).encode())
        digest.update(self.pixels.contiguous().numpy().data)
        if self.labels is not None:
            digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()

    @property
    def pictures(self) -> tuple[Tensor, ...]:
        """The images one by one."""
        return self.pixels.unbind(0)

    @property
    def labelling(self) -> str:
        """One line: which classes there are and where they come from, or why there are none; empty if nobody said."""
        if not self.labels_from or self.labels is None:
            return self.labels_from and f"no classes: {self.labels_from}"
        counts = torch.bincount(self.labels.cpu(), minlength=len(self.classes)).tolist()
        named = ", ".join(f"{name} ({count:,})" for name, count in list(zip(self.classes, counts, strict=True))[:_NAMED])
        more = f" and {len(self.classes) - _NAMED:,} more" if len(self.classes) > _NAMED else ""
        return f"{len(self.classes):,} classes from {self.labels_from}: {named}{more}"

    def split(self, share: float, *, purpose: Purpose) -> tuple["Dataset", "Dataset"]:
        """What to train on, and about `share` of the images held out.

        An image's side depends on `purpose` and the content of its original alone: not on its size here, its name, its place, or the
        other images. Duplicates stay together; what is held out for one purpose says nothing about another. Only a class of which
        nothing would be left to train on keeps the image that is furthest from being held out.
        """
        places = self.positions_for(purpose)
        held = places < share
        if self.split_by == "original" and self.labels is not None and self.classes:
            held = _keep_one_per_class(held, places, self.labels)
        return self._selected(~held), self._selected(held)

    def positions_for(self, purpose: Purpose) -> PurposePositions:
        """Where in [0, 1) each image falls for this purpose: as is known of its original, or as its pixels decide."""
        return _positions_for(self, purpose, lambda: self.pixels.flatten(1).contiguous().numpy())

    def _selected(self, chosen: Bool[Tensor, " n"]) -> "Dataset":
        labels = None if self.labels is None else self.labels[chosen]
        positions = _usable_positions(self)
        return dataclasses.replace(
            self, pixels=self.pixels[chosen], labels=labels, positions=None if positions is None else positions[chosen]
        )


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Pictures, each of its own size."""

    name: str
    pictures: tuple[Scene, ...]
    terms: str = "not stated"
    """Licence or terms of use of the pictures."""
    skipped: tuple[str, ...] = ()
    """One line for each file that could not be read, naming it and saying why."""
    kept_back: int = 0
    """Pictures of the same source that belong to another part."""
    passed_over: str = ""
    """One line on the files of the source that are no pictures or cannot be read here."""
    positions: Positions | None = None
    """Where the originals of the pictures fall when the data is split; None if these are the originals."""
    split_by: SplitBy = "original"
    """What decides on a picture's side when the data is split."""
    labels: None = None
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pictures)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shapes and pixels."""
        digest = hashlib.sha256()
        for picture in self.pictures:
            digest.update(str(tuple(picture.shape)).encode())
            digest.update(picture.contiguous().numpy().data)
        return digest.hexdigest()

    def split(self, share: float, *, purpose: Purpose) -> tuple["Scenes", "Scenes"]:
        """What to train on, and about `share` of the pictures held out; the original of a picture decides, as in `Dataset.split`."""
        held = self.positions_for(purpose) < share
        return self._selected(~held), self._selected(held)

    def positions_for(self, purpose: Purpose) -> PurposePositions:
        """Where each picture falls, as in `Dataset.places`."""
        return _positions_for(self, purpose, lambda: (picture.numpy() for picture in self.pictures))

    def _selected(self, chosen: Bool[Tensor, " n"]) -> "Scenes":
        pictures = tuple(picture for picture, taken in zip(self.pictures, chosen.tolist(), strict=True) if taken)
        positions = _usable_positions(self)
        return dataclasses.replace(self, pictures=pictures, positions=None if positions is None else positions[chosen])


def position(content: np.ndarray | bytes, purpose: str) -> float:
    """Where in [0, 1) the content of an image falls for this purpose: the first 48 bits of a SHA-256, as a fraction."""
    digest = hashlib.sha256(purpose.encode())
    digest.update(content if isinstance(content, bytes) else np.ascontiguousarray(content).data)
    return int.from_bytes(digest.digest()[:6], "little") / 2**48


def positions_of(contents: Iterable[np.ndarray | bytes]) -> Positions:
    """`position` of each of `contents` for each of `PURPOSES`."""
    rows = [[position(content, purpose) for purpose in PURPOSES] for content in contents]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, len(PURPOSES))


def _usable_positions(data: Dataset | Scenes) -> Positions | None:
    """What is known of the originals; None if nothing is, if it is of no use, or if there are now other images than it was said of."""
    useful = data.split_by == "original" and data.positions is not None and len(data.positions) == len(data)
    return data.positions if useful else None


def _positions_for(data: Dataset | Scenes, purpose: Purpose, rows: Callable[[], Iterable[np.ndarray]]) -> PurposePositions:
    """Where images fall for one purpose; their `rows` of pixels decide where nothing else is known. Raises SettingError for another."""
    if purpose not in PURPOSES:
        raise SettingError(f"purpose = {purpose!r} is none of {', '.join(PURPOSES)}")
    positions = _usable_positions(data)
    if positions is None:
        return torch.tensor([position(row, purpose) for row in rows()], dtype=torch.float64)
    return positions[:, PURPOSES.index(purpose)]


def _keep_one_per_class(held: Bool[Tensor, " n"], places: PurposePositions, labels: Labels) -> Bool[Tensor, " n"]:
    """`held`, but of each class that would be held out whole one image, and its duplicates, are not."""
    counts = torch.bincount(labels, minlength=1)
    left = torch.bincount(labels[~held], minlength=len(counts))
    for label in ((left == 0) & (counts > 0)).nonzero().flatten():
        held = held & (places != places[labels == label].max())
    return held
