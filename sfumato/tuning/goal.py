"""The figure of held-out images that a search improves: one of those that the objective measures by `validate`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sfumato.core.errors import SettingError

DIRECTIONS = {"decibels": True, "accuracy": True, "overlap": True, "cross_entropy": False, "bits_per_dimension": False, "nats": False}
"""Figures that a search improves by default, the first that an objective has, and whether higher is better."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure, and the direction in which it is better."""

    name: str = ""
    """Its name among those of `validate`; empty for the first of `DIRECTIONS`."""
    higher: bool | None = None
    """Whether higher is better; None for what `DIRECTIONS` says."""

    def settled(self, figures: Sequence[str]) -> "Goal":
        """The goal among the `figures` that an objective measures. Raises SettingError if there is none, or no direction is known."""
        if self.name and self.name not in figures:
            raise SettingError(f"figure = {self.name!r} is not measured; the objective measures {', '.join(figures)}")
        name = self.name or next((name for name in DIRECTIONS if name in figures), "")
        higher = DIRECTIONS.get(name) if self.higher is None else self.higher
        if not name or higher is None:
            raise SettingError(
                f"the objective measures {', '.join(figures) or 'nothing'}; say which to improve: --maximise NAME or --minimise NAME"
            )
        return Goal(name=name, higher=higher)

    def value(self, figures: Mapping[str, float]) -> float:
        """The figure of this goal."""
        return figures[self.name]

    def gain(self, value: float, other: float) -> float:
        """By how much `value` is better than `other`; negative if it is worse."""
        return value - other if self.higher else other - value

    def __str__(self) -> str:
        return f"{self.name} of held-out images ({'higher' if self.higher else 'lower'} is better)"


def goal_of_flags(*, maximise: str, minimise: str) -> Goal:
    """The goal of the two flags. Raises SettingError if both are given."""
    if maximise and minimise:
        raise SettingError(f"maximise = {maximise} and minimise = {minimise}: a search improves one figure; give one of them")
    return Goal(name=maximise or minimise, higher=True if maximise else False if minimise else None)
