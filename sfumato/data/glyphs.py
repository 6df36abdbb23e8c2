"""Glyphs: a synthetic data set of letters and digits in 36 classes, which needs no download.

Each character is stored once as a signed distance field of its outline. A random affine map transforms the field, and a random level of
the field is the new outline, thicker or thinner; the field also shades the halo outside and the rim inside.

    built-in font ─► mask ─► distance ─► affine map ─► level ─► coverage ─┐
                                             paper: ramp, clouds, halo ───┼─► blend ─► Y, or Y Cb Cr ─► RGB
                                       ink: ramp, stripes, clouds, rim ───┘

The font is Pillow's Aileron, which its author released to the public domain (CC0). Image i depends on (seed, i) only.
"""

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Bytes, PerImage, to_bytes
from sfumato.data.dataset import Dataset, positions_of

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_CANVAS, _CAPITAL, _REACH = 128, 84, 24
"""Side of the canvas, height of a capital on it, and largest distance in the distance field; in pixels."""

_DRAWS, _CELLS, _CHUNK = 96, 5, 1024
"""Random numbers for each image, cells along one side of the noise of a cloud, images drawn at once."""

_BLUE, _RED = torch.tensor([0.0, -0.344136, 1.772]), torch.tensor([1.402, -0.714136, 0.0])
"""Contributions of Cb and Cr to R, G and B (ITU-R BT.601)."""


def glyphs(
    count: int = 20_000,
    size: tuple[int, int] = (32, 32),
    *,
    channels: int = 1,
    seed: int = 0,
    characters: str = CHARACTERS,
    first: int = 0,
) -> Dataset:
    """Images number `first` to `first + count` (exclusive) of the set of `seed`, labelled with their characters.

    `size` is (height, width), from 8 to 1024 pixels; `channels` is 1 or 3, and a grey image is the luma of the colour image. Raises
    SettingError for other values, and for characters that the font lacks or that occur twice.
    """
    if count < 1 or first < 0 or channels not in (1, 3) or not all(8 <= side <= 1024 for side in size):
        request = f"{count} images from {first} of size {size} with {channels} channels"
        raise SettingError(f"glyphs: cannot draw {request}; count must be positive, sizes 8 to 1024, channels 1 or 3")
    shapes = _shapes(characters)
    pixels = torch.empty(count, channels, *size, dtype=torch.uint8)
    labels = torch.empty(count, dtype=torch.int64)
    for start in range(0, count, _CHUNK):
        stop = min(count, start + _CHUNK)
        draws = [torch.rand(_DRAWS, generator=seeded_generator(seed, "glyph", first + i)) for i in range(start, stop)]
        pixels[start:stop], labels[start:stop] = _draw(shapes, _Dice(torch.stack(draws)), size, channels)
    terms = "drawn by Sfumato from the Aileron font (CC0); free of any terms"
    # The split position depends on seed and index: an image at another size stays on the same side.
    places = positions_of(f"glyph {seed} {i}".encode() for i in range(first, first + count))
    return Dataset(name="glyphs", pixels=pixels, labels=labels, classes=tuple(characters), terms=terms, positions=places)


class _Dice:
    """Random numbers of several images, consumed in order; the order of the calls defines the data set."""

    def __init__(self, draws: Float[Tensor, "n k"]) -> None:
        self.draws, self.next = draws, 0

    def between(self, low: float, high: float) -> PerImage:
        """One uniform number in [`low`, `high`) for each image."""
        self.next += 1
        return low + (high - low) * self.draws[:, self.next - 1]

    def often(self, share: float) -> PerImage:
        """1 with probability `share`, else 0, for each image."""
        return (self.between(0, 1) < share).float()

    def clouds(self, size: tuple[int, int]) -> Float[Tensor, "n h w"]:
        """Smooth noise of mean 0, mostly in [-1, 1], for each image at `size`."""
        cells = self.draws[:, self.next : self.next + _CELLS**2].reshape(-1, 1, _CELLS, _CELLS)
        self.next += _CELLS**2
        return F.interpolate(cells * 2 - 1, size, mode="bicubic", align_corners=True)[:, 0]


def _draw(shapes: Float[Tensor, "m k k"], dice: _Dice, size: tuple[int, int], channels: int) -> tuple[Bytes, Int64[Tensor, " n"]]:
    """The images of one chunk, and the index of the character that each shows."""
    which = dice.between(0, len(shapes)).long().clamp(max=len(shapes) - 1)
    distance = _bend(shapes[which], dice, size)
    coverage = (0.5 - distance).clamp(0, 1)

    dark = dice.often(0.5)
    paper = torch.where(dark > 0, dice.between(0.04, 0.3), dice.between(0.72, 0.96))
    ink = torch.where(dark > 0, dice.between(0.78, 1), dice.between(0, 0.2))
    luma = torch.lerp(_paper(paper, ink, distance, dice, size), _ink(paper, ink, distance, dice, size), coverage)
    if channels == 1:
        return to_bytes(luma[:, None]), which

    turn, away = dice.between(0, 2 * math.pi), dice.between(0.3, 0.7) * 2 * math.pi
    depths = dice.between(0.03, 0.14), dice.between(0.06, 0.2)
    tints = [
        [_wide(depth * way(angle)) for way in (torch.cos, torch.sin)] for depth, angle in zip(depths, (turn, turn + away), strict=True)
    ]
    blue, red = (torch.lerp(under.expand_as(luma), over.expand_as(luma), coverage) for under, over in zip(*tints, strict=True))
    colour = luma[:, None] + blue[:, None] * _BLUE.view(3, 1, 1) + red[:, None] * _RED.view(3, 1, 1)
    return to_bytes(colour), which


def _bend(shapes: Float[Tensor, "n k k"], dice: _Dice, size: tuple[int, int]) -> Float[Tensor, "n h w"]:
    """Signed distance in pixels from the outline of the rotated, sheared, scaled, shifted and thickened shape; negative inside."""
    angle = dice.between(-0.12, 0.12) + dice.between(-0.12, 0.12)
    slant, height = dice.between(-0.25, 0.25), dice.between(0.85, 1.1)
    width = height * dice.between(0.74, 1.0)
    height, width = (side * min(size) for side in (height, width))
    cos, sin = angle.cos(), angle.sin()
    # rows of the inverse map: from image coordinates to canvas coordinates, both in [-1, 1]
    across = torch.stack([cos + slant * sin, sin - slant * cos]) / width
    down = torch.stack([-sin, cos]) / height
    aspect = torch.tensor([size[1], size[0]], dtype=torch.float32)[:, None]
    shift = torch.stack([dice.between(-0.1, 0.1), dice.between(-0.1, 0.1)])
    maps = torch.stack([torch.cat([across * aspect, shift[:1]]), torch.cat([down * aspect, shift[1:]])]).permute(2, 0, 1)
    grid = F.affine_grid(maps.contiguous(), [len(shapes), 1, *size], align_corners=False)
    board = F.grid_sample(shapes[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    return (board - _wide(dice.between(-0.012, 0.045))) * _wide((width * height).sqrt())


def _paper(paper: PerImage, ink: PerImage, distance: Float[Tensor, "n h w"], dice: _Dice, size: tuple[int, int]) -> Float[Tensor, "n h w"]:
    """Luma of the background: a gradient, faint clouds, and for some images a halo around the glyph."""
    ground = _wide(paper) + _wide(dice.between(0, 0.1)) * _ramp(dice, size) + _wide(dice.between(0, 0.08)) * dice.clouds(size)
    halo = dice.often(0.35) * dice.between(0.15, 0.45) * (ink - paper)
    reach = dice.between(0.06, 0.14) * min(size)
    return ground + _wide(halo) * torch.exp(-distance.clamp(min=0) / _wide(reach))


def _ink(paper: PerImage, ink: PerImage, distance: Float[Tensor, "n h w"], dice: _Dice, size: tuple[int, int]) -> Float[Tensor, "n h w"]:
    """Luma of the glyph: plain, gradient, stripes, clouds or rim, blended with that of the paper by at most a half."""
    kind = dice.between(0, 1)
    ramp = 0.5 + 0.5 * _ramp(dice, size)
    angle, period = dice.between(0, math.pi), dice.between(0.12, 0.22) * min(size)
    stripes = 0.5 + 0.5 * torch.sin(_along(angle, size) * 2 * math.pi / _wide(period) + _wide(dice.between(0, 2 * math.pi)))
    clouds = (0.5 + 0.7 * dice.clouds(size)).clamp(0, 1)
    core = (-distance / (0.06 * min(size)) - 0.2).clamp(0, 1)
    textures = torch.stack([torch.zeros_like(ramp), ramp, stripes, clouds, core])
    chosen = torch.bucketize(kind, torch.tensor([0.3, 0.55, 0.7, 0.85]))
    fade = dice.between(0.2, 0.5) * (paper - ink)
    return _wide(ink) + _wide(fade) * textures[chosen, torch.arange(len(kind))]


def _ramp(dice: _Dice, size: tuple[int, int]) -> Float[Tensor, "n h w"]:
    """A linear gradient from about -1 to about 1 across the image, in a random direction."""
    return _along(dice.between(0, 2 * math.pi), size) * (1.6 / math.hypot(*size))


def _along(angle: PerImage, size: tuple[int, int]) -> Float[Tensor, "n h w"]:
    """Distance in pixels of each pixel from the centre along the direction `angle`, in radians."""
    rows, columns = (torch.arange(side) - (side - 1) / 2 for side in size)
    return _wide(angle.cos()) * columns + _wide(angle.sin()) * rows[:, None]


def _wide(values: PerImage) -> Float[Tensor, "n 1 1"]:
    return values[:, None, None]


@functools.lru_cache(maxsize=8)
def _shapes(characters: str) -> Float[Tensor, "m k k"]:
    """Signed distance field of each character's outline, as a share of the canvas side; negative inside."""
    font = ImageFont.load_default(round(_CAPITAL / 0.72))
    missing = _mask("\uffff", font)
    masks = [_mask(character, font) for character in characters]
    if not masks or len(set(characters)) < len(characters) or not all(mask.any() and (mask != missing).any() for mask in masks):
        raise SettingError(f"glyphs: characters = {characters!r} must be characters of the font, each once")
    inside = torch.stack(masks)
    distance = _away(inside) - _away(~inside)
    return F.avg_pool2d(distance[:, None], 2)[:, 0] / _CANVAS


def _mask(character: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Tensor:
    """Mask of the character, centred on the canvas."""
    board = Image.new("L", (_CANVAS, _CANVAS))
    left, top, right, bottom = font.getbbox(character)
    place = (_CANVAS - left - right) / 2, (_CANVAS - top - bottom) / 2
    ImageDraw.Draw(board).text(place, character, fill=255, font=font)
    return torch.from_numpy(np.array(board)) > 127


def _away(masks: Tensor) -> Float[Tensor, "m k k"]:
    """Distance of every pixel to the nearest pixel of the mask, at most `_REACH`, by one pass along rows and one along columns."""
    squares = torch.arange(-_REACH, _REACH + 1).float() ** 2
    squared = torch.where(masks, 0.0, float(_REACH**2))
    for _ in range(2):
        padded = F.pad(squared, (_REACH, _REACH), value=_REACH**2)
        squared = (padded.unfold(-1, 2 * _REACH + 1, 1) + squares).amin(-1).mT.contiguous()
    return squared.clamp(max=_REACH**2).sqrt()
