"""Restored pictures in Python: PIL images, arrays and tensors that can be saved and that know the plans carried out on them."""

from typing import TypeAlias, cast

import numpy as np
from PIL import Image
from torch import Tensor

from sfumato.io.files import Picture
from sfumato.io.results import ImageArray, ImageTensor, SavableImage
from sfumato.restoration.plan import RestorationPlan


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


Restored: TypeAlias = RestoredImage | RestoredArray | RestoredTensor | Picture
"""A restored picture, of the kind of the input."""


def as_restored(result: Image.Image | np.ndarray | Tensor | Picture, plans: tuple[RestorationPlan, ...]) -> Restored:
    """`result` as the class of its kind above; a `Picture` stays as it is, and `sfumato.write` writes it."""
    if isinstance(result, Picture):
        return result
    if isinstance(result, Tensor):
        restored = result.as_subclass(RestoredTensor)
    elif isinstance(result, np.ndarray):
        restored = result.view(RestoredArray)
    else:
        result.__class__ = RestoredImage  # the same fields, and no copy of the pixels
        restored = cast(RestoredImage, result)
    restored.plans = plans
    return restored
