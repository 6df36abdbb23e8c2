"""How far two images are from each other in the eyes of a trained network.

perceptual   L1 between its feature maps, layer by layer (Johnson et al. 2016, https://arxiv.org/abs/1603.08155, eq. 2, with L1)
gram         L1 between how their channels go together, wherever in the image: texture (Gatys et al. 2015, 1505.07376; Johnson, eq. 4)
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, Scalar, size_text
from sfumato.models.roles.feature_extractor import FeaturePyramid
from sfumato.store import weights


class Perception:
    """The layers of a trained network, each with its weight. It is no part of what is trained and never changes."""

    def __init__(self, which: str, shares: tuple[float, ...], channels: int, device: torch.device) -> None:
        """Opens the model called `which`; `shares` are the weights of its layers, finest first, or none for one each.

        Raises UnknownNameError or CheckpointError if there is no such model, SettingError if it has no layers, as many others, or
        cannot be shown images of `channels` channels.
        """
        network = weights.opened(which, FeaturePyramid, otherwise="has no layers in which images could be compared").network
        if shares and len(shares) != len(network.layer_widths):
            raise SettingError(f"layers has {len(shares)} weights, {which} {len(network.layer_widths)} layers; give as many, or none")
        if channels != network.channels and 1 not in (channels, network.channels):
            raise SettingError(f"features = {which!r} looks at {network.channels} channels and cannot compare images of {channels}")
        self.name, self.network, self.least = which, network.to(device), network.min_side
        self.shares = shares or (1.0,) * len(network.layer_widths)

    def distances(self, output: Maps, clean: Images, *, texture: bool, content: bool) -> dict[str, Scalar]:
        """The asked ones of `perceptual` and `gram`. Raises SettingError for images too small for the network."""
        with torch.no_grad():
            theirs = self.feature_maps(clean)
        ours = self.feature_maps(output)
        found = {}
        if content:
            found["perceptual"] = self._weighted([_difference(a, b) for a, b in zip(ours, theirs, strict=True)])
        if texture:
            found["gram"] = self._weighted([_difference(gram_matrix(a), gram_matrix(b)) for a, b in zip(ours, theirs, strict=True)])
        return found

    def apart_on_average(self, output: Maps, real: Images) -> Scalar:
        """How far the mean maps of a batch are from those of another. Raises SettingError for images too small for the network."""
        with torch.no_grad():
            theirs = self.feature_maps(real)
        return self._weighted([_difference(a.mean(dim=0), b.mean(dim=0)) for a, b in zip(self.feature_maps(output), theirs, strict=True)])

    def feature_maps(self, images: Maps) -> list[Float[Tensor, "_m _c _h _w"]]:
        """The layers for `images`: a network of grey images is shown each channel for itself, one of colours a grey image in all."""
        n, c, h, w = images.shape
        if min(h, w) < self.least:
            raise SettingError(f"features = {self.name!r} needs images of at least {self.least} pixels; these are {size_text((h, w))}")
        shown = images.reshape(n * c, 1, h, w) if self.network.channels == 1 else images.expand(n, self.network.channels, h, w)
        return self.network.layers(shown)

    def _weighted(self, parts: list[Scalar]) -> Scalar:
        return torch.stack([share * part for share, part in zip(self.shares, parts, strict=True)]).sum()


def gram_matrix(maps: Maps) -> Float[Tensor, "n _c _c"]:
    """Of each image, the mean over its pixels of the product of every two channels, in float32."""
    with torch.autocast(maps.device.type, enabled=False):
        rows = maps.float().flatten(2)
        return rows @ rows.mT / rows.shape[2]


def device_of(model: nn.Module) -> torch.device:
    """Where the weights of `model` are."""
    return next(model.parameters()).device


def _difference(a: Float[Tensor, "..."], b: Float[Tensor, "..."]) -> Scalar:
    return (a.float() - b.float()).abs().mean()
