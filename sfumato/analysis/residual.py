"""Noise of any kind, from the difference between a picture and the same picture denoised by a blind network.

An estimate from patches (`noise.py`) measures white noise. In the noise of a camera neighbours are alike, after demosaicing, noise
reduction and JPEG, and an estimate from patches takes such noise for texture. A network that was trained on both can tell them apart.
A network takes away less noise than there is, so the level is a lower bound.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sfumato.analysis.jpeg import coarseness
from sfumato.analysis.noise_powers import noise_powers
from sfumato.core.tensors import Images
from sfumato.nn.channels import luma
from sfumato.nn.cosine import Powers
from sfumato.nn.resample import mirror

Squares = Float[Tensor, " _m"]
"""A number for each square of 8 x 8 pixels."""

_SQUARE = 8
"""Side in pixels of the squares in which the noise is measured."""
_AROUND = 5
"""Side in pixels of the mean from which details are counted."""
_FLAT = 0.3
"""Share of the squares that counts as flat: those with the least details."""
_LEAST, _CLEAR, _CLEAR_IN_JPEG = 0.9 / 255, 0.35, 0.15
"""Least noise in flat squares, and its least share of the details there, to count as noise; in a JPEG, the least product of that share and
the correlation: of texture that was saved as a JPEG, it is up to 0.11."""
_IN_COARSE_JPEG, _OF_ROUNDING = 2.2 / 255, 0.28
"""Least noise in a coarse JPEG, and the share of its rounding error that it exceeds besides: of that error, too, a network takes away some,
and neighbours in it are alike. Of 62 photographs at qualities of 20, 40, 50 and 60, none was taken for noisy; of those with noise of 25/255
before the JPEG, all were, and with 15/255 all from quality 40 on."""
COARSE, _MIDDLING = 60, 85
"""Highest qualities of a JPEG that is worth repair whatever else there is, and of one that has lost about as much as faint noise: of 124
clean photographs, saved at qualities of 75 and 85, 29 of 248 are therefore taken for noisy. `denoise` brings 27 nearer to the picture
before the JPEG; two with grain lose 0.05 and 0.2 dB."""
_IN_MIDDLING_JPEG = 0.6 / 255
"""Least noise in a JPEG of middling quality and in colour; of a grey one the network takes away more."""
_TOGETHER = 0.13
"""Least product of the share of the details and the correlation in other pictures, which may have been a JPEG long ago."""
_EVEN, _PLAUSIBLE = 0.1, 4.0
"""Least variance of noise in the quietest tenth of the flat squares, over the median; and how many times more noise there may be in
shadows or lights than in midtones. Of gravel and grass, a network takes away some and leaves the rest. Of 16 clean photographs of BSDS500
that were taken for noisy, the first tells 7, the second 4 and `_TOGETHER` 3; of 90 simulated cameras the three miss 6."""
_COARSE = 0.2
"""Least correlation of neighbours in coarse noise. The network takes away some of the finest texture, too, and neighbours in that differ
more than by chance, so that their correlation is below 0; of the grain of a photograph that was shrunk, it is 0 at most."""
_COARSE_IN_JPEG = 0.6
"""That of a coarse JPEG, which makes white noise coarse: of that, the correlation is 0.3 at quality 60, 0.45 at 40 and up to 0.58 at 20."""
_FAINT = 0.5 / 255
"""Least noise in flat squares that a deblurring filter would amplify, though it is too faint to be worth denoising."""
_CONFIRMED, _BESIDE_DETAILS = 0.3, 0.1
"""Least noise in flat squares, as a share of an estimate of white noise and of the details there, that confirms the estimate."""
_FINE, _STEADY = 90, 0.4
"""Highest quality of a JPEG that hides white noise from an estimate from patches, and the least variance of such noise in the quietest
tenth of the flat squares, over the median: 0.37 and more where the noise was 12/255 and more. Of 193 clean pictures saved at qualities of
65, 75 and 85, one has more than this and than `_PROBABLE_IN_JPEG`, by the Hubble telescope."""
_PROBABLE, _PROBABLE_IN_JPEG, _BEYOND_ROUNDING = 1.5 / 255, 3 / 255, 1.5 / 255
"""Least that a network takes away of a picture with noise, if details are not excluded; of the flat squares of a JPEG, and there beyond its
rounding error. Of 50 photographs of BSDS500's val that were shrunk, one of each is above, with grain; of those with a camera's noise of ISO
1600 and more that is not otherwise seen, 11 of 16, and 7 of 19 in a JPEG."""
_WHITE, _MUCH, _TOO_MUCH = 0.1, 5 / 255, 1.15
"""Greatest correlation of neighbours in white noise, the least of it that is much, and how many times an estimate of it a network may take
away."""
_NEARLY_WHITE, _FAR_MORE = 0.35, 4.5
"""Correlation below which an estimate of white noise sees noise too, and how many times that estimate the noise may be at most. Of cameras
it is up to 3.7 times; sand has more."""
_TONES = {"shadows": (0.0, 0.25), "midtones": (0.25, 0.6), "lights": (0.6, 1.01)}
"""Ranges of brightness as shares of full scale."""
_BESIDE = {"shadows": ("midtones",), "lights": ("midtones", "shadows")}
"""The ranges with which the noise of a range is compared, the first of them that a picture has."""
_FEW, _PART = 40, 0.05
"""Squares from which on a statistic of them says something, and their least share of the picture."""
_LEVELS, _FEW_OF_LEVEL = 8, 20
"""Ranges of brightness of equal width for which the strength of the noise is measured, and fewest squares for that."""

UNTOLD, UNSEEN, LIKELY = "no noise that could be told from details", "no noise seen", "probably noise"

Strengths = tuple[tuple[float, ...], ...]
"""Standard deviation of the noise, as a share of full scale, for each of some ranges of brightness of equal width and each channel."""


@dataclass(frozen=True, kw_only=True)
class FlatParts:
    """Noise that a network took away from the flat squares of a picture. Standard deviations are shares of full scale."""

    level: float
    """Median over the squares of the standard deviation of the brightness of the noise."""
    details: float
    """Standard deviation of the details of the denoised picture in the square that is the last to count as flat."""
    alike: float
    """Correlation of the noise with that of the next pixel, in [-1, 1]: 0 of white noise."""
    jpeg: bool = False
    """Whether the picture is or was a JPEG, in which neighbours in texture are alike as well."""
    coarse_jpeg: bool = False
    """Whether that JPEG is so coarse that its own rounding looks like coarse noise, and coarse noise like white noise."""
    least: float = _LEAST
    """Least noise that counts."""
    quietest: float = 1.0
    """Variance of the noise in the quietest tenth of the squares, over the median of all: about 0.5 of noise, 0 of texture in places."""
    enough: float = math.inf
    """Noise in a JPEG from which on it is noise even if neighbours are not alike: such a JPEG hides white noise from patches."""

    @property
    def noisy(self) -> bool:
        """Whether this is noise, and more of it than could be texture.

        White noise is left to the estimate from patches, which knows its true level, unless a JPEG hides it.
        """
        if self.coarse_jpeg:
            return self.level >= self.least and self.quietest >= _EVEN
        if self.hidden:
            return True
        least = _CLEAR_IN_JPEG if self.jpeg else _TOGETHER
        return self._like_noise and self.alike * self.level >= least * self.details and self.quietest >= _EVEN

    @property
    def hidden(self) -> bool:
        """Whether this is noise of any kind that a JPEG hides from an estimate from patches."""
        return self.level >= max(self.enough, _CLEAR * self.details) and self.quietest >= _STEADY

    @property
    def _like_noise(self) -> bool:
        """Whether there is so much of it, and so coarse, that it may be noise or texture."""
        clear = self.alike * self.level >= _CLEAR_IN_JPEG * self.details if self.jpeg else self.level >= _CLEAR * self.details
        return self.alike >= _COARSE and self.level >= self.least and clear

    @property
    def faintly_noisy(self) -> bool:
        """Whether this may be coarse noise, so that softness is no sign of a blur."""
        if self.coarse_jpeg or self.hidden:
            return self.noisy
        clear = self.alike * self.level >= _CLEAR_IN_JPEG * self.details
        return self._like_noise or (self.alike >= _COARSE and self.level >= _FAINT and clear)


@dataclass(frozen=True, kw_only=True)
class NoiseProfile:
    """Noise that a network took away."""

    level: float
    """Standard deviation over all pixels and channels, as a share of full scale: of the noise that there is, a lower bound."""
    coloured: float
    """Variance of the colour of the noise over that of its brightness; of independent noise in three channels it is 5.2."""
    tones: Mapping[str, FlatParts]
    """The noise in the flat squares of the picture ("all"), and in those of "shadows", "midtones" and "lights" if there are enough."""
    strengths: Strengths = ()
    """The noise in the flat squares by brightness and channel; of a brightness that hardly occurs, that of the nearest that does."""
    compared: tuple[Images, Images] | None = field(default=None, compare=False, repr=False)
    """The parts of the picture that were compared: the noise in them, and what is left without it."""

    @functools.cached_property
    def powers(self) -> Powers | None:
        """The noise by channel and frequency; None if the parts are not known."""
        return None if self.compared is None else noise_powers(*self.compared)

    @property
    def noisy(self) -> bool:
        """Whether there is coarse noise at any brightness; in a JPEG, noise of any kind."""
        return self.tones["all"].noisy if self.of_any_kind else any(tone.noisy for tone in self._parts)

    @property
    def _parts(self) -> list[FlatParts]:
        """The noise at each brightness where it can be noise; in the whole picture if there are too few squares of any brightness."""
        apart = {name: tone for name, tone in self.tones.items() if name in _TONES} or self.tones
        return [tone for name, tone in apart.items() if self._plausible(name)]

    def _plausible(self, name: str) -> bool:
        """Whether the noise at one brightness is not far more than at its neighbour, as no camera has it: then it is texture there."""
        neighbours = [each for each in _BESIDE.get(name, ()) if each in self.tones]
        return not neighbours or self.tones[name].level <= _PLAUSIBLE * self.tones[neighbours[0]].level

    @property
    def faintly_noisy(self) -> bool:
        """Whether there may be coarse noise at any brightness, so that softness is no sign of a blur."""
        return any(tone.faintly_noisy for tone in self.tones.values())

    def confirms(self, noise: float) -> bool:
        """Whether the estimate `noise` of white noise is confirmed in flat squares, in all of them: patches of texture differ too."""
        return any(tone.level >= max(_CONFIRMED * noise, _BESIDE_DETAILS * tone.details) and tone.quietest >= _EVEN for tone in self._parts)

    @property
    def alike(self) -> float:
        """Correlation of the noise in flat squares with that of the next pixel, in [-1, 1]: 0 of white noise."""
        return self.tones["all"].alike

    @property
    def loudest(self) -> float:
        """Standard deviation of the noise in flat squares, as a share of full scale, at the brightness with the most of it."""
        return max(tone.level for tone in self.tones.values())

    @property
    def coarse(self) -> bool:
        """Whether neighbours in this are alike, as in what a camera, film or a scanner makes."""
        everywhere = self.tones["all"]
        return everywhere.alike >= (_COARSE_IN_JPEG if everywhere.coarse_jpeg else _COARSE)

    @property
    def white(self) -> bool:
        """Whether this is white noise, and a good deal of it."""
        return self.tones["all"].alike < _WHITE and self.tones["all"].level >= _MUCH

    def contradicts(self, noise: float) -> bool:
        """Whether a network takes away much more than the estimate `noise`, and neighbours in that are not alike: gravel, and no noise.

        Of white noise, a network never takes away more than there is; of coarse noise, an estimate from patches is too low.
        """
        everywhere = self.tones["all"]
        return everywhere.alike < _WHITE and everywhere.level > _TOO_MUCH * noise

    def beyond(self, noise: float) -> bool:
        """Whether this is far more, and nearly white, than the estimate `noise` from patches allows: sand, and no noise.

        A JPEG hides noise from the patches.
        """
        everywhere = self.tones["all"]
        return not self.of_any_kind and everywhere.alike < _NEARLY_WHITE and everywhere.level > _FAR_MORE * noise

    @property
    def untold(self) -> bool:
        """Whether something was taken away that may be noise or details, if it is not `noisy`."""
        return self.faintly_noisy or self.level >= _LEAST

    def likely(self, quality: int | None) -> bool:
        """Whether this is rather noise than details, in a picture that was a JPEG of this quality, over 60, or none.

        To be taken for noise before a picture is enlarged: noise that stays costs more there than fine details that are lost.
        """
        if quality is None:
            return self.level >= _PROBABLE
        return self.tones["all"].level >= _enough(quality)

    @property
    def of_any_kind(self) -> bool:
        """Whether the picture is or was a JPEG so coarse that the kind of its noise is not known, or one that hides white noise."""
        return "all" in self.tones and (self.tones["all"].coarse_jpeg or self.tones["all"].hidden)

    def sentence(self) -> str:
        """The profile in plain words.

        >>> flat = FlatParts(level=0.008, details=0.001, alike=0.5)
        >>> shadows = FlatParts(level=0.016, details=0.001, alike=0.5)
        >>> NoiseProfile(level=0.01, coloured=0.1, tones={"all": flat, "shadows": shadows, "lights": flat}).sentence()
        'coarse noise of at least 2.6/255, stronger in shadows'
        """
        if not self.noisy:
            return UNTOLD if self.untold else UNSEEN
        parts = [f"{'noise' if self.of_any_kind else 'coarse noise'} of at least {self.level * 255:.1f}/255"]
        if self.coloured > 8:
            parts.append("mostly of colour")
        shadows, lights = self.tones.get("shadows"), self.tones.get("lights")
        if shadows and lights and shadows.level > 1.5 * lights.level:
            parts.append("stronger in shadows")
        return ", ".join(parts)


@torch.no_grad()
def noise_profile(crops: Images, denoised: Images, *, quality: int | None = None) -> NoiseProfile:
    """The noise in `crops` of one picture, of which `denoised` is what a blind denoiser made; both in [0, 1], grey or colour.

    `quality` is that of the JPEG that the picture is or was, by libjpeg's scale; None for no JPEG.
    """
    noise, brightness = crops - denoised, luma(denoised)
    bright_noise = luma(noise)
    smooth = F.avg_pool2d(mirror(brightness, _AROUND // 2), _AROUND, stride=1)
    planes = brightness, bright_noise.square(), _products(bright_noise), (brightness - smooth).square()
    bright, power, products, details = (_means(plane).flatten() for plane in planes)
    coarse_jpeg, least = quality is not None and quality <= COARSE, _least(quality, channels=crops.shape[1])
    enough = _enough(quality) if quality is not None and COARSE < quality <= _FINE else math.inf
    flat_parts = functools.partial(_flat_parts, jpeg=quality is not None, coarse_jpeg=coarse_jpeg, least=least)
    tones = {"all": dataclasses.replace(flat_parts(power, products, details), enough=enough)}
    for name, (low, high) in _TONES.items():
        inside = (bright >= low) & (bright < high)
        if inside.sum() >= max(_FEW, _PART * len(inside)):
            tones[name] = flat_parts(power[inside], products[inside], details[inside])
    variance = bright_noise.square().mean().clamp_min(1e-12)
    return NoiseProfile(
        level=noise.square().mean().sqrt().item(),
        coloured=((noise - bright_noise).square().sum(dim=1).mean() / variance).item(),
        tones=tones,
        strengths=_strengths(torch.stack([_means(channel.square()).flatten() for channel in noise.split(1, dim=1)]), bright, details),
        compared=(noise, denoised),
    )


def _least(quality: int | None, *, channels: int) -> float:
    """The least noise that counts, in pictures with so many channels that are or were a JPEG of this quality."""
    if quality is not None and quality <= COARSE:
        return _IN_COARSE_JPEG + _OF_ROUNDING * coarseness(quality)
    return _IN_MIDDLING_JPEG if channels > 1 and quality is not None and quality <= _MIDDLING else _LEAST


def _enough(quality: int) -> float:
    """The noise in a JPEG of this quality, over 60, that a picture without noise does not lose to a network."""
    return max(_PROBABLE_IN_JPEG, _BEYOND_ROUNDING + coarseness(quality))


def _strengths(powers: Float[Tensor, "c _m"], bright: Squares, details: Squares) -> Strengths:
    """The noise in the flattest of some squares, by brightness; `powers` holds the variance of the noise in each channel."""
    level_of = (bright * _LEVELS).long().clamp(0, _LEVELS - 1)
    rows: dict[int, tuple[float, ...]] = {}
    for level in range(_LEVELS):
        inside = level_of == level
        if inside.sum() >= _FEW_OF_LEVEL:
            flat = inside & (details <= details[inside].quantile(_FLAT))
            rows[level] = tuple(powers[:, flat].median(dim=1).values.sqrt().tolist())
    if not rows:
        return (tuple(powers.median(dim=1).values.sqrt().tolist()),) * _LEVELS
    return tuple(rows[min(rows, key=lambda other: abs(other - level))] for level in range(_LEVELS))


def _flat_parts(power: Squares, products: Squares, details: Squares, *, jpeg: bool, coarse_jpeg: bool, least: float) -> FlatParts:
    """The noise in the flattest of some squares, of which each has a power of noise, a product of neighbours and a variance of details."""
    last = details.quantile(_FLAT)
    flat = details <= last
    return FlatParts(
        level=power[flat].median().sqrt().item(),
        details=last.sqrt().item(),
        alike=(products[flat].sum() / power[flat].sum().clamp_min(1e-12)).item(),
        jpeg=jpeg,
        coarse_jpeg=coarse_jpeg,
        least=least,
        quietest=(power[flat].quantile(0.1) / power[flat].median().clamp_min(1e-12)).item(),
    )


def _products(plane: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Mean product of each pixel with its neighbours below and to the right; that of the border with itself beyond is 0."""
    right, down = plane[..., 1:] * plane[..., :-1], plane[..., 1:, :] * plane[..., :-1, :]
    return (F.pad(right, (0, 1)) + F.pad(down, (0, 0, 0, 1))) / 2


def _means(plane: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 _h _w"]:
    return F.avg_pool2d(plane, min(_SQUARE, *plane.shape[2:]))
