"""The degradations of the literature, each by its name, the same at every call.

noise:S            Gaussian, standard deviation S/255, not clipped; numpy's RandomState(0) before each picture (KAIR, DPIR, Restormer)
poisson:K          photon noise of K photons for white, not clipped; numpy's RandomState(0) before each picture
salt-and-pepper:P  P % of the pixels, half of them black and half white; numpy's default_rng(0) before each picture
missing:P          P % of the pixels are missing, at random, seeded as above; the restorer gets the mask
text               letters over 15 % of the picture; the restorer gets the mask
blur:S             Gaussian of S pixels, border mirrored, then noise of 2/255
motion:L           uniform motion over L pixels at 0, 45, 90, 135 degrees in turn, then noise of 2/255
jpeg:Q             libjpeg's quality Q; colour pictures are measured on luma
xN                 shrunk N times by MATLAB's bicubic and rounded to 8 bits; measured on luma, a border of N pixels cut off
xN-jpeg:Q          the same, saved as a JPEG of libjpeg's quality Q

All others are measured on all channels. `benchmark.luma` is the luma.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Kernels, to_bytes, to_images
from sfumato.degradations import gaussian_blur, jpeg, missing, motion
from sfumato.degradations.base import Degradation, Degraded, degrade, intact
from sfumato.nn.blurs import point_spread
from sfumato.nn.resample import shrink

Degrade = Callable[[Images, int], Degraded]
"""From one clean picture and its index in the set to the degraded one."""

BLUR_NOISE = 2 / 255
"""Standard deviation of the noise after a blur, of full scale."""
_LIMITS = {
    "noise": (0, 255),
    "poisson": (1, 1e6),
    "salt-and-pepper": (0, 100),
    "missing": (0, 99),
    "blur": (0.1, 20),
    "motion": (1, 60),
    "jpeg": (1, 100),
}


@dataclass(frozen=True, kw_only=True)
class BenchmarkDegradation:
    """A degradation of the literature."""

    name: str
    degrade: Degrade
    protocol: str
    """Amount, random seed and clipping, in words."""
    kernels: Callable[[int], Kernels] | None = None
    """Of a blur: its kernel, from the index of the picture in the set, for restorers that take one."""
    scale: int = 1
    """The factor by which a restorer must enlarge."""
    luma: bool = False
    """Whether colour pictures are measured on luma."""
    stored: bool = False
    """Whether degraded pictures are rounded to 8 bits."""


def benchmark_degradation(text: str) -> BenchmarkDegradation:
    """The degradation called `text`, such as noise:25 or x4. Raises SettingError, naming the known ones and the limits of an amount."""
    match = re.fullmatch(
        r"(noise|poisson|salt-and-pepper|missing|blur|motion|jpeg):(\d+(?:\.\d+)?)%?|(text)|x([2348])(?:-jpeg:(\d+))?", text
    )
    if not match:
        names = "noise:25, poisson:30, salt-and-pepper:30, missing:50, text, blur:1.6, motion:9, jpeg:10, x2, x2-jpeg:70"
        raise SettingError(f"no degradation {text!r}; give one such as {names}")
    kind, amount = ("jpeg", float(match[5])) if match[5] else (match[1] or match[3], float(match[2] or 0))
    low, high = _LIMITS.get(kind, (0, 0))
    if not low <= amount <= high:
        raise SettingError(f"{text} is outside [{low:g}, {high:g}]; give an amount between them")
    return _enlarged(int(match[4]), amount if match[5] else None) if match[4] else _KINDS[kind](text, amount)


def _noisy(images: Images, sigma: float) -> Images:
    """`images` with Gaussian noise of standard deviation `sigma`, the same for every picture of a size."""
    c, h, w = images.shape[1:]
    noise = np.random.RandomState(0).normal(0, sigma, (h, w, c))
    return images + torch.from_numpy(noise).permute(2, 0, 1)[None].float()


def _noise(name: str, amount: float) -> BenchmarkDegradation:
    def degraded(clean: Images, i: int) -> Degraded:
        return dataclasses.replace(intact(clean), images=_noisy(clean, amount / 255), noise=torch.tensor([amount / 255]))

    return BenchmarkDegradation(
        name=name, degrade=degraded, protocol=f"Gaussian noise {amount:g}/255, not clipped, numpy seed 0 each picture"
    )


def _photons(name: str, amount: float) -> BenchmarkDegradation:
    def degraded(clean: Images, i: int) -> Degraded:
        photons = np.random.RandomState(0).poisson(clean[0].permute(1, 2, 0).double().numpy() * amount) / amount
        images = torch.from_numpy(photons).permute(2, 0, 1)[None].float()
        # The standard deviation at the mean of the picture.
        return dataclasses.replace(intact(clean), images=images, noise=(clean.mean() / amount).sqrt().reshape(1))

    return BenchmarkDegradation(
        name=name, degrade=degraded, protocol=f"photon noise of {amount:g} photons for white, not clipped, numpy seed 0 each picture"
    )


def _salt(name: str, amount: float) -> BenchmarkDegradation:
    def degraded(clean: Images, i: int) -> Degraded:
        u = torch.from_numpy(np.random.default_rng(0).random(clean.shape[2:]))
        images = clean.masked_fill(u < amount / 200, 0.0).masked_fill(u > 1 - amount / 200, 1.0)
        return dataclasses.replace(intact(clean), images=images)

    return BenchmarkDegradation(
        name=name, degrade=degraded, protocol=f"salt and pepper on {amount:g} % of the pixels, default_rng(0) each picture", stored=True
    )


def _missing(name: str, amount: float) -> BenchmarkDegradation:
    def degraded(clean: Images, i: int) -> Degraded:
        hole = torch.from_numpy(np.random.default_rng(0).random(clean.shape[2:]) < amount / 100)
        observed = intact(clean).observed.masked_fill(hole, 0.0)
        return dataclasses.replace(intact(clean), images=clean.masked_fill(hole, 0.0), observed=observed)

    return BenchmarkDegradation(
        name=name, degrade=degraded, protocol=f"{amount:g} % of the pixels unknown, default_rng(0) each picture, mask told", stored=True
    )


def _text(name: str, amount: float) -> BenchmarkDegradation:
    letters = missing.Config(kind="text", share=(0.15, 0.15), thickness=(0.04, 0.04))

    def degraded(clean: Images, i: int) -> Degraded:
        return degrade(letters, clean, rng=seeded_generator(0, "text", i))

    return BenchmarkDegradation(name=name, degrade=degraded, protocol="letters over 15 % of the picture, mask told", stored=True)


def _blur(name: str, amount: float) -> BenchmarkDegradation:
    blur = gaussian_blur.Config(sigma=(amount, amount))
    kernels = point_spread("gaussian", amount)
    return _blurred(name, [blur], [kernels], f"Gaussian blur of {amount:g} pixels")


def _motion(name: str, amount: float) -> BenchmarkDegradation:
    turns = (0.0, 45.0, 90.0, 135.0)
    ways = [motion.Config(length=(amount, amount), angle=(turn, turn)) for turn in turns]
    kernels = [point_spread("motion", amount, angle=turn) for turn in turns]
    return _blurred(name, ways, kernels, f"motion of {amount:g} pixels at 0, 45, 90, 135 degrees in turn")


def _blurred(name: str, degradations: Sequence[Degradation], kernels: Sequence[Kernels], protocol: str) -> BenchmarkDegradation:
    def degraded(clean: Images, i: int) -> Degraded:
        blurred = degrade(degradations[i % len(degradations)], clean, rng=seeded_generator(0))
        return dataclasses.replace(blurred, images=_noisy(blurred.images, BLUR_NOISE), noise=torch.tensor([BLUR_NOISE]))

    protocol = f"{protocol}, border mirrored, then noise 2/255, not clipped, numpy seed 0 each picture"
    return BenchmarkDegradation(name=name, degrade=degraded, protocol=protocol, kernels=lambda i: kernels[i % len(kernels)])


def _jpeg(name: str, amount: float) -> BenchmarkDegradation:
    compress = jpeg.Config(quality=(amount, amount))

    def degraded(clean: Images, i: int) -> Degraded:
        return degrade(compress, clean, rng=seeded_generator(0))

    return BenchmarkDegradation(name=name, degrade=degraded, protocol=f"libjpeg quality {amount:g}, 4:2:0", luma=True, stored=True)


def _enlarged(scale: int, quality: float | None) -> BenchmarkDegradation:
    name, protocol = f"x{scale}", f"shrunk {scale} times, MATLAB's bicubic, 8 bits"
    compressed = None
    if quality is not None:
        name, protocol = f"{name}-jpeg:{quality:g}", f"{protocol}, libjpeg quality {quality:g}, 4:2:0"
        compressed = jpeg.Config(quality=(quality, quality))

    def degraded(clean: Images, i: int) -> Degraded:
        small = to_images(to_bytes(shrink(clean, scale)))
        return intact(small) if compressed is None else degrade(compressed, small, rng=seeded_generator(0))

    return BenchmarkDegradation(name=name, degrade=degraded, protocol=protocol, scale=scale, luma=True, stored=True)


_KINDS: dict[str, Callable[[str, float], BenchmarkDegradation]] = {
    "noise": _noise,
    "poisson": _photons,
    "salt-and-pepper": _salt,
    "missing": _missing,
    "text": _text,
    "blur": _blur,
    "motion": _motion,
    "jpeg": _jpeg,
}
