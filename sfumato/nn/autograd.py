"""The border to PyTorch's autograd functions."""

from typing import Any, TypeAlias

from torch import Tensor

Context: TypeAlias = Any
"""What `forward` leaves for `backward`: an object of PyTorch that takes any attribute and has no annotations."""
Gradients: TypeAlias = Tensor | tuple[Tensor | None, ...]
"""The gradient of each input of `forward`, or that of the only one; None for inputs without one."""
