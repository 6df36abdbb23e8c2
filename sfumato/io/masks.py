"""Masks: which pixels of a picture are to be filled in, by a drawing beside it or by its own opacity.

A drawing is bright where to fill in, as bright as the brightest of its colours; what is clear in it is dark. The edge of a stroke is drawn
softly by most programs, and what lies under it is damaged too: so each pixel counts that is not clearly dark.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from sfumato.core.errors import ImageError, SettingError
from sfumato.core.progress import remark
from sfumato.core.tensors import Maps, Planes

ALPHA = "alpha"
"""In the place of a mask's file: the picture's own opacity, of which all that is not opaque is to be filled in."""
INTACT = 8 / 255
"""Brightness up to which a pixel of a mask is clearly dark. A mask saved as a JPEG has some of it beside each edge."""
LARGEST_GROWTH = 1000
_ONE = 1.5 / 255
"""A mask whose brightest pixel is below is not drawn in black and white but in 0 and 1."""
_MUCH = 0.6
"""Share of a picture from which on a mask is probably meant the other way round."""


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """How a mask is read."""

    grow: int = 0
    """Pixels by which each hole is made larger, in every direction."""
    invert: bool = False
    """Whether the mask is dark where to fill in."""

    def check(self) -> None:
        """Raises SettingError for a growth that cannot be."""
        if not 0 <= self.grow <= LARGEST_GROWTH:
            raise SettingError(f"grow_mask = {self.grow} is outside [0, {LARGEST_GROWTH}] pixels")


def is_alpha(mask: object) -> bool:
    """Whether this is no mask but `ALPHA`; a file or a folder of that name is a mask."""
    return isinstance(mask, str | Path) and str(mask) == ALPHA and not Path(mask).exists()


def brightness(layers: Maps, channels: int) -> Planes:
    """How bright a mask is, in [0, 1], of its `channels` of colour and, if there is one more, its opacity."""
    bright = layers[:, :channels].amax(dim=1, keepdim=True)
    return bright * layers[:, channels:] if layers.shape[1] > channels else bright


def white(largest: float, name: str) -> float:
    """The brightness that stands for white in a mask of which the brightest pixel is `largest`; remarks if that is not white itself."""
    if not 0 < largest < _ONE:
        return 1.0
    remark(f"{name}: the brightest pixel of the mask is {largest:.2%} of white: taken as a mask of 0 and 1")
    return largest


def observed(bright: Planes, options: MaskOptions, *, white: float = 1.0) -> Planes:
    """1 where a pixel is to be believed, 0 where it is to be filled in."""
    level = bright / white
    hole = ((1 - level if options.invert else level) > INTACT).float()
    return 1 - grown(hole, options.grow)


def grown(hole: Planes, reach: int) -> Planes:
    """`hole` and all within `reach` rows and columns of it."""
    if not reach:
        return hole
    wide = F.max_pool2d(hole, (1, 2 * reach + 1), 1, (0, reach))
    return F.max_pool2d(wide, (2 * reach + 1, 1), 1, (reach, 0))


def refuse(share: float, name: str, options: MaskOptions) -> None:
    """Raises ImageError, naming the mask, if its `share` of the picture is nothing or all; remarks if it is most."""
    dark, light = ("white", "black") if options.invert else ("black", "white")
    if share >= 1:
        if options.grow:
            raise ImageError(
                f"{name}: grown, the mask covers all, so nothing is left to fill in from; grow it by less than {options.grow} pixels"
            )
        raise ImageError(f"{name}: the mask is {light} everywhere, so nothing is left to fill in from; paint {dark} what is to stay")
    if share <= 0:
        raise ImageError(f"{name}: the mask is {dark} everywhere, so there is nothing to fill in; paint {light} where to fill in")
    if share > _MUCH:
        advice = "leave --invert-mask out" if options.invert else "give --invert-mask"
        remark(f"{name}: the mask covers {share:.1%} of the picture; if it is {light} where the picture is to stay, {advice}")


def read(bright: Planes, options: MaskOptions, name: str) -> Planes:
    """`observed` of a mask that is held whole. Raises ImageError, naming it, if nothing or everything is to be filled in."""
    made = observed(bright, options, white=white(float(bright.max()), name))
    refuse(1 - made.double().mean().item(), name, options)
    return made


def of_alpha(alpha: Planes) -> Planes:
    """The brightness of the mask that a picture's opacity is."""
    return torch.ones_like(alpha) - alpha
