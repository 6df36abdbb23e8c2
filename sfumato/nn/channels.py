"""Images adapted to the number of channels that a network takes, their luma, and whether their channels differ."""

from jaxtyping import Bool, Float
from torch import Tensor

from sfumato.core.tensors import Images, Maps, Other

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""


def average_channels(images: Images, channels: int) -> Maps:
    """`images` with `channels` channels: the mean of all for a network of grey images, grey repeated for a network of colour.

    For networks that describe images, such as feature extractors. A number of channels other than `channels` must be 1, or `channels` 1.
    """
    if images.shape[1] == channels:
        return images
    return images.mean(dim=1, keepdim=True) if channels == 1 else images.expand(-1, channels, -1, -1)


def separate_channels(images: Images, channels: int) -> Other:
    """`images` with `channels` channels: each channel as an image of its own for a network of grey images, else grey repeated.

    For networks whose results keep the channels apart: (n, c, h, w) becomes (n c, 1, h, w). A number of channels other than `channels` must
    be 1, or `channels` 1.
    """
    n, c, h, w = images.shape
    if c == channels:
        return images
    return images.reshape(n * c, 1, h, w) if channels == 1 else images.expand(n, channels, h, w)


def luma(images: Images) -> Float[Tensor, "n 1 h w"]:
    """The luma of RGB images by ITU-R BT.601, which JPEG uses too; grey images as they are."""
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)


def colourless(images: Images) -> Bool[Tensor, " n"]:
    """For each image, whether all its channels are equal: a grey image stored in colour."""
    return (images == images[:, :1]).flatten(1).all(dim=1)
