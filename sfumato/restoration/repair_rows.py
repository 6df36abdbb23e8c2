"""A picture larger than memory, repaired some rows at a time.

file ─ open_strips ─ plan, by nine pieces ─ strip by strip ─ Sink ─> file
mask ─ open_strips ──────────────────────────┘
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from sfumato.analysis import flaws
from sfumato.classical.pilot_wiener import REACH
from sfumato.core import atomic_io
from sfumato.core.device import select_device
from sfumato.core.errors import ImageError
from sfumato.core.progress import remark
from sfumato.core.tensors import Images, Maps, Planes
from sfumato.io import files, masks, streaming
from sfumato.io.channels import (
    AROUND,
    as_images,
    as_pixels,
    blended,
    enlarge_opacity,
    fill_transparent,
    fill_transparent_span,
    keep_transparent,
)
from sfumato.nn.resample import BAND, resized_rows
from sfumato.restoration import holes, upscaling
from sfumato.restoration.limits import denoised
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import NOTHING_MISSING, RestorationPlan, make_plan
from sfumato.restoration.request import DETECTOR, RestorationRequest
from sfumato.restoration.tiles import Canvas
from sfumato.restoration.tiles import strips as repaired_strips

_PIECE = 136
"""Side of the nine pieces by which the picture is judged: those of `diagnose`."""
_STEP = 256
"""Rows that are read at once where their number does not matter."""
_SHARE = 0.6
"""Share of the memory for the network and its tiles; the rest is for reading, planning and writing."""
_GOLDEN = (5**0.5 - 1) / 2
"""Golden ratio: the fractional parts of its multiples lie evenly in [0, 1)."""
_WIDE = 2048
"""Columns in which hidden colours are replaced at once."""

MaskRows = Callable[[int, int], Planes]
"""Maps the first row and the one after the last to a mask: 1 where pixels are valid."""


def repair_rows(
    path: Path, target: Path, request: RestorationRequest, mask: Path | None, check: atomic_io.Check | None, networks: Networks
) -> RestorationPlan:
    """`repair` for a picture that does not fit into memory. Raises ImageError for networks and methods that need the whole picture."""
    if {"scratches", DETECTOR} & {*request.find} or request.method is not None:
        raise ImageError(
            f"{path}: too large for {request.memory / 1e9:g} GB with --find dust or scratches, or --method; give more --memory"
        )
    folder = target.parent if target.parent.is_dir() else None
    with streaming.open_rows(path, folder=folder) as source, _drawn(mask, path, source, folder, request) as drawn:
        sample = _sample(source)
        observed = _valid_in_all([*([drawn] if drawn else []), *([_wrong(source, hit=None)] if request.find else [])])
        share = 0.0 if observed is None else _filled(observed, source.size)
        if drawn is not None:
            masks.check_share(share, str(mask or path), holes.mask_options(request))
            _remark_wide(drawn, source.size, path, request)
        stand_in = _scattered(share, sample) if observed else None
        quality = source.metadata.jpeg.quality() if source.metadata.jpeg else None
        if request.find and share == 0:
            plan = RestorationPlan(summary=f"no dead pixels: {NOTHING_MISSING}", damage="no dead pixels")
        else:
            plan = make_plan(dataclasses.replace(request, find=()), sample, observed=stand_in, quality=quality, networks=networks)
        if plan.method is not None:
            plan = RestorationPlan(summary=f"{plan.damage}: {plan.method} takes the whole picture; give more --memory", damage=plan.damage)
        if plan.observed is not None and observed is None:
            observed = _wrong(source, hit=True)
        if plan.nothing and files.same_format(path, target):
            files.copy(path, target, check=check)
            return plan
        if plan.network is not None and plan.network.receptive_radius is None:
            raise ImageError(f"{path}: this network takes the whole picture at once, which does not fit into memory; give more --memory")
        sizes = plan.size(source.size)
        kept = source.metadata if plan.nothing else dataclasses.replace(source.metadata, jpeg=source.metadata.fine_jpeg)
        alpha = _keeps_alpha(source, request)
        with streaming.Sink(target, sizes, source.channels, alpha=alpha, depth=source.depth, bit=source.bit, metadata=kept) as sink:
            for rows in _repaired_rows(source, observed, plan, request, networks):
                sink.write(rows)
            sink.finish(check)
        left_out = source.metadata.left_out
    return dataclasses.replace(plan, summary=f"{plan.summary} ({left_out})") if left_out else plan


def _input_rows(source: streaming.Source, start: int, stop: int) -> Images:
    """The colours of these rows, with transparent pixels filled from their surroundings by `fill_transparent`."""
    (h, w), c = source.size, source.channels
    if not source.alpha:
        return as_images(source.rows(start, stop))
    first, last = fill_transparent_span(start, stop, h)
    stored, parts = source.rows(first, last), []
    for left in range(0, w, _WIDE):
        begin, end = fill_transparent_span(left, min(w, left + _WIDE), w)
        piece = stored[:, begin:end]
        filled = fill_transparent(as_images(piece[..., :c].contiguous()), as_images(piece[..., c:].contiguous()))
        parts.append(filled[:, :, start - first : stop - first, left - begin : left - begin + _WIDE])
    return torch.cat(parts, dim=3)


def _sample(source: streaming.Source) -> Images:
    """Nine pieces of the picture in three rows; the middle of a picture that is too narrow for them."""
    h, w = source.size
    if min(h, w) < _PIECE:
        top, left = max(0, h // 2 - 512), max(0, w // 2 - 512)
        return _input_rows(source, top, min(h, top + 1024))[..., left : left + 1024]
    tops, lefts = ([(side - _PIECE) * i // 16 * 8 for i in range(3)] for side in (h, w))
    bands = [_input_rows(source, top, top + _PIECE) for top in tops]
    return torch.cat([torch.cat([band[..., left : left + _PIECE] for left in lefts], dim=3) for band in bands], dim=2)


def _scattered(share: float, sample: Images) -> Planes:
    """A mask for the sample with this share of pixels to fill in, far from each other: a plan depends on the share of a mask only."""
    order = torch.arange(sample[0, 0].numel(), dtype=torch.float64) * _GOLDEN % 1
    return (order >= share).float().reshape(1, 1, *sample.shape[2:])


def _remark_wide(observed: MaskRows, size: tuple[int, int], path: Path, request: RestorationRequest) -> None:
    """Remarks on holes that would be filled with patches if the picture were held whole."""
    if request.model is None and holes.any_wide(observed, size, _STEP):
        remark(f"{path}: the picture is repaired strip by strip, so the network fills its large holes too; with more --memory, patches do")


@contextlib.contextmanager
def _drawn(
    mask: Path | None, path: Path, source: streaming.Source, folder: Path | None, request: RestorationRequest
) -> Iterator[MaskRows | None]:
    """The rows of the mask; None without one. Raises ImageError if the sizes differ, or the picture lacks the opacity that is its mask."""
    if request.alpha_mask:
        if not source.alpha:
            raise holes.no_opacity(str(path))
        yield _observed(lambda start, stop: masks.brightness_of_alpha(_opacity(source, start, stop)), source.size[0], path, request)
        return
    if mask is None:
        yield None
        return
    with streaming.open_rows(mask, folder=folder) as drawn:
        masks.check_size(mask, drawn.size, source.size)

        def brightness(start: int, stop: int) -> Planes:
            colours = as_images(drawn.rows(start, stop)[..., : drawn.channels].contiguous())
            return masks.brightness(colours, _opacity(drawn, start, stop) if drawn.alpha else None)

        yield _observed(brightness, source.size[0], mask, request)


def _opacity(source: streaming.Source, start: int, stop: int) -> Planes:
    """The opacity of these rows of a picture that has one."""
    return as_images(source.rows(start, stop)[..., source.channels :].contiguous())


def _observed(brightness: MaskRows, height: int, name: Path, request: RestorationRequest) -> MaskRows:
    """`masks.observed_rows` for rows of a mask that is read in pieces."""
    options = holes.mask_options(request)
    largest = max(float(brightness(start, min(height, start + _STEP)).max()) for start in range(0, height, _STEP))
    white = masks.white_level(largest, str(name))

    def observed(start: int, stop: int) -> Planes:
        first, last = max(0, start - options.grow), min(height, stop + options.grow)
        return masks.observed_rows(brightness(first, last), options, white=white)[:, :, start - first : stop - first]

    return observed


def _wrong(source: streaming.Source, *, hit: bool | None) -> MaskRows:
    """A mask of single wrong pixels, of a picture with salt and pepper (`hit`) or without; None to estimate that from the rows."""
    h, _ = source.size

    def observed(start: int, stop: int) -> Planes:
        first, last = max(0, start - flaws.REACH), min(h, stop + flaws.REACH)
        mask = flaws.impulses(_input_rows(source, first, last), hit=hit)
        return mask[:, :, start - first : stop - first]

    return observed


def _valid_in_all(parts: list[MaskRows]) -> MaskRows | None:
    """The mask of pixels that are valid in all of `parts`; None without parts."""
    return (lambda start, stop: torch.stack([part(start, stop) for part in parts]).amin(dim=0)) if parts else None


def _filled(observed: MaskRows, size: tuple[int, int]) -> float:
    """Share of the pixels to fill in."""
    h, w = size
    return 1 - sum(observed(start, min(h, start + _STEP)).sum().item() for start in range(0, h, _STEP)) / (h * w)


def _repaired_rows(
    source: streaming.Source, observed: MaskRows | None, plan: RestorationPlan, request: RestorationRequest, networks: Networks
) -> Iterator[Tensor]:
    """Rows of the result, as stored, top to bottom."""
    h, kind = source.size[0], torch.uint16 if source.depth == 16 else torch.uint8
    if plan.network is None:
        yield from (source.rows(start, min(h, start + _STEP)) for start in range(0, h, _STEP))
        return
    strips = _repaired_colours(source, observed, plan, request, networks)
    size, reached = plan.size(source.size), (h * plan.network.scale, source.size[1] * plan.network.scale)
    if size != reached:
        strips = _resampled(strips, reached, size)
    done = 0
    for colours in strips:
        layers, stop = [as_pixels(colours, kind)], done + colours.shape[2]
        if _keeps_alpha(source, request):
            layers.append(as_pixels(_enlarged_opacity(source, size, done, stop), kind))
        yield torch.cat(layers, dim=-1)
        done = stop


def _repaired_colours(
    source: streaming.Source, observed: MaskRows | None, plan: RestorationPlan, request: RestorationRequest, networks: Networks
) -> Iterator[Maps]:
    """The colours of the result as the network gives them, without resampling, in strips from top to bottom."""
    (h, w), c, alpha_kept = source.size, source.channels, _keeps_alpha(source, request)
    assert plan.network is not None
    device = select_device(request.device)
    network, done = networks.ready(plan.network, device), 0
    colourless = network.has_grey_path and c > 1 and _colourless(source)
    constants = {"noise": plan.noise or 0.0, "quality": plan.quality, "observed": 1.0}

    def rows(start: int, stop: int) -> tuple[Maps, Planes | None]:
        images = _input_rows(source, start, stop)[:, : 1 if colourless else c]
        planes = {name: torch.full((1, 1, stop - start, w), constants[name]) for name in network.conditioning}
        if observed is not None and "observed" in planes:
            planes["observed"] = observed(start, stop)
            images = images * planes["observed"]
        return images, torch.cat(list(planes.values()), dim=1) if planes else None

    # Resampling holds a strip while the network computes the next.
    held = 2 if plan.size((h, w)) != (h * network.scale, w * network.scale) else 1
    row = w * (c + len(network.conditioning)) * 12 * (1 + held * network.scale**2)
    tile = request.tile or networks.tile(plan.network, (h, w), request.memory, lambda allowed: (allowed - BASE) * _SHARE, row=row)
    name, canvas = networks.name(plan.network), Canvas(size=(h, w), rows=rows)
    outputs = repaired_strips(network, canvas, name=name, tile=tile, precision=request.precision, device=device)
    if plan.strengths:
        outputs = _denoised(outputs, functools.partial(_input_rows, source), h, plan)
    for output in outputs:
        count = output.shape[2] // network.scale
        before = source.rows(done, done + count)
        images: Images = as_images(before[..., :c].contiguous())
        observed_rows = None if observed is None else observed(done, done + count)
        whole = blended(images, output.expand(-1, c, -1, -1), strength=request.strength, observed=observed_rows)
        yield keep_transparent(whole, images, as_images(before[..., c:].contiguous())) if alpha_kept else whole
        done += count


def _denoised(outputs: Iterator[Maps], rows: Callable[[int, int], Images], height: int, plan: RestorationPlan) -> Iterator[Maps]:
    """`limits.denoised` of the output of a network, which comes in strips, in bands; `rows` reads rows of the picture."""
    buffer = upscaling.RowBuffer(outputs)
    for start in range(0, height, BAND):
        stop = min(height, start + BAND)
        first, last = max(0, start - REACH), min(height, stop + REACH)
        band = denoised(rows(first, last), buffer.rows(first, last), plan.strengths, plan.powers)
        yield band[:, :, start - first : stop - first]


def _resampled(strips: Iterator[Maps], before: tuple[int, int], size: tuple[int, int]) -> Iterator[Maps]:
    """An image of the size `before`, which comes in strips, as `upscaling.resampled`, in bands of rows."""
    buffer = upscaling.RowBuffer(strips)
    for start in range(0, size[0], BAND):
        yield resized_rows(buffer.rows, before, size, start, min(size[0], start + BAND)).clamp(0, 1)


def _enlarged_opacity(source: streaming.Source, size: tuple[int, int], start: int, stop: int) -> Planes:
    """Rows `start` to `stop` of the opacity as `enlarge_opacity` gives it for the whole picture."""
    (h, w), scale = source.size, size[0] // source.size[0]
    if (h * scale, w * scale) != size:
        return resized_rows(lambda first, last: _opacity(source, first, last), (h, w), size, start, stop)
    first, last = max(0, start // scale - AROUND), min(h, -(-stop // scale) + AROUND)
    part = enlarge_opacity(_opacity(source, first, last), ((last - first) * scale, size[1]))
    return part[:, :, start - first * scale : stop - first * scale]


def _keeps_alpha(source: streaming.Source, request: RestorationRequest) -> bool:
    """Whether the result has the opacity of the picture. A result whose mask was that opacity is opaque."""
    return source.alpha and not request.alpha_mask


def _colourless(source: streaming.Source) -> bool:
    """Whether all channels of all pixels are equal, so that a network with a path for grey pictures takes that path."""
    h = source.size[0]
    parts = (_input_rows(source, start, min(h, start + _STEP)) for start in range(0, h, _STEP))
    return all(bool((rows == rows[:, :1]).all()) for rows in parts)
