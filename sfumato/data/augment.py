"""Augmentation: random flips, shifts, zooms, colours and cutouts of each image, differentiable to any order.

For discriminators, this is differentiable augmentation (Zhao et al. 2020, https://arxiv.org/abs/2006.10738). Flip, shift and zoom act on
rows and columns separately, as matrices of interpolation weights on both sides of the image, A @ image @ B^T: exact for whole pixels,
batched, and with the second derivative of a matrix product.
"""

import dataclasses
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, PerImage, size_text
from sfumato.nn.channels import luma


@settings
class Config:
    """Settings of augmentation."""

    id = "augment"
    flip: Annotated[float, Range(0, 1, "probability")] = 0.0
    """Probability of a horizontal mirroring. Not for digits or text."""
    turn: Annotated[float, Range(0, 1, "probability")] = 0.0
    """Probability of a transposition; a vertical mirroring follows in half of the images. Flip 0.5 and turn 0.5 give all eight symmetries
    of a square. Square images only."""
    shift: Annotated[float, Range(0, 0.5, "of the side")] = 0.0
    """Largest translation in each direction, in whole pixels; border pixels are repeated."""
    zoom: Annotated[float, Range(0, 0.9)] = 0.0
    """Scales by a factor between 1 / (1 + zoom) and 1 + zoom, independently for height and width."""
    grey: Annotated[float, Range(0, 1, "probability")] = 0.0
    """Probability that every channel becomes the luma of ITU-R BT.601. Images of three channels only."""
    colour: Annotated[float, Range(0, 1)] = 0.0
    """Strength of random changes of brightness, contrast and saturation."""
    cutout: Annotated[float, Range(0, 1, "of the side")] = 0.0
    """Side of a rectangle that is set to mid-grey."""
    probability: Annotated[float, Range(0, 1)] = 1.0
    """Share of the images that are augmented."""

    @property
    def active(self) -> bool:
        """Whether images can be changed by these settings."""
        return self.probability > 0 and any(getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "probability")

    @property
    def draws(self) -> int:
        """Number of uniform random numbers for one image."""
        return 13 if self.turn or self.grey else 10

    def __call__(self, images: Images, uniform: Float[Tensor, "n u"]) -> Images:
        """`images` augmented by their rows of `uniform` numbers in [0, 1), `draws` in each row; in float32.

        Raises SettingError for turn with images that are not square, or grey with images that have not 3 channels.
        """
        u = uniform.to(images.device).unbind(1)
        active = (u[0] < self.probability).float()
        with torch.autocast(images.device.type, enabled=False):
            x = images.float()
            if self.turn:
                x = self._turn(x, active, u)
            if self.flip or self.shift or self.zoom:
                x = self._move(x, active, u)
            if self.grey:
                x = self._fade(x, active, u)
            if self.colour:
                x = _recolour(x, *(self.colour * active * (2 * v - 1) for v in u[6:9]))
            if self.cutout:
                x = _cut_out(x, self.cutout * active, u[9], u[0] / self.probability)  # uniform again, where active
        return x

    def _turn(self, images: Images, active: PerImage, u: tuple[Tensor, ...]) -> Images:
        if images.shape[2] != images.shape[3]:
            raise SettingError(f"augment.turn = {self.turn:g} needs square images, these are {size_text(images.shape[2:])}; set turn to 0")
        across, over = (
            (u[k] < chance)[:, None, None, None] & (active > 0)[:, None, None, None] for k, chance in ((10, self.turn), (11, 0.5))
        )
        turned = torch.where(across, images.mT, images)
        return torch.where(over, turned.flip(2), turned)

    def _fade(self, images: Images, active: PerImage, u: tuple[Tensor, ...]) -> Images:
        if images.shape[1] != 3:
            raise SettingError(f"augment.grey = {self.grey:g} needs images of 3 channels, these have {images.shape[1]}; set grey to 0")
        return torch.where(((u[12] < self.grey) & (active > 0))[:, None, None, None], luma(images), images)

    def _move(self, images: Images, active: PerImage, u: tuple[Tensor, ...]) -> Images:
        h, w = images.shape[2:]
        mirror = 1 - 2 * (u[1] < self.flip).float() * active
        down, right = ((active * (2 * v - 1) * self.shift * side).round() for v, side in ((u[2], h), (u[3], w)))
        tall, wide = ((1 + self.zoom) ** (active * (2 * v - 1)) for v in (u[4], u[5]))
        return _weights(h, 1 / tall, down) @ images @ _weights(w, mirror / wide, right).mT


def _weights(side: int, step: PerImage, offset: PerImage) -> Float[Tensor, "n 1 a a"]:
    """Matrices of linear interpolation along one axis: row i has the weights for position `step * i + offset`, counted from the centre."""
    place = torch.arange(side, device=step.device)
    middle = (side - 1) / 2
    source = (step[:, None] * (place - middle) + middle + offset[:, None]).clamp(0, side - 1)
    return (1 - (source[:, :, None] - place).abs()).clamp_min(0)[:, None]


def _recolour(images: Images, brightness: PerImage, contrast: PerImage, saturation: PerImage) -> Images:
    b, c, s = (v[:, None, None, None] for v in (brightness / 2, contrast / 2, saturation))
    grey = images.mean(dim=1, keepdim=True)
    x = grey + (images - grey) * (1 + s)
    middle = x.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (x - middle) * (1 + c) + b


def _cut_out(images: Images, side: PerImage, row: PerImage, column: PerImage) -> Images:
    """`images` with a rectangle of `side` (a share of height and width) around (`row`, `column`) set to mid-grey."""
    inside = []
    for centre, length in ((row, images.shape[2]), (column, images.shape[3])):
        place = (torch.arange(length, device=images.device) + 0.5) / length
        inside.append(((place - centre[:, None]).abs() < side[:, None] / 2).float())
    hole = (inside[0][:, :, None] * inside[1][:, None, :])[:, None]
    return images * (1 - hole) + 0.5 * hole
