"""Endless stream of batches whose order is a pure function of the seed and the number of images seen, so that no state is saved.

Each epoch is a new permutation; a batch may span two epochs.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Int64
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, to_images
from sfumato.data.dataset import Dataset, Scenes


class Stream:
    """Batches of `data`: `at(images_seen)` returns the batch after `images_seen` images, independent of earlier calls.

    With `patch`, each image is a random square of that side in pixels from its picture. With a `run_length` above 1, runs of that many
    consecutive images have one class, if the data has classes. Raises SettingError if a picture is smaller than `patch`, or if pictures
    differ in size and `patch` is 0.
    """

    def __init__(
        self,
        data: Dataset | Scenes,
        *,
        batch: int,
        seed: int,
        device: torch.device | str = "cpu",
        patch: int = 0,
        run_length: int = 1,
    ) -> None:
        self.data, self.batch, self.seed, self.device, self.patch = data, batch, seed, torch.device(device), patch
        self.labels = None if data.labels is None else data.labels.to(device)
        self.order = Order(len(data), seed) if data.labels is None or run_length == 1 else ClassRuns(data.labels, seed, run_length)
        if isinstance(data, Dataset) and not patch:
            self.pixels = data.pixels.to(device)
            return
        _check(data, patch)
        self.pictures = [picture.to(device) for picture in data.pictures]
        # Images for sheets of samples and for quick metrics: central squares of the first pictures.
        self.pixels = center_crops(data, patch, most=64).to(device)

    def at(self, images_seen: int, share: slice = slice(None)) -> tuple[Images, Labels | None]:
        """Images and labels number `images_seen` to `images_seen` + `batch` of the stream, or the `share` of them for one process."""
        which = self.order.between(images_seen, images_seen + self.batch)[share]
        if isinstance(self.data, Dataset) and not self.patch:
            which = which.to(self.device)
            return to_images(self.pixels.index_select(0, which)), None if self.labels is None else self.labels[which]
        places = torch.rand(self.batch, 2, generator=seeded_generator(self.seed, "crop", images_seen))[share]
        return to_images(torch.stack(list(self._cut(which.tolist(), places.tolist())))), None

    def _cut(self, which: list[int], places: list[list[float]]) -> Iterator[Tensor]:
        for i, (down, right) in zip(which, places, strict=True):
            picture = self.pictures[i]
            side = (self.patch or picture.shape[1], self.patch or picture.shape[2])
            top, left = int(down * (picture.shape[1] - side[0] + 1)), int(right * (picture.shape[2] - side[1] + 1))
            yield picture[:, top : top + side[0], left : left + side[1]]


class Order:
    """The order of `count` items over epochs, each of which is an independent permutation."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def between(self, start: int, stop: int) -> Int64[Tensor, " _n"]:
        """Indices of the items number `start` to `stop` (exclusive) of the sequence."""
        parts, position = [], start
        while position < stop:
            epoch, first = divmod(position, self.count)
            last = min(self.count, first + stop - position)
            parts.append(self._in(epoch)[first:last])
            position += last - first
        return torch.cat(parts)

    def _in(self, epoch: int) -> Int64[Tensor, " _n"]:
        if epoch != self._epoch:
            self._epoch = epoch
            self._permutation = self._shuffled(seeded_generator(self.seed, "order", epoch))
        return self._permutation

    def _shuffled(self, rng: torch.Generator) -> Int64[Tensor, " _n"]:
        return torch.randperm(self.count, generator=rng)


class ClassRuns(Order):
    """An order in which runs of `length` consecutive images have one class; the images left over of all classes share runs.

    A run starts at every multiple of `length`; the last run of an epoch is filled with images of the same epoch.
    """

    def __init__(self, labels: Int64[Tensor, " n"], seed: int, length: int) -> None:
        super().__init__(-(-len(labels) // length) * length, seed)
        self.labels, self.length = labels.cpu(), length

    def _shuffled(self, rng: torch.Generator) -> Int64[Tensor, " _n"]:
        order = torch.randperm(len(self.labels), generator=rng)
        order = order[self.labels[order].argsort(stable=True)]
        counts = self.labels.bincount()
        rank = torch.arange(len(order)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        whole = rank < (counts // self.length * self.length).repeat_interleave(counts)
        order = torch.cat([order[whole], order[~whole]])
        order = order.repeat(self.length)[: self.count]
        runs = order.reshape(-1, self.length)
        return runs[torch.randperm(len(runs), generator=rng)].flatten()


def center_crops(data: Dataset | Scenes, patch: int, *, most: int | None = None) -> Tensor:
    """The central square of side `patch` of each of the first `most` pictures, or of all: (n, c, h, w); whole pictures if `patch` is 0.

    Raises SettingError if a picture is smaller than `patch`, or if pictures differ in size and `patch` is 0.
    """
    _check(data, patch)
    pieces = []
    for picture in data.pictures[:most]:
        h, w = picture.shape[1:]
        top, left = ((h - patch) // 2, (w - patch) // 2) if patch else (0, 0)
        pieces.append(picture[:, top : top + (patch or h), left : left + (patch or w)])
    return torch.stack(pieces)


def _check(data: Dataset | Scenes, patch: int) -> None:
    sizes = {tuple(picture.shape[1:]) for picture in data.pictures}
    if not patch and len(sizes) > 1:
        raise SettingError(f"patch = 0 needs pictures of one size, and {data.name} has {len(sizes)}; give a side in pixels, such as 64")
    least = min(min(size) for size in sizes)
    if patch > least:
        raise SettingError(f"patch = {patch} is more than the shortest side in {data.name}, {least} pixels; give {least} or less")
