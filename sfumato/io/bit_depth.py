"""Fewer than 16 bits in samples of 16, as cameras and microscopes store them: the pixels are spread over the whole range and put back."""

from jaxtyping import UInt16
from torch import Tensor

_WHITES = (1023, 4095, 16383)
"""Largest samples of 10, 12 and 14 bits."""
_PIECE = 1 << 24
"""Samples that are changed at once."""


def largest_of(samples: UInt16[Tensor, "..."]) -> int:
    """The largest sample; 0 of none."""
    return max((int(part.numpy().max()) for part in samples.reshape(-1).split(_PIECE) if part.numel()), default=0)


def white(largest: int) -> int:
    """The sample that is white where `largest` is the largest: that of the fewest bits, of 10, 12, 14 or 16, that hold it.

    65535 if all are black.
    """
    return next((value for value in _WHITES if 0 < largest <= value), 65535)


def widened(samples: UInt16[Tensor, "..."], largest: int) -> UInt16[Tensor, "..."]:
    """The samples, changed in place, with `largest` as 65535."""
    return samples if largest == 65535 else _scaled(samples, 65535, largest)


def narrowed(samples: UInt16[Tensor, "..."], largest: int) -> UInt16[Tensor, "..."]:
    """The way back: a copy of the samples with 65535 as `largest`. What `widened` made comes back exactly."""
    return samples if largest == 65535 else _scaled(samples.clone(), largest, 65535)


def _scaled(samples: Tensor, times: int, divisor: int) -> Tensor:
    """To nearest, in whole numbers."""
    for part in samples.reshape(-1).split(_PIECE):
        values = part.numpy()
        values[:] = (values.astype("uint64") * times + divisor // 2) // divisor
    return samples
