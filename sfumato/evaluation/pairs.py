"""Fidelity of pictures to references, whatever program made them: PSNR, SSIM and, on request, LPIPS of each pair.

A picture has the name of its reference, with any ending, in the same folder below the two sources; programs that enlarge may have put
something behind the name, as in baby_x4.png.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Container, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

import numpy as np
import torch

from sfumato.core.errors import DataError, ImageError, SettingError
from sfumato.core.paths import inside
from sfumato.core.progress import counted, remark
from sfumato.core.tensors import Images, size_text, to_bytes, to_images
from sfumato.data import listing
from sfumato.data.listing import Entry
from sfumato.evaluation.diversity import coloured, comparer
from sfumato.evaluation.picture_fidelity import INTERVAL, as_stored, mean_of_pictures, psnr_of, ssim_of
from sfumato.evaluation.report import Report
from sfumato.io import archive, decode
from sfumato.io.fitting import fit
from sfumato.io.inputs import PictureInput
from sfumato.metrics.base import Protocol
from sfumato.metrics.features import weights_hash
from sfumato.metrics.perceptual import lpips
from sfumato.models.roles.perceptual_metric import PerceptualMetric

Pictures: TypeAlias = str | Path | Sequence[PictureInput]
"""A file, a folder or a zip; or pictures of any kind, in order."""

_NOTES = {
    "psnr": "all channels",
    "psnr_luma": "luma of colour pictures from 16 to 235, ITU-R BT.601",
    "ssim": "11 x 11 Gaussian windows of 1.5 pixels inside the picture, mean over channels",
    "ssim_luma": "the same of that luma",
    "lpips": "perceptual distance of whole pictures",
}
"""The note of each figure for its protocol."""


class _Named(NamedTuple):
    """A picture that is not read yet."""

    name: str
    """Path below its source, for messages."""
    read: Callable[[], Images]


def evaluate_pairs(pictures: Pictures, references: Pictures, *, compare: str | None = None, border: int = 0) -> Report:
    """PSNR and SSIM of `pictures` to `references`, in all channels and in luma, each as the mean over the pictures.

    Both are a file, a folder or a zip, or a list of pictures of any kind in the same order. Pictures are compared as 8 bits. `compare`
    names a perceptual metric, such as lpips-squeeze, for a distance too. `border` pixels of each side do not count, as in papers on
    enlarging.
    Raises DataError for a picture without a reference, ImageError for one that cannot be read or has not the size of its reference,
    SettingError for a border that leaves nothing.
    """
    perceptual = comparer(compare) if compare is not None else None
    rows: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        own, theirs = (_named(stack, each) for each in (pictures, references))
        for picture, reference in counted(_matched(own, theirs, _text(references)), "pairs"):
            for name, value in _figures(picture, reference, border, perceptual).items():
                rows.setdefault(name, []).append(value)
    network = {} if perceptual is None else {"features": inside(compare or ""), "weights": weights_hash(perceptual)}
    report = Report()
    for name, values in rows.items():
        cut = "" if name == "lpips" else f"border cut {border}; range 255; "
        protocol = Protocol(
            reference=_text(references),
            generated=len(values),
            settings=f"{cut}8 bits; mean over pictures",
            interval=INTERVAL if len(values) > 1 else "",
            notes=_NOTES[name] + _equal(name, values),
        )
        protocol = dataclasses.replace(protocol, **network) if name == "lpips" else protocol
        report.append(mean_of_pictures(name, values, protocol))
    return report


def _equal(name: str, values: list[float]) -> str:
    """The number of pictures that are their references, for the note of a PSNR; empty if there are none."""
    count = sum(value == 100 for value in values) if name == "psnr" else 0
    return f"; {count} of {len(values)} pictures are equal to their references, and count as 100 dB" if count else ""


def existing_pictures(source: str | Path) -> Path:
    """The path of a source of pictures. Raises DataError if there is none."""
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(f"no file or folder {str(source)!r}; give pictures, and their references")
    return path


def _figures(picture: _Named, reference: _Named, border: int, perceptual: PerceptualMetric | None) -> dict[str, float]:
    """The figures of one pair. Raises ImageError for two sizes, SettingError for a border that leaves nothing."""
    image, true = picture.read(), reference.read()
    sizes = [size_text((each.shape[2], each.shape[3])) for each in (image, true)]
    if sizes[0] != sizes[1]:
        raise ImageError(f"{picture.name}: is {sizes[0]} pixels, and its reference {sizes[1]}; they must be the same")
    if min(true.shape[2:]) <= 2 * border:
        raise SettingError(f"border = {border} pixels leave nothing of {picture.name}, which is {sizes[0]}")
    if as_stored(image).shape[1] == as_stored(true).shape[1] == 1:
        image, true = as_stored(image), as_stored(true)
    figures = {"psnr": psnr_of(image, true, border=border), "ssim": ssim_of(image, true, border=border)}
    if true.shape[1] == 3:
        figures["psnr_luma"] = psnr_of(image, true, use_luma=True, border=border)
        figures["ssim_luma"] = ssim_of(image, true, use_luma=True, border=border)
    if perceptual is not None:
        figures["lpips"] = lpips(perceptual, coloured(image, perceptual), coloured(true, perceptual)).item()
    return figures


def _matched(own: dict[str, _Named], theirs: dict[str, _Named], source: str) -> list[tuple[_Named, _Named]]:
    """Each picture with its reference. Raises DataError for a picture without one; references without a picture make a remark."""
    if len(own) == len(theirs) == 1:
        return list(zip(own.values(), theirs.values(), strict=True))
    of_pictures = {key: _reference_of(key, theirs) for key in own}
    if missing := [own[key].name for key, reference in of_pictures.items() if reference is None]:
        more = f", nor for {len(missing) - 1} others" if len(missing) > 1 else ""
        raise DataError(f"{source} holds no reference for {missing[0]}{more}; a picture has the name of its reference, with any ending")
    by_reference = {reference: key for key, reference in of_pictures.items() if reference is not None}
    if len(by_reference) < len(own):
        first, second = next((key, by_reference[ref]) for key, ref in of_pictures.items() if ref and by_reference[ref] != key)
        raise DataError(f"{own[first].name} and {own[second].name} have one reference; measure them apart")
    if left := len(theirs) - len(own):
        remark(f"{left} of the {len(theirs)} references have no picture to compare with, and do not count")
    return [(own[key], theirs[reference]) for reference, key in by_reference.items()]


def _reference_of(key: str, theirs: Container[str]) -> str | None:
    """The name of the reference of a picture: its own name, or else the longest beginning of it before a mark such as _ or -.

    >>> _reference_of("set/baby_x4", {"set/baby", "set/b"}), _reference_of("baby2", {"baby"})
    ('set/baby', None)
    """
    if key in theirs:
        return key
    marks = [i for i in range(len(key) - 1, key.rfind("/") + 1, -1) if not key[i].isalnum()]
    return next((key[:i] for i in marks if key[:i] in theirs), None)


def _named(stack: contextlib.ExitStack, source: Pictures) -> dict[str, _Named]:
    """The pictures of a source by their names without endings, or by their places in a list; readable until `stack` ends."""
    if not isinstance(source, str | Path):
        return {str(i): _Named(f"picture {i}", _reader(picture)) for i, picture in enumerate(source, 1)}
    path = existing_pictures(source)
    if path.is_file() and not archive.is_zip(path):
        return {path.stem: _Named(str(path), _reader(path))}
    named: dict[str, _Named] = {}
    for entry in stack.enter_context(listing.listed(path)).pictures:
        key = str(PurePosixPath(entry.name).with_suffix(""))
        if key in named:
            raise DataError(f"{path}: {named[key].name} and {entry.name} have one name; keep one of them")
        named[key] = _Named(entry.name, _reader(entry))
    if not named:
        raise DataError(f"{path}: holds no picture that can be read")
    return named


def _reader(picture: PictureInput | Entry) -> Callable[[], Images]:
    """A function that reads a picture as 8 bits in three channels. It raises ImageError."""

    def read() -> Images:
        if not isinstance(picture, Entry):
            return to_images(to_bytes(fit(picture, channels=3, size=None)))
        pixels = decode.decode(picture.open, picture.name, channels=3, size=None)
        return to_images(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None])

    return read


def _text(source: Pictures) -> str:
    """The name of a source for messages and protocols: of a path, the last name."""
    return inside(str(source)) if isinstance(source, str | Path) else "pictures"
