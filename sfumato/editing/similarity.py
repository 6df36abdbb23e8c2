"""The distance of images from a picture: colours and edges at all sizes, and the feature maps of trained networks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, PerImage
from sfumato.models.roles.feature_extractor import FeaturePyramid
from sfumato.models.roles.generator import Generator
from sfumato.nn.channels import average_channels

SMALLEST = 8
"""Sizes are halved for as long as both sides stay at least this."""
FEATURES = 0.1
"""Weight of the difference of feature maps, relative to the mean of the picture's own maps."""


class Similarity:
    """Mean absolute difference from one picture, of values and of their slopes, averaged over its sizes; plus that of feature maps."""

    def __init__(self, picture: Images, extractors: Sequence[FeaturePyramid] = ()) -> None:
        """An extractor that needs larger images than `picture` is left out."""
        self.extractors = [each for each in extractors if min(picture.shape[2:]) >= each.reduction]
        with torch.no_grad():
            self.sizes, self.features = _halved(picture), [_layers(each, picture) for each in self.extractors]

    def __call__(self, images: Images) -> PerImage:
        """The distance of each image."""
        pairs = zip(_halved(images), self.sizes, strict=True)
        total = torch.stack(
            [_difference(a, b) + sum(_difference(x, y) for x, y in zip(_slopes(a), _slopes(b), strict=True)) for a, b in pairs]
        )
        distance = total.mean(dim=0)
        for extractor, maps in zip(self.extractors, self.features, strict=True):
            layers = [_difference(a, b) / b.abs().mean().clamp_min(1e-6) for a, b in zip(_layers(extractor, images), maps, strict=True)]
            distance = distance + FEATURES * torch.stack(layers).mean(dim=0)
        return distance


def feature_extractors(network: Generator, *others: FeaturePyramid) -> list[FeaturePyramid]:
    """The feature networks `others`. Raises SettingError for one that does not take images of the channels of `network`."""
    for each in others:
        if each.channels != network.channels and 1 not in (each.channels, network.channels):
            raise SettingError(f"the features take {each.channels} channels and cannot compare images of {network.channels}")
    return list(others)


def _layers(extractor: FeaturePyramid, images: Images) -> list[Maps]:
    """The feature maps of images; a grey network gets the mean of the channels, a colour network gets grey images in all channels."""
    return extractor.layers(average_channels(images, extractor.channels))


def _halved(images: Images) -> list[Maps]:
    sizes: list[Tensor] = [images]
    while min(sizes[-1].shape[2:]) >= 2 * SMALLEST:
        sizes.append(F.avg_pool2d(sizes[-1], 2))
    return sizes


def _slopes(x: Maps) -> tuple[Maps, Maps]:
    return x.diff(dim=2), x.diff(dim=3)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean(dim=(1, 2, 3))
