"""What can be told of images without any network, to say in a word what a direction changes: colour, contrast, sharpness, place."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.tensors import Images, PerImage


class Trait(NamedTuple):
    """Names of more of something, and of less."""

    more: str
    less: str


TRAITS = (
    Trait("brighter", "darker"),
    Trait("more-contrast", "less-contrast"),
    Trait("sharper", "softer"),
    Trait("to-the-right", "to-the-left"),
    Trait("lower", "higher"),
    Trait("wider", "narrower"),
    Trait("taller", "flatter"),
    Trait("redder", "bluer"),
    Trait("greener", "more-magenta"),
    Trait("more-colourful", "paler"),
)


def attributes(images: Images) -> Float[Tensor, "n _traits"]:
    """A number for each of `TRAITS` of each image; of what has no colours the last three are 0."""
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


def named(less: Images, more: Images, usual: Float[Tensor, "_usual c h w"]) -> list[str]:
    """What has changed most from each image of `less` to that of `more`, compared with how much it varies among the `usual` ones.

    One name for all: of the trait whose mean change is largest; with a second one in its train if that is nearly as large.
    """
    change = (attributes(more) - attributes(less)).mean(dim=0) / attributes(usual).std(dim=0).clamp_min(1e-3)
    order = change.abs().argsort(descending=True).tolist()
    first, second = (TRAITS[i].more if change[i] > 0 else TRAITS[i].less for i in order[:2])
    near = change[order[1]].abs() > 0.7 * change[order[0]].abs()
    return [first, second] if near else [first]


def _place(mass: Float[Tensor, "n _length"], length: int) -> tuple[PerImage, PerImage]:
    """Where the mass lies along a side, and how far it spreads, as shares of it."""
    at = torch.linspace(0, 1, length)
    share = mass / mass.sum(dim=1, keepdim=True).clamp_min(1e-6)
    centre = share @ at
    return centre, (share * (at - centre[:, None]).square()).sum(dim=1).sqrt()
