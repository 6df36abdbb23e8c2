"""The gradient of objectives with respect to a picture of any size, whole or in tiles.

    picture ─ tile with its context ─ network ─ the tile's own places ─ objective ─ gradient ─ sum over the tiles

Every place of a map belongs to one tile, whose context holds all pixels that the place depends on. So the sum over the tiles equals the
gradient for the whole picture, and it is normalised once.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from sfumato.core.device import Precision, autocast, select_precision
from sfumato.core.errors import SettingError
from sfumato.core.finite_output import finite
from sfumato.core.tensors import Images, Maps
from sfumato.dreaming.feature_extractor import DreamNetwork
from sfumato.dreaming.objective import LayerObjective
from sfumato.nn import hooks
from sfumato.restoration.tiles import Span, spans


class Slope(NamedTuple):
    """The value of objectives, and its gradient."""

    amount: float
    gradient: Images


class Tile(NamedTuple):
    """The spans of rows and columns that a tile owns, and these with its context."""

    inner: tuple[Span, Span]
    outer: tuple[Span, Span]


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """Objectives of a network's layers, of a class of its scores, or of both."""

    network: DreamNetwork
    objectives: Sequence[LayerObjective]
    label: int | None = None
    """Number of a class; with tiles, the objective holds for each tile."""
    tile: int | None = None
    """Side of tiles, in pixels; None for the whole image."""
    precision: Precision = "auto"

    def slope(self, image: Images) -> Slope:
        """The value and gradient for one image on the device of the network. Where all units are inactive, the gradient activates them.

        Raises SettingError for a value, ImageError for a gradient, that is not finite.
        """
        slope, last = self._slope(image), 1
        if not math.isfinite(slope.amount):
            raise SettingError(f"the activation of {self.network.name} is {slope.amount}; its weights cannot be used")
        while not slope.gradient.any():
            with hooks.redirected_relus(self.network.network, last) as ran:
                slope = self._slope(image)
            if last >= ran[0]:
                break
            last *= 2
        finite(slope.gradient, self.network.name)
        return slope

    def _slope(self, image: Images) -> Slope:
        gradient, amount = torch.zeros_like(image), 0.0
        for tile in tiles(tuple(image.shape[2:]), self.tile, self.objectives):
            (top, bottom), (left, right) = tile.outer
            part = image[:, :, top:bottom, left:right].detach().clone().requires_grad_()
            with torch.enable_grad(), autocast(select_precision(self.precision, image.device), image.device):
                total = self._amount(part, tile, tuple(image.shape[2:]))
            amount += total.item()
            # Without any active unit there is no gradient.
            (rise,) = torch.autograd.grad(total, part, allow_unused=True) if total.requires_grad else (None,)
            if rise is not None:
                gradient[:, :, top:bottom, left:right] += rise
        return Slope(amount, gradient)

    def amount(self, image: Images) -> float:
        """The value of the objectives for one image."""
        total = 0.0
        with torch.no_grad(), autocast(select_precision(self.precision, image.device), image.device):
            for tile in tiles(tuple(image.shape[2:]), self.tile, self.objectives):
                (top, bottom), (left, right) = tile.outer
                total += self._amount(image[:, :, top:bottom, left:right], tile, tuple(image.shape[2:])).item()
        return total

    def check(self, size: tuple[int, int]) -> None:
        """Raises SettingError if an image of `size` cannot be computed in such tiles."""
        for _ in tiles(size, self.tile, self.objectives):
            pass

    def refused(self, size: tuple[int, int]) -> str:
        """The reason why the network cannot take an image of `size`; empty if it can."""
        try:
            self.amount(torch.zeros(1, self.network.channels, *size, device=self.network.device))
        except (RuntimeError, SettingError) as error:
            return " ".join(str(error).split())[:160]
        return ""

    def _amount(self, part: Maps, tile: Tile, whole: tuple[int, ...]) -> torch.Tensor:
        h, w = whole
        total = part.new_zeros(())
        if self.objectives:
            maps = self.network.layers(part, list(dict.fromkeys(wish.layer.name for wish in self.objectives)))
            by_name = dict(zip(dict.fromkeys(wish.layer.name for wish in self.objectives), maps, strict=True))
            for wish in self.objectives:
                rows, columns = (
                    _places(own, shown, side, wish.layer.stride) for own, shown, side in zip(tile.inner, tile.outer, whole, strict=True)
                )
                first = tile.inner[0][0] // wish.layer.stride, tile.inner[1][0] // wish.layer.stride
                total = total + wish.amount(by_name[wish.layer.name][:, :, rows, columns], (h, w), first)
        if self.label is not None:
            assert self.network.scores is not None
            share = math.prod(stop - start for start, stop in tile.inner) / (h * w)
            total = total + share * self.network.scores(self.network.preprocessed(part))[0, self.label]
        return total


def tiles(size: tuple[int, ...], tile: int | None, objectives: Sequence[LayerObjective]) -> Iterator[Tile]:
    """Tiles that cover an image of `size`, each pixel owned once; they begin at multiples of the strides of all layers.

    Raises SettingError for tiles under 32 pixels, and for layers whose receptive field is unknown.
    """
    h, w = size
    if tile is None or max(h, w) <= tile:
        yield Tile(((0, h), (0, w)), ((0, h), (0, w)))
        return
    if tile < 32:
        raise SettingError(f"tile = {tile} must be at least 32 pixels")
    if unknown := [wish.layer.name for wish in objectives if wish.layer.start is None]:
        raise SettingError(f"layer {unknown[0]} may depend on the whole picture, which excludes tiles; leave tile at 0")
    grid = math.lcm(*(wish.layer.stride for wish in objectives)) if objectives else 1
    before = max((-(wish.layer.start or 0) for wish in objectives), default=0)
    # A network without padding gives no output for a piece smaller than its receptive field.
    field = max((wish.layer.receptive_field for wish in objectives), default=0)
    behind = max([0, *((wish.layer.start or 0) + wish.layer.receptive_field - wish.layer.stride for wish in objectives)])
    for rows in spans(h, tile, grid):
        for columns in spans(w, tile, grid):
            shown = tuple(
                (_back(start, max(before, field - (min(side, stop + behind) - start)), grid), min(side, stop + behind))
                for (start, stop), side in zip((rows, columns), (h, w), strict=True)
            )
            yield Tile((rows, columns), (shown[0], shown[1]))


def _back(start: int, by: int, grid: int) -> int:
    """The last multiple of `grid` that lies at least `by` before `start`, or 0."""
    return max(0, start - math.ceil(max(0, by) / grid) * grid)


def _places(inner: Span, outer: Span, length: int, stride: int) -> slice:
    """The places of a tile in the map of the tile with its context; the last tile owns all to the end."""
    first = (inner[0] - outer[0]) // stride
    return slice(first, None if inner[1] >= length else first + (inner[1] - inner[0]) // stride)
