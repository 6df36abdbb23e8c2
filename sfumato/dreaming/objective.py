"""What a dream is to show more of: layers, channels of them, single neurons, a class, or what a guide shows.

Each wish says of a network's maps how far it is fulfilled, place by place, so that tiles add up to the whole.
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
"""Longest side of a picture that is shown to a network whole."""
TABLE = 1 << 24
"""Most places of a picture times places of a guide that are compared at once."""


@dataclass(frozen=True, kw_only=True)
class LayerObjective:
    """More of a layer: half the mean square of what it says (the first DeepDream), or of some channels the mean of what they say."""

    layer: Layer
    weight: float = 1.0
    channels: tuple[int, ...] = ()
    """All if none."""
    place: tuple[int, int] | None = None
    """Row and column of the one place that counts; all if None."""
    guide: Float[Tensor, "_places _c"] | None = None
    """What the layer says of a guide: each place is to become more like that place of it which it resembles most."""

    def amount(self, maps: Maps, whole: tuple[int, int], first: tuple[int, int]) -> Scalar:
        """How much of it is in `maps`, places of an image of `whole` pixels of which the top left one is number `first`."""
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
    found = _FORM.fullmatch(text.strip())
    if not found:
        raise SettingError(
            f"layer = {text!r} cannot be read; write fire7, fire7=0.5 (a weight), fire8:12,40 (channels) or fire8:12@3,4 (a place)"
        )
    layer = network.layer(found["layer"])
    channels = tuple(map(int, found["channels"].split(","))) if found["channels"] else ()
    if beyond := [channel for channel in channels if channel >= layer.width]:
        raise SettingError(f"layer {layer.name} has channels 0 to {layer.width - 1}; there is no {beyond[0]}")
    place = (int(found["row"]), int(found["column"])) if found["row"] else None
    return LayerObjective(layer=layer, weight=float(found["weight"] or 1), channels=channels, place=place)


def guided(objectives: Sequence[LayerObjective], guide: Other, network: DreamNetwork) -> list[LayerObjective]:
    """The same wishes, of whole layers, for what `guide` shows. Raises SettingError for wishes for channels or places of their own."""
    if any(each.channels or each.place for each in objectives):
        raise SettingError("a guide says which channels and where; name whole layers with it")
    with torch.no_grad():
        made = network.layers(guide, [each.layer.name for each in objectives])
    rows = [maps.float().flatten(2)[0].T.contiguous() for maps in made]
    return [LayerObjective(layer=each.layer, weight=each.weight, guide=row) for each, row in zip(objectives, rows, strict=True)]


def check_fits(objectives: Sequence[LayerObjective], size: tuple[int, int], network: DreamNetwork, *, noun: str = "the picture") -> None:
    """Raises ImageError, naming it as `noun`, if an image of `size` has no such place, or is smaller than what a place looks at.

    Unless it is as large as those that the network was trained on: deep layers look farther than these reach.
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
        # Of a picture too large to be shown whole: its borders may hold a place less.
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
