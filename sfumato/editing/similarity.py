"""How far images are from a picture: colours and edges at all sizes, and what trained networks see in them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, PerImage
from sfumato.models.roles.feature_extractor import FeaturePyramid
from sfumato.models.roles.style_generator import StyleGenerator

SMALLEST = 8
"""Sizes are halved for as long as both sides stay at least this."""
SEEN = 0.1
"""Weight of what a network sees, as a share of what it sees in the picture."""


class Similarity:
    """Mean absolute difference from one picture, of values and of their slopes, meant over its sizes; and of the layers of `eyes`."""

    def __init__(self, picture: Images, pyramids: Sequence[FeaturePyramid] = ()) -> None:
        self.eyes = [eye for eye in pyramids if min(picture.shape[2:]) >= eye.reduction]
        with torch.no_grad():
            self.sizes, self.seen = _halved(picture), [_layers(eye, picture) for eye in self.eyes]

    def __call__(self, images: Images) -> PerImage:
        """The distance of each image."""
        pairs = zip(_halved(images), self.sizes, strict=True)
        total = torch.stack(
            [_difference(a, b) + sum(_difference(x, y) for x, y in zip(_slopes(a), _slopes(b), strict=True)) for a, b in pairs]
        )
        far = total.mean(dim=0)
        for eye, seen in zip(self.eyes, self.seen, strict=True):
            layers = [_difference(a, b) / b.abs().mean().clamp_min(1e-6) for a, b in zip(_layers(eye, images), seen, strict=True)]
            far = far + SEEN * torch.stack(layers).mean(dim=0)
        return far


def eyes_of(network: StyleGenerator, *others: FeaturePyramid) -> list[FeaturePyramid]:
    """The network's own discriminator, if it shows what it sees, and `others`. Raises SettingError for one that cannot see its images."""
    own = getattr(network, "discriminator", None)
    found = [eye for eye in (own, *others) if isinstance(eye, FeaturePyramid)]
    for eye in found:
        if eye.channels != network.channels and 1 not in (eye.channels, network.channels):
            raise SettingError(f"the features look at {eye.channels} channels and cannot compare images of {network.channels}")
    return found


def _layers(eye: FeaturePyramid, images: Images) -> list[Maps]:
    """A network of grey images is shown the mean of the channels, one of colours a grey image in all."""
    if eye.channels == images.shape[1]:
        return eye.layers(images)
    return eye.layers(images.mean(dim=1, keepdim=True) if eye.channels == 1 else images.expand(-1, eye.channels, -1, -1))


def _halved(images: Images) -> list[Maps]:
    sizes: list[Tensor] = [images]
    while min(sizes[-1].shape[2:]) >= 2 * SMALLEST:
        sizes.append(F.avg_pool2d(sizes[-1], 2))
    return sizes


def _slopes(x: Maps) -> tuple[Maps, Maps]:
    return x.diff(dim=2), x.diff(dim=3)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean(dim=(1, 2, 3))
