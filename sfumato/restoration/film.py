"""Films, repaired frame by frame: frames from a file, through the network, into a file with the same rate and sound (PyAV)."""

import contextlib
import dataclasses
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from sfumato.core import atomic_io, outputs
from sfumato.core.deprecation import renamed_arguments
from sfumato.core.errors import ImageError, SettingError, SfumatoError
from sfumato.core.extras import missing
from sfumato.core.tensors import Images
from sfumato.io import decode
from sfumato.io.channels import as_images, as_pixels
from sfumato.io.inputs import BinaryFile
from sfumato.restoration.batch import repaired
from sfumato.restoration.holes import check_mask
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import make_plan
from sfumato.restoration.request import RestorationRequest

if TYPE_CHECKING:
    from av import VideoFormat, VideoFrame
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
"""Endings of the names of films."""

_COLOURS = ("colorspace", "color_range", "color_primaries", "color_trc")
"""Fields in which a film states its colours."""
_STANDARDS = (1, 4, 5, 6, 7, 9)
"""BT.709, FCC, BT.470BG, SMPTE 170M and 240M, BT.2020: numbers by ITU-T H.273 of the matrices that the converter supports."""

_FORMATS = ("yuv420p", "yuv420p10le")
"""Pixel formats for up to 8 bits a sample, and for more."""
_SUBTITLES = {"mp4": ("mov_text",), "matroska": ("subrip", "ass", "ssa", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle")}
"""Codecs of subtitles that each container can hold."""
_CONTAINERS = ("major_brand", "minor_version", "compatible_brands", "encoder")
"""Metadata of the file, not of the film."""


class Change(NamedTuple):
    """The change of a film."""

    summary: str
    size: tuple[int, int]
    """Height and width of the changed frames."""
    frame: Callable[[Images], Images]
    """Maps each frame, in order, to its replacement."""


def is_film(sources: Sequence[str]) -> bool:
    """Whether `sources` is one film. Raises SettingError for a film beside other sources."""
    films = [source for source in sources if Path(source).suffix.lower() in SUFFIXES]
    if films and len(sources) > 1:
        raise SettingError(f"{films[0]} is a film: give it alone")
    return bool(films)


@renamed_arguments(path="film")
def restore_film(
    film: str | Path | bytes | bytearray | BinaryFile,
    target: str | Path,
    request: RestorationRequest,
    *,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> str:
    """Writes a film to `target` (.mp4 or .mkv) with every frame repaired, and returns a summary in one line.

    `film` is a path, bytes or a file that is open for reading; the last two are kept in a temporary file while the film is repaired.

    The plan is made for the first frame that is not of one colour, so that the film does not flicker between plans. Rate, title, place and
    other metadata are kept; sound is copied, as are subtitles that the container can hold. Frames have 8 bits a sample, or 10 if the film
    has more. `on_progress` is called with the number of frames done and their count. A file at `target` is replaced if it is an unchanged
    result of `restore`, or with `overwrite`. Raises MissingExtraError without PyAV, ImageError for a file that is no film, SettingError for
    a target that has another ending or may not be replaced, StorageError as `atomic_io.write` does.
    """
    target = Path(target)
    request.check()
    check_mask(request, None)
    networks = Networks(request.backend)

    def begun(first: Images) -> Change:
        plan = make_plan(request, first, networks=networks)

        def change(images: Images) -> Images:
            # All frames share the network or method; the mask is computed for each.
            frame_plan = dataclasses.replace(plan, observed=plan.look(images)) if plan.look else plan
            return images if frame_plan.nothing else repaired(images, frame_plan, request, networks)

        h, w = (first if plan.nothing else repaired(first, plan, request, networks)).shape[2:]
        return Change(f"at first {plan.summary}" if plan.look else plan.summary, (h, w), change)

    with _film_file(film) as path, outputs.reserved([target], by="restore", overwrite=overwrite, reads=[path]):
        words, count = rewritten(path, target, begun, on_progress=on_progress)
    return f"{words}, {count} frames"


@contextlib.contextmanager
def _film_file(film: str | Path | bytes | bytearray | BinaryFile) -> Iterator[Path]:
    """The path of a film; bytes and an open file are in a temporary file inside the `with`, which errors call `the film`."""
    if isinstance(film, str | Path):
        yield Path(film)
        return
    source = io.BytesIO(film) if isinstance(film, bytes | bytearray) else film
    with tempfile.TemporaryDirectory(prefix="sfumato-") as folder:
        path = Path(folder) / "film"
        with path.open("wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
        try:
            yield path
        except SfumatoError as error:
            raise type(error)(str(error).replace(str(path), "the film")) from error


def rewritten(
    path: Path,
    target: Path,
    begin: Callable[[Images], Change],
    *,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[str, int]:
    """Writes the film at `path` to `target` with the change that `begin` returns for its first frame; returns its summary and frame count.

    The first frame is the first one that is not of one colour. The caller has reserved `target`. The rest is as in `restore_film`.
    """
    if target.suffix.lower() not in (".mp4", ".mkv"):
        raise SettingError(f"{target}: a film is written as .mp4 or .mkv; choose another --out")
    try:
        import av
        from av.error import FFmpegError
    except ImportError as error:
        raise missing("films need", "PyAV") from error
    try:
        with av.open(str(path)) as source:
            change = begin(_first(source, path))
        with atomic_io.whole(target) as partial, av.open(str(path)) as source:
            form = {".mp4": "mp4", ".mkv": "matroska"}[target.suffix.lower()]
            with av.open(str(partial), "w", format=form) as output:
                count = _copy(av, source, output, change, on_progress)
    except FFmpegError as error:
        if error.filename and Path(error.filename) != path:
            raise ImageError(f"{target}: cannot be written as a film ({error})") from error
        raise ImageError(f"{path}: cannot be read as a film ({error})") from error
    return change.summary, count


def _first(source: "InputContainer", path: Path) -> Images:
    """The first frame that is not of one colour, or else the first frame."""
    first = None
    if source.streams.video:
        _refuse_large(source.streams.video[0], path)
        for frame in source.decode(video=0):
            image = _image(frame)
            if image.std() > 0.01:
                return image
            first = image if first is None else first
    if first is not None:
        return first
    raise ImageError(f"{path}: there is no picture in this film")


def _refuse_large(stream: "VideoStream", path: Path) -> None:
    """Raises ImageError for frames of more pixels than a picture may have."""
    if (pixels := stream.width * stream.height) > decode.MAX_PIXELS:
        most = decode.MAX_PIXELS // 1_000_000
        raise ImageError(f"{path}: has frames of {pixels / 1e6:.0f} megapixels, larger than the {most} megapixels allowed")


def _wide(form: "VideoFormat") -> bool:
    """Whether pictures of this format have more than 8 bits a sample."""
    return any(part.bits > 8 for part in form.components)


def _image(frame: "VideoFrame") -> Images:
    """The frame as a player shows it, upright: telephones store films turned, with the angle in the metadata."""
    wide = _wide(frame.format)
    turned = np.rot90(frame.to_ndarray(format="rgb48le" if wide else "rgb24"), round(frame.rotation / 90))
    return as_images(torch.from_numpy(turned.copy()))


def _as_stored(av: ModuleType, images: Images, odd: list[tuple[int, int]], frame: "VideoFrame") -> "VideoFrame":
    """The frame in the colour matrix and range of the film, in 8 or 10 bits."""
    wide = _wide(frame.format)
    pixels = as_pixels(images, torch.uint16 if wide else torch.uint8).numpy()
    shown = av.VideoFrame.from_ndarray(np.pad(pixels, odd, mode="edge"), format="rgb48le" if wide else "rgb24")
    standard = frame.colorspace if frame.colorspace in _STANDARDS else None
    return shown.reformat(format=_FORMATS[wide], dst_colorspace=standard, dst_color_range=frame.color_range or None)


def _copy(
    av: ModuleType, source: "InputContainer", output: "OutputContainer", change: Change, on_progress: Callable[[int, int], None]
) -> int:
    """Copies every packet of the source in order, with frames changed; returns the count of frames."""
    pictures, count, size = source.streams.video[0], 0, change.size
    kept = [*source.streams.audio, *(s for s in source.streams.subtitles if s.codec_context.name in _SUBTITLES[output.format.name])]
    output.metadata.update({name: value for name, value in source.metadata.items() if name not in _CONTAINERS})
    out = output.add_stream("libx264", rate=pictures.average_rate or Fraction(25), options={"crf": "16"})
    odd = [(0, size[0] % 2), (0, size[1] % 2), (0, 0)]  # H.264 needs even sides: the last row or column is repeated
    out.width, out.height, out.pix_fmt = size[1] + size[1] % 2, size[0] + size[0] % 2, _FORMATS[_wide(pictures.format)]
    if pictures.time_base is not None:  # frames keep their own times, even if these are uneven
        out.codec_context.time_base = pictures.time_base
    for name in _COLOURS if pictures.codec_context.colorspace in _STANDARDS else _COLOURS[1:]:
        setattr(out.codec_context, name, getattr(pictures.codec_context, name))
    try:
        copies = {stream.index: output.add_stream_from_template(stream) for stream in kept}
    except ValueError as error:
        raise SettingError(f"the film's sound cannot be copied into such a file ({error}); choose an --out that ends in .mkv") from error
    for stream in kept:
        copies[stream.index].metadata.update(stream.metadata)
    for packet in source.demux([pictures, *kept]):
        if packet.stream.index in copies:
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
            continue
        for frame in pictures.decode(packet):
            again = _as_stored(av, change.frame(_image(frame)), odd, frame)
            again.pts, again.time_base = frame.pts, frame.time_base
            output.mux(out.encode(again))
            count += 1
            on_progress(count, pictures.frames or 0)
    output.mux(out.encode())
    return count
