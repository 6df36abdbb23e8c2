"""Films, repaired frame by frame: pictures out of the file, through the network, back into a file with the same rate and sound (PyAV)."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sfumato.core import disk
from sfumato.core.errors import ImageError, MissingExtraError, SettingError
from sfumato.core.image import to_bytes, to_images
from sfumato.jobs.remedy import Remedy, Request, remedy
from sfumato.jobs.repair import repaired

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
"""What the names of films end in."""


def is_film(sources: Sequence[str]) -> bool:
    """Whether this is one film. Raises SettingError if it is several things of which one is."""
    films = [source for source in sources if Path(source).suffix.lower() in SUFFIXES]
    if films and len(sources) > 1:
        raise SettingError(f"{films[0]} is a film: give it alone")
    return bool(films)


def restore_film(path: Path, target: Path, request: Request, *, tell: Callable[[int, int], None] = lambda *_: None) -> str:
    """Writes the film at `path` to `target` (.mp4 or .mkv) with every frame repaired, and says what was done.

    What to do is decided on the first frame, so that the film does not flicker between choices. The rate is kept, sound is copied. `tell`
    is called with the frames done and how many there are. Raises MissingExtraError without PyAV, ImageError for a file that is no film,
    SettingError for a target that cannot be, StorageError as `disk.write` does.
    """
    request.check()
    if target.suffix.lower() not in (".mp4", ".mkv"):
        raise SettingError(f"{target}: a film is written as .mp4 or .mkv; choose another --out")
    if target.exists() and target.resolve() == path.resolve():
        raise ImageError(f"{path}: would be written over itself; choose another --out")
    try:
        import av
        from av.error import FFmpegError
    except ImportError as error:
        raise MissingExtraError('films need PyAV; install it with: pip install "sfumato[video]"') from error
    try:
        with disk.whole(target) as partial, av.open(str(path)) as source:
            if not source.streams.video:
                raise ImageError(f"{path}: there is no picture in this film")
            return _copy(av, source, partial, target, request, tell)
    except FFmpegError as error:
        raise ImageError(f"{path}: cannot be read as a film ({error})") from error


def _copy(av: Any, source: Any, partial: Path, target: Path, request: Request, tell: Callable[[int, int], None]) -> str:
    pictures, sounds = source.streams.video[0], list(source.streams.audio)
    plan: Remedy | None = None
    with av.open(str(partial), "w", format={".mp4": "mp4", ".mkv": "matroska"}[target.suffix.lower()]) as made:
        rate = pictures.average_rate or Fraction(25)
        out = made.add_stream("libx264", rate=rate, options={"crf": "16"})
        out.pix_fmt = "yuv420p"
        copies = {sound.index: made.add_stream_from_template(sound) for sound in sounds}
        count = 0
        for packet in source.demux([pictures, *sounds]):
            if packet.stream.type == "audio":
                if packet.dts is not None:
                    packet.stream = copies[packet.stream.index]
                    made.mux(packet)
                continue
            for frame in packet.decode():
                images = to_images(torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)[None])
                plan = plan or remedy(request, images)
                pixels = to_bytes(images if plan.nothing else repaired(images, plan, request))[0].permute(1, 2, 0).numpy()
                h, w = pixels.shape[:2]
                if not count:
                    out.width, out.height = w + w % 2, h + h % 2
                pixels = np.pad(pixels, [(0, h % 2), (0, w % 2), (0, 0)], mode="edge")
                again = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                again.pts, again.time_base = frame.pts, frame.time_base
                made.mux(out.encode(again))
                count += 1
                tell(count, pictures.frames or 0)
        made.mux(out.encode())
    if plan is None:
        raise ImageError("there is no frame in this film")
    return f"{plan.words}, {count} frames"
