"""What a network makes is an image or an error: no picture is written of numbers that are none."""

from typing import TypeVar

from torch import Tensor, nn

from sfumato.core.errors import ImageError
from sfumato.core.finite import nonfinite

Made = TypeVar("Made", bound=Tensor)


def finite(output: Made, maker: object) -> Made:
    """`output`, before it is clamped, if all of it is finite. Raises ImageError, naming its `maker`, a network or a name, if it is not."""
    if count := nonfinite(output):
        raise ImageError(
            f"{name_of(maker)} made no image: {count:,} of {output.numel():,} numbers are NaN or infinite; its weights are too large, at "
            "least for bf16; try precision fp32, or another model"
        )
    return output


def name_of(maker: object) -> str:
    """The name of a network: its class, or the class of the network that it wraps. The text of anything else, such as a loaded model."""
    if not isinstance(maker, nn.Module):
        return str(maker)
    inner = getattr(maker, "network", None)
    return name_of(inner) if isinstance(inner, nn.Module) else type(maker).__name__
