"""One picture file, repaired into another, with all that the file says beside its pixels; whole in memory, or strip by strip.

What fits into memory, and what does not:

    file ─ read ─ remedy ─ repaired ─ write ─> file
    file ─ open_strips ─ remedy ─ strip by strip ─ Sink ─> file
"""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from sfumato.classical import methods as classical
from sfumato.core import disk, runtime
from sfumato.core.errors import ImageError, MissingExtraError
from sfumato.core.image import Images, Maps, Planes
from sfumato.data import decode, files, strips
from sfumato.data.files import Picture
from sfumato.jobs.deep_prior import MEMORY, deep_prior
from sfumato.jobs.memory import BASE, footprint, tile_for
from sfumato.jobs.remedy import PRIOR, Remedy, Request, remedy
from sfumato.jobs.tiles import Canvas, ready, restored
from sfumato.jobs.tiles import strips as repaired_strips
from sfumato.nn import fill

_AROUND = 3
"""Pixels around each that enlarging opacity looks at."""
_BLEED = 5
"""How often the picture is halved for colours to put where nobody sees any."""
_PIECE = 136
"""Side of the nine pieces by which a picture that does not fit is judged: those that `diagnose` looks at."""
_WHOLE = 120
"""Bytes for each pixel, before and after, of a picture that is held whole: stored, as numbers, repaired, and copies on the way."""


def repair(path: Path, target: Path, request: Request, *, mask: Path | None = None) -> str:
    """Repairs the picture at `path` into `target` and says in one line what was found and done.

    Size, bit depth, opacity, colour profile and all that the file says beside its pixels are kept. A picture that would not fit
    into the memory of the request is repaired some rows at a time. Raises ImageError for a picture or a mask that cannot be used.
    """
    pixels = strips.megapixels(path) * 1e6
    enlarged = (request.scale or 4) ** 2 if request.task == "upscale" else 1
    if pixels > decode.MAX_PIXELS or pixels * (1 + enlarged) * _WHOLE / 2 > request.memory - BASE:
        try:
            return _in_strips(path, target, request, mask)
        except MissingExtraError as error:
            need = (pixels * (1 + enlarged) * _WHOLE / 2 + BASE) / 1e9
            wants = "strips" if pixels > decode.MAX_PIXELS else f"{need:.1f}GB of --memory, or strips"
            raise MissingExtraError(f'{path}: wants {wants}, and those pip install "sfumato[vips]"') from error
    picture = files.read(path, lossless=True)
    images = as_images(picture.pixels)
    if picture.alpha is not None:
        images = bled(images, as_images(picture.alpha))
    plan = remedy(request, images, known=None if mask is None else _known(mask, picture), quality=_quality(picture))
    if plan.nothing:
        if _same_format(path, target):
            _copy(path, target)
        else:
            files.write(target, picture)
        return plan.words
    if (need := _method_memory(plan, images)) > request.memory:
        raise ImageError(f"{path}: {plan.method} would take {need / 1e9:.1f}GB for it; give more --memory")
    made = repaired(images, plan, request)
    if picture.alpha is not None:
        made = hidden(made, as_images(picture.pixels), as_images(picture.alpha))
    pixels, alpha = as_pixels(made, picture.pixels.dtype), _opacity(picture, made)
    jpeg = picture.jpeg if torch.equal(pixels, picture.pixels) else picture.fine_jpeg
    files.write(target, dataclasses.replace(picture, pixels=pixels, alpha=alpha, jpeg=jpeg))
    return plan.words


def _same_format(path: Path, target: Path) -> bool:
    return files.FORMATS.get(path.suffix.lower()) == files.FORMATS.get(target.suffix.lower()) is not None


def _copy(path: Path, target: Path) -> None:
    """The file itself, to the byte, however large."""
    with disk.whole(target) as partial:
        shutil.copyfile(path, partial)


def repaired(images: Images, plan: Remedy, request: Request) -> Maps:
    """What the remedy makes of one picture held whole, as strong as asked for and only where there is something to fill in."""
    return _blended(images, _made(plan, request, images), plan, request)


def _made(plan: Remedy, request: Request, images: Images) -> Maps:
    if plan.network is not None:
        told = {"noise": plan.noise or 0.0, "quality": plan.quality, "known": plan.known}
        if "known" in plan.network.takes and plan.known is None:
            told["known"] = torch.ones_like(images[:, :1])
        mine: Any = {name: value for name, value in told.items() if name in plan.network.takes}
        shown = images if plan.known is None or "known" not in plan.network.takes else images * plan.known
        left = request.memory - BASE - images.numel() * 12
        tile = request.tile or tile_for(plan.network, left)
        if plan.network.context is None:
            need, tile = footprint(plan.network) * images.shape[2] * images.shape[3], None
            if need > left:
                need = (need + request.memory - left) / 1e9
                raise ImageError(f"the network looks at the whole picture at once, which takes {need:.1f} GB: give more --memory")
        return restored(plan.network, shown, tile=tile, precision=request.precision, device=request.device, **mine)
    assert plan.method is not None
    if plan.method == PRIOR:
        return deep_prior(images, known=plan.known, device=request.device)
    needs = classical.METHODS[plan.method].needs
    options = {"noise": plan.noise, "kernels": plan.kernels, "known": plan.known, "scale": plan.times}
    return classical.apply(plan.method, images, **{name: value for name, value in options.items() if name in needs and value is not None})


def bled(images: Images, alpha: Planes) -> Images:
    """`images` with means of what is around in the place of colours that nobody sees, where `alpha` is 0: else they would bleed out."""
    seen = (alpha > 0).to(images)
    if bool(seen.all()) or not bool(seen.any()):
        return images
    h, w = images.shape[2:]
    more = (0, -w % (1 << _BLEED), 0, -h % (1 << _BLEED))
    made = fill.push_pull(F.pad(images, more), F.pad(seen, more), levels=_BLEED)
    return made[:, :, :h, :w]


def hidden(made: Maps, before: Images, alpha: Planes) -> Maps:
    """`made` with the colours that were there where nobody sees them, unless it has become larger."""
    return torch.where(alpha > 0, made, before) if made.shape[2:] == before.shape[2:] else made


def _method_memory(plan: Remedy, images: Images) -> float:
    """Bytes that a method without weights takes for one picture; 0 for a network, whose tiles are as large as fits."""
    if plan.method is None:
        return 0.0
    pixels = images.shape[2] * images.shape[3]
    if plan.method == PRIOR:
        return BASE + MEMORY * pixels
    method, missing = classical.METHODS[plan.method], 0 if plan.known is None else int((plan.known == 0).sum())
    return BASE + method.memory * pixels * plan.scale**2 * images.shape[1] / 3 + method.memory_missing * missing


def _blended(before: Images, after: Maps, plan: Remedy, request: Request) -> Maps:
    """As strong as asked for, and where there is a mask, only there."""
    if before.shape != after.shape:
        return after
    made = (before + request.strength * (after - before)).clamp(0, 1) if request.strength != 1 else after
    return made if plan.known is None else torch.where(plan.known > 0, before, made)


def _in_strips(path: Path, target: Path, request: Request, mask: Path | None) -> str:
    """`repair` for a picture larger than memory."""
    if mask is not None or request.find or request.method is not None:
        raise ImageError(f"{path}: too large for {request.memory / 1e9:g} GB with a mask, --find or --method; give more --memory")
    where = runtime.device(request.device)
    with strips.open_strips(path, folder=target.parent if target.parent.is_dir() else None) as source:
        h, w = source.size
        sample = as_images(_sample(source))
        plan = remedy(request, sample, quality=source.notes.jpeg.quality() if source.notes.jpeg else None)
        if plan.known is not None:
            plan = remedy(dataclasses.replace(request, task="denoise", model="restore"), sample)
        if plan.nothing and _same_format(path, target):
            _copy(path, target)
            return plan.words
        if plan.network is not None and plan.network.context is None:
            raise ImageError(f"{path}: this network looks at the whole picture at once, which does not fit; give more --memory")
        sizes = (h * plan.scale, w * plan.scale)
        said = source.notes if plan.nothing else dataclasses.replace(source.notes, jpeg=source.notes.fine_jpeg)
        with strips.Sink(target, sizes, source.channels, alpha=source.alpha, depth=source.depth, said=said) as sink:
            for rows in _repaired_rows(source, plan, request, where):
                sink.write(rows)
            sink.finish()
    return plan.words


def _sample(source: strips.Source) -> Any:
    """Nine pieces of the picture in three rows; of one that is too narrow for them, the middle."""
    (h, w), c = source.size, source.channels
    if min(h, w) < _PIECE:
        top, left = max(0, h // 2 - 512), max(0, w // 2 - 512)
        return source.rows(top, min(h, top + 1024))[:, left : left + 1024, :c].contiguous()
    tops, lefts = ([(side - _PIECE) * i // 16 * 8 for i in range(3)] for side in (h, w))
    bands = [source.rows(top, top + _PIECE)[..., :c] for top in tops]
    return torch.cat([torch.cat([band[:, left : left + _PIECE] for left in lefts], dim=1) for band in bands])


def _repaired_rows(source: strips.Source, plan: Remedy, request: Request, where: torch.device) -> Iterator[Any]:
    """Rows of the result as they are stored, top to bottom."""
    (h, w), c = source.size, source.channels
    if plan.network is None:
        yield from (source.rows(start, min(h, start + 256)) for start in range(0, h, 256))
        return
    network, done = ready(plan.network, where), 0
    colourless = network.both and c > 1 and _colourless(source)
    constants = {"noise": plan.noise or 0.0, "quality": plan.quality, "known": 1.0}

    def rows(start: int, stop: int) -> tuple[Maps, Planes | None]:
        stored = source.rows(start, stop)
        images = as_images(stored[..., : 1 if colourless else c].contiguous())
        if source.alpha:
            images = bled(images, as_images(stored[..., c:].contiguous()))
        planes = [torch.full((1, 1, stop - start, w), constants[name]) for name in network.takes]
        return images, torch.cat(planes, dim=1) if planes else None

    tile = request.tile or tile_for(network, (request.memory - BASE) * 0.6, row=w * (c + len(network.takes)) * 12 * (1 + network.scale**2))
    kind = torch.uint16 if source.depth == 16 else torch.uint8
    canvas = Canvas(size=(h, w), rows=rows)
    for made in repaired_strips(network, canvas, tile=tile, precision=request.precision, where=where):
        count, s = made.shape[2] // network.scale, network.scale
        before = source.rows(done, done + count)
        images = as_images(before[..., :c].contiguous())
        whole = _blended(images, made.expand(-1, c, -1, -1), plan, request)
        if source.alpha:
            whole = hidden(whole, images, as_images(before[..., c:].contiguous()))
        pixels = as_pixels(whole, kind)
        if source.alpha:
            first, last = max(0, done - _AROUND), min(h, done + count + _AROUND)
            alpha = enlarged(as_images(source.rows(first, last)[..., c:].contiguous()), s)
            inner = alpha[:, :, (done - first) * s : (done - first + count) * s]
            pixels = torch.cat([pixels, as_pixels(inner, kind)], dim=-1)
        yield pixels
        done += count


def _colourless(source: strips.Source) -> bool:
    """Whether all channels of all pixels are the same: a network with a way of its own for grey pictures then takes that."""
    h, c = source.size[0], source.channels
    parts = (source.rows(start, min(h, start + 256))[..., :c] for start in range(0, h, 256))
    return all(bool((rows == rows[..., :1]).all()) for rows in parts)


def as_images(pixels: Any) -> Images:
    """Stored pixels (8 or 16 bits, h w c) as one image in [0, 1]."""
    full = 65535 if pixels.dtype == torch.uint16 else 255
    return pixels.to(torch.float32).div_(full).permute(2, 0, 1)[None]


def as_pixels(images: Maps, kind: torch.dtype) -> Any:
    """One image as it is stored, clamped and rounded to nearest; the way back from `as_images` changes nothing."""
    full = 65535 if kind == torch.uint16 else 255
    # Channel by channel: of a large picture each copy is large.
    return torch.stack([plane.clamp(0, 1).mul_(full).round_().to(torch.int32).to(kind) for plane in images[0]], dim=2)


def _opacity(picture: Picture, made: Maps) -> Any:
    """Opacity at the size of the result."""
    if picture.alpha is None or tuple(picture.alpha.shape[:2]) == tuple(made.shape[2:]):
        return picture.alpha
    return as_pixels(enlarged(as_images(picture.alpha), made.shape[2] // picture.alpha.shape[0]), picture.alpha.dtype)


def enlarged(opacity: Maps, scale: int) -> Maps:
    """Cubic interpolation that looks `_AROUND` pixels far, so that strips agree with the whole."""
    return opacity if scale == 1 else F.interpolate(opacity, scale_factor=scale, mode="bicubic")


def _known(mask: Path, picture: Picture) -> Planes:
    """1 where the mask is dark or clear. Raises ImageError if it is of another size, or bright nowhere or everywhere."""
    drawn = files.read(mask)
    h, w = picture.pixels.shape[:2]
    if tuple(drawn.pixels.shape[:2]) != (h, w):
        own = " x ".join(map(str, drawn.pixels.shape[:2]))
        raise ImageError(f"{mask}: the mask is {own} pixels, the picture {h} x {w}; they must be the same")
    bright = as_images(drawn.pixels).amax(dim=1, keepdim=True)
    return dark(bright if drawn.alpha is None else bright * as_images(drawn.alpha), str(mask))


def dark(brightness: Planes, name: str) -> Planes:
    """1 where a mask is below a half; raises ImageError, naming it, if that is everywhere or nowhere."""
    known = (brightness < 0.5).float()
    if bool((known == 0).all()):
        raise ImageError(f"{name}: all of it is masked, so that nothing is left to go by; dark says what to keep")
    if bool((known == 1).all()):
        raise ImageError(f"{name}: nothing is masked; bright says where to fill in")
    return known


def _quality(picture: Picture) -> int | None:
    return picture.jpeg.quality() if picture.jpeg else None
