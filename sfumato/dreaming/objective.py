"""Objectives of a dream: activations of layers, channels or single neurons, or similarity to the activations of a guide.

An objective is a sum over the places of a map, so that tiles add up to the whole.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.errors import ImageError, SettingError
from sfumato.core.tensors import Maps, Other, Scalar, size_text
from sfumato.dreaming.feature_extractor import DreamNetwork
from sfumato.models.roles.base import Layer

WHOLE = 1024
"""Longest side of a picture that a network takes whole, in pixels."""
TABLE = 1 << 24
"""Most pairs of a place of a picture and a place of a guide that are compared at once."""


@dataclass(frozen=True, kw_only=True)
class LayerObjective:
    """The objective of a layer: half the mean square of its activations (the first DeepDream), or the mean activation of some channels."""

    layer: Layer
    weight: float = 1.0
    channels: tuple[int, ...] = ()
    """Numbers of the channels; all if empty."""
    place: tuple[int, int] | None = None
    """Row and column of the one place that counts; all if None."""
    guide: Float[Tensor, "_places _c"] | None = None
    """Activations of the layer for a guide: each place becomes more similar to the most similar place of the guide."""

    def amount(self, maps: Maps, whole: tuple[int, int], first: tuple[int, int]) -> Scalar:
        """The share of `maps` in the value for an image of `whole` pixels; `first` is the row and column of their top left place."""
        x = maps.float()
        if self.place is not None:
            row, column = self.place[0] - first[0], self.place[1] - first[1]
            x = x[:, :, max(0, row) : max(0, row + 1), max(0, column) : max(0, column + 1)]
        places = 1 if self.place is not None else math.prod(max(1, side // self.layer.stride) for side in whole)
        if self.guide is not None:
            own = x.flatten(2)[0].T
            rows = max(1, TABLE // len(self.guide))
            nearest = [(some @ self.guide.T).argmax(dim=1) for some in own.detach().split(rows)]
            return self.weight * (own * self.guide[torch.cat(nearest)]).sum() / (places * x.shape[1])
        if self.channels:
            return self.weight * x[:, list(self.channels)].sum() / (places * len(self.channels))
        return self.weight * x.square().sum() / (2 * places * x.shape[1])


_FORM = re.compile(r"(?P<layer>[^:=@\s]+)(:(?P<channels>\d+(,\d+)*))?(@(?P<row>\d+),(?P<column>\d+))?(=(?P<weight>-?\d+(\.\d+)?))?")


def parse_objective(text: str, network: DreamNetwork) -> LayerObjective:
    """`fire7`, `fire7=0.5`, `fire8:12,40` or `fire8:12@3,4`: layer, channels, row and column of a place, weight.

    Raises SettingError for another form, an unknown layer, or a channel that it does not have.
    """
    match = _FORM.fullmatch(text.strip())
    if not match:
        raise SettingError(
            f"layer = {text!r} cannot be read; write fire7, fire7=0.5 (a weight), fire8:12,40 (channels) or fire8:12@3,4 (a place)"
        )
    layer = network.layer(match["layer"])
    channels = tuple(map(int, match["channels"].split(","))) if match["channels"] else ()
    if beyond := [channel for channel in channels if channel >= layer.width]:
        raise SettingError(f"layer {layer.name} has channels 0 to {layer.width - 1}; there is no {beyond[0]}")
    place = (int(match["row"]), int(match["column"])) if match["row"] else None
    return LayerObjective(layer=layer, weight=float(match["weight"] or 1), channels=channels, place=place)


def guided(objectives: Sequence[LayerObjective], guide: Other, network: DreamNetwork) -> list[LayerObjective]:
    """Objectives of whole layers with the activations of `guide`. Raises SettingError for objectives of channels or places."""
    if any(each.channels or each.place for each in objectives):
        raise SettingError("a guide decides channels and places; give whole layers with it")
    with torch.no_grad():
        maps_of_guide = network.layers(guide, [each.layer.name for each in objectives])
    rows = [maps.float().flatten(2)[0].T.contiguous() for maps in maps_of_guide]
    return [LayerObjective(layer=each.layer, weight=each.weight, guide=row) for each, row in zip(objectives, rows, strict=True)]


def check_fits(objectives: Sequence[LayerObjective], size: tuple[int, int], network: DreamNetwork, *, noun: str = "the picture") -> None:
    """Raises ImageError, with `noun` for the image, if an image of `size` lacks a place, or is smaller than a receptive field.

    An image as large as the training images of the network is large enough for any layer.
    """
    for each in objectives:
        if each.layer.start is not None and min(size) < min(each.layer.receptive_field, network.side):
            near = [name for name in network.names if network.layer(name).receptive_field <= min(size)]
            advice = f"take the layer {near[-1]} or an earlier one, or enlarge it" if near else "enlarge it"
            raise ImageError(
                f"{noun} of {size_text(size)} pixels is too small for the layer {each.layer.name}, "
                f"which looks at {each.layer.receptive_field} pixels either way; {advice}"
            )
        if each.place is None:
            continue
        # An estimate for a picture too large for the network: the map may have a place less at its borders.
        rows, columns = (math.ceil(side / each.layer.stride) for side in size)
        if max(size) <= WHOLE:
            with torch.no_grad():
                rows, columns = network.layers(torch.zeros(1, network.channels, *size, device=network.device), [each.layer.name])[0].shape[
                    2:
                ]
        if each.place[0] >= rows or each.place[1] >= columns:
            raise ImageError(
                f"layer {each.layer.name} has {rows} rows and {columns} columns of places for {noun}; {each.place} is beyond them"
            )
