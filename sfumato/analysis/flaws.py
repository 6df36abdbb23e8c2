"""Single wrong pixels and scratches: their share, and masks of their places.

`density` estimates a share. `impulses` and `scratches` return masks (1 where a pixel is valid, 0 where it is damaged) for methods and
networks that take `observed`. Stars and wires in photographs look like both, so masks are made on request only.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.tensors import Images, Planes
from sfumato.nn.blurs import motion_kernels
from sfumato.nn.dilation import dilated_by_square
from sfumato.nn.resample import correlate, mirror
from sfumato.nn.running import over_rectangles

_END = 0.5 / 255
"""Within this of 0 or 1 a value is black or white."""
_REACH = 3
"""Radius of the surroundings of a pixel, in pixels."""
REACH = _REACH + 1
"""Receptive radius of `impulses`, in pixels; the border is mirrored."""
_EVERYWHERE, _ALONE_EVERYWHERE = 0.35, 0.15
"""Least share of random hits in the whole picture, and of those without a neighbour, divided by their share where they are counted: salt is
not seen on white paper."""
_TOGETHER = 1 << 20
"""Values that are examined at once."""
_WIDEST = 7
"""Scratches are thinner, in pixels."""
_LINE = 21
"""Length over which a scratch must be straight, in pixels of the half-sized picture."""
_DIRECTIONS = 24
_FAINTEST = 0.04
"""Least difference of a scratch from the pixels beside it, as a share of full scale."""


@torch.no_grad()
def density(images: Images) -> float:
    """Share of the values that are salt or pepper, in [0, 1]; 0 where there is no estimate.

    Values count where the other values around them are clearly neither black nor white, so that clipped skies and dark corners do not. If
    black or white values lie side by side more often than by chance, as in letters and frames, or are rarer in the rest of the picture,
    only those without such a neighbour count; none counts if these are rarer elsewhere, too.
    """
    ends = _ends(images)
    if not ends.any():
        return 0.0
    middle, spread, enough = _surroundings(images, ends.any(dim=0))
    clear = enough & (middle - 4 * spread > 0.04) & (middle + 4 * spread < 0.96)
    solid = torch.stack([_solid(end) for end in ends])
    clear &= ~solid.any(dim=0)
    count = int(clear.sum())
    if count < 64 or count < 0.002 * images.numel():
        return 0.0
    share = sum(_random_hits(end, clear, loose=end & ~of_area) for end, of_area in zip(ends, solid, strict=True))
    return min(1.0, share)


def _random_hits(end: Bool[Tensor, "n c h w"], clear: Bool[Tensor, "n c h w"], *, loose: Bool[Tensor, "n c h w"]) -> float:
    """Share of the values in `clear` that are salt, or that are pepper, if `end` are all white or all black values.

    Random hits are everywhere in the picture. `loose` are the values of `end` that are no part of an area.
    """
    hit, count = end & clear, int(clear.sum())
    share = float(hit.sum()) / count
    if share == 0:
        return 0.0
    # Beside a random hit, another hit is as likely as anywhere.
    if _beside(end)[hit].mean().item() <= 1.5 * share + 0.05 and loose.float().mean().item() >= _EVERYWHERE * share:
        return share
    alone = _alone(end)
    share = float((hit & alone).sum()) / count
    return share if alone.float().mean().item() >= _ALONE_EVERYWHERE * share else 0.0


@torch.no_grad()
def impulses(images: Images, *, each: bool = False, hit: bool | None = None) -> Planes:
    """A mask of single pixels, valid (1) or wrong (0): salt, pepper, and pixels that stand out from all pixels around them.

    One plane, in which a pixel is wrong if one of its channels is, or with `each` a plane for every channel. Black and white areas of
    3 x 3 pixels and more are valid. In a picture with salt and pepper (`hit`; None to estimate it) all other black and white values are
    wrong. Apart from that estimate, a value of the mask depends on pixels within `REACH` only.
    """
    wrong = torch.cat([_wrong_in(image, hit) for image in images.split(1)])
    # A channel without any valid value could not be filled.
    wrong &= ~wrong.flatten(2).all(dim=2)[:, :, None, None]
    mask = (~wrong).to(images)
    return mask if each else mask.amin(dim=1, keepdim=True)


def _wrong_in(image: Images, hit: bool | None) -> Bool[Tensor, "1 c h w"]:
    """Which values of one picture are wrong. Bands of rows are examined one after another: intermediate values take 20 times the memory."""
    h, rows = image.shape[2], max(64, _TOGETHER // (image.shape[1] * image.shape[3]))
    bands = [(top, min(h, top + rows)) for top in range(0, h, rows)]
    if hit is None:
        hit = sum(density(image[:, :, top:end]) * (end - top) for top, end in bands) > 0.005 * h
    return torch.cat([_wrong_between(image, top, end, hit) for top, end in bands], dim=2)


def _wrong_between(image: Images, top: int, end: int, hit: bool) -> Bool[Tensor, "1 c _rows w"]:
    """Which values are wrong in the rows from `top` to `end`, in a picture with salt and pepper (`hit`) or without."""
    first = max(0, top - REACH)
    band = image[:, :, first : end + REACH]
    ends = _ends(band)
    either = ends.any(dim=0)
    _, spread, enough = _surroundings(band, either)
    # Of the 8 neighbours that are neither black nor white.
    low, high = _nearest(band, either)
    out = torch.maximum(low - band, band - high)
    # Farther from the nearest neighbour than the neighbours are from each other, and clearly visible.
    wrong = enough & (out > torch.maximum(4 * spread, high - low).clamp_min(0.12))
    if hit:
        wrong |= either & ~torch.stack([_solid(each) for each in ends]).any(dim=0)
    return wrong[:, :, top - first : end - first]


@torch.no_grad()
def scratches(images: Images) -> Float[Tensor, "n 1 h w"]:
    """A mask of scratches (0; elsewhere 1): thin bright or dark lines, about 40 pixels long or more and at most 4 wide.

    The top hat (the image minus its 7 x 7 opening) is summed along lines in 24 directions: a line has a large sum in one direction and
    small sums in the others, texture has equal sums in all. From such places the line is followed as far as it is visible. Faint and
    winding scratches are missed; lines of the picture such as wires and masts are taken for scratches. With a side under 48 pixels the
    mask is all 1.
    """
    n, _, h, w = images.shape
    if min(h, w) < 48:
        return images.new_ones(n, 1, h, w)
    grey, damaged = images.mean(dim=1, keepdim=True), torch.zeros(n, 1, h, w, dtype=torch.bool)
    for sign in (1, -1):
        hat = _top_hat(sign * grey)
        centre = hat.flatten(1).median(dim=1).values[:, None, None, None]
        usual = (hat - centre).abs().flatten(1).median(dim=1).values[:, None, None, None]
        visible = (centre + 6 * usual).clamp_min(_FAINTEST)
        half = _lines(F.max_pool2d((hat > visible).float(), 2, ceil_mode=True))
        seeds, lines = (some.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :h, :w] for some in half)
        damaged |= _followed(seeds & (hat > visible), lines & (hat > visible))
    return 1 - dilated_by_square(damaged.to(images), 1)


def _ends(images: Images) -> Bool[Tensor, "2 n c h w"]:
    """Which values are black, and which white."""
    return torch.stack([images <= _END, images >= 1 - _END])


def _surroundings(images: Images, left_out: Bool[Tensor, "n c h w"]) -> tuple[Images, Images, Bool[Tensor, "n c h w"]]:
    """Mean and standard deviation around each value without the values `left_out`, and whether three or more are left."""
    weight = (~left_out).float()
    parts = mirror(torch.cat([weight, images * weight, images.square() * weight], dim=1), _REACH)
    count, total, squares = over_rectangles(parts, 2 * _REACH + 1, 2 * _REACH + 1).chunk(3, dim=1)
    safe = count.clamp_min(1)
    middle = total / safe
    spread = (squares / safe - middle.square()).clamp_min(0).sqrt()
    return middle, spread, count > 2.5


def _solid(end: Bool[Tensor, "n c h w"]) -> Bool[Tensor, "n c h w"]:
    """The parts of areas that hold 3 x 3 pixels."""
    x = mirror(end.float(), 1) > 0.5
    rows = x[:, :, :-2] & x[:, :, 1:-1] & x[:, :, 2:]
    middles = F.pad(rows[..., :-2] & rows[..., 1:-1] & rows[..., 2:], (1, 1, 1, 1))
    rows = middles[:, :, :-2] | middles[:, :, 1:-1] | middles[:, :, 2:]
    return (rows[..., :-2] | rows[..., 1:-1] | rows[..., 2:]) & end


def _beside(end: Bool[Tensor, "n c h w"]) -> Images:
    """Share of the 4 neighbours that are in `end` too; the border is mirrored."""
    x = mirror(end.float(), 1)
    return (x[:, :, 1:-1, :-2] + x[:, :, 1:-1, 2:] + x[:, :, :-2, 1:-1] + x[:, :, 2:, 1:-1]) / 4


def _alone(end: Bool[Tensor, "n c h w"]) -> Bool[Tensor, "n c h w"]:
    """Which values in `end` have none of `end` among their 8 neighbours; the border is mirrored."""
    return end & (F.avg_pool2d(mirror(end.float(), 1), 3, stride=1) < 1.5 / 9)


def _nearest(images: Images, left_out: Bool[Tensor, "n c h w"]) -> tuple[Images, Images]:
    """The least and the greatest of each value's 8 neighbours without the values `left_out`; the value itself if none is left."""
    low, high = torch.full_like(images, math.inf), torch.full_like(images, -math.inf)
    h, w = images.shape[2:]
    least, most = mirror(images.masked_fill(left_out, math.inf), 1), mirror(images.masked_fill(left_out, -math.inf), 1)
    for i in range(3):
        for j in range(3):
            if (i, j) != (1, 1):
                low = torch.minimum(low, least[:, :, i : i + h, j : j + w])
                high = torch.maximum(high, most[:, :, i : i + h, j : j + w])
    return low.where(low.isfinite(), images), high.where(high.isfinite(), images)


def _top_hat(images: Images) -> Images:
    """`images` minus their opening by a square of `_WIDEST` pixels: 0 or more."""
    reach = _WIDEST // 2
    least = -F.max_pool2d(mirror(-images, reach), _WIDEST, stride=1)
    return images - F.max_pool2d(mirror(least, reach), _WIDEST, stride=1)


def _lines(images: Images) -> tuple[Bool[Tensor, "n 1 h w"], Bool[Tensor, "n 1 h w"]]:
    """Where a line in one direction lies nearly all inside `images` and lines in the others hardly, and where it lies inside by half."""
    n = len(images)
    lengths = torch.full((n,), float(_LINE))
    along = torch.stack(
        [
            correlate(images, motion_kernels(lengths, torch.full((n,), math.pi * i / _DIRECTIONS), reach=_LINE // 2))
            for i in range(_DIRECTIONS)
        ]
    )
    best, others = along.amax(dim=0), along.median(dim=0).values
    return (best > 0.85) & (others < 0.16), (best > 0.5) & (others < 0.3)


def _followed(seeds: Bool[Tensor, "n 1 h w"], visible: Bool[Tensor, "n 1 h w"]) -> Bool[Tensor, "n 1 h w"]:
    """The part of `visible` that is connected with `seeds` by paths of at most 64 pixels."""
    connected = seeds & visible
    for _ in range(64):
        more = (dilated_by_square(connected.float(), 1) > 0) & visible
        if torch.equal(more, connected):
            break
        connected = more
    return connected
