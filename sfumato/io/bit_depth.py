"""Samples of 10, 12 or 14 bits stored in 16, as by cameras and microscopes: scaled to the full range, and back; and 16 bits as 8."""

import torch
from jaxtyping import UInt8, UInt16
from torch import Tensor

_WHITES = (1023, 4095, 16383)
"""Largest samples of 10, 12 and 14 bits."""
_PIECE = 1 << 24
"""Samples that are scaled at once."""


def largest_of(samples: UInt16[Tensor, "..."]) -> int:
    """The largest sample; 0 for an empty tensor."""
    return max((int(part.numpy().max()) for part in samples.reshape(-1).split(_PIECE) if part.numel()), default=0)


def white(largest: int) -> int:
    """The largest sample of the smallest bit depth, of 10, 12, 14 and 16, that holds `largest`; 65535 for a `largest` of 0."""
    return next((value for value in _WHITES if 0 < largest <= value), 65535)


def widened(samples: UInt16[Tensor, "..."], largest: int) -> UInt16[Tensor, "..."]:
    """The samples scaled in place from [0, `largest`] to [0, 65535]."""
    return samples if largest == 65535 else _scaled(samples, 65535, largest)


def narrowed(samples: UInt16[Tensor, "..."], largest: int) -> UInt16[Tensor, "..."]:
    """A copy of the samples scaled from [0, 65535] to [0, `largest`]: the exact inverse of `widened`."""
    return samples if largest == 65535 else _scaled(samples.clone(), largest, 65535)


def eight_bits(samples: UInt8[Tensor, "*s"] | UInt16[Tensor, "*s"]) -> UInt8[Tensor, "*s"]:
    """The samples scaled from [0, 65535] to [0, 255] and rounded to nearest; samples of 8 bits as they are."""
    return samples if samples.dtype == torch.uint8 else _scaled(samples.clone(), 255, 65535).to(torch.uint8)


def _scaled(samples: Tensor, times: int, divisor: int) -> Tensor:
    """`samples`, in place, times `times` / `divisor`, rounded to nearest."""
    for part in samples.reshape(-1).split(_PIECE):
        values = part.numpy()
        values[:] = (values.astype("uint64") * times + divisor // 2) // divisor
    return samples
