"""How well pictures are repaired after a damage of the literature (`damages.py`), and what the figure would be by other protocols.

Luma is that of ITU-R BT.601 in studio range, not rounded, as MATLAB gives it for doubles. A result is clamped and rounded to 8 bits,
PSNR is 10 log10(255^2 / MSE) of each picture, all channels together, and the figure is the mean over pictures.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sfumato.classical import methods as classical
from sfumato.core.device import Precision
from sfumato.core.errors import SettingError
from sfumato.core.paths import inside
from sfumato.core.progress import counted
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Kernels, Maps, Resized, to_bytes, to_images
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.scenes import KNOWN, load_scenes
from sfumato.degradations.base import Degraded
from sfumato.evaluation.benchmark_degradations import BenchmarkDegradation, trial
from sfumato.evaluation.diversity import coloured, comparer
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.features import weights_hash
from sfumato.metrics.fidelity import WINDOW, psnr, ssim
from sfumato.metrics.interval import bootstrap
from sfumato.metrics.perceptual import lpips
from sfumato.models.roles.perceptual_metric import PerceptualMetric
from sfumato.models.roles.restorer import Deblurrer, Restorer
from sfumato.nn.resample import resize
from sfumato.restoration.batch import repaired
from sfumato.restoration.deep_prior import deep_prior
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import make_plan
from sfumato.restoration.request import METHODS, PRIOR, RestorationRequest, Task, Ways
from sfumato.restoration.tiles import apply_restorer
from sfumato.store import weights
from sfumato.store.loaded import Model


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
    """`judge_restorer` of a model, of a classical method, of the deep image prior, or of `auto`, each by name.

    A classical method is told the noise, the blur and the mask as they are. `auto` is what `sfumato restore` does: it looks at each
    picture, is told the mask if there is one, and chooses for itself.
    """
    how: Any = {"compare": compare, "precision": precision, "ensemble": ensemble, "device": device}
    if model == "auto":
        networks = Networks()

        def chosen(seen: Degraded, kernels: Kernels | None) -> Resized:
            task: Task = "upscale" if trial(damage).scale > 1 else "auto"
            request = RestorationRequest(task=task, scale=trial(damage).scale, precision=precision, ensemble=ensemble, device=device)
            plan = make_plan(request, seen.images, observed=None if bool((seen.observed == 1).all()) else seen.observed, networks=networks)
            return seen.images if plan.nothing else repaired(seen.images, plan, request, networks)

        return judge_restorer(model, damage, data, **how, method=chosen)
    if model not in METHODS:
        return judge_restorer(model, damage, data, **how)
    needs = classical.METHODS[model].needs if model != PRIOR else ()
    if ensemble != 1:
        raise SettingError(f"ensemble = {ensemble} has no effect on {model}; leave it out")
    if trial(damage).scale > 1 and "scale" not in needs:
        raise SettingError(f"{damage} is to be enlarged, and {model} does not enlarge; the method for it is bicubic")
    if model == PRIOR:
        fitted = partial(deep_prior, device=device)
        return judge_restorer(model, damage, data, **how, method=lambda seen, _: fitted(seen.images, observed=seen.observed))

    def other(degraded: Degraded, kernels: Kernels | None) -> Resized:
        told = {"noise": float(degraded.noise), "observed": degraded.observed, "kernels": kernels, "scale": trial(damage).scale}
        return classical.apply(model, degraded.images, **{name: told[name] for name in needs if told[name] is not None})

    return judge_restorer(model, damage, data, **how, method=other)


def judge_restorer(
    model: Model,
    damage: str,
    data: str | Path | Dataset | Scenes,
    *,
    compare: str | None = None,
    precision: Precision = "fp32",
    ensemble: Ways = 1,
    device: str = "auto",
    method: Callable[[Degraded, Kernels | None], Resized] | None = None,
) -> list[Measurement]:
    """PSNR and SSIM of what `model` makes of the pictures of `data` after `damage`, and PSNR under the other common protocols.

    `method` repairs in the place of the model: a classical method. `compare` names a network, such as lpips-squeeze, that says how far the
    results look from the clean pictures. Raises SettingError if the model repairs nothing or enlarges
    by another factor.
    """
    kind = trial(damage)
    restorer = None if method else weights.opened(model, Restorer, otherwise="repairs nothing")
    network = None if restorer is None else restorer.network
    if network is not None and network.scale != kind.scale:
        raise SettingError(f"{damage} wants a network that enlarges by {kind.scale}, this one does by {network.scale}")
    if restorer is not None and network is not None and ensemble != 1:
        network = network.self_ensemble(ensemble)
        restorer = dataclasses.replace(restorer, network=network)
    pictures = data if isinstance(data, Dataset | Scenes) else _pictures(data)

    def repair(degraded: Degraded, i: int) -> Resized:
        if method is not None:
            return method(degraded, kind.kernels(i) if kind.kernels else None).clamp(0, 1)
        assert restorer is not None
        network = restorer.network
        told = {"noise": float(degraded.noise), "quality": float(degraded.quality), "observed": degraded.observed}
        mine: Any = {name: value for name, value in told.items() if name in network.conditioning}
        if isinstance(network, Deblurrer):
            mine["kernels"] = kind.kernels(i) if kind.kernels else degraded.blur
        return apply_restorer(restorer, degraded.images, precision=precision, device=device, **mine)

    looker = comparer(compare) if compare is not None else None
    rows: dict[str, list[float]] = {}
    for i, picture in enumerate(counted(pictures.pictures, "repairing")):
        clean = _whole(_as_stored(to_images(picture[None])), kind.scale)
        for name, value in _figures(kind, clean, i, repair, looker).items():
            rows.setdefault(name, []).append(value)
    seen_by = {"features": inside(compare), "digest": weights_hash(looker)} if compare is not None and looker is not None else {}
    return [
        _measurement(name, values, kind, pictures, precision, ensemble, **(seen_by if name.startswith("lpips") else {}))
        for name, values in rows.items()
    ]


def _pictures(data: str | Path) -> Dataset | Scenes:
    """The test part of what has one by name, all of a folder or zip; as large as they are."""
    return load_scenes(data, channels=3, part="test" if isinstance(data, str) and data in KNOWN else "all", largest=None)


def _figures(
    kind: BenchmarkDegradation, clean: Images, i: int, repair: Callable[[Degraded, int], Resized], perceptual: PerceptualMetric | None
) -> dict[str, float]:
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
    if perceptual is not None:
        figures["lpips"] = lpips(perceptual, coloured(rounded, perceptual), coloured(clean, perceptual)).item()
        figures["lpips_before"] = lpips(perceptual, coloured(start, perceptual), coloured(clean, perceptual)).item()
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
    kind: BenchmarkDegradation,
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
        settings=f"{kind.protocol}; {judged}; border cut {kind.scale if kind.scale > 1 else 0}; range 255; mean over pictures{turns}",
        dtype={"bf16": "bfloat16", "fp32": "float32"}.get(precision, precision),
        interval="95 %, other pictures of the same kind, bootstrap",
        notes=_NOTES[name],
        features=features,
        weights=digest,
    )
    numbers = torch.tensor(values, dtype=torch.float64)
    interval = bootstrap(numbers.float(), rng=seeded_generator(0, "bootstrap")) if len(values) > 1 else None
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


def _judged(output: Maps, clean: Maps, use_luma: bool, cut: int, full: bool) -> tuple[Maps, Maps]:
    if use_luma:
        output, clean = luma(output, full=full), luma(clean, full=full)
    inner = slice(cut, -cut or None)
    return output[:, :, inner, inner], clean[:, :, inner, inner]


def _psnr(output: Images, clean: Images, use_luma: bool, cut: int, *, full: bool = False) -> float:
    """In dB, at most 100: of equal pictures it would be infinite."""
    return min(100.0, psnr(*_judged(output, clean, use_luma, cut, full)).item())


def _ssim(output: Images, clean: Images, use_luma: bool, cut: int) -> float:
    """Not a number for a picture smaller than one window."""
    a, b = _judged(output, clean, use_luma, cut, full=False)
    return ssim(a, b).item() if min(a.shape[2:]) >= WINDOW else math.nan
