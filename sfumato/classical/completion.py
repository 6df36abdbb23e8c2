"""Large holes filled with patches of the same picture, so that texture and edges go on, coarse to fine.

    pyramid ─ coarsest: ring by ring ─┐
                                      v
      each level: field of matches <─> pixels as the mean of all patches that cover them ─> next finer
                                      │
                                finest: pixels of the best patch

Wexler, Shechtman & Irani 2007 (https://doi.org/10.1109/TPAMI.2007.60), with the features of texture and the choice of the last pixels of
Newson et al. 2014 (https://doi.org/10.1137/140954933).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.classical.fill import laplace, observed_pixels
from sfumato.classical.holes import Hole, Plane, Window, bounds, separate
from sfumato.classical.patch_match import Field, Match, Patches, Search, searched
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Maps
from sfumato.nn.dilation import dilated_by_disc, dilated_by_square

Image = Float[Tensor, "c h w"]
Features = Float[Tensor, "h w f"]

RADIUS = 3
"""Of the patches: 7 pixels a side."""
LEAST = 32
"""Patches to take from, below which a level of the pyramid is of no use."""
_NARROW = 4 * (2 * RADIUS + 1)
"""Pixels a side below which an image is not halved."""
_WINDOW = 17
"""Side of the square over which the texture at a pixel is measured, in pixels of the finest level."""
_TEXTURE = 7.0
"""How much a difference in texture counts, against the same one in colour."""
_PASSES, _ROUNDS, _FIRST_ROUNDS = 8, 2, 6
"""Times that matches and pixels are found anew on each level, and rounds of search each time, and the very first time."""
_WORK = 5_000
"""Patches searched for on a level, all passes together; of larger holes there are fewer passes, and one at the least."""
_SETTLED = 5e-4
"""Mean change of a pass below which the next would change nothing."""
_NEAR = 64
"""Pixels around a hole from which it is filled, at the least; around a larger one, as many as it is long."""
_TOLERANCE = 1e-4
"""Of full scale, to which the change of colour is smooth."""
_MOST = 4096
"""Patches that each is compared with where all are."""
_PIXELS = 1 << 14
"""Pixels that are made at once: of each, all patches that cover it are held."""
_FIXED, _AROUND, _MISSING = 5e7, 500, 200
"""Bytes of memory of any hole, of each pixel of its surroundings, and of each of its own; measured."""


@torch.no_grad()
def patches(images: Images, *, observed: Maps, seed: int = 0) -> Images:
    """Holes of any width filled with patches from elsewhere in the image; as `laplace` does where none of them is whole.

    A pixel that misses one channel is a hole in all of them, but what is known of it comes back as it was. Raises ImageError as
    `laplace` does.
    """
    valid, filled = observed_pixels(images, observed), laplace(images, observed=observed)
    for i, hole in enumerate(~valid.all(dim=1)):
        filled[i] = fill_with_patches(filled[i], hole=hole, trusted=~hole, seed=seed)[0]
    return filled.where(~valid, images).clamp(0, 1)


@torch.no_grad()
def fill_with_patches(image: Image, *, hole: Plane, trusted: Plane, rim: float = 1.5, seed: int = 0) -> tuple[Image, Plane]:
    """The image in [0, 1] with its `hole` filled hole by hole, and those pixels of it for which there was too little to copy from.

    What is copied is `trusted`. Pixels that are neither are not changed, and what is made fits to them. What stands in the hole is a
    guess, which is good nearer to its border than `rim` pixels: there it stays, and the patches are made lighter or darker as they have to
    be to join it. The same `seed` gives the same image on the same machine. Time grows with the pixels of the hole, by some 8 seconds for
    a hundred thousand on one core; memory as `patches_memory` says.
    """
    filled, left = image.clone(), torch.zeros_like(hole)
    for i, one in enumerate(separate(hole)):
        around = _surroundings(one, trusted)
        parts, mine, rng = around.parts, one.within(around), seeded_generator(seed, "patches", i)
        patched = completed(filled[:, *parts].contiguous(), hole=mine, trusted=trusted[parts], rng=rng)
        if patched is None:
            left[parts] |= mine
        else:
            filled[:, *parts] = _joined(patched, filled[:, *parts], mine, rim)
    return filled, left


def patches_memory(hole: Plane, trusted: Plane) -> float:
    """Bytes of memory that `fill_with_patches` takes for this hole beside its image and its result."""
    sizes = [(math.prod(_surroundings(one, trusted).size), int(one.plane.sum())) for one in separate(hole)]
    return _FIXED + max((_AROUND * around + _MISSING * missing for around, missing in sizes), default=0.0)


def _joined(patched: Image, guess: Image, hole: Plane, rim: float) -> Image:
    """The patches after the smoothest change of colour that makes them the `guess` nearer to the hole's border than `rim` pixels.

    It is Poisson's equation of Pérez, Gangnet & Blake 2003 (https://doi.org/10.1145/882262.882269) for the difference of the two.
    """
    kept = hole & dilated_by_disc(~hole, rim)
    h, w = hole.shape
    parts = bounds(hole).expanded(1, (h, w)).parts
    wrong = ((patched - guess) * kept)[:, *parts]
    smooth = laplace((wrong[None] + 1) / 2, observed=(kept | ~hole)[parts][None, None].float(), tolerance=_TOLERANCE)[0] * 2 - 1
    corrected = patched.clone()
    corrected[:, *parts] -= smooth
    return torch.where(hole, corrected.clamp(0, 1), guess)


def _surroundings(hole: Hole, trusted: Plane) -> Window:
    """The part of the picture from which a hole is filled: all that is near, and the whole if little of that is trusted."""
    h, w = trusted.shape
    near = hole.window.expanded(max(_NEAR, *hole.plane.shape), (h, w))
    return near if int(trusted[near.parts].sum()) >= int(hole.plane.sum()) else Window(0, 0, h, w)


class Level(NamedTuple):
    """The picture at one size."""

    features: Features
    """Colours, and texture if they are not too few; in the hole what is thought of it so far."""
    hole: Plane
    trusted: Plane
    """What may be copied from."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        h, w, _ = self.features.shape
        return h, w

    def search(self) -> Search:
        """Where matches are wanted, and where they may lie."""
        return searched(self.hole, self.trusted, radius=RADIUS)


def completed(image: Image, *, hole: Plane, trusted: Plane, rng: torch.Generator) -> Image | None:
    """The image with its `hole` filled from what is `trusted`; what is neither is there to fit to. None if there is too little to copy."""
    levels = pyramid(image, hole, trusted)
    if levels is None:
        return None
    search = levels[-1].search()
    start = levels[-1]._replace(features=_ring_by_ring(levels[-1], search, rng))
    features, match = _settled(start, search, search.start(rng), _FIRST_ROUNDS, rng)
    for level, coarser in zip(levels[-2::-1], levels[:0:-1], strict=True):
        finer = level.search()
        field, search = _enlarged(match.field, search, coarser.size, finer, rng), finer
        features = _voted(level, search, search.compared(Patches(_doubled(features, level), RADIUS), field))
        features, match = _settled(level._replace(features=features), search, field, _ROUNDS, rng)
    best = _voted(levels[0]._replace(features=features), search, match, best=True)
    return torch.where(hole, best[..., : len(image)].permute(2, 0, 1), image)


def _settled(level: Level, search: Search, field: Field, rounds: int, rng: torch.Generator) -> tuple[Features, Match]:
    """Pixels and matches after some passes: each finds better matches for the pixels, and better pixels for the matches."""
    patches = Patches(level.features, RADIUS)
    passes = max(1, min(_PASSES, _WORK // len(search.targets)))
    match = search.compared(patches, field)
    for _ in range(passes):
        match = search.improved(patches, search.compared(patches, match.field), rounds=rounds, rng=rng)
        features, rounds = _voted(level, search, match), _ROUNDS
        change = (features - patches.features)[level.hole].abs().mean().item()
        patches = Patches(features, RADIUS)
        if change < _SETTLED:
            break
    return patches.features, match


def pyramid(image: Image, hole: Plane, trusted: Plane) -> list[Level] | None:
    """The image, fine to coarse, until the hole is no wider than a patch; None if there is too little to take from at its full size.

    Each is half as large as the one before. A pixel is the mean of those of its four that are no hole.
    """
    x = torch.cat([image, texture(image, hole)])[None]
    levels: list[Level] = []
    while True:
        level = Level(x[0].permute(1, 2, 0).contiguous(), hole, trusted)
        if min(level.size) < 2 * RADIUS + 1 or int(level.search().allowed.sum()) < LEAST:
            break
        levels.append(level)
        if not _wider(hole) or min(hole.shape) < 2 * _NARROW:
            break
        share, trust = (F.avg_pool2d(p[None, None].float(), 2, ceil_mode=True) for p in (~hole, trusted))
        x = F.avg_pool2d(x * ~hole, 2, ceil_mode=True) / share.clamp_min(0.25)
        hole = share[0, 0] <= 0.5
        trusted = (trust[0, 0] > 0.5) & ~hole
    return levels or None


def _wider(hole: Plane) -> bool:
    """Whether there is a whole patch in the hole."""
    side = 2 * RADIUS + 1
    return min(hole.shape) >= side and bool((F.avg_pool2d(hole[None, None].float(), side, 1) == 1).any())


def texture(image: Image, hole: Plane) -> Float[Tensor, "2 h w"]:
    """How much neighbours differ across and down, on average around each pixel; of those that are no hole."""
    grey, valid = image.mean(dim=0, keepdim=True)[None], (~hole)[None, None].float()
    textures = []
    for dim, pad in ((3, (0, 1, 0, 0)), (2, (0, 0, 0, 1))):
        n = grey.shape[dim] - 1
        both = valid.narrow(dim, 0, n) * valid.narrow(dim, 1, n)
        sums, counts = (_mean(F.pad(each, pad)) for each in (grey.diff(dim=dim).abs() * both, both))
        textures.append(_TEXTURE * sums / counts.clamp_min(1e-4))
    return torch.cat(textures, dim=1)[0]


def _mean(planes: Tensor) -> Tensor:
    """Over the window of texture."""
    return F.avg_pool2d(planes, _WINDOW, 1, _WINDOW // 2)


def _ring_by_ring(level: Level, search: Search, rng: torch.Generator) -> Features:
    """The hole filled from its border inwards: each pixel is that of the most similar patch, as far as its own is known by then."""
    (h, w), f, valid = level.size, level.features.shape[2], ~level.hole
    sources = search.allowed.flatten().nonzero()[:, 0]
    sources = sources[torch.randperm(len(sources), generator=rng)[:_MOST]]
    features = level.features.clone()
    bank = Patches(level.features, RADIUS).at(sources)
    while not bool(valid.all()):
        ring = ((dilated_by_square(valid[None, None].float(), 1)[0, 0] > 0) & ~valid).flatten().nonzero()[:, 0]
        rows, columns = (ring // w).clamp(RADIUS, h - 1 - RADIUS), (ring % w).clamp(RADIUS, w - 1 - RADIUS)
        centres = rows * w + columns
        weight = Patches(valid[..., None].expand(-1, -1, f).float().contiguous(), RADIUS).at(centres)
        mine = Patches(features, RADIUS).at(centres)
        # sum of weight (mine - theirs)^2, less what is the same for all
        nearest = (weight @ bank.square().T - 2 * (weight * mine) @ bank.T).argmin(dim=1)
        features.view(h * w, f)[ring] = level.features.view(h * w, f)[sources[nearest] + ring - centres]
        valid = valid.flatten().index_fill(0, ring, True).reshape(h, w)
    return features


def _doubled(coarse: Float[Tensor, "_h _w f"], level: Level) -> Features:
    """The features of a level with those of the next coarser one in its hole."""
    h, w = level.size
    twice = coarse.repeat_interleave(2, dim=0)[:h].repeat_interleave(2, dim=1)[:, :w]
    return torch.where(level.hole[..., None], twice, level.features)


def _enlarged(field: Field, search: Search, size: tuple[int, int], finer: Search, rng: torch.Generator) -> Field:
    """The `field` of a level of this `size` for the next finer one; where a match would lie in a hole, one that is drawn."""
    (_, w), (tall, wide) = size, finer.allowed.shape
    rows, columns = finer.targets // wide, finer.targets % wide
    at = search.places()[rows // 2 * w + columns // 2]
    match = field[at.clamp_min(0)]
    moved = (2 * (match // w) + rows % 2).clamp(0, tall - 1) * wide + (2 * (match % w) + columns % 2).clamp(0, wide - 1)
    fits = (at >= 0) & finer.allowed.flatten()[moved]
    return torch.where(fits, moved, finer.start(rng))


def _voted(level: Level, search: Search, match: Match, *, best: bool = False) -> Features:
    """The features with each pixel of the hole as the patches that cover it say: the mean of all, the nearer the more, or the `best`.

    A patch at a distance d counts as exp(-d / 2s), where three of four that cover the pixel are nearer than s.
    """
    flat = level.features.flatten(0, 1)
    updated, place, around = flat.clone(), search.places(), Patches(level.features, RADIUS).offsets()
    for pixels in level.hole.flatten().nonzero()[:, 0].split(_PIXELS):
        which = place[(pixels[:, None] - around).clamp(0, len(place) - 1)]
        distances = match.distances[which.clamp_min(0)].masked_fill(which < 0, torch.inf)
        sources = (match.field[which.clamp_min(0)] + around).clamp(0, len(place) - 1)
        if best:
            updated[pixels] = flat[sources.gather(1, distances.argmin(dim=1, keepdim=True))[:, 0]]
            continue
        count = (which >= 0).sum(dim=1, keepdim=True)
        spread = distances.sort(dim=1).values.gather(1, (count - 1) * 3 // 4).clamp_min(1e-8)
        weight = torch.exp(-distances / (2 * spread))[..., None]
        updated[pixels] = (flat.index_select(0, sources.flatten()).reshape(*sources.shape, -1) * weight).sum(dim=1) / weight.sum(dim=1)
    return updated.reshape(level.features.shape)
