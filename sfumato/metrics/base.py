"""A measured number: its value, its confidence interval, and the protocol by which it was measured.

Two numbers may be compared only if their protocols agree. A Fréchet distance on other features, after another resize or
from another number of images is another quantity under the same name. Papers that mixed such distances were wrong by more than
the gain that they claimed (Parmar et al. 2022, https://arxiv.org/abs/2104.11222).
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.core.config import changed
from sfumato.core.errors import DataError, SettingError
from sfumato.core.json_value import Json, JsonObject

Generated: TypeAlias = Float[Tensor, "m d"]
"""Feature vectors of generated images. Their number may differ from that of the real ones (`Vectors`)."""
Vector: TypeAlias = Float[Tensor, " d"]
"""One feature vector, such as a mean."""
Matrix: TypeAlias = Float[Tensor, "d d"]
"""One matrix over the features, such as a covariance."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The conditions of a measurement. Fields that do not apply stay empty."""

    features: str = ""
    """Name of the network whose features were compared."""
    weights: str = ""
    """SHA-256 of that network, as `features.weights_hash` gives it."""
    dimension: int | None = None
    """Length of a feature vector."""
    resize: str = ""
    """The resize of the images to that network's size, such as `none` or `bicubic, antialiased, 299`."""
    reference: str = ""
    """Name and fingerprint of the real images."""
    real: int | None = None
    """Number of real images."""
    generated: int | None = None
    """Number of generated, restored or classified images."""
    settings: str = ""
    """The metric's own parameters, such as `k = 3`."""
    dtype: str = "float32"
    """Number format of the network; all later arithmetic is float64."""
    seed: int | None = field(default=None, metadata={"compared": False})
    """Seed of the generated images."""
    interval: str = field(default="", metadata={"compared": False})
    """The level of the interval, the variation that it covers, and the method that gave it."""
    notes: str = field(default="", metadata={"compared": False})
    """Remarks for a reader."""

    def unlike(self, other: "Protocol") -> list[str]:
        """One text `name: value / other value` for each field in which the two differ. Seed, interval and notes may differ."""
        compared = [f.name for f in dataclasses.fields(self) if f.metadata.get("compared", True)]
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in compared}
        return [f"{name}: {value} / {other_value}" for name, (value, other_value) in pairs.items() if value != other_value]

    def beside(self, other: "Protocol") -> str | None:
        """The facts in which this protocol differs from `other`, as text; empty if there are none.

        None if a fact of `other` is empty here: the text could not say so. Only an interval may be empty here.
        """
        facts, other_facts = self._facts(), other._facts()
        differing = [name for name in facts if facts[name] != other_facts[name]]
        if any(facts[name] in ("", None) and name != "interval:" for name in differing):
            return None
        return _as_text({name: facts[name] for name in differing})

    def __str__(self) -> str:
        """The facts that are not empty, as one line."""
        return _as_text(self._facts())

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


def _as_text(facts: Mapping[str, str | int | None]) -> str:
    return ", ".join(f"{name} {value}".strip() for name, value in facts.items() if value not in ("", None))


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A number with its confidence interval and its protocol."""

    name: str
    value: float
    interval: tuple[float, float] | None
    """95 % confidence interval, in the unit of `value`; `protocol.interval` says what it covers."""
    unit: str = ""
    higher_is_better: bool
    protocol: Protocol

    def comparable(self, other: "Measurement") -> bool:
        """Whether both are the same quantity, measured by the same protocol."""
        return not self._unlike(other)

    def difference(self, other: "Measurement") -> float:
        """`self.value - other.value`, in their unit.

        Raises SettingError, naming the differences, if the protocols differ.
        """
        if unlike := self._unlike(other):
            raise SettingError(f"{self.name} and {other.name} cannot be compared ({'; '.join(unlike)}); measure both by the same protocol")
        return self.value - other.value

    def better(self, other: "Measurement") -> bool | None:
        """Whether this measurement is better than `other`; None if their intervals overlap, or if one has no interval.

        Raises SettingError like `difference`.
        """
        gain = self.difference(other) * (1 if self.higher_is_better else -1)
        if self.interval is None or other.interval is None:
            return None
        apart = self.interval[0] > other.interval[1] or self.interval[1] < other.interval[0]
        return gain > 0 if apart else None

    def as_dict(self) -> JsonObject:
        """The measurement as plain values for a JSON file, from which `Measurement.from_dict` reads it."""
        return {**dataclasses.asdict(self), "interval": list(self.interval) if self.interval else None}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Json]) -> "Measurement":
        """The measurement that `as_dict` returned as `stored`. Raises SettingError for other values."""
        try:
            interval, protocol, read = stored["interval"], stored["protocol"], functools.partial[Measurement](cls)
            if not isinstance(protocol, dict):
                raise TypeError("its protocol is no dictionary")
            pair = tuple(interval) if isinstance(interval, list | tuple) and interval else None
            return read(**{**stored, "interval": pair, "protocol": changed(Protocol(), **protocol)})
        except (TypeError, KeyError) as error:
            raise SettingError(f"not a stored measurement ({error}); give the dictionary that Measurement.as_dict returned") from error

    def __str__(self) -> str:
        """One line: name, value, interval, unit, direction and protocol."""
        unit = f" {self.unit}" if self.unit else ""
        span = f" [{self.interval[0]:.4g}, {self.interval[1]:.4g}]" if self.interval else ""
        return f"{self.name} {self.value:.4g}{span}{unit} ({'higher' if self.higher_is_better else 'lower'} is better; {self.protocol})"

    def _unlike(self, other: "Measurement") -> list[str]:
        pairs = {"name": (self.name, other.name), "unit": (self.unit, other.unit)}
        return [f"{key}: {a} / {b}" for key, (a, b) in pairs.items() if a != b] + self.protocol.unlike(other.protocol)


def double(numbers: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """`numbers` in float64 and without gradient; on the CPU if their device has no float64."""
    numbers = numbers.detach()
    return (numbers.cpu() if numbers.device.type == "mps" else numbers).double()


def exact(vectors: Float[Tensor, "_n _d"], *, least: int = 2) -> Float[Tensor, "_n _d"]:
    """`vectors` in float64 and without gradient. Raises DataError for fewer than `least` vectors and for values that are not finite."""
    if len(vectors) < least:
        raise DataError(f"{len(vectors)} feature vectors are too few for this metric; it needs at least {least}")
    vectors = double(vectors)
    broken = int((~vectors.isfinite().all(dim=1)).sum())
    if broken:
        raise DataError(f"{broken} of {len(vectors)} feature vectors hold NaN or infinity; check the images and the network they come from")
    return vectors


@contextlib.contextmanager
def measuring(network: nn.Module) -> Iterator[None]:
    """A context in which `network` is in evaluation mode and no gradients are kept; afterwards each module has its earlier mode."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def device_of(network: nn.Module, otherwise: torch.device) -> torch.device:
    """The device of the weights of `network`; `otherwise` if the network has no weights."""
    weights = next(itertools.chain(network.parameters(), network.buffers()), None)
    return otherwise if weights is None else weights.device
