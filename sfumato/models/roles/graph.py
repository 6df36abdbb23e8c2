"""The graph of a network: the computation that an exported file holds, with named inputs and outputs.

Every role gives the graph of its networks (`Role.export_graphs`), so that exporting knows no role.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor, nn

from sfumato.core.json_value import Json


class GraphInput(NamedTuple):
    """An input of a graph."""

    name: str
    example: Tensor
    """A value with the sizes that the exporter traces. Free axes are longer than 1, and no two of them are equal."""
    free: Mapping[int, str] = {}
    """Names of the axes that may have any length, by their index. Axes with the same name have the same length."""
    multiple: int = 1
    """Free axes but the first are multiples of this number."""
    about: str = ""
    """Meaning and range of the values, as a phrase."""
    stride: int = 1
    """Side in pixels of the square that a position stands for: 1 for pictures, more for maps."""


@dataclass(frozen=True, kw_only=True)
class ExportGraph:
    """What is exported of a network."""

    role: str
    """Name of the role that a reader of the file gives the network."""
    module: nn.Module
    """Computes the outputs from the inputs, in their order."""
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    facts: Mapping[str, Json] = field(default_factory=dict)
    """Facts of the network that a reader needs: scale, pad multiple, length of latents, ..."""
