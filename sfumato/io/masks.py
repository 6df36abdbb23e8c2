"""Masks of pictures, read in one way for all tasks: white marks where a task works, black what stays.

    file ─ read ─┐
    layers ──────┼─ brightness, in [0, 1] ─ observed ─> 1 where a pixel is kept, 0 where it is to be filled in
    opacity ─────┘

Most programs draw the edge of a stroke softly, and the pixels under such an edge are damaged too. So each pixel that is not clearly dark is
to be filled in. A task that weighs by a mask, such as dreaming, takes the brightness itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sfumato.core.errors import ImageError, SettingError
from sfumato.core.progress import remark
from sfumato.core.tensors import Maps, Planes, size_text
from sfumato.io import files
from sfumato.io.channels import as_images
from sfumato.nn.dilation import dilated_by_square

ALPHA = "alpha"
"""The word that stands in the place of a mask for the opacity of the picture: all pixels that are not opaque are filled in."""
DARK = 8 / 255
"""Brightness up to which a pixel is clearly dark. A mask that was saved as a JPEG has some of it beside each edge."""
LARGEST_GROWTH = 1000
"""Most pixels by which holes may grow."""
_ONE = 1.5 / 255
"""A mask whose brightest pixel is below was written with the values 0 and 1."""
_MOST = 0.6
"""Share of a picture above which a mask was probably drawn the other way round."""


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """How a mask is read."""

    grow: int = 0
    """Pixels by which each hole is enlarged in every direction."""
    invert: bool = False
    """Whether the mask is dark where to fill in."""

    def check(self) -> None:
        """Raises SettingError for a growth outside its range."""
        if not 0 <= self.grow <= LARGEST_GROWTH:
            raise SettingError(f"grow_mask = {self.grow} is outside [0, {LARGEST_GROWTH}] pixels")


def is_alpha(mask: object) -> bool:
    """Whether `mask` is the word `ALPHA`; if a file or folder of that name exists, this is the mask."""
    return isinstance(mask, str | Path) and str(mask) == ALPHA and not Path(mask).exists()


def brightness(layers: Maps, opacity: Maps | None = None) -> Planes:
    """The brightest channel of each pixel times its opacity, in [0, 1]: (n, 1, h, w)."""
    brightest = layers.amax(dim=1, keepdim=True)
    return brightest if opacity is None else brightest * opacity


def brightness_of_alpha(alpha: Planes) -> Planes:
    """The brightness of the mask that an opacity stands for: 1 where it is below full opacity by more than `DARK`, 0 elsewhere."""
    return (1 - alpha > DARK).to(alpha)


def check_size(path: Path, mask: Sequence[int], picture: Sequence[int]) -> None:
    """Raises ImageError if the height and width of the mask at `path` differ from those of the picture."""
    if tuple(mask) != tuple(picture):
        raise ImageError(f"{path}: the mask is {size_text(mask)} pixels, the picture {size_text(picture)}; they must be the same")


def read(path: Path, size: Sequence[int]) -> Planes:
    """The brightness of the mask at `path`. Raises ImageError if it is no picture, or its height and width are not `size`."""
    picture = files.read(path)
    check_size(path, picture.pixels.shape[:2], size)
    return brightness(as_images(picture.pixels), None if picture.alpha is None else as_images(picture.alpha))


def observed(brightness: Planes, name: str, options: MaskOptions = MaskOptions()) -> Planes:
    """1 where a pixel is kept, 0 where it is to be filled in.

    Raises ImageError, naming the mask, if nothing or everything is to be filled in; remarks on a mask of 0 and 1, and on one of most of the
    picture.
    """
    mask = observed_rows(brightness, options, white=white_level(float(brightness.max()), name))
    check_share(1 - mask.double().mean().item(), name, options)
    return mask


def observed_rows(brightness: Planes, options: MaskOptions, *, white: float = 1.0) -> Planes:
    """`observed` for some rows of a mask, without its checks; `white` is the `white_level` of the whole mask.

    Rows nearer than `options.grow` to the first and the last are right only if the mask ends there.
    """
    level = brightness / white
    hole = ((1 - level if options.invert else level) > DARK).float()
    return 1 - dilated_by_square(hole, options.grow)


def white_level(largest: float, name: str) -> float:
    """The brightness that stands for white in a mask whose brightest pixel is `largest`; remarks if this is a mask of 0 and 1."""
    if not 0 < largest < _ONE:
        return 1.0
    remark(f"{name}: the brightest pixel of the mask is {largest:.2%} of white: taken as a mask of 0 and 1")
    return largest


def check_share(share: float, name: str, options: MaskOptions) -> None:
    """Raises ImageError, naming the mask, if the `share` of the picture to fill in is 0 or 1; remarks if it is most of the picture."""
    dark, light = ("white", "black") if options.invert else ("black", "white")
    if share >= 1:
        if options.grow:
            raise ImageError(
                f"{name}: enlarged by {options.grow} pixels, the mask covers all, so nothing is left to fill in from; "
                f"grow it by less than {options.grow} pixels"
            )
        raise ImageError(f"{name}: the mask is {light} everywhere, so nothing is left to fill in from; paint {dark} what is to stay")
    if share <= 0:
        raise ImageError(f"{name}: the mask is {dark} everywhere, so there is nothing to fill in; paint {light} where to fill in")
    if share > _MOST:
        advice = "leave --invert-mask out" if options.invert else "give --invert-mask"
        remark(f"{name}: the mask covers {share:.1%} of the picture; if it is {light} where the picture is to stay, {advice}")
