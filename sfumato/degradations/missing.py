"""Missing parts of an image: random pixels, boxes, brush strokes, scratches or overlaid text."""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded, Span, ordered

Kind = Literal["pixels", "boxes", "strokes", "scratches", "text"]

_ATTEMPTS = 400
"""Largest number of shapes drawn for one mask, even if its share of missing pixels is not reached."""


@settings
class Config:
    """Settings of missing pixels."""

    id = "missing"
    kind: Kind = "pixels"
    """Shape of the missing parts."""
    share: Annotated[Span, Range(0, 0.99, "of the pixels")] = (0.5, 0.5)
    """Share of missing pixels, drawn uniformly: the expected share for pixels; other shapes are added until the share is reached."""
    thickness: Annotated[Span, Range(0.001, 0.5, "of the shorter side")] = (0.01, 0.06)
    """Width of strokes, three times that of scratches, half of the height of letters, and a tenth of the side of boxes; drawn uniformly."""
    fill: Annotated[float, Range(0, 1)] = 0.0
    """Value of missing pixels."""

    def check(self) -> None:
        ordered(self, "share", "thickness")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        h, w = degraded.images.shape[2:]
        share = draws.within(*self.share).tolist()
        holes = torch.stack([self._hole(h, w, s, rng) for s, rng in zip(share, draws.generators(), strict=True)])[:, None]
        holes = holes.to(degraded.images.device)
        return dataclasses.replace(
            degraded, images=degraded.images.masked_fill(holes, self.fill), observed=degraded.observed.masked_fill(holes, 0.0)
        )

    def _hole(self, h: int, w: int, share: float, rng: torch.Generator) -> Bool[Tensor, "h w"]:
        if self.kind == "pixels":
            return torch.rand(h, w, generator=rng) < share
        dice = np.random.default_rng(int(torch.randint(0, 2**62, (), generator=rng)))
        canvas = Image.new("L", (w, h))
        for _ in range(_ATTEMPTS):
            if np.asarray(canvas).mean() >= 255 * share:
                break
            size = max(1.0, min(h, w) * dice.uniform(*self.thickness))
            _DRAW[self.kind](ImageDraw.Draw(canvas), w, h, size, dice)
        return torch.from_numpy(np.asarray(canvas) > 127)


def _box(draw: ImageDraw.ImageDraw, w: int, h: int, size: float, dice: np.random.Generator) -> None:
    tall, wide = 10 * size * dice.uniform(0.5, 1.5, 2)
    x, y = dice.uniform(-wide / 2, w - wide / 2), dice.uniform(-tall / 2, h - tall / 2)
    draw.rectangle((x, y, x + wide, y + tall), fill=255)


def _stroke(draw: ImageDraw.ImageDraw, w: int, h: int, size: float, dice: np.random.Generator) -> None:
    """Draws a brush stroke of random turns, with round ends and corners."""
    at, angle = np.array([dice.uniform(0, w), dice.uniform(0, h)]), dice.uniform(0, 2 * math.pi)
    for _ in range(dice.integers(2, 8)):
        angle += dice.normal(0, 0.8)
        on = at + dice.uniform(2, 10) * size * np.array([math.cos(angle), math.sin(angle)])
        draw.line((*at, *on), fill=255, width=round(size))
        for x, y in (at, on):
            draw.ellipse((x - size / 2, y - size / 2, x + size / 2, y + size / 2), fill=255)
        at = on


def _scratch(draw: ImageDraw.ImageDraw, w: int, h: int, size: float, dice: np.random.Generator) -> None:
    """Draws a thin, slightly wavering line across much of the image, mostly upright, as scratches of film are."""
    angle = dice.normal(math.pi / 2, 0.3) if dice.random() < 0.7 else dice.uniform(0, math.pi)
    length = dice.uniform(0.3, 1.2) * math.hypot(w, h)
    along = np.linspace(-0.5, 0.5, 24)[:, None] * length * np.array([[math.cos(angle), math.sin(angle)]])
    across = np.cumsum(dice.normal(0, size / 4, 24))[:, None] * np.array([[-math.sin(angle), math.cos(angle)]])
    points = along + across + np.array([dice.uniform(0, w), dice.uniform(0, h)])
    draw.line([*map(tuple, points)], fill=255, width=max(1, round(size / 3)))


def _text(draw: ImageDraw.ImageDraw, w: int, h: int, size: float, dice: np.random.Generator) -> None:
    """Draws a line of letters at a random position."""
    letters = [chr(ord("A") + i) if i < 26 else " " for i in dice.integers(0, 31, dice.integers(3, 30))]
    height = max(6.0, 2 * size)
    place = dice.uniform(-w / 4, w * 3 / 4), dice.uniform(-height / 2, h - height / 2)
    draw.text(place, "".join(letters), fill=255, font=ImageFont.load_default(height))


_DRAW: dict[str, Callable[[ImageDraw.ImageDraw, int, int, float, np.random.Generator], None]] = {
    "boxes": _box,
    "strokes": _stroke,
    "scratches": _scratch,
    "text": _text,
}
