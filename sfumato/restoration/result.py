"""Restored pictures in Python: PIL images, arrays and tensors that can be saved and that know the plans carried out on them."""

from typing import Any, TypeVar

import numpy as np
from PIL import Image
from torch import Tensor

from sfumato.io.results import ImageArray, ImageTensor, SavableImage
from sfumato.restoration.plan import RestorationPlan

R = TypeVar("R")


class RestoredImage(SavableImage):
    """A restored picture as a PIL image."""

    by = "restore"
    plans: tuple[RestorationPlan, ...] = ()
    """The plan that was carried out."""


class RestoredArray(ImageArray):
    """A restored picture as an array."""

    by = "restore"
    plans: tuple[RestorationPlan, ...] = ()


class RestoredTensor(ImageTensor):
    """Restored images as a tensor."""

    by = "restore"
    plans: tuple[RestorationPlan, ...] = ()
    """One for each image."""


def as_restored(result: R, plans: tuple[RestorationPlan, ...]) -> R:
    """`result` as the class of its kind above; a `Picture` stays as it is, and `sfumato.write` writes it."""
    restored: Any = result
    if isinstance(result, Tensor):
        restored = result.as_subclass(RestoredTensor)
    elif isinstance(result, np.ndarray):
        restored = result.view(RestoredArray)
    elif isinstance(result, Image.Image):
        restored.__class__ = RestoredImage  # the same fields, and no copy of the pixels
    else:
        return result
    restored.plans = plans
    return restored
