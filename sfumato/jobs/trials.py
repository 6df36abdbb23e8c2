"""How well pictures are repaired, by the protocols of the literature, each named, and what the figure would be under the others.

noise:S            Gaussian, standard deviation S/255, not clipped; numpy's RandomState(0) before each picture (KAIR, DPIR, Restormer)
salt-and-pepper:P  P % of the pixels, half of them black and half white; numpy's default_rng(0) before each picture
missing:P          P % of the pixels are unknown, at random, seeded as above; the mask is told
text               letters over 15 % of the picture; the mask is told
blur:S             Gaussian of S pixels, border mirrored, then noise of 2/255
motion:L           an even way of L pixels at 0, 45, 90, 135 degrees in turn, then noise of 2/255
jpeg:Q             libjpeg's quality Q; colour is judged by its luma
xN                 shrunk N times by MATLAB's bicubic and rounded to 8 bits; judged by luma, a border of N pixels cut off

Luma is that of ITU-R BT.601 in studio range, not rounded, as MATLAB gives it for doubles. A result is clamped and rounded to 8 bits,
PSNR is 10 log10(255^2 / MSE) of each picture, all channels together, and the figure is the mean over pictures.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sfumato.classical import methods as classical
from sfumato.classical.deconvolve import point_spread
from sfumato.core import chance
from sfumato.core.errors import SettingError
from sfumato.core.image import Images, Kernels, Maps, Resized, to_bytes, to_images
from sfumato.core.runtime import Precision
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.scenes import KNOWN, load_scenes
from sfumato.degrade import gaussian_blur, jpeg, missing, motion
from sfumato.degrade.base import Degradation, Degraded, degrade, intact
from sfumato.jobs.looks import coloured, comparer
from sfumato.jobs.remedy import Request, Task, Ways, remedy
from sfumato.jobs.repair import repaired
from sfumato.jobs.tiles import restored
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.features import weights_hash
from sfumato.metrics.fidelity import WINDOW, psnr, ssim
from sfumato.metrics.interval import bootstrap
from sfumato.metrics.perceptual import lpips
from sfumato.models.base import Compares, Deblurs, Restores
from sfumato.nn.resample import resize, shrink
from sfumato.store import weights

Spoil = Callable[[Images, int], Degraded]
"""From one clean picture and its place in the set to what is to be repaired."""

BLUR_NOISE = 2 / 255


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A damage of the literature."""

    name: str
    spoil: Spoil
    how: str
    kernels: Callable[[int], Kernels] | None = None
    """Of a blur: how it spreads a point, for those who are told; from the place of the picture in the set."""
    scale: int = 1
    luma: bool = False
    """Whether colour pictures are judged by their luma."""
    stored: bool = False
    """Whether what is repaired is in 8 bits already."""


def trial(text: str) -> Trial:
    """The damage called `text`, such as noise:25 or x4. Raises SettingError, naming those that there are."""
    match = re.fullmatch(r"(noise|salt-and-pepper|missing|blur|motion|jpeg):(\d+(?:\.\d+)?)%?|(text)|x([2348])", text)
    if not match:
        raise SettingError(f"no damage {text!r}; there are noise:25, salt-and-pepper:30, missing:50, text, blur:1.6, motion:9, jpeg:10, x2")
    if match[4]:
        return _enlarged(int(match[4]))
    kind, amount = match[1] or match[3], float(match[2] or 0)
    limits = {"noise": (0, 255), "salt-and-pepper": (0, 100), "missing": (0, 99), "blur": (0.1, 20), "motion": (1, 60), "jpeg": (1, 100)}
    low, high = limits.get(kind, (0, 0))
    if not low <= amount <= high:
        raise SettingError(f"{kind}:{amount:g} is outside [{low}, {high}]")
    return _KINDS[kind](text, amount)


def judge(
    model: str,
    damage: str,
    data: str | Path | Dataset | Scenes,
    *,
    compare: str | None = None,
    precision: Precision = "fp32",
    ensemble: Ways = 1,
    device: str = "auto",
) -> list[Measurement]:
    """`judge_restorer` of a model, of a classical method, or of `auto`, each by name.

    A classical method is told the noise, the blur and the mask as they are. `auto` is what `sfumato restore` does: it looks at each
    picture, is told the mask if there is one, and chooses for itself.
    """
    how: Any = {"compare": compare, "precision": precision, "ensemble": ensemble, "device": device}
    if model == "auto":

        def chosen(seen: Degraded, kernels: Kernels | None) -> Resized:
            task: Task = "upscale" if trial(damage).scale > 1 else "auto"
            request = Request(task=task, scale=trial(damage).scale, precision=precision, ensemble=ensemble, device=device)
            plan = remedy(request, seen.images, known=None if bool((seen.known == 1).all()) else seen.known)
            return seen.images if plan.nothing else repaired(seen.images, plan, request)

        return judge_restorer(model, damage, data, **how, other=chosen)
    if model not in classical.METHODS:
        return judge_restorer(model, damage, data, **how)
    if ensemble != 1:
        raise SettingError(f"ensemble = {ensemble} has no effect on {model}; leave it out")
    needs = classical.METHODS[model].needs

    def other(seen: Degraded, kernels: Kernels | None) -> Resized:
        told = {"noise": float(seen.noise), "known": seen.known, "kernels": kernels, "scale": trial(damage).scale}
        return classical.apply(model, seen.images, **{name: told[name] for name in needs if told[name] is not None})

    return judge_restorer(model, damage, data, **how, other=other)


def judge_restorer(
    model: str | Path | nn.Module,
    damage: str,
    data: str | Path | Dataset | Scenes,
    *,
    compare: str | None = None,
    precision: Precision = "fp32",
    ensemble: Ways = 1,
    device: str = "auto",
    other: Callable[[Degraded, Kernels | None], Resized] | None = None,
) -> list[Measurement]:
    """PSNR and SSIM of what `model` makes of the pictures of `data` after `damage`, and PSNR under the other common protocols.

    `other` repairs in the place of the model: a classical method. `compare` names a network, such as lpips-squeeze, that says how far the
    results look from the clean pictures. Raises SettingError if the model repairs nothing or enlarges
    by another factor.
    """
    kind = trial(damage)
    network: Restores | None = None if other else weights.opened(model, Restores, otherwise="repairs nothing")
    if network is not None and network.scale != kind.scale:
        raise SettingError(f"{damage} wants a network that enlarges by {kind.scale}, this one does by {network.scale}")
    if network is not None and ensemble != 1:
        network = network.turned(ensemble)
    pictures = data if isinstance(data, Dataset | Scenes) else _pictures(data)

    def repair(seen: Degraded, i: int) -> Resized:
        if other is not None:
            return other(seen, kind.kernels(i) if kind.kernels else None).clamp(0, 1)
        assert network is not None
        told = {"noise": float(seen.noise), "quality": float(seen.quality), "known": seen.known}
        mine: Any = {name: value for name, value in told.items() if name in network.takes}
        if isinstance(network, Deblurs):
            mine["kernels"] = kind.kernels(i) if kind.kernels else seen.blur
        return restored(network, seen.images, precision=precision, device=device, **mine)

    looker = comparer(compare) if compare is not None else None
    rows: dict[str, list[float]] = {}
    for i, picture in enumerate(pictures.pictures):
        clean = _whole(_as_stored(to_images(picture[None])), kind.scale)
        for name, value in _figures(kind, clean, i, repair, looker).items():
            rows.setdefault(name, []).append(value)
    seen_by = {"features": compare, "digest": weights_hash(looker)} if compare is not None and looker is not None else {}
    return [
        _measurement(name, values, kind, pictures, precision, ensemble, **(seen_by if name.startswith("lpips") else {}))
        for name, values in rows.items()
    ]


def _pictures(data: str | Path) -> Dataset | Scenes:
    """The test part of what has one by name, all of a folder or zip; as large as they are."""
    return load_scenes(data, channels=3, part="test" if isinstance(data, str) and data in KNOWN else "all", largest=None)


def _figures(kind: Trial, clean: Images, i: int, repair: Callable[[Degraded, int], Resized], looker: Compares | None) -> dict[str, float]:
    """Everything that is said of one picture; the first is the figure of the protocol itself."""
    seen = kind.spoil(clean, i)
    made = repair(seen, i)
    cut = kind.scale if kind.scale > 1 else 0
    judged = kind.luma and (clean.shape[1] == 3 or kind.scale > 1)  # enlarging is judged so for grey pictures too
    start = seen.images if kind.scale == 1 else to_images(to_bytes(resize(seen.images, (clean.shape[2], clean.shape[3]))))
    rounded = to_images(to_bytes(made))
    figures = {"psnr": _psnr(rounded, clean, judged, cut), "ssim": _ssim(rounded, clean, judged, cut)}
    figures["psnr_before"] = _psnr(start, clean, judged, cut)
    figures["psnr_unrounded"] = _psnr(made, clean, judged, cut)
    if not kind.stored:
        clipped = dataclasses.replace(seen, images=to_images(to_bytes(seen.images)))
        figures["psnr_of_8_bit_input"] = _psnr(to_images(to_bytes(repair(clipped, i))), clean, judged, cut)
    if clean.shape[1] == 3:
        figures["psnr_rgb" if judged else "psnr_luma"] = _psnr(rounded, clean, not judged, cut)
    if judged:
        figures["psnr_luma_full_range"] = _psnr(rounded, clean, True, cut, full=True)
    if cut:
        figures["psnr_no_border_cut"] = _psnr(rounded, clean, judged, 0)
    if looker is not None:
        figures["lpips"] = lpips(looker, coloured(rounded, looker), coloured(clean, looker)).item()
        figures["lpips_before"] = lpips(looker, coloured(start, looker), coloured(clean, looker)).item()
    return figures


_NOTES = {
    "psnr": "the protocol itself",
    "psnr_before": "of the damaged picture; enlarged by bicubic where it is smaller",
    "psnr_unrounded": "the result not rounded to 8 bits",
    "psnr_of_8_bit_input": "the damaged picture clipped and rounded to 8 bits first, as a file is",
    "psnr_rgb": "all three channels instead of luma",
    "psnr_luma": "luma instead of all three channels",
    "psnr_luma_full_range": "luma from 0 to 255 instead of 16 to 235",
    "psnr_no_border_cut": "border included",
    "lpips": "how far it looks from the clean picture",
    "lpips_before": "how far the damaged picture looks from it",
    "ssim": "11 x 11 Gaussian windows of 1.5 pixels inside the picture, mean over channels",
}


def _measurement(
    name: str,
    values: list[float],
    kind: Trial,
    pictures: Dataset | Scenes,
    precision: Precision,
    ensemble: Ways,
    *,
    features: str = "",
    digest: str = "",
) -> Measurement:
    judged = "luma of colour" if kind.luma else "all channels"
    turns = "" if ensemble == 1 else f"; mean over {ensemble} ways to see a picture"
    protocol = Protocol(
        reference=f"{pictures.name} {pictures.fingerprint[:8]}",
        generated=len(values),
        settings=f"{kind.how}; {judged}; border cut {kind.scale if kind.scale > 1 else 0}; range 255; mean over pictures{turns}",
        dtype={"bf16": "bfloat16", "fp32": "float32"}.get(precision, precision),
        interval="95 %, other pictures of the same kind, bootstrap",
        notes=_NOTES[name],
        features=features,
        weights=digest,
    )
    numbers = torch.tensor(values, dtype=torch.float64)
    interval = bootstrap(numbers.float(), rng=chance.generator(0, "bootstrap")) if len(values) > 1 else None
    unit, higher = "dB" if name.startswith("psnr") else "", not name.startswith("lpips")
    return Measurement(name=name, value=numbers.mean().item(), interval=interval, unit=unit, higher_is_better=higher, protocol=protocol)


def _as_stored(picture: Images) -> Maps:
    """One channel if all three are the same."""
    return picture[:, :1] if bool((picture == picture[:, :1]).all()) else picture


def _whole(clean: Images, scale: int) -> Resized:
    """Rows and columns at the end cut off until sides are multiples of `scale`."""
    h, w = (side // scale * scale for side in clean.shape[2:])
    return clean[:, :, :h, :w]


def luma(images: Images, *, full: bool = False) -> Maps:
    """Luma of ITU-R BT.601 in [16, 235] / 255, or in [0, 1] if `full`."""
    weight = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64)[:, None, None] / 255
    if full:
        weight = weight / weight.sum()
    return (images.double().expand(-1, 3, -1, -1) * weight).sum(dim=1, keepdim=True) + (0 if full else 16 / 255)


def _judged(made: Maps, clean: Maps, use_luma: bool, cut: int, full: bool) -> tuple[Maps, Maps]:
    if use_luma:
        made, clean = luma(made, full=full), luma(clean, full=full)
    inner = slice(cut, -cut or None)
    return made[:, :, inner, inner], clean[:, :, inner, inner]


def _psnr(made: Images, clean: Images, use_luma: bool, cut: int, *, full: bool = False) -> float:
    """In dB, at most 100: of equal pictures it would be infinite."""
    return min(100.0, psnr(*_judged(made, clean, use_luma, cut, full)).item())


def _ssim(made: Images, clean: Images, use_luma: bool, cut: int) -> float:
    """Not a number for a picture smaller than one window."""
    a, b = _judged(made, clean, use_luma, cut, full=False)
    return ssim(a, b).item() if min(a.shape[2:]) >= WINDOW else math.nan


def _noisy(images: Images, sigma: float) -> Images:
    c, h, w = images.shape[1:]
    noise = np.random.RandomState(0).normal(0, sigma, (h, w, c))
    return images + torch.from_numpy(noise).permute(2, 0, 1)[None].float()


def _noise(name: str, amount: float) -> Trial:
    def spoil(clean: Images, i: int) -> Degraded:
        return dataclasses.replace(intact(clean), images=_noisy(clean, amount / 255), noise=torch.tensor([amount / 255]))

    return Trial(name=name, spoil=spoil, how=f"Gaussian noise {amount:g}/255, not clipped, numpy seed 0 each picture")


def _salt(name: str, amount: float) -> Trial:
    def spoil(clean: Images, i: int) -> Degraded:
        u = torch.from_numpy(np.random.default_rng(0).random(clean.shape[2:]))
        images = clean.masked_fill(u < amount / 200, 0.0).masked_fill(u > 1 - amount / 200, 1.0)
        return dataclasses.replace(intact(clean), images=images)

    return Trial(name=name, spoil=spoil, how=f"salt and pepper on {amount:g} % of the pixels, default_rng(0) each picture", stored=True)


def _missing(name: str, amount: float) -> Trial:
    def spoil(clean: Images, i: int) -> Degraded:
        hole = torch.from_numpy(np.random.default_rng(0).random(clean.shape[2:]) < amount / 100)
        known = intact(clean).known.masked_fill(hole, 0.0)
        return dataclasses.replace(intact(clean), images=clean.masked_fill(hole, 0.0), known=known)

    return Trial(name=name, spoil=spoil, how=f"{amount:g} % of the pixels unknown, default_rng(0) each picture, mask told", stored=True)


def _text(name: str, amount: float) -> Trial:
    letters = missing.Config(kind="text", share=(0.15, 0.15), thickness=(0.04, 0.04))

    def spoil(clean: Images, i: int) -> Degraded:
        return degrade(letters, clean, rng=chance.generator(0, "text", i))

    return Trial(name=name, spoil=spoil, how="letters over 15 % of the picture, mask told", stored=True)


def _blur(name: str, amount: float) -> Trial:
    how = gaussian_blur.Config(sigma=(amount, amount))
    kernels = point_spread("gaussian", amount)
    return _blurred(name, [how], [kernels], f"Gaussian blur of {amount:g} pixels")


def _motion(name: str, amount: float) -> Trial:
    turns = (0.0, 45.0, 90.0, 135.0)
    ways = [motion.Config(length=(amount, amount), angle=(turn, turn)) for turn in turns]
    kernels = [point_spread("motion", amount, angle=turn) for turn in turns]
    return _blurred(name, ways, kernels, f"motion of {amount:g} pixels at 0, 45, 90, 135 degrees in turn")


def _blurred(name: str, ways: Sequence[Degradation], kernels: Sequence[Kernels], words: str) -> Trial:
    def spoil(clean: Images, i: int) -> Degraded:
        seen = degrade(ways[i % len(ways)], clean, rng=chance.generator(0))
        return dataclasses.replace(seen, images=_noisy(seen.images, BLUR_NOISE), noise=torch.tensor([BLUR_NOISE]))

    how = f"{words}, border mirrored, then noise 2/255, not clipped, numpy seed 0 each picture"
    return Trial(name=name, spoil=spoil, how=how, kernels=lambda i: kernels[i % len(kernels)])


def _jpeg(name: str, amount: float) -> Trial:
    compress = jpeg.Config(quality=(amount, amount))

    def spoil(clean: Images, i: int) -> Degraded:
        return degrade(compress, clean, rng=chance.generator(0))

    return Trial(name=name, spoil=spoil, how=f"libjpeg quality {amount:g}, 4:2:0", luma=True, stored=True)


def _enlarged(scale: int) -> Trial:
    def spoil(clean: Images, i: int) -> Degraded:
        return intact(to_images(to_bytes(shrink(clean, scale))))

    return Trial(name=f"x{scale}", spoil=spoil, how=f"shrunk {scale} times, MATLAB's bicubic, 8 bits", scale=scale, luma=True, stored=True)


_KINDS: dict[str, Callable[[str, float], Trial]] = {
    "noise": _noise,
    "salt-and-pepper": _salt,
    "missing": _missing,
    "text": _text,
    "blur": _blur,
    "motion": _motion,
    "jpeg": _jpeg,
}
