"""Dreams that move: falling into a picture, and a film dreamed frame by frame.

The change by a dream moves with the film to the next frame, where a few steps renew it: so dreamed structures stay on their objects.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageSequence
from torch.nn import functional as F

from sfumato.core import outputs
from sfumato.core.errors import ImageError, SettingError
from sfumato.core.tensors import Images, Other, size_text, to_pixels
from sfumato.dreaming.dream import Dream, in_octaves, layer_ascent
from sfumato.dreaming.feature_extractor import DreamNetwork
from sfumato.io import decode, files
from sfumato.io.channels import as_images
from sfumato.nn.motion import apply_motion, estimate_motion
from sfumato.restoration import film

ZOOM = 0.05
"""Share of a frame's sides by which it is enlarged for the next one."""
KEPT = 0.9
"""Share of the change that is carried to the next frame."""
AGAIN, SIZES = 4, 2
"""Steps and octaves of every frame but the first."""
MOST_PIXELS = 500_000_000
"""Most pixels of all frames of a GIF or WebP together, which are held in memory."""
MOVING = (".gif", ".webp")
"""Films that need no PyAV."""


class Dreamer:
    """Dreams frame after frame, each one from the change of the last."""

    def __init__(self, seeing: DreamNetwork, options: Dream, *, guide: Other | None = None) -> None:
        """Raises SettingError for a dream in a spectrum."""
        self.seeing, self.options, self.guide = seeing, _in_pixels(options), guide
        self.later = dataclasses.replace(options, steps=min(options.steps or AGAIN, AGAIN), octaves=min(options.octaves, SIZES))
        self.frame: Images | None = None
        self.added: Images | None = None

    @torch.no_grad()
    def __call__(self, frame: Images) -> Images:
        """The next frame, dreamed."""
        x = frame.to(self.seeing.device)
        carried = None
        if self.frame is not None and self.added is not None and self.frame.shape == x.shape:
            carried = KEPT * apply_motion(self.added, estimate_motion(self.frame, x))
        options = self.options if carried is None else self.later
        ascent = layer_ascent(self.seeing, options, (x.shape[2], x.shape[3]), self.guide)
        output = in_octaves(x, ascent, options, self.options.seed, carried=carried)
        self.frame, self.added = x, output - x
        return output.cpu()


def falling(picture: Images, seeing: DreamNetwork, options: Dream, *, frames: int, guide: Other | None = None) -> Iterator[Images]:
    """The dream of a picture, then frames of a fall into it: each the last one, enlarged and dreamed again.

    Raises SettingError for a dream in a spectrum, for `alpha`, since later frames leave the picture, and for frames below 1.
    """
    if frames < 1:
        raise SettingError(f"zoom = {frames} frames must be at least 1")
    if options.alpha:
        raise SettingError("alpha keeps a dream near its picture, and a fall leaves it; leave alpha at 0")
    options = _in_pixels(options)
    first = layer_ascent(seeing, options, (picture.shape[2], picture.shape[3]), guide)
    later = dataclasses.replace(options, steps=min(options.steps or AGAIN, AGAIN), octaves=min(options.octaves, SIZES))
    x = picture.to(seeing.device)
    for i in range(frames):
        with torch.no_grad():
            x = in_octaves(x, first, options if i == 0 else later, options.seed + i)
            yield x.cpu()
            x = nearer(x)


def _in_pixels(options: Dream) -> Dream:
    """`options`. Raises SettingError for a dream in a spectrum."""
    if options.space == "fourier":
        raise SettingError("films are dreamed in pixels; leave space at auto")
    return options


def nearer(images: Images) -> Images:
    """The middle of each image, enlarged to all of it."""
    h, w = images.shape[2:]
    top, left = h * ZOOM / 2, w * ZOOM / 2
    grid = torch.stack(torch.meshgrid(torch.linspace(-1, 1, w), torch.linspace(-1, 1, h), indexing="xy"), dim=-1)[None] * torch.tensor(
        [(w - 2 * left) / w, (h - 2 * top) / h]
    )
    near = F.grid_sample(images, grid.to(images.device), mode="bicubic", padding_mode="reflection", align_corners=True)
    return near.clamp(0, 1)


def dream_film(
    path: Path,
    target: Path,
    dreamer: Dreamer,
    *,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> int:
    """Writes the film at `path`, dreamed, to `target`, and returns the count of its frames.

    All frames of a GIF or WebP are shown equally long; other films need PyAV and keep their sound (see `film.rewritten`). Raises
    SettingError for a target that is the film itself, or that exists without `overwrite`.
    """
    with outputs.reserved([target], by="dream", overwrite=overwrite, reads=[path], replaces=False):
        return _dreamed(path, target, dreamer, on_progress)


def _dreamed(path: Path, target: Path, dreamer: Dreamer, on_progress: Callable[[int, int], None]) -> int:
    if path.suffix.lower() not in MOVING:

        def begin(first: Images) -> film.Change:
            return film.Change("dreamed", (first.shape[2], first.shape[3]), dreamer)

        return film.rewritten(path, target, begin, on_progress=on_progress)[1]
    count, rate = timing(path)
    files.check_animation(target, rate)
    frames = []
    for i, frame in enumerate(still_frames(path), 1):
        frames.append(to_pixels(dreamer(frame)))
        on_progress(i, count)
    files.save_animation(target, frames, fps=rate)
    return len(frames)


def moving(path: Path) -> bool:
    """Whether the file is a GIF or WebP of several frames."""
    if path.suffix.lower() not in MOVING or not path.is_file():
        return False
    try:
        with decode.opened(path, str(path)) as image:
            return getattr(image, "n_frames", 1) > 1
    except ImageError:
        return False


def timing(path: Path) -> tuple[int, float]:
    """The count of frames of a GIF or WebP, and their rate in frames a second.

    Raises ImageError for a file that is none, or whose frames have more than `MOST_PIXELS` together.
    """
    with decode.opened(path, str(path)) as image:
        count = getattr(image, "n_frames", 1)
        if count * math.prod(image.size) > MOST_PIXELS:
            size = f"{count} frames of {size_text((image.height, image.width))} pixels"
            raise ImageError(f"has {size}, more than the {MOST_PIXELS // 1_000_000} megapixels that are dreamed together; cut it shorter")
        lasts = []
        for frame in ImageSequence.Iterator(image):
            frame.load()  # its duration is known only then
            lasts.append(float(frame.info.get("duration", 100)) or 100.0)
    return count, min(50.0, 1000 * len(lasts) / sum(lasts))


def still_frames(path: Path) -> Iterator[Images]:
    """Every frame of a GIF or WebP, one after another. Raises ImageError for a file that is none and for frames that differ in size."""
    with decode.opened(path, str(path)) as image:
        size = image.size
        for frame in ImageSequence.Iterator(image):
            frame.load()
            if frame.size != size:  # a GIF may say so in the middle
                raise ImageError(f"has a frame of {size_text((frame.height, frame.width))} pixels in a film of {size_text(size[::-1])}")
            yield _pixels(frame)


def _pixels(frame: Image.Image) -> Images:
    return as_images(torch.from_numpy(np.array(frame.convert("RGB"))))
