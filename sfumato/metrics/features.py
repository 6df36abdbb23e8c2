"""The feature vectors of images, which distribution metrics compare, and the fingerprint of a network."""

import hashlib
from collections.abc import Iterable
from typing import final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.core.errors import DataError, SettingError
from sfumato.core.progress import counted
from sfumato.core.tensors import Images, Vectors, to_images
from sfumato.metrics.base import device_of, measuring
from sfumato.models.roles.feature_extractor import FeatureExtractor

AnyImages = Float[Tensor, "_n c h w"] | UInt8[Tensor, "_n c h w"]
"""Images in [0, 1], or bytes as in data sets."""


def describe(network: FeatureExtractor, images: AnyImages | Iterable[AnyImages], *, batch: int = 64) -> Vectors:
    """The features of all `images`, in their order, float32 on the CPU.

    `images` are one tensor or several tensors, such as a stream of generated batches. The network gets at most `batch` images at a time,
    on its own device and in evaluation mode; afterwards it has its earlier mode. Images are not resized. Raises SettingError for a
    `batch` below 1, DataError if there are no images.
    """
    if batch < 1:
        raise SettingError(f"batch = {batch} must be at least 1")
    vectors = []
    with measuring(network):
        for tensor in [images] if isinstance(images, Tensor) else images:
            device = device_of(network, tensor.device)
            for part in counted(tensor.split(batch), "batches of features"):
                pixels = part.to(device)
                vectors.append(network.features(to_images(pixels) if pixels.dtype == torch.uint8 else pixels).float().cpu())
    if not vectors:
        raise DataError("there are no images to compute features of; give at least 1")
    return torch.cat(vectors)


def weights_hash(network: nn.Module) -> str:
    """SHA-256, in hexadecimal, over the class of `network` and the name, type, shape and content of its weights and buffers.

    The hash is the same on every device and in any order of registration. Edits, directions, styles and dreams name their network by it,
    so a class that is renamed keeps its earlier name in the attribute `hashed_as`.
    """
    digest = hashlib.sha256(getattr(type(network), "hashed_as", type(network).__qualname__).encode())
    for name, weights in sorted(network.state_dict().items()):
        digest.update(f"\0{name}\0{weights.dtype}\0{tuple(weights.shape)}\0".encode())
        digest.update(weights.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@final
class Pixels(FeatureExtractor):
    """The means of an image over a grid of `side` x `side`: features of colour and layout, not of content, without any training."""

    def __init__(self, *, channels: int = 3, side: int = 8) -> None:
        super().__init__()
        self.side, self.feature_dim = side, channels * side * side

    def features(self, images: Images) -> Vectors:
        """The means over the grid, each channel in reading order, in [0, 1]."""
        return F.adaptive_avg_pool2d(images, self.side).flatten(1)
