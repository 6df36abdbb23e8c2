"""How a wish changes with every pixel of a picture of any size, whole or in tiles.

    picture ─ tile with its context ─ network ─ the tile's own places ─ their wish ─ slope ─ added up into one of the whole picture

Every place of a map belongs to one tile, which shows the network all that the place depends on; so the tiles add up to what the whole
picture would have given, and whoever brings the sum to size does so once.
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
    """How far wishes are fulfilled, and how that changes with each pixel."""

    amount: float
    gradient: Images


class Tile(NamedTuple):
    """What one tile owns, and what it shows the network to know it: rows, then columns."""

    inner: tuple[Span, Span]
    outer: tuple[Span, Span]


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """Wishes of a network's layers, of a class of its scores, or of both."""

    network: DreamNetwork
    objectives: Sequence[LayerObjective]
    label: int | None = None
    """Number of a class; in tiles it is each tile that is to show it."""
    tile: int | None = None
    """About how many pixels a side are computed at once; all if None."""
    precision: Precision = "auto"

    def slope(self, image: Images) -> Slope:
        """Of one image, on the device where the network is. Where nothing speaks yet, the slope is that towards speaking.

        Raises SettingError for an answer, ImageError for a slope, that is not finite.
        """
        found, last = self._slope(image), 1
        if not math.isfinite(found.amount):
            raise SettingError(f"{self.network.name} answers {found.amount}: its weights are no use")
        while not found.gradient.any():
            with hooks.redirected_relus(self.network.network, last) as ran:
                found = self._slope(image)
            if last >= ran[0]:
                break
            last *= 2
        finite(found.gradient, self.network.name)
        return found

    def _slope(self, image: Images) -> Slope:
        gradient, amount = torch.zeros_like(image), 0.0
        for tile in tiles(tuple(image.shape[2:]), self.tile, self.objectives):
            (top, bottom), (left, right) = tile.outer
            part = image[:, :, top:bottom, left:right].detach().clone().requires_grad_()
            with torch.enable_grad(), autocast(select_precision(self.precision, image.device), image.device):
                found = self._amount(part, tile, tuple(image.shape[2:]))
            amount += found.item()
            # A picture in which nothing is seen has no slope.
            (rise,) = torch.autograd.grad(found, part, allow_unused=True) if found.requires_grad else (None,)
            if rise is not None:
                gradient[:, :, top:bottom, left:right] += rise
        return Slope(amount, gradient)

    def amount(self, image: Images) -> float:
        """How far the wishes are fulfilled by one image."""
        total = 0.0
        with torch.no_grad(), autocast(select_precision(self.precision, image.device), image.device):
            for tile in tiles(tuple(image.shape[2:]), self.tile, self.objectives):
                (top, bottom), (left, right) = tile.outer
                total += self._amount(image[:, :, top:bottom, left:right], tile, tuple(image.shape[2:])).item()
        return total

    def check(self, size: tuple[int, int]) -> None:
        """Raises SettingError if an image of `size` cannot be taken in such tiles."""
        for _ in tiles(size, self.tile, self.objectives):
            pass

    def refused(self, size: tuple[int, int]) -> str:
        """Why no image of `size` can be shown; empty if one can."""
        try:
            self.amount(torch.zeros(1, self.network.channels, *size, device=self.network.device))
        except (RuntimeError, SettingError) as error:
            return " ".join(str(error).split())[:160]
        return ""

    def _amount(self, part: Maps, tile: Tile, whole: tuple[int, ...]) -> torch.Tensor:
        h, w = whole
        total = part.new_zeros(())
        if self.objectives:
            made = self.network.layers(part, list(dict.fromkeys(wish.layer.name for wish in self.objectives)))
            by_name = dict(zip(dict.fromkeys(wish.layer.name for wish in self.objectives), made, strict=True))
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
    """What covers an image of `size`, each pixel owned once; tiles begin where a place of every layer does.

    Raises SettingError for tiles too small to be, and for layers that see farther than is known.
    """
    h, w = size
    if tile is None or max(h, w) <= tile:
        yield Tile(((0, h), (0, w)), ((0, h), (0, w)))
        return
    if tile < 32:
        raise SettingError(f"tile = {tile} must be at least 32 pixels")
    if unknown := [wish.layer.name for wish in objectives if wish.layer.start is None]:
        raise SettingError(f"{unknown[0]} sees all of a picture, as far as is known: it cannot be taken in tiles; leave tile at 0")
    grid = math.lcm(*(wish.layer.stride for wish in objectives)) if objectives else 1
    before = max((-(wish.layer.start or 0) for wish in objectives), default=0)
    # A network that does not pad shows nothing of a piece smaller than what one place sees.
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
    """The last place on the grid that lies at least so far before `start`, or 0."""
    return max(0, start - math.ceil(max(0, by) / grid) * grid)


def _places(inner: Span, outer: Span, length: int, stride: int) -> slice:
    """Which places of a map of what is shown a tile owns; the last tile owns all to the end."""
    first = (inner[0] - outer[0]) // stride
    return slice(first, None if inner[1] >= length else first + (inner[1] - inner[0]) // stride)
