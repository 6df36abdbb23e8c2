"""What is wrong with a picture, from the picture alone: noise, wrong pixels, JPEG, blur, scratches.

Large pictures are judged by nine pieces of them. How is told in `noise.py`, `jpeg.py`, `blur.py`, `spread.py`, `flaws.py`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.analysis import flaws
from sfumato.analysis.blur import blur_level
from sfumato.analysis.jpeg import grid, tables_quality
from sfumato.analysis.noise import noise_level
from sfumato.analysis.spread import likeliest
from sfumato.core.errors import ImageError
from sfumato.core.tensors import Images
from sfumato.io import decode
from sfumato.io.inputs import PictureInput, convert
from sfumato.nn.blurs import Blur

Task = Literal["denoise", "deblur", "inpaint", "jpeg", "none"]

_SMALLEST = 16
"""Under this many pixels either way nothing can be told."""
_WHOLE = 400 * 400
"""Up to this many pixels a picture is judged whole."""
_PIECE = 136
"""Side of a piece, in pixels: a multiple of 8, so that all see a JPEG's grid alike."""
_NOISE, _HIT, _BLUR, _SCRATCHED = 2.5 / 255, 0.001, 0.8, 0.002
"""From here on there is noise, salt and pepper, blur, scratches. Of 380 sharp photographs, of BSDS500 and BSD68, none comes to a blur of
more than 0.75."""
_SOFT = {"gaussian": 0.5, "defocus": 0.5, "motion": 1.0}
"""A blur of less, in pixels of sigma, cannot be told from none: drawn strokes and furrows of fields look like short ways."""
_AGREE = 2.0
"""How much wider a blur by the spectrum may be than by the edges, which are too small for ways of 15 pixels by up to 1.8."""
_BEST, _BEST_GREY = 40, 60
"""Up to here a JPEG is worth repairing: above, `restore` takes as much of it as it gives (`benchmarks/jpegs.py`)."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the file says about itself."""

    tables: tuple[tuple[int, ...], ...] = ()
    """The quantisation tables of a JPEG, 64 entries each in rows, luminance first."""
    quality: int | None = None
    """libjpeg's, if somebody knows it."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    noise: float | None
    """Standard deviation as a share of full scale; None if it cannot be told."""
    salt_and_pepper: float | None
    """Share of the values that are hit."""
    quality: int | None
    """libjpeg's, 1 to 100, of the file or of the JPEG that the picture has been; None if no trace of one is seen."""
    blur: float | None
    """Sigma in pixels of the Gaussian blur that would make a sharp photograph as soft; 0 if it is sharp, None if it cannot be told."""
    spread: Blur | None = None
    """Which blur that is, of a picture that is blurred."""
    scratched: float | None
    """Share of the pixels on scratches; None if they were not looked for."""
    grey: bool = False
    """Whether the picture has one channel."""

    @property
    def task(self) -> Task:
        """What to repair first: that which costs most, in squared error of a typical photograph. Salt and pepper counts as noise."""
        costs: dict[Task, float] = {"denoise": 0.0, "deblur": 0.0, "jpeg": 0.0, "inpaint": 0.0}
        if self.noise is not None and self.noise >= _NOISE:
            costs["denoise"] += self.noise**2
        if self.salt_and_pepper is not None and self.salt_and_pepper >= _HIT:
            costs["denoise"] += 0.25 * self.salt_and_pepper
        if self.scratched is not None and self.scratched >= _SCRATCHED:
            costs["inpaint"] = 0.25 * self.scratched
        if self.blur is not None and self.blur >= _BLUR:
            costs["deblur"] = 1e-3 * self.blur
        if self.quality is not None and self.quality <= (_BEST_GREY if self.grey else _BEST):
            costs["jpeg"] = 1.5e-2 / (self.quality + 1)
        worst = max(costs, key=lambda task: costs[task])
        return worst if costs[worst] > 0 else "none"

    def sentence(self) -> str:
        """All of it in one line of plain words.

        >>> Diagnosis(noise=0.0965, salt_and_pepper=0.0, quality=None, blur=0.0, scratched=None).sentence()
        'noise of 24.6/255, no salt and pepper, no JPEG grid, sharp'
        """
        if self.noise is None and self.salt_and_pepper is None:
            return "cannot tell: the picture is too small"
        hit = self.salt_and_pepper or 0.0
        parts = [
            "noise cannot be told"
            if self.noise is None
            else f"noise of {self.noise * 255:.1f}/255"
            if self.noise >= _NOISE
            else "no noise",
            f"salt and pepper on {hit:.1%}" if hit >= _HIT else "no salt and pepper",
            "no JPEG grid" if self.quality is None else f"JPEG of quality {self.quality}",
            "sharpness cannot be told" if self.blur is None else self._blurred() if self.blur >= _BLUR else "sharp",
        ]
        if self.scratched is not None:
            parts.append(f"scratches on {self.scratched:.1%}" if self.scratched >= _SCRATCHED else "no scratches")
        return ", ".join(parts)

    def _blurred(self) -> str:
        if self.spread is None or self.spread.kind == "gaussian":
            return f"blur of {self.blur:.1f} pixels"
        if self.spread.kind == "defocus":
            return f"out of focus by {self.spread.size:.1f} pixels"
        return f"motion of {self.spread.size:g} pixels at {self.spread.angle:g} degrees"


def source(path: Path) -> Source:
    """What the file at `path` says; nothing if it is no JPEG. Raises ImageError if it is no image."""
    with decode.opened(path, str(path)) as image:
        tables = getattr(image, "quantization", None) or {}
        return Source(tables=tuple(tuple(int(step) for step in tables[key]) for key in sorted(tables)))


def salt_and_pepper(images: Images) -> float | None:
    """Share of the values of one picture that are hit, in [0, 1], and None if it is too small: as `diagnose` has it, without the rest."""
    return None if min(images.shape[2:]) < _SMALLEST else flaws.density(_pieces(images.detach().float().cpu().clamp(0, 1)))


@torch.no_grad()
def diagnose(picture: PictureInput, *, source: Source | None = None, scratches: bool = False) -> Diagnosis:
    """What is wrong with one picture, grey or colour: a path, bytes, an open file, a PIL image, an array or a tensor in [0, 1].

    `source` is what its file says, and is believed; for a file, it is read from there. Scratches are looked for only if asked, for wires
    look like them. Pictures under 16 pixels either way, and what cannot be told of others, answer None. Raises ImageError for more than
    one picture, if it has neither 1 nor 3 channels, and as `inputs.convert`.
    """
    if isinstance(picture, Tensor) and picture.ndim == 4:
        images = picture
    else:
        converted = convert(picture)
        images, source = converted.images, source or Source(quality=converted.quality)
    if len(images) != 1 or images.shape[1] not in (1, 3):
        raise ImageError(f"images of shape {tuple(images.shape)} must be one picture with 1 or 3 channels")
    told = _stated_quality(source) if source is not None else None
    images, grey = images.detach().float().cpu().clamp(0, 1), images.shape[1] == 1
    scratched = float(1 - flaws.scratches(images).mean()) if scratches else None
    if min(images.shape[2:]) < _SMALLEST:
        return Diagnosis(noise=None, salt_and_pepper=None, quality=told, blur=None, scratched=scratched, grey=grey)
    pieces = _pieces(images)
    noise, hit = noise_level(pieces), flaws.density(pieces)
    found = grid(pieces) if told is None else None
    quality = told if found is None else found.quality
    # Every wrong pixel has edges of its own.
    blur = None if noise is None or hit >= _HIT else blur_level(pieces, noise=noise)
    spread = likeliest(pieces, noise=noise, quality=quality) if blur and noise is not None else None
    if blur and spread:
        # A subject in stripes has a spectrum like that of a blur, and a background out of focus soft edges: both have to say so.
        spread = spread if spread.sigma >= _SOFT[spread.kind] and spread.widest < _AGREE * blur else None
        blur = spread.sigma if spread else 0.0
    return Diagnosis(
        noise=noise,
        salt_and_pepper=hit,
        quality=quality,
        blur=blur,
        spread=spread,
        scratched=scratched,
        grey=grey,
    )


def _stated_quality(source: Source) -> int | None:
    return source.quality if source.quality is not None or not source.tables else tables_quality(source.tables)


def _pieces(images: Images) -> Float[Tensor, "_n c _h _w"]:
    """The picture, or nine pieces of a large one spread over it, as a batch."""
    h, w = images.shape[2:]
    if h * w <= _WHOLE:
        return images
    if min(h, w) < _PIECE:  # a long strip: as much of it as of others
        return images[:, :, : max(_PIECE, _WHOLE // w), : max(_PIECE, _WHOLE // h)]
    tops, lefts = ([(side - _PIECE) * i // 16 * 8 for i in range(3)] for side in (h, w))
    return torch.cat([images[:, :, top : top + _PIECE, left : left + _PIECE] for top in tops for left in lefts])
