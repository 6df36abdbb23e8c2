"""A picture larger than memory, repaired some rows at a time.

file ─ open_strips ─ remedy, by nine pieces ─ strip by strip ─ Sink ─> file
mask ─ open_strips ──────────────────────────┘
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from sfumato.analysis import flaws
from sfumato.core import atomic_io
from sfumato.core.device import select_device
from sfumato.core.errors import ImageError
from sfumato.core.tensors import Images, Maps, Planes, size_text
from sfumato.io import files, streaming
from sfumato.io.channels import AROUND, as_images, as_pixels, bled, bleeding, blended, dark, enlarged, hidden
from sfumato.restoration.memory import BASE
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import NOTHING_MISSING, RestorationPlan, make_plan
from sfumato.restoration.request import RestorationRequest
from sfumato.restoration.tiles import Canvas
from sfumato.restoration.tiles import strips as repaired_strips

_PIECE = 136
"""Side of the nine pieces by which the picture is judged: those that `diagnose` looks at."""
_STEP = 256
"""Rows that are looked at together, where it does not matter how many."""
_SHARE = 0.6
"""Of the memory, for the network and its tiles; the rest is for what is read, decided and written."""
_WIDE = 2048
"""Columns in which hidden colours are replaced at once."""

Known = Callable[[int, int], Planes]
"""From the first row and the one after the last: 1 where they are to be believed."""


def repair_rows(
    path: Path, target: Path, request: RestorationRequest, mask: Path | None, check: atomic_io.Check | None, networks: Networks
) -> RestorationPlan:
    """`repair` for a picture that does not fit. Raises ImageError for what would have to see the whole of it."""
    if "scratches" in request.find or request.method is not None:
        raise ImageError(f"{path}: too large for {request.memory / 1e9:g} GB with --find scratches or --method; give more --memory")
    folder = target.parent if target.parent.is_dir() else None
    with streaming.open_strips(path, folder=folder) as source, _drawn(mask, source, folder) as drawn:
        sample = _sample(source)
        known = _believed([*([drawn] if drawn else []), *([_wrong(source, hit=None)] if request.find else [])])
        share = 0.0 if known is None else _filled(known, source.size)
        if drawn is not None:
            _refuse(share, str(mask))
        # Of a mask remedies tell no more than how much is to be filled in.
        stand_in = (torch.linspace(0, 1, sample[0, 0].numel()) >= share).float().reshape(1, 1, *sample.shape[2:]) if known else None
        quality = source.notes.jpeg.quality() if source.notes.jpeg else None
        if request.find and share == 0:
            plan = RestorationPlan(summary=f"no dead pixels: {NOTHING_MISSING}")
        else:
            plan = make_plan(dataclasses.replace(request, find=()), sample, observed=stand_in, quality=quality, networks=networks)
        if plan.observed is not None and known is None:
            known = _wrong(source, hit=True)
        if plan.nothing and files.same_format(path, target):
            files.copy(path, target, check=check)
            return plan
        if plan.network is not None and plan.network.receptive_radius is None:
            raise ImageError(f"{path}: this network looks at the whole picture at once, which does not fit; give more --memory")
        sizes = (source.size[0] * plan.scale, source.size[1] * plan.scale)
        said = source.notes if plan.nothing else dataclasses.replace(source.notes, jpeg=source.notes.fine_jpeg)
        with streaming.Sink(target, sizes, source.channels, alpha=source.alpha, depth=source.depth, bit=source.bit, notes=said) as sink:
            for rows in _repaired_rows(source, known, plan, request, networks):
                sink.write(rows)
            sink.finish(check)
        left_out = source.notes.left_out
    return dataclasses.replace(plan, summary=f"{plan.summary} ({left_out})") if left_out else plan


def _input_rows(source: streaming.Source, start: int, stop: int) -> Images:
    """The colours of those rows, with means of what is around where nobody sees any: as `bled` has them that sees the whole picture."""
    (h, w), c = source.size, source.channels
    if not source.alpha:
        return as_images(source.rows(start, stop))
    first, last = bleeding(start, stop, h)
    stored, parts = source.rows(first, last), []
    for left in range(0, w, _WIDE):
        begin, end = bleeding(left, min(w, left + _WIDE), w)
        some = stored[:, begin:end]
        made = bled(as_images(some[..., :c].contiguous()), as_images(some[..., c:].contiguous()))
        parts.append(made[:, :, start - first : stop - first, left - begin : left - begin + _WIDE])
    return torch.cat(parts, dim=3)


def _sample(source: streaming.Source) -> Images:
    """Nine pieces of the picture in three rows; of one that is too narrow for them, the middle."""
    h, w = source.size
    if min(h, w) < _PIECE:
        top, left = max(0, h // 2 - 512), max(0, w // 2 - 512)
        return _input_rows(source, top, min(h, top + 1024))[..., left : left + 1024]
    tops, lefts = ([(side - _PIECE) * i // 16 * 8 for i in range(3)] for side in (h, w))
    bands = [_input_rows(source, top, top + _PIECE) for top in tops]
    return torch.cat([torch.cat([band[..., left : left + _PIECE] for left in lefts], dim=3) for band in bands], dim=2)


@contextlib.contextmanager
def _drawn(mask: Path | None, source: streaming.Source, folder: Path | None) -> Iterator[Known | None]:
    """What the mask says of some rows. Raises ImageError if it is of another size."""
    if mask is None:
        yield None
        return
    with streaming.open_strips(mask, folder=folder) as drawn:
        if drawn.size != source.size:
            (own, whole) = (size_text(size) for size in (drawn.size, source.size))
            raise ImageError(f"{mask}: the mask is {own} pixels, the picture {whole}; they must be the same")

        def observed(start: int, stop: int) -> Planes:
            layers = as_images(drawn.rows(start, stop))
            bright = layers[:, : drawn.channels].amax(dim=1, keepdim=True)
            return ((bright * layers[:, drawn.channels :] if drawn.alpha else bright) < 0.5).float()

        yield observed


def _wrong(source: streaming.Source, *, hit: bool | None) -> Known:
    """Where single pixels are wrong: in a picture that is known to be `hit` by salt and pepper, or each time as some rows look."""
    h, _ = source.size

    def observed(start: int, stop: int) -> Planes:
        first, last = max(0, start - flaws.REACH), min(h, stop + flaws.REACH)
        found = flaws.impulses(_input_rows(source, first, last), hit=hit)
        return found[:, :, start - first : stop - first]

    return observed


def _believed(parts: list[Known]) -> Known | None:
    """What all of `parts` believe; None if there are none."""
    return (lambda start, stop: torch.stack([part(start, stop) for part in parts]).amin(dim=0)) if parts else None


def _filled(observed: Known, size: tuple[int, int]) -> float:
    """Share of what is to be filled in."""
    h, w = size
    return 1 - sum(observed(start, min(h, start + _STEP)).sum().item() for start in range(0, h, _STEP)) / (h * w)


def _refuse(share: float, mask: str) -> None:
    """Raises ImageError for a mask of everything or nothing."""
    dark(torch.tensor([float(share > 0), float(share == 1)]).reshape(1, 1, 1, 2), mask)


def _repaired_rows(
    source: streaming.Source, observed: Known | None, plan: RestorationPlan, request: RestorationRequest, networks: Networks
) -> Iterator[Any]:
    """Rows of the result as they are stored, top to bottom."""
    (h, w), c = source.size, source.channels
    if plan.network is None:
        yield from (source.rows(start, min(h, start + _STEP)) for start in range(0, h, _STEP))
        return
    where = select_device(request.device)
    network, done = networks.ready(plan.network, where), 0
    colourless = network.has_grey_path and c > 1 and _colourless(source)
    constants = {"noise": plan.noise or 0.0, "quality": plan.quality, "observed": 1.0}

    def rows(start: int, stop: int) -> tuple[Maps, Planes | None]:
        images = _input_rows(source, start, stop)[:, : 1 if colourless else c]
        planes = {name: torch.full((1, 1, stop - start, w), constants[name]) for name in network.conditioning}
        if observed is not None and "observed" in planes:
            planes["observed"] = observed(start, stop)
            images = images * planes["observed"]
        return images, torch.cat(list(planes.values()), dim=1) if planes else None

    row = w * (c + len(network.conditioning)) * 12 * (1 + network.scale**2)
    tile = request.tile or networks.tile(plan.network, (h, w), request.memory, lambda allowed: (allowed - BASE) * _SHARE, row=row)
    kind = torch.uint16 if source.depth == 16 else torch.uint8
    name, canvas = networks.name(plan.network), Canvas(size=(h, w), rows=rows)
    for made in repaired_strips(network, canvas, name=name, tile=tile, precision=request.precision, device=where):
        count, s = made.shape[2] // network.scale, network.scale
        before = source.rows(done, done + count)
        images: Images = as_images(before[..., :c].contiguous())
        own = None if observed is None else observed(done, done + count)
        whole = blended(images, made.expand(-1, c, -1, -1), strength=request.strength, observed=own)
        if source.alpha:
            whole = hidden(whole, images, as_images(before[..., c:].contiguous()))
        pixels = as_pixels(whole, kind)
        if source.alpha:
            first, last = max(0, done - AROUND), min(h, done + count + AROUND)
            alpha = enlarged(as_images(source.rows(first, last)[..., c:].contiguous()), s)
            inner = alpha[:, :, (done - first) * s : (done - first + count) * s]
            pixels = torch.cat([pixels, as_pixels(inner, kind)], dim=-1)
        yield pixels
        done += count


def _colourless(source: streaming.Source) -> bool:
    """Whether all channels of all pixels are the same: a network with a way of its own for grey pictures then takes that."""
    h = source.size[0]
    parts = (_input_rows(source, start, min(h, start + _STEP)) for start in range(0, h, _STEP))
    return all(bool((rows == rows[:, :1]).all()) for rows in parts)
