"""Pictures that show the same: copies that were resized, compressed, mirrored, or cropped a little.

    thumbnails ─ 12 views of each ─ 8 x 8 pixels ─ nearest pictures ─ best window of a grid ─ window refined ─ correlation

Picture B may be a window of picture A, of at least 85 % of its sides, mirrored or not. The measure is the correlation of the thumbnails,
32 x 32 pixels in RGB without the mean of each channel, after the window of A is laid over B: 1 for the same pixels up to brightness, tint
and contrast, about 0 for unrelated pictures. Noise of two grey levels is allowed for, so that two plain pictures are not taken for copies.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from sfumato.core.errors import DataError
from sfumato.core.progress import counted
from sfumato.data.dataset import Dataset, Scenes

Thumbnails = UInt8[Tensor, "n c 64 64"]
Squares = Float[Tensor, "m c 64 64"]
Windows = Float[Tensor, "m 4"]
"""Left, top, right and bottom as shares of the sides; left is larger than right for a mirrored window."""

SIDE = 64
"""Side of the thumbnails that are compared; the whole picture, whatever its shape, becomes a square."""
NEAR, SIMILAR = 0.97, 0.9
"""Least correlation of copies, and of pictures that are alike."""
_COARSE, _MIDDLE, _FINE = 8, 16, 32
"""Sides at which pictures are looked for, at which the best window is chosen, and at which the correlation is measured."""
_NOISE = 2 / 255
_CANDIDATES, _FINALISTS = 32, 6
"""Pictures that are compared with each picture at all its windows, and those of them whose window is refined."""
_SLACK_COARSE, _SLACK_MIDDLE = 0.2, 0.12
"""How much less a correlation may be before the best window is chosen, and before it is refined."""
_BLOCK, _PART = 1 << 24, 1024
"""Correlations in memory at the same time, and pictures."""


class Pair(NamedTuple):
    """Two pictures that show the same."""

    first: int
    second: int
    correlation: float
    mirrored: bool
    identical: bool = False
    """Whether their content is known to be the same."""


def _grid(spans: Sequence[tuple[float, float]]) -> Windows:
    """Every window with these spans (first, last) of either side, then each of them mirrored."""
    plain = torch.tensor([(left, top, right, bottom) for (left, right), (top, bottom) in itertools.product(spans, spans)])
    return torch.cat([plain, plain[:, [2, 1, 0, 3]]])


_WHOLE = (0.0, 1.0)
_FIRST = torch.tensor([(0, 0, 1, 1), (0, 0, 0.9, 0.9), (0.1, 0, 1, 0.9), (0, 0.1, 0.9, 1), (0.1, 0.1, 1, 1), (0.04, 0.04, 0.96, 0.96)])
_VIEWS = torch.cat([_FIRST, _FIRST[:, [2, 1, 0, 3]]])
_ALL = _grid([_WHOLE, (0.0, 0.95), (0.05, 1.0), (0.025, 0.975), (0.0, 0.9), (0.1, 1.0), (0.05, 0.95)])
_STEPS = (0.03, 0.015, 0.008)
"""Shifts, as shares of a side, by which each edge of a window is moved in turn."""


def pairs_of(thumbnails: Thumbnails, *, least: float = NEAR) -> list[Pair]:
    """The pairs of pictures with a correlation of at least `least`, the most alike first; of each picture, with 6 others at most.

    `thumbnails` are whole pictures, each resized to 64 x 64.
    """
    if len(thumbnails) < 2:
        return []
    coarse = torch.cat([_unit(_smaller(_images(part), _COARSE)) for part in thumbnails.split(_PART)])
    best = dict[tuple[int, int], Pair]()
    step = max(1, min(_PART, _BLOCK // (len(_VIEWS) * len(thumbnails))))
    for start in counted(range(0, len(thumbnails), step), "blocks compared"):
        rows = torch.arange(start, min(start + step, len(thumbnails)))
        for part, others in _candidates(thumbnails, coarse, rows, least):
            for pair in _measured(thumbnails, part, others, least):
                key = min(pair[:2]), max(pair[:2])
                best[key] = max(best.get(key, pair), pair, key=lambda each: each.correlation)
    return sorted(best.values(), key=lambda pair: (-pair.correlation, pair.first, pair.second))


def without_duplicates(data: Dataset | Scenes) -> Dataset | Scenes:
    """The images of `data` without copies of earlier ones; `passed_over` says how many copies were left out.

    Raises DataError if only copies of one image would be left.
    """
    thumbnails = torch.cat([_thumbnail(picture) for picture in counted(data.pictures, "pictures")])
    copies = [i for group in components(len(data), pairs_of(thumbnails)) for i in group[1:]]
    if not copies:
        return data
    if len(data) - len(copies) < 2:
        raise DataError(f"{data.name}: its {len(data)} images are copies of one; add images, or train with their duplicates")
    kept = torch.ones(len(data), dtype=torch.bool)
    kept[copies] = False
    words = f"left out {len(copies):,} {'copy' if len(copies) == 1 else 'copies'} of other images"
    chosen = data.selected(kept)
    return dataclasses.replace(chosen, passed_over="; ".join(filter(None, (data.passed_over, words))))


def _thumbnail(picture: UInt8[Tensor, "c _h _w"]) -> UInt8[Tensor, "1 _c 64 64"]:
    """A picture without its opacity as a thumbnail."""
    shown = picture[: 3 if len(picture) > 2 else 1][None].float()
    small = F.interpolate(shown, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return small.round().clamp(0, 255).to(torch.uint8)


def components(count: int, pairs: Iterable[Pair]) -> list[list[int]]:
    """The groups of two or more of `count` pictures that are joined by pairs, in the order of their first pictures."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for pair in pairs:
        low, high = sorted((root(pair.first), root(pair.second)))
        parent[high] = low
    members = dict[int, list[int]]()
    for i in range(count):
        members.setdefault(root(i), []).append(i)
    return [group for group in members.values() if len(group) > 1]


def _candidates(
    thumbnails: Thumbnails, coarse: Float[Tensor, "n d"], rows: Int64[Tensor, " r"], least: float
) -> Iterator[tuple[Int64[Tensor, " _r"], Int64[Tensor, "_r _k"]]]:
    """Yields pictures of `rows`, and for each the pictures that one of its views is nearest to at 8 x 8 pixels.

    Pictures whose views are like no other picture are left out.
    """
    views = _unit(_windows(_images(thumbnails[rows]), _VIEWS, _COARSE))
    alike = (views @ coarse.T).reshape(len(_VIEWS), len(rows), -1).amax(dim=0)
    alike[torch.arange(len(rows)), rows] = -torch.inf
    scores, others = alike.topk(min(_CANDIDATES, len(coarse) - 1), dim=1)
    hopeful = scores[:, 0] > least - _SLACK_COARSE
    parts = zip(rows[hopeful].split(32), others[hopeful].split(32), strict=True)
    yield from (part for part in parts if len(part[0]))


def _measured(thumbnails: Thumbnails, rows: Int64[Tensor, " r"], others: Int64[Tensor, "r _k"], least: float) -> list[Pair]:
    """The pairs of `rows` and `others`: the best window of all, refined for the most alike, and its correlation."""
    views = _unit(_windows(_images(thumbnails[rows]), _ALL, _MIDDLE)).reshape(len(_ALL), len(rows), -1)
    middle = _unit(_smaller(_images(thumbnails[others.flatten()]), _MIDDLE)).reshape(*others.shape, -1)
    scores, windows = torch.einsum("wrd,rkd->rkw", views, middle).max(dim=2)
    kept = scores.topk(min(_FINALISTS, scores.shape[1]), dim=1).indices
    hopeful = scores.gather(1, kept).flatten() > least - _SLACK_MIDDLE
    first = rows[:, None].expand_as(kept).flatten()[hopeful]
    second, window = others.gather(1, kept).flatten()[hopeful], _ALL[windows.gather(1, kept).flatten()[hopeful]]
    correlation, window = _refined(_images(thumbnails[first]), _images(thumbnails[second]), window)
    mirrored = window[:, 0] > window[:, 2]
    rows_of = zip(first.tolist(), second.tolist(), correlation.tolist(), mirrored.tolist(), strict=True)
    return [Pair(*row) for row in rows_of if row[2] >= least]


def _refined(pictures: Squares, others: Squares, windows: Windows) -> tuple[Float[Tensor, " m"], Windows]:
    """The correlations of windows of `pictures` with `others` after each edge was moved where that helps, and the windows."""
    if not len(pictures):
        return torch.zeros(0), windows
    targets = _unit(_smaller(others, _FINE))
    best = (_unit(_sampled(pictures, windows, _FINE)) * targets).sum(dim=1)
    for step, edge, sign in itertools.product(_STEPS, range(4), (-1, 1)):
        moved = windows.clone()
        moved[:, edge] = (moved[:, edge] + sign * step).clamp(0, 1)
        score = (_unit(_sampled(pictures, moved, _FINE)) * targets).sum(dim=1)
        allowed = ((moved[:, 0] - moved[:, 2]).abs() >= 0.85) & (moved[:, 3] - moved[:, 1] >= 0.85)
        better = (score > best) & allowed
        best, windows = torch.where(better, score, best), torch.where(better[:, None], moved, windows)
    return best, windows


def _images(thumbnails: UInt8[Tensor, "m c 64 64"]) -> Squares:
    return thumbnails.float() / 255


def _windows(pictures: Float[Tensor, "r c 64 64"], windows: Windows, side: int) -> Float[Tensor, "_rm c s s"]:
    """Every window of every picture, all pictures for the first window first."""
    repeated = windows.repeat_interleave(len(pictures), dim=0)
    return _sampled(pictures.repeat(len(windows), 1, 1, 1), repeated, side)


def _sampled(pictures: Float[Tensor, "m c 64 64"], windows: Windows, side: int) -> Float[Tensor, "m c s s"]:
    """One window of each picture, resized to `side`: bilinear at twice the size at least, then the mean of neighbours."""
    fine = max(side, min(2 * side, SIDE))
    places = (torch.arange(fine) + 0.5) / fine
    x = windows[:, :1] + (windows[:, 2:3] - windows[:, :1]) * places
    y = windows[:, 1:2] + (windows[:, 3:] - windows[:, 1:2]) * places
    grid = torch.stack([x[:, None, :].expand(-1, fine, -1), y[:, :, None].expand(-1, -1, fine)], dim=3) * 2 - 1
    source = _smaller(pictures, fine) if fine < SIDE else pictures
    return _smaller(F.grid_sample(source, grid, align_corners=False, padding_mode="border"), side)


def _smaller(pictures: Float[Tensor, "m c h w"], side: int) -> Float[Tensor, "m c s s"]:
    return F.avg_pool2d(pictures, pictures.shape[-1] // side)


def _unit(pictures: Float[Tensor, "m c s s"]) -> Float[Tensor, "m d"]:
    """Pictures as vectors whose products are correlations: each channel without its mean; shorter than 1 where there is mostly noise."""
    vectors = (pictures - pictures.mean(dim=(2, 3), keepdim=True)).flatten(1)
    return vectors / (vectors.square().sum(dim=1, keepdim=True) + vectors.shape[1] * _NOISE**2).sqrt()
