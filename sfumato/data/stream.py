"""An endless stream of batches whose order is a pure function of (seed, images seen): nothing to save, nothing to restore.

Each epoch is a fresh permutation; a batch may straddle two of them.
"""

import torch
from jaxtyping import Int64
from torch import Tensor

from sfumato.core import chance
from sfumato.core.image import Images, Labels, to_images
from sfumato.data.dataset import Dataset


class Stream:
    """Batches of `data`: `at(seen)` is the batch that follows after `seen` images, whoever asks and whenever."""

    def __init__(self, data: Dataset, *, batch: int, seed: int, device: torch.device | str = "cpu") -> None:
        self.data, self.batch, self.seed, self.device = data, batch, seed, torch.device(device)
        self.pixels = data.pixels.to(device)
        self.labels = None if data.labels is None else data.labels.to(device)
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def at(self, seen: int, share: slice = slice(None)) -> tuple[Images, Labels | None]:
        """Images and labels number `seen` to `seen + batch` of the stream, or `share` of them."""
        which = self._indices(seen)[share].to(self.device)
        return to_images(self.pixels.index_select(0, which)), None if self.labels is None else self.labels[which]

    def _indices(self, seen: int) -> Int64[Tensor, " n"]:
        count, parts, position = len(self.data), [], seen
        while position < seen + self.batch:
            epoch, start = divmod(position, count)
            stop = min(count, start + seen + self.batch - position)
            parts.append(self._permutation(epoch)[start:stop])
            position += stop - start
        return torch.cat(parts)

    def _permutation(self, epoch: int) -> Int64[Tensor, " n"]:
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = torch.randperm(len(self.data), generator=chance.generator(self.seed, "order", epoch))
        return self._order
