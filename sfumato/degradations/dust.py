"""Dust, hairs and scratches on a print or a film: small things that cover the picture, some bright and some dark.

    specks      round or oval spots, a few pixels across
    hairs       thin curls
    scratches   long lines, straight or jagged

Each is drawn at four times the size and reduced, so that its edge is soft, as a scanner shows it.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from sfumato.core.config import Range, settings
from sfumato.core.rng import Draws
from sfumato.degradations.base import Degraded, Span, ordered

_FINE = 4
"""Pixels of the drawing for each pixel of the picture, along one side."""
_VISIBLE = 0.15
"""Cover from which on a pixel counts as damaged."""
_AREA = 256 * 256
"""Pixels for which numbers of things are given."""


@settings
class Config:
    """Settings of dust, hairs and scratches."""

    id = "dust"
    specks: Annotated[Span, Range(0, 10_000, "in 256 x 256 pixels")] = (0.0, 60.0)
    """Number of specks, drawn uniformly; smaller pictures have fewer, at random."""
    hairs: Annotated[Span, Range(0, 1000, "in 256 x 256 pixels")] = (0.0, 6.0)
    """Number of hairs."""
    scratches: Annotated[Span, Range(0, 1000, "in 256 x 256 pixels")] = (0.0, 6.0)
    """Number of scratches."""
    radius: Annotated[Span, Range(0.1, 50, "pixels")] = (0.5, 3.0)
    """Radius of a speck; small ones are more frequent."""
    width: Annotated[Span, Range(0.1, 50, "pixels")] = (0.6, 2.5)
    """Width of a hair or a scratch."""
    cover: Annotated[Span, Range(0, 1)] = (0.5, 1.0)
    """Opacity of a thing."""
    bright: Annotated[Span, Range(0, 1)] = (0.0, 1.0)
    """Share of the things that are bright, drawn uniformly for each image; the others are dark."""

    def check(self) -> None:
        ordered(self, "specks", "hairs", "scratches", "radius", "width", "cover", "bright")

    def __call__(self, degraded: Degraded, draws: Draws) -> Degraded:
        """A pixel that a thing covers visibly is not observed."""
        h, w = degraded.images.shape[2:]
        layers = torch.stack([self._layers(h, w, rng) for rng in draws.generators()]).to(degraded.images)
        images = degraded.images
        for cover, value in zip(layers.split(1, dim=1), (0.0, 1.0), strict=True):
            images = images + cover * (value - images)
        covered = layers.amax(dim=1, keepdim=True) > _VISIBLE
        return dataclasses.replace(degraded, images=images, observed=degraded.observed.masked_fill(covered, 0.0))

    def _layers(self, h: int, w: int, rng: torch.Generator) -> Float[Tensor, "2 h w"]:
        """The cover of every pixel of one image by dark and by bright things."""
        dice = np.random.default_rng(int(torch.randint(0, 2**62, (), generator=rng)))
        layers, bright = torch.zeros(2, h, w), dice.uniform(*self.bright)
        for draw, numbers in ((self._speck, self.specks), (_hair, self.hairs), (_scratch, self.scratches)):
            for _ in range(dice.poisson(dice.uniform(*numbers) * h * w / _AREA)):
                self._add(layers[int(dice.random() < bright)], draw, dice)
        return layers

    def _add(self, layer: Float[Tensor, "h w"], draw: Callable[..., None], dice: np.random.Generator) -> None:
        """Draws one thing over the layer."""
        h, w = layer.shape
        canvas = Image.new("L", (w * _FINE, h * _FINE))
        draw(ImageDraw.Draw(canvas), w * _FINE, h * _FINE, _FINE * dice.uniform(*self.width), dice)
        drawn = np.asarray(canvas, np.float32).reshape(h, _FINE, w, _FINE).mean(axis=(1, 3)) / 255
        torch.maximum(layer, torch.from_numpy(drawn * np.float32(dice.uniform(*self.cover))), out=layer)

    def _speck(self, draw: ImageDraw.ImageDraw, w: int, h: int, _width: float, dice: np.random.Generator) -> None:
        """Draws a spot of some lobes, so that it is not quite round."""
        low, high = self.radius
        radius = _FINE * (low + (high - low) * dice.random() ** 2)
        x, y = dice.uniform(0, w), dice.uniform(0, h)
        for dx, dy in dice.normal(0, radius / 2, (dice.integers(1, 4), 2)):
            tall, wide = radius * dice.uniform(0.6, 1.0, 2)
            draw.ellipse((x + dx - wide, y + dy - tall, x + dx + wide, y + dy + tall), fill=255)


def _hair(draw: ImageDraw.ImageDraw, w: int, h: int, width: float, dice: np.random.Generator) -> None:
    """Draws a curl whose direction changes steadily."""
    _line(draw, (w, h), width, dice, length=_FINE * dice.uniform(8, 60), bend=0.25, angle=dice.uniform(0, 2 * math.pi))


def _scratch(draw: ImageDraw.ImageDraw, w: int, h: int, width: float, dice: np.random.Generator) -> None:
    """Draws a long line, mostly upright, as scratches of film are."""
    angle = dice.normal(math.pi / 2, 0.25) if dice.random() < 0.6 else dice.uniform(0, 2 * math.pi)
    _line(draw, (w, h), width, dice, length=_FINE * dice.uniform(30, 400), bend=dice.uniform(0.01, 0.25), angle=angle)


def _line(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], width: float, dice: np.random.Generator, *, length: float, bend: float, angle: float
) -> None:
    """Draws a line of this length through a random point, whose angle changes by a random walk of steps `bend`."""
    steps = max(2, round(length / (4 * _FINE)))
    angles = angle + np.cumsum(dice.normal(0, bend, steps)) + np.cumsum(np.full(steps, dice.normal(0, bend / 2)))
    along = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0) * length / steps
    points = along - along[steps // 2] + dice.uniform(0, 1, 2) * np.array(size)
    draw.line([(float(x), float(y)) for x, y in points], fill=255, width=max(1, round(width)), joint="curve")
