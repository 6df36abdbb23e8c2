"""What is wrong with a picture, from the picture alone: noise, wrong pixels, JPEG, blur, scratches.

Large pictures are judged by nine pieces. `noise.py`, `jpeg.py`, `blur.py`, `spread.py` and `flaws.py` describe the methods.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.analysis import flaws
from sfumato.analysis.blur import blur_level, moved, sharpest
from sfumato.analysis.jpeg import coarseness, grid, tables_quality
from sfumato.analysis.noise import noise_level, plain_noise_level, plain_white_noise
from sfumato.analysis.residual import COARSE, UNSEEN, UNTOLD, NoiseProfile, noise_profile
from sfumato.analysis.spread import likeliest
from sfumato.core.errors import ImageError
from sfumato.core.tensors import Images
from sfumato.io import decode
from sfumato.io.inputs import PictureInput, convert
from sfumato.nn.banding import banding
from sfumato.nn.blurs import Blur

Task = Literal["denoise", "deblur", "inpaint", "jpeg", "none"]

_SMALLEST = 16
"""Pictures with a side of fewer pixels are not judged."""
_WHOLE = 400 * 400
"""Pictures of up to this many pixels are judged whole."""
_PIECE = 136
"""Side of a piece, in pixels: a multiple of 8, so that the grid of a JPEG has the same offset in all pieces."""
_NOISE, HIT, _BLUR, _SCRATCHED = 2.5 / 255, 0.001, 0.8, 0.002
"""Least noise, salt and pepper, blur and scratches that count as damage. None of 380 sharp photographs (BSDS500, BSD68) is estimated at a
blur of more than 0.75."""
_CERTAIN = 6 / 255
"""White noise from which on an estimate needs no confirmation: fine texture everywhere looks like noise of less."""
_MUCH_MORE = 1.15
"""Greatest ratio of white noise by the differences of pixels to the estimate of it from patches."""
_TAKEN_AWAY = 1.2
"""Coarse noise over what a network takes away of it: 1.1 to 1.4 of simulated cameras."""
_LONG, _WEAK = 7, 2 / 255
"""Motion in pixels, with noise of less than so much, that is no doubt a blur: noise makes a picture look soft in all directions."""
_SOFTER, _LATER = 1.2, 0.4
"""Blur in pixels, with noise of less than `_WHITE` and such a correlation of neighbours, that is no doubt a blur: what makes a picture soft
makes the noise before it coarse, and white noise that was saved as a JPEG of quality 90 has 0.24 to 0.36. Of PolyU's 100 pictures two are
as soft with as little noise, and have 0.57 and 0.65; deblurred, they lose 2 and 7 dB."""
_ROUNDED = 0.4
"""Share of the rounding error of a JPEG of quality over `COARSE` that a network takes away of flat parts without noise: up to 0.36 of a
blurred picture at 75, where that of a camera that looks as soft loses 0.54 and more."""
_WHITE = 1.5 / 255
"""White noise from which on a network also leaves some of it as coarse noise."""
_SOFT = {"gaussian": 0.5, "defocus": 0.5, "motion": 1.0}
"""Least sigma of each kind of blur, in pixels: drawn strokes and furrows of fields look like short motion."""
_AGREE = 2.0
"""Greatest ratio of the blur by the spectrum to the blur by the edges, which is too small by up to 1.8 for motion of 15 pixels."""
_SHARPEST = 0.15
"""Least blur of the sharpest strong edges, as a share of the sigma of a blur. It is 0.2 to 1.5 in blurred pictures but for one with white
twigs in a wood, and 0.11 at most in sharp JPEGs with most of the picture out of focus, which all else takes for blurred."""
_MILD = 80
"""Highest quality of a file that is repaired if there is nothing else: saved as a JPEG again, the result is still nearer to the original
(`benchmarks/jpegs.py`)."""


Pieces = Float[Tensor, "_n c _h _w"]
"""A picture, or some squares of it."""
NoiseKind = Literal["white", "coarse", "any", "untold", "none", "no white noise", "noise unknown"]
"""White noise; noise whose neighbours are alike; noise of any kind, under a coarse JPEG; what may be noise or details; none seen. Without a
network that tells, white noise alone is known."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Facts that the file states."""

    tables: tuple[tuple[int, ...], ...] = ()
    """The quantisation tables of a JPEG, 64 entries each in rows, luminance first."""
    quality: int | None = None
    """Quality by libjpeg's scale, 1 to 100, if known without the tables."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Estimates of the damage of one picture."""

    noise: float | None
    """Standard deviation as a share of full scale; None if there is no estimate."""
    salt_and_pepper: float | None
    """Share of the values that are wrong black or white; None if there is no estimate."""
    quality: int | None
    """Quality by libjpeg's scale, 1 to 100, of the file or of an earlier JPEG; None if the pixels show no trace of JPEG."""
    blur: float | None
    """Sigma in pixels of the Gaussian blur that would make a sharp photograph equally soft; 0 if sharp, None if there is no estimate."""
    spread: Blur | None = None
    """Kind and size of the blur; None of a sharp picture."""
    scratched: float | None
    """Share of the pixels on scratches; None without a search for scratches."""
    bands: tuple[float, float] = (0.0, 0.0)
    """Standard deviation of the brightness of whole rows, and of whole columns, as a share of full scale; 0 without bands."""
    stated: bool = False
    """Whether the file states the quality."""
    plain: bool = False
    """Whether there is so much white noise that no network is needed to tell it from details."""
    profile: NoiseProfile | None = None
    """Noise of any kind, by a network; None if no network was asked."""

    @property
    def task(self) -> Task:
        """The damage to repair first: the one with the largest squared error on a typical photograph. Salt and pepper counts as noise."""
        costs: dict[Task, float] = {"denoise": 0.0, "deblur": 0.0, "jpeg": 0.0, "inpaint": 0.0}
        if self.noisy:
            costs["denoise"] += max(self.noise or 0.0, self.profile.level if self.profile else 0.0) ** 2
        if self.salt_and_pepper is not None and self.salt_and_pepper >= HIT:
            costs["denoise"] += 0.25 * self.salt_and_pepper
        if self.scratched is not None and self.scratched >= _SCRATCHED:
            costs["inpaint"] = 0.25 * self.scratched
        if self.blur is not None and self.blur >= _BLUR and not self._soft_by_noise:
            costs["deblur"] = 1e-3 * self.blur
        if self.quality is not None and self.quality <= COARSE:
            costs["jpeg"] = 1.5e-2 / (self.quality + 1)
        elif self.quality is not None and self.quality <= _MILD and self.stated:
            costs["jpeg"] = 1e-9
        worst = max(costs, key=lambda task: costs[task])
        return worst if costs[worst] > 0 else "none"

    @property
    def noisy(self) -> bool:
        """Whether there is noise, white or of any other kind."""
        return self._white_noisy or self.coarsely_noisy

    @property
    def uncertain(self) -> bool:
        """Whether the noise that a network takes away would change what is repaired."""
        salted = self.salt_and_pepper is not None and self.salt_and_pepper >= HIT
        return not self.plain and not (salted and self.task == "denoise")

    @property
    def _white_noisy(self) -> bool:
        if self.noise is None or self.noise < _NOISE:
            return False
        if self.profile is None:
            return True
        return (self.noise >= _CERTAIN or self.profile.confirms(self.noise)) and not self.profile.contradicts(self.noise)

    @property
    def coarsely_noisy(self) -> bool:
        """Whether there is noise, and its neighbours are alike, as in the picture of a camera."""
        if self.profile is None or not self.profile.noisy:
            return False
        if self.noise is None:
            return True
        # An estimate of white noise sees a part of coarse noise.
        return not self.profile.beyond(self.noise) and (self.profile.level > self.noise or not self._white_noisy)

    @property
    def likely_noisy(self) -> bool:
        """Whether there is noise rather than not, seen or not: in a picture that is to be enlarged, noise costs more than lost details."""
        fine = self.quality is None or self.quality > COARSE
        return self.noisy or (fine and self.profile is not None and self.profile.likely(self.quality))

    @property
    def all_noise(self) -> float:
        """Standard deviation of the noise of any kind as a share of full scale, for a filter or network that must know it; 0 if unknown.

        Of coarse noise an estimate from patches sees little, and an inverse filter that is told of too little noise amplifies it.
        """
        white = self.noise or 0.0
        return max(white, _TAKEN_AWAY * self.profile.level) if self.profile is not None and self.coarsely_noisy else white

    @property
    def _soft_by_noise(self) -> bool:
        """Whether noise whose neighbours are alike may be the reason why the picture looks soft: a deblurring filter would amplify it."""
        if self.profile is None or not self.profile.faintly_noisy:
            return False
        moved = self.spread is not None and self.spread.kind == "motion" and self.spread.size >= _LONG and self.profile.level < _WEAK
        later = self.profile.level < _WHITE and self.profile.alike < _LATER
        of_jpeg = coarseness(self.quality) if self.quality is not None and self.quality > COARSE else 0.0
        rounded = self.profile.loudest < _ROUNDED * of_jpeg
        blurred = self.spread is not None and self.spread.sigma >= _SOFTER and (later or rounded)
        return not moved and not blurred and (self.noise is None or self.noise < _WHITE)

    def sentence(self) -> str:
        """All estimates in one line of text.

        >>> Diagnosis(noise=0.0965, salt_and_pepper=0.0, quality=None, blur=0.0, scratched=None).sentence()
        'noise of 24.6/255, no salt and pepper, no JPEG grid, sharp'
        """
        if self.noise is None and self.salt_and_pepper is None:
            return "no estimate: the picture is too small"
        hit = self.salt_and_pepper or 0.0
        parts = [
            self.noise_words(),
            f"salt and pepper on {hit:.1%}" if hit >= HIT else "no salt and pepper",
            "no JPEG grid" if self.quality is None else f"JPEG of quality {self.quality}",
            "sharpness unknown" if self.blur is None or self._soft_by_noise else self._blurred() if self.blur >= _BLUR else "sharp",
        ]
        parts += [f"bands of {level * 255:.1f}/255 in {name}" for name, level in zip(("rows", "columns"), self.bands, strict=True) if level]
        if self.scratched is not None:
            parts.append(f"scratches on {self.scratched:.1%}" if self.scratched >= _SCRATCHED else "no scratches")
        return ", ".join(parts)

    def noise_words(self) -> str:
        """What is known of the noise, in plain words."""
        if self.profile is not None and self.coarsely_noisy:
            return self.profile.sentence()
        level = self.noise_level or 0.0
        return {"white": f"noise of {level * 255:.1f}/255", "untold": UNTOLD, "none": UNSEEN}.get(self.noise_kind, self.noise_kind)

    @property
    def noise_kind(self) -> NoiseKind:
        """Which noise there is, or what else is known of it."""
        if self.profile is not None and self.coarsely_noisy:
            return "any" if self.profile.of_any_kind else "coarse"
        if self._white_noisy:
            return "white"
        if self.profile is None:
            return "noise unknown" if self.noise is None else "no white noise"
        return "untold" if self.profile.noisy or self.profile.untold else "none"

    @property
    def noise_level(self) -> float | None:
        """Standard deviation of the noise as a share of full scale: a lower bound of any but white noise; None if none is seen."""
        if self.profile is not None and self.coarsely_noisy:
            return self.profile.level
        return self.noise if self._white_noisy else None

    def _blurred(self) -> str:
        if self.spread is None or self.spread.kind == "gaussian":
            return f"blur of {self.blur:.1f} pixels"
        if self.spread.kind == "defocus":
            return f"out of focus by {self.spread.size:.1f} pixels"
        return f"motion of {self.spread.size:g} pixels at {self.spread.angle:g} degrees"


def source(path: Path) -> Source:
    """Facts that the file at `path` states; none if it is no JPEG. Raises ImageError if it is no image."""
    with decode.opened(path, str(path)) as image:
        tables = getattr(image, "quantization", None) or {}
        return Source(tables=tuple(tuple(int(step) for step in tables[key]) for key in sorted(tables)))


def salt_and_pepper(images: Images) -> float | None:
    """Share of the values of one picture that are salt or pepper, in [0, 1]; None for a small picture. `diagnose` estimates the same."""
    return None if min(images.shape[2:]) < _SMALLEST else flaws.density(_pieces(images.detach().float().cpu().clamp(0, 1)))


@torch.no_grad()
def diagnose(picture: PictureInput, *, source: Source | None = None, scratches: bool = False) -> Diagnosis:
    """Estimates of the damage of one picture, grey or colour: a path, bytes, an open file, a PIL image, an array or a tensor in [0, 1].

    `source` holds the facts of the file, which override the estimate of the quality; for a file, they are read from it. Scratches are
    searched only with `scratches`, since wires look like scratches. Estimates that cannot be made, and all of a picture with a side under
    16 pixels, are None. Raises ImageError for more than one picture, for a number of channels other than 1 and 3, and as `inputs.convert`.
    """
    if isinstance(picture, Tensor) and picture.ndim == 4:
        images = picture
    else:
        converted = convert(picture, own_range=True)
        images, source = converted.images, source or Source(quality=converted.quality)
    if len(images) != 1 or images.shape[1] not in (1, 3):
        raise ImageError(f"images of shape {tuple(images.shape)} must be one picture with 1 or 3 channels")
    quality = _stated_quality(source) if source is not None else None
    stated = quality is not None
    images = images.detach().float().cpu().clamp(0, 1)
    scratched = float(1 - flaws.scratches(images).mean()) if scratches else None
    if min(images.shape[2:]) < _SMALLEST:
        return Diagnosis(noise=None, salt_and_pepper=None, quality=quality, stated=stated, blur=None, scratched=scratched)
    pieces = _pieces(images)
    plain = plain_white_noise(pieces)
    noise, hit = noise_level(pieces) if plain is None else plain_noise_level(pieces, plain), flaws.density(pieces)
    if not stated and (jpeg := grid(pieces)) is not None:
        quality = jpeg.quality
    # Wrong pixels have edges of their own, which would count as sharp.
    blur, spread = (None, None) if noise is None or hit >= HIT else _blur(pieces, images, noise=noise, quality=quality)
    return Diagnosis(
        noise=noise,
        salt_and_pepper=hit,
        quality=quality,
        stated=stated,
        blur=blur,
        spread=spread,
        scratched=scratched,
        bands=banding(images) if plain is None else (0.0, 0.0),  # beside bands, no noise is plain
        # Texture that is as fine as noise, such as gravel, is stronger than the estimate from patches.
        plain=plain is not None and noise is not None and sum(plain) / len(plain) <= _MUCH_MORE * noise,
    )


def plain_noise(images: Images) -> bool:
    """Whether the one picture in `images` has so much white noise that no network is needed to tell it from details."""
    return plain_white_noise(_pieces(images.detach().float().cpu().clamp(0, 1))) is not None


def _blur(pieces: Pieces, images: Images, *, noise: float, quality: int | None) -> tuple[float | None, Blur | None]:
    """The blur by the edges, and its kind by the spectrum if the two agree."""
    blur = blur_level(pieces, noise=noise)
    likely = likeliest(pieces, noise=noise, quality=quality, matters=_agreeing(blur)) if blur else None
    return (blur, None) if not blur or likely is None else _confirmed(blur, likely, pieces, images if quality else None, noise)


def _confirmed(blur: float, spread: Blur, pieces: Pieces, jpeg: Images | None, noise: float) -> tuple[float | None, Blur | None]:
    """The blur and its kind if spectrum and edges agree: 0 of a sharp picture, None if it cannot be told.

    Stripes have a spectrum like that of a blur, and a background out of focus has soft edges: only both together count as blur. A `jpeg`
    has lost the highest frequencies, by which a spectrum shows that the subject is sharp; edges do so, in the whole of the picture.
    """
    if not _agreeing(blur)(spread):
        return 0.0, None
    if spread.kind == "motion" and not moved(pieces, spread, noise=noise):
        return None, None
    sharp = None if jpeg is None else sharpest(jpeg, spread, noise=noise)
    if sharp is not None and sharp < _SHARPEST * spread.sigma:
        return 0.0, None
    return spread.sigma, spread


def _agreeing(blur: float) -> Callable[[Blur], bool]:
    """Whether a blur by the spectrum is one, and agrees with that by the edges."""
    return lambda spread: spread.sigma >= _SOFT[spread.kind] and spread.widest < _AGREE * blur


def with_profile(diagnosis: Diagnosis, images: Images, denoise: Callable[[Images], Images]) -> Diagnosis:
    """`diagnosis` of the one picture in `images`, with the noise that the blind denoiser `denoise` takes away from pieces of it."""
    return dataclasses.replace(diagnosis, profile=profile_of(images, denoise, quality=diagnosis.quality))


def profile_of(images: Images, denoise: Callable[[Images], Images], *, quality: int | None = None) -> NoiseProfile | None:
    """The noise that the blind denoiser `denoise` takes away from pieces of the one picture in `images`; None for a small picture.

    `quality` is that of the JPEG that the picture is or was.
    """
    if min(images.shape[2:]) < _SMALLEST:
        return None
    pieces = _pieces(images.detach().float().cpu().clamp(0, 1))
    return noise_profile(pieces, denoise(pieces), quality=quality)


def _stated_quality(source: Source) -> int | None:
    """The quality by the facts of the file."""
    return source.quality if source.quality is not None or not source.tables else tables_quality(source.tables)


def _pieces(images: Images) -> Pieces:
    """The picture, or nine pieces of a large one spread over it, as a batch."""
    h, w = images.shape[2:]
    if h * w <= _WHOLE:
        return images
    if min(h, w) < _PIECE:  # a long strip: its beginning, with as many pixels as the pieces
        return images[:, :, : max(_PIECE, _WHOLE // w), : max(_PIECE, _WHOLE // h)]
    tops, lefts = ([(side - _PIECE) * i // 16 * 8 for i in range(3)] for side in (h, w))
    return torch.cat([images[:, :, top : top + _PIECE, left : left + _PIECE] for top in tops for left in lefts])
