"""Figures of a training, gathered over an interval."""

import torch

from sfumato.train.distributed import World

Row = dict[str, float]


class Figures:
    """Sums of scalars until somebody takes their means; a figure that came less often is averaged over the times it came."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, figures: dict[str, torch.Tensor]) -> None:
        """One more value of each."""
        for name, value in figures.items():
            self._sums[name] = self._sums[name] + value.float() if name in self._sums else value.float()
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self, world: World) -> Row:
        """The means over all processes, and forgets them."""
        means = {name: total / self._counts[name] for name, total in sorted(self._sums.items())}
        world.average(list(means.values()))
        self._sums, self._counts = {}, {}
        return {name: float(value) for name, value in means.items()}

    def state(self) -> dict[str, list[float]]:
        """Sum and count of each, as JSON."""
        return {name: [float(total), self._counts[name]] for name, total in self._sums.items()}

    def restore(self, state: dict[str, list[float]]) -> None:
        """Takes back what `state` gave."""
        self._sums = {name: torch.tensor(total) for name, (total, _) in state.items()}
        self._counts = {name: int(count) for name, (_, count) in state.items()}
