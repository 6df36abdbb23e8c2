"""Real and synthetic images as one data set to train on.

real ─┐
      ├─ MixedDataset.mix ─> fit(settings, data=...)
synthetic, in the proportions of the real classes ─┘
"""

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Labels
from sfumato.data.dataset import PURPOSES, Dataset


@final
@dataclass(frozen=True, kw_only=True)
class MixedDataset(Dataset):
    """Real images, then synthetic ones, with labels. `split` holds out real images only, so that a validation stays one on real images."""

    synthetic: Bool[Tensor, " n"]
    """Whether each image is synthetic."""

    @classmethod
    def mix(cls, real: Dataset, synthetic: Dataset, *, ratio: float = 1.0, seed: int = 0, repeat: bool = False) -> "MixedDataset":
        """All images of `real`, and for each class `ratio` times as many of `synthetic`, drawn without repetition by `seed`.

        With `repeat`, a class that has too few synthetic images repeats them as evenly as possible, and one that has none gets none.
        Raises SettingError for a negative ratio, for images without classes, of other classes, sizes or channels, and, without `repeat`,
        if a class has too few synthetic images.
        """
        if ratio < 0:
            raise SettingError(f"ratio = {ratio:g} is below 0; give synthetic images per real image, such as 1")
        labels, others = _labels(real), matched_labels(synthetic, real)
        wanted = {k: round(ratio * int((labels == k).sum())) for k in range(len(real.classes))}
        rows = torch.cat([_drawn(others, k, count, real.classes[k], seed, repeat=repeat) for k, count in wanted.items()])
        added = torch.ones(len(rows), len(PURPOSES), dtype=torch.float64)  # 1 is never held out
        places = torch.stack([real.positions_for(purpose) for purpose in PURPOSES], dim=1)
        return cls(
            name=real.name,
            pixels=torch.cat([real.pixels, synthetic.pixels[rows]]),
            labels=torch.cat([labels, others[rows]]),
            classes=real.classes,
            terms=real.terms,
            labels_from=real.labels_from,
            positions=torch.cat([places, added]),
            synthetic=torch.arange(len(real) + len(rows)) >= len(real),
        )

    def selected(self, chosen: Bool[Tensor, " n"]) -> "MixedDataset":
        """The images for which `chosen` is true, in their order."""
        labels, positions = self.labels, self.positions
        return dataclasses.replace(
            self,
            pixels=self.pixels[chosen],
            labels=None if labels is None else labels[chosen],
            positions=None if positions is None else positions[chosen],
            synthetic=self.synthetic[chosen],
        )


def matched_labels(data: Dataset, real: Dataset) -> Labels:
    """The labels of `data` as numbers of the classes of `real`, by the names of the classes.

    Raises SettingError for images without labels, with a class that `real` lacks, or of another size or with other channels.
    """
    shape, real_shape = tuple(data.pixels.shape[1:]), tuple(real.pixels.shape[1:])
    if shape != real_shape:
        raise SettingError(f"{data.name} has images of shape {shape}, {real.name} of {real_shape}; (channels, height, width) must agree")
    if strange := [name for name in data.classes if name not in real.classes]:
        raise SettingError(f"{data.name} has the class {strange[0]!r}, {real.name} has {', '.join(real.classes)}; the names must agree")
    numbers = torch.tensor([real.classes.index(name) for name in data.classes], dtype=torch.int64)
    return numbers[_labels(data)]


def _labels(data: Dataset) -> Labels:
    if data.labels is None or not data.classes:
        raise SettingError(f"{data.name} has no classes; put the images into one folder for each class")
    return data.labels


def _drawn(labels: Labels, label: int, count: int, name: str, seed: int, *, repeat: bool) -> Int64[Tensor, " _count"]:
    """Rows of `count` images of a class, drawn without repetition as long as there are others."""
    rows = (labels == label).nonzero().flatten()
    if len(rows) < count and not repeat:
        raise SettingError(f"the class {name!r} has {len(rows)} synthetic images, and {count} are wanted; add images, or lower the ratio")
    drawn = rows[torch.randperm(len(rows), generator=seeded_generator(seed, "mixed", label))]
    return drawn[torch.arange(count) % len(drawn)] if len(drawn) else drawn
