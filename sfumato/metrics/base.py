"""What a measured number is: a value, how sure we are of it, and the protocol it was measured under.

Two numbers may be compared only if their protocols agree. A Fréchet distance on other features, after another resize or
from another count of images is another quantity under the same name, and papers have been wrong by more than the gain
they claimed for mixing them up (Parmar et al. 2022, https://arxiv.org/abs/2104.11222).
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.core.errors import DataError, SettingError
from sfumato.core.json_value import Json, JsonObject

Generated: TypeAlias = Float[Tensor, "m d"]
"""Feature vectors of as many generated images as there happen to be, beside `Vectors` of the real ones."""
Vector: TypeAlias = Float[Tensor, " d"]
Matrix: TypeAlias = Float[Tensor, "d d"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a number was measured. Fields that do not apply stay empty."""

    features: str = ""
    """Name of the network whose features were compared."""
    weights: str = ""
    """SHA-256 of that network, as `features.weights_hash` gives it."""
    dimension: int | None = None
    """Length of a feature vector."""
    resize: str = ""
    """How images were brought to that network's size, such as `none` or `bicubic, antialiased, 299`."""
    reference: str = ""
    """Name and fingerprint of the real images."""
    real: int | None = None
    """Number of real images."""
    generated: int | None = None
    """Number of generated (or restored, or classified) images."""
    settings: str = ""
    """The metric's own parameters, such as `k = 3`."""
    dtype: str = "float32"
    """Precision the features were computed in; all later arithmetic is float64."""
    seed: int | None = field(default=None, metadata={"compared": False})
    """Seed of the generated images."""
    interval: str = field(default="", metadata={"compared": False})
    """What the interval covers and how it was found."""
    notes: str = field(default="", metadata={"compared": False})
    """Anything else a reader should know."""

    def unlike(self, other: "Protocol") -> list[str]:
        """One `name: mine / theirs` for each field in which the two differ; seed, interval and notes are free to."""
        compared = [f.name for f in dataclasses.fields(self) if f.metadata.get("compared", True)]
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in compared}
        return [f"{name}: {mine} / {theirs}" for name, (mine, theirs) in pairs.items() if mine != theirs]

    def beside(self, other: "Protocol") -> str | None:
        """What it says otherwise than `other`, in words; None if `other` says what it is silent about. An interval may be missing."""
        mine, theirs = self._facts(), other._facts()
        if any(mine[name] in ("", None) for name in theirs if theirs[name] not in ("", None, mine[name]) and name != "interval:"):
            return None
        return _in_words({name: value for name, value in mine.items() if value != theirs[name]})

    def __str__(self) -> str:
        return _in_words(self._facts())

    def _facts(self) -> dict[str, str | int | None]:
        network = ", ".join(filter(None, [self.weights[:8], f"{self.dimension}-d" if self.dimension else ""]))
        return {
            "features": f"{self.features} ({network})" if self.features and network else self.features,
            "resize": self.resize,
            "against": self.reference,
            "real": self.real,
            "generated": self.generated,
            "": self.settings,
            "seed": self.seed,
            "in": self.dtype,
            "interval:": self.interval,
        }


def _in_words(facts: Mapping[str, str | int | None]) -> str:
    return ", ".join(f"{name} {value}".strip() for name, value in facts.items() if value not in ("", None))


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number, how sure we are of it, and how it was measured."""

    name: str
    value: float
    interval: tuple[float, float] | None
    """95 % confidence interval, in the unit of `value`; `protocol.interval` says what it covers."""
    unit: str = ""
    higher_is_better: bool
    protocol: Protocol

    def comparable(self, other: "Measurement") -> bool:
        """Whether the two are the same quantity, measured in the same way."""
        return not self._unlike(other)

    def difference(self, other: "Measurement") -> float:
        """`self.value - other.value`, in their unit.

        Raises SettingError, naming what differs, if the two were not measured in the same way.
        """
        if unlike := self._unlike(other):
            raise SettingError(f"{self.name} and {other.name} cannot be compared; measure both the same way ({'; '.join(unlike)})")
        return self.value - other.value

    def better(self, other: "Measurement") -> bool | None:
        """Whether this is the better of the two; None if their intervals overlap, or one has none, so that neither can be said to be.

        Raises SettingError like `difference`.
        """
        gain = self.difference(other) * (1 if self.higher_is_better else -1)
        if self.interval is None or other.interval is None:
            return None
        apart = self.interval[0] > other.interval[1] or self.interval[1] < other.interval[0]
        return gain > 0 if apart else None

    def as_dict(self) -> JsonObject:
        """All of it as plain values for a JSON file; `Measurement.from_dict` is the way back."""
        return {**dataclasses.asdict(self), "interval": list(self.interval) if self.interval else None}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Json]) -> "Measurement":
        """The measurement that `as_dict` stored. Raises SettingError for anything else."""
        try:
            tree: dict[str, Any] = dict(stored)
            tree["interval"] = tuple(tree["interval"]) if tree["interval"] else None
            tree["protocol"] = Protocol(**tree["protocol"])
            return cls(**tree)
        except (TypeError, KeyError) as error:
            raise SettingError(f"this is not a stored measurement ({error}); it must be what Measurement.as_dict gives") from error

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        span = f" [{self.interval[0]:.4g}, {self.interval[1]:.4g}]" if self.interval else ""
        return f"{self.name} {self.value:.4g}{span}{unit} ({'higher' if self.higher_is_better else 'lower'} is better; {self.protocol})"

    def _unlike(self, other: "Measurement") -> list[str]:
        pairs = {"name": (self.name, other.name), "unit": (self.unit, other.unit)}
        return [f"{key}: {a} / {b}" for key, (a, b) in pairs.items() if a != b] + self.protocol.unlike(other.protocol)


def double(numbers: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """`numbers` in float64 and without gradient; on the CPU if their device knows no float64."""
    numbers = numbers.detach()
    return (numbers.cpu() if numbers.device.type == "mps" else numbers).double()


def exact(vectors: Float[Tensor, "_n _d"], *, least: int = 2) -> Float[Tensor, "_n _d"]:
    """`vectors` in float64 and without gradient, all finite.

    Raises DataError if there are fewer than `least`, or one is not finite.
    """
    if len(vectors) < least:
        raise DataError(f"{len(vectors)} feature vectors are too few for this metric; it needs at least {least}")
    vectors = double(vectors)
    broken = int((~vectors.isfinite().all(dim=1)).sum())
    if broken:
        raise DataError(f"{broken} of {len(vectors)} feature vectors hold NaN or infinity; look at the images and network they come from")
    return vectors


@contextlib.contextmanager
def measuring(network: nn.Module) -> Iterator[None]:
    """`network` in evaluation mode and without gradients inside; every module's own mode is put back after."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def device_of(network: nn.Module, otherwise: torch.device) -> torch.device:
    """The device that the weights of `network` are on; `otherwise` if it has none."""
    weights = next(itertools.chain(network.parameters(), network.buffers()), None)
    return otherwise if weights is None else weights.device
