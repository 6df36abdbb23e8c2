"""Distances between two images in the features of a trained network.

perceptual   L1 between feature maps, layer by layer (Johnson et al. 2016, https://arxiv.org/abs/1603.08155, eq. 2, with L1)
gram         L1 between their Gram matrices: texture, wherever in the image (Gatys et al. 2015, 1505.07376; Johnson, eq. 4)
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Maps, Resized, Scalar, size_text
from sfumato.models.roles.feature_extractor import FeaturePyramid
from sfumato.nn.channels import separate_channels
from sfumato.store import weights


class Perception:
    """The layers of a trained network, each with its weight. The network is not trained and never changes."""

    def __init__(self, name: str, shares: tuple[float, ...], channels: int, device: torch.device) -> None:
        """Opens the model called `name`; `shares` are the weights of its layers, finest first, or empty for 1 each.

        Raises UnknownNameError or CheckpointError if there is no such model, SettingError if it has no layers, another number of layers
        than `shares`, or takes no images of `channels` channels.
        """
        network = weights.opened(name, FeaturePyramid, otherwise="has no layers in which images could be compared").network
        if shares and len(shares) != len(network.layer_widths):
            raise SettingError(f"layers has {len(shares)} weights, {name} {len(network.layer_widths)} layers; give as many, or none")
        if channels != network.channels and 1 not in (channels, network.channels):
            raise SettingError(f"features = {name!r} takes images of {network.channels} channels and cannot compare images of {channels}")
        self.name, self.network, self.min_side = name, network.to(device), network.min_side
        self.shares = shares or (1.0,) * len(network.layer_widths)

    def distances(self, output: Maps, clean: Images, *, texture: bool, content: bool) -> dict[str, Scalar]:
        """`perceptual` if `content`, `gram` if `texture`. Raises SettingError for images too small for the network."""
        with torch.no_grad():
            target = self.feature_maps(clean)
        layers = list(zip(self.feature_maps(output), target, strict=True))
        distances = {}
        if content:
            distances["perceptual"] = self._weighted([_difference(a, b) for a, b in layers])
        if texture:
            distances["gram"] = self._weighted([_difference(gram_matrix(a), gram_matrix(b)) for a, b in layers])
        return distances

    def shifted(self, output: Maps, clean: Images, images_seen: int) -> tuple[Resized, Resized]:
        """Both images without some rows at the top and columns at the left, as many as `images_seen` draws, fewer than `reduction`.

        A network with strides looks at some pixels more than at others. If these were always the same, images trained against it would
        have a grid.
        """
        most = min(self.network.reduction, *(side - self.min_side + 1 for side in clean.shape[2:]))
        if most <= 1:
            return output, clean
        down, across = torch.randint(most, (2,), generator=seeded_generator(images_seen, "perception")).tolist()
        return output[:, :, down:, across:], clean[:, :, down:, across:]

    def mean_distance(self, output: Maps, real: Images) -> Scalar:
        """Distance between the mean feature maps of two batches. Raises SettingError for images too small for the network."""
        with torch.no_grad():
            target = self.feature_maps(real)
        layers = zip(self.feature_maps(output), target, strict=True)
        return self._weighted([_difference(a.mean(dim=0), b.mean(dim=0)) for a, b in layers])

    def feature_maps(self, images: Maps) -> list[Float[Tensor, "_m _c _h _w"]]:
        """The layers of `images`. A network of grey images takes each channel alone, one of colour images a grey one in all channels."""
        h, w = images.shape[2:]
        if min(h, w) < self.min_side:
            raise SettingError(f"features = {self.name!r} needs images of at least {self.min_side} pixels; these are {size_text((h, w))}")
        return self.network.layers(separate_channels(images, self.network.channels))

    def _weighted(self, parts: list[Scalar]) -> Scalar:
        return torch.stack([share * part for share, part in zip(self.shares, parts, strict=True)]).sum()


def gram_matrix(maps: Maps) -> Float[Tensor, "n _c _c"]:
    """For each image, the mean over its pixels of the product of every two channels, in float32."""
    with torch.autocast(maps.device.type, enabled=False):
        rows = maps.float().flatten(2)
        return rows @ rows.mT / rows.shape[2]


def device_of(model: nn.Module) -> torch.device:
    """The device of the weights of `model`."""
    return next(model.parameters()).device


def _difference(a: Float[Tensor, "..."], b: Float[Tensor, "..."]) -> Scalar:
    return (a.float() - b.float()).abs().mean()
