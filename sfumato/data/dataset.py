"""A collection of images in memory: one uint8 tensor, with labels, a name and a fingerprint."""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool
from torch import Tensor

from sfumato.core.image import Bytes, Labels


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

    def split(self, share: float, *, purpose: str) -> tuple["Dataset", "Dataset"]:
        """What to train on, and about `share` of the images held out.

        An image's side depends on `purpose` and its own pixels alone: not on its name, its place, or the other images. Duplicates
        stay together; what is held out for one purpose says nothing about another.
        """
        held = _positions(self.pixels, purpose) < share
        return self._where(~held), self._where(held)

    def _where(self, chosen: Bool[Tensor, " n"]) -> "Dataset":
        return dataclasses.replace(self, pixels=self.pixels[chosen], labels=None if self.labels is None else self.labels[chosen])


def _positions(pixels: Bytes, purpose: str) -> Tensor:
    """Where in [0, 1) the content of each image falls for this purpose: the first 48 bits of a SHA-256, as a fraction."""
    rows, start = pixels.flatten(1).contiguous().numpy(), hashlib.sha256(purpose.encode())
    numbers = []
    for row in rows:
        digest = start.copy()
        digest.update(row)
        numbers.append(int.from_bytes(digest.digest()[:6], "little"))
    return torch.tensor(numbers, dtype=torch.float64) / 2**48
