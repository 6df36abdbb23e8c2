"""Collections of images in memory, with a name and a fingerprint: one tensor of images of one size, or pictures each of its own."""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from sfumato.core.image import Bytes, Labels

Scene: TypeAlias = UInt8[Tensor, "c _h _w"]


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
    """Images of the same source that belong to another part, where the images' content decides."""

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

    def split(self, share: float, *, purpose: str) -> tuple["Dataset", "Dataset"]:
        """What to train on, and about `share` of the images held out.

        An image's side depends on `purpose` and its own pixels alone: not on its name, its place, or the other images. Duplicates
        stay together; what is held out for one purpose says nothing about another.
        """
        rows = self.pixels.flatten(1).contiguous().numpy()
        held = torch.tensor([position(row, purpose) < share for row in rows], dtype=torch.bool)
        return self._where(~held), self._where(held)

    def _where(self, chosen: Bool[Tensor, " n"]) -> "Dataset":
        return dataclasses.replace(self, pixels=self.pixels[chosen], labels=None if self.labels is None else self.labels[chosen])


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
    """Pictures of the same source that belong to another part, where the pictures' content decides."""
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

    def split(self, share: float, *, purpose: str) -> tuple["Scenes", "Scenes"]:
        """What to train on, and about `share` of the pictures held out; a picture's own pixels decide, as in `Dataset.split`."""
        held = [position(picture.numpy(), purpose) < share for picture in self.pictures]
        sides = [tuple(picture for picture, side in zip(self.pictures, held, strict=True) if side is which) for which in (False, True)]
        return dataclasses.replace(self, pictures=sides[0]), dataclasses.replace(self, pictures=sides[1])


def position(pixels: np.ndarray, purpose: str) -> float:
    """Where in [0, 1) the content of an image falls for this purpose: the first 48 bits of a SHA-256, as a fraction."""
    digest = hashlib.sha256(purpose.encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return int.from_bytes(digest.digest()[:6], "little") / 2**48
