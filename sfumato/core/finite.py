"""Whether numbers are numbers: NaN and infinity are counted, at the price of one look at each and of no memory."""

from torch import Tensor, aminmax, isfinite


def nonfinite(values: Tensor) -> int:
    """How many of `values`, of any shape and type, are NaN or infinite.

    Only where some are is a mask made to count them: the least and the largest number tell, and what is NaN is both.
    """
    if not values.is_floating_point() or not values.numel():
        return 0
    low, high = aminmax(values.detach())
    return 0 if isfinite(low) and isfinite(high) else int((~isfinite(values)).sum())
