"""The power of the noise of a picture by channel and frequency: of the noise of a camera, in which neighbours are alike, it falls."""

import torch

from sfumato.core.tensors import Images
from sfumato.nn.channels import luma
from sfumato.nn.cosine import Powers, square_transform

_FLAT = 1 / 3
"""Share of the squares that counts as flat: those with the least details."""


@torch.no_grad()
def noise_powers(noise: Images, denoised: Images) -> Powers:
    """The mean power of each coefficient of `nn.cosine.square_transform` of the `noise`, where the `denoised` picture is flat."""
    details = square_transform(luma(denoised))[:, 0].square()
    details[..., 0, 0] = 0
    amounts = details.sum(dim=(3, 4)).flatten()
    flat = amounts.argsort()[: max(1, round(_FLAT * len(amounts)))]
    squares = square_transform(noise).square().movedim(1, 3).flatten(0, 2)  # squares, channels, frequencies
    return squares[flat].mean(dim=0)
