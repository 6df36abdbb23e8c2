"""Attributes of images that need no network, to name a direction by the attribute that it changes: colour, contrast, sharpness, place."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.tensors import Images, PerImage


class Attribute(NamedTuple):
    """Names of an increase and of a decrease of one attribute."""

    more: str
    less: str


ATTRIBUTES = (
    Attribute("brighter", "darker"),
    Attribute("more-contrast", "less-contrast"),
    Attribute("sharper", "softer"),
    Attribute("to-the-right", "to-the-left"),
    Attribute("lower", "higher"),
    Attribute("wider", "narrower"),
    Attribute("taller", "flatter"),
    Attribute("redder", "bluer"),
    Attribute("greener", "more-magenta"),
    Attribute("more-colourful", "paler"),
)


def attributes(images: Images) -> Float[Tensor, "n _attributes"]:
    """A number for each of `ATTRIBUTES` of each image; the last three are 0 for images without colour."""
    grey = images.mean(dim=1)
    h, w = grey.shape[1:]
    mean = grey.mean(dim=(1, 2))
    contrast = grey.std(dim=(1, 2), correction=0)
    slopes = grey.diff(dim=1).abs().mean(dim=(1, 2)) + grey.diff(dim=2).abs().mean(dim=(1, 2))
    right, wide = _place((grey - mean[:, None, None]).abs().sum(dim=1), w)
    down, tall = _place((grey - mean[:, None, None]).abs().sum(dim=2), h)
    none = torch.zeros_like(mean)
    red, green, blue = images[:, :3].mean(dim=(2, 3)).unbind(dim=1) if images.shape[1] >= 3 else (none, none, none)
    colour = images[:, :3].std(dim=1, correction=0).mean(dim=(1, 2)) if images.shape[1] >= 3 else none
    sharp = slopes / contrast.clamp_min(1e-4)
    return torch.stack([mean, contrast, sharp, right, down, wide, tall, red - blue, green - (red + blue) / 2, colour], dim=1)


def names_of_change(less: Images, more: Images, usual: Float[Tensor, "_usual c h w"]) -> list[str]:
    """Names of the attribute that changes most from `less` to `more`, relative to its standard deviation among the `usual` images.

    One name for all pairs of images, or two if the second largest change is nearly as large.
    """
    change = (attributes(more) - attributes(less)).mean(dim=0) / attributes(usual).std(dim=0).clamp_min(1e-3)
    order = change.abs().argsort(descending=True).tolist()
    first, second = (ATTRIBUTES[i].more if change[i] > 0 else ATTRIBUTES[i].less for i in order[:2])
    close = change[order[1]].abs() > 0.7 * change[order[0]].abs()
    return [first, second] if close else [first]


def _place(mass: Float[Tensor, "n _length"], length: int) -> tuple[PerImage, PerImage]:
    """Mean and standard deviation of the place of the mass along a side, as shares of the side."""
    at = torch.linspace(0, 1, length)
    share = mass / mass.sum(dim=1, keepdim=True).clamp_min(1e-6)
    centre = share @ at
    return centre, (share * (at - centre[:, None]).square()).sum(dim=1).sqrt()
