"""Figures of a training, gathered over an interval."""

from collections.abc import Mapping, Sequence

import torch

from sfumato.train.distributed import World

Row = dict[str, float]


class Figures:
    """Running means of scalars, each over the number of its values: a figure of a phase that runs rarely has fewer."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, figures: dict[str, torch.Tensor]) -> None:
        """Adds one value of each figure."""
        for name, value in figures.items():
            self._sums[name] = self._sums[name] + value.float() if name in self._sums else value.float()
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self, world: World) -> Row:
        """The means over all processes; the next interval begins."""
        means = {name: total / self._counts[name] for name, total in sorted(self._sums.items())}
        world.average(list(means.values()))
        self._sums, self._counts = {}, {}
        return {name: float(value) for name, value in means.items()}

    def state(self) -> dict[str, tuple[float, int]]:
        """Sum and count of each, as JSON."""
        return {name: (float(total), self._counts[name]) for name, total in self._sums.items()}

    def restore(self, state: Mapping[str, Sequence[float]]) -> None:
        """Restores the sums and counts that `state` returned."""
        self._sums = {name: torch.tensor(total) for name, (total, _) in state.items()}
        self._counts = {name: int(count) for name, (_, count) in state.items()}
