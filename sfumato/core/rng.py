"""Randomness as a function of where we are: the same numbers lead to the same draw, in any process, after any interruption."""

import dataclasses
import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor


def derive_seed(seed: int, *path: int | str) -> int:
    """A 63-bit seed that depends on all of `seed` and `path`, and on nothing else.

    >>> derive_seed(0, "latents", 64) == derive_seed(0, "latents", 64) != derive_seed(0, "latents", 65)
    True
    """
    text = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def seeded_generator(seed: int, *path: int | str) -> torch.Generator:
    """A CPU generator seeded with `derive_seed(seed, *path)`; draw on the CPU and move, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(derive_seed(seed, *path))


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Random numbers for each image of a batch.

    They are drawn for the whole batch and then cut down to the images of this process, so that several processes see together
    what one would see alone.
    """

    rng: torch.Generator
    count: int
    """Images of this process."""
    part: int = 0
    parts: int = 1
    """How many processes share the batch, and which of them this is."""
    device: torch.device | str = "cpu"
    chosen: Bool[Tensor, " n"] | None = None
    """Those of the `count` images that numbers are wanted for; all if None."""

    def among(self, chosen: Bool[Tensor, " n"]) -> "Draws":
        """Numbers for the `chosen` images alone. However many they are, these draws are left in the same state."""
        seed = int(torch.randint(0, 2**62, (), generator=self.rng))
        mine = chosen.cpu() if self.chosen is None else self.chosen.clone().masked_scatter_(self.chosen, chosen.cpu())
        return dataclasses.replace(self, rng=torch.Generator().manual_seed(seed), chosen=mine)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal numbers of `shape` for each image."""
        return self._cut(torch.randn(self.count * self.parts, *shape, generator=self.rng)).to(self.device, non_blocking=True)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform numbers in [0, 1) of `shape` for each image."""
        return self._cut(torch.rand(self.count * self.parts, *shape, generator=self.rng)).to(self.device, non_blocking=True)

    def within(self, low: float, high: float) -> torch.Tensor:
        """One uniform number in [low, high) for each image."""
        return low + (high - low) * self.uniform()

    def generators(self) -> list[torch.Generator]:
        """A CPU generator for each image, for what cannot be drawn for all at once."""
        seeds = self._cut(torch.randint(0, 2**62, (self.count * self.parts,), generator=self.rng))
        return [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]

    def order(self, length: int) -> list[int]:
        """A random order of `length` things, the same for all images."""
        return torch.randperm(length, generator=self.rng).tolist()

    def _cut(self, numbers: torch.Tensor) -> torch.Tensor:
        mine = numbers[self.part * self.count : (self.part + 1) * self.count]
        return mine if self.chosen is None else mine[self.chosen]
