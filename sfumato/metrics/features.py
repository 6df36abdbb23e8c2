"""Images to the feature vectors that distribution metrics compare, and the fingerprint of the network that made them."""

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
"""Images in [0, 1], or bytes as data sets hold them."""


def describe(network: FeatureExtractor, images: AnyImages | Iterable[AnyImages], *, batch: int = 64) -> Vectors:
    """The features of all `images`, in their order, float32 on the CPU.

    `images` are one tensor or any number of tensors, such as a stream of generated batches; the network gets at most `batch` at a time, on
    its own device, in evaluation mode, which is put back after. Nothing is resized here. Raises DataError if there are no images.
    """
    if batch < 1:
        raise SettingError(f"batch = {batch} must be at least 1")
    found = []
    with measuring(network):
        for some in [images] if isinstance(images, Tensor) else images:
            device = device_of(network, some.device)
            for part in counted(some.split(batch), "looking at images"):
                pixels = part.to(device)
                found.append(network.features(to_images(pixels) if pixels.dtype == torch.uint8 else pixels).float().cpu())
    if not found:
        raise DataError("there are no images to describe")
    return torch.cat(found)


def weights_hash(network: nn.Module) -> str:
    """SHA-256, in hexadecimal, over the class of `network` and the name, type, shape and content of its weights and buffers.

    The same on every device and in any order of registration. Edits, directions, styles and dreams name their network by it: a class that
    is renamed keeps the name that it had as an attribute `hashed_as`.
    """
    digest = hashlib.sha256(getattr(type(network), "hashed_as", type(network).__qualname__).encode())
    for name, weights in sorted(network.state_dict().items()):
        digest.update(f"\0{name}\0{weights.dtype}\0{tuple(weights.shape)}\0".encode())
        digest.update(weights.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@final
class Pixels(FeatureExtractor):
    """The image itself, averaged down to `side` x `side`: features that need no training, for colour and layout but not for content."""

    def __init__(self, *, channels: int = 3, side: int = 8) -> None:
        super().__init__()
        self.side, self.feature_dim = side, channels * side * side

    def features(self, images: Images) -> Vectors:
        """Means over a `side` x `side` grid, each channel in reading order, in [0, 1]."""
        return F.adaptive_avg_pool2d(images, self.side).flatten(1)
