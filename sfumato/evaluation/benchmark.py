"""PSNR and SSIM of restored pictures after a degradation of the literature (`benchmark_degradations.py`), by several protocols.

A result is clamped and rounded to 8 bits; `picture_fidelity.py` has the formulas.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from sfumato.classical import methods as classical
from sfumato.core.device import Precision
from sfumato.core.errors import SettingError
from sfumato.core.paths import inside
from sfumato.core.progress import counted
from sfumato.core.tensors import Images, Kernels, Resized, to_bytes, to_images
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.scenes import SCENE_NAMES, load_scenes
from sfumato.degradations.base import Degraded
from sfumato.evaluation.benchmark_degradations import BenchmarkDegradation, benchmark_degradation
from sfumato.evaluation.diversity import coloured, comparer
from sfumato.evaluation.picture_fidelity import INTERVAL, as_stored, mean_of_pictures, psnr_of, ssim_of
from sfumato.evaluation.report import Report
from sfumato.io.fitting import fit
from sfumato.io.inputs import PictureInput
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.features import weights_hash
from sfumato.metrics.perceptual import lpips
from sfumato.models.roles.perceptual_metric import PerceptualMetric
from sfumato.models.roles.restorer import Restorer
from sfumato.nn.resample import resize
from sfumato.restoration.batch import repaired
from sfumato.restoration.deep_prior import deep_prior
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import make_plan
from sfumato.restoration.request import METHODS, PRIOR, RestorationRequest, Task, Ways
from sfumato.restoration.tiles import Conditioning, apply_restorer
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel, Model

Method: TypeAlias = Callable[[Degraded, Kernels | None], Resized]
"""From a degraded picture and its blur kernel, if there is one, to the restored picture."""
Restore: TypeAlias = Callable[[Degraded, int], Resized]
"""From a degraded picture and its index in the set to the restored picture."""


def evaluate_restorer(
    model: str,
    degradation: str,
    data: str | Path | Dataset | Scenes | Sequence[PictureInput],
    *,
    compare: str | None = None,
    precision: Precision = "fp32",
    ensemble: Ways = 1,
    device: str = "auto",
) -> Report:
    """PSNR, SSIM and others of a model, of a classical method, of the deep image prior, or of `auto`, each by name; see `judge_restorer`.

    A classical method gets the noise, the blur kernel and the mask of the degradation. `auto` works as `sfumato restore`: it analyses
    each picture, gets a mask if there is one, and makes its own plan. Raises SettingError like `judge_restorer`, for a method that does
    not enlarge if the degradation shrinks, and for an `ensemble` of a method.
    """
    kind = benchmark_degradation(degradation)
    measure = functools.partial(
        judge_restorer, model, degradation, data, compare=compare, precision=precision, ensemble=ensemble, device=device
    )
    if model == "auto":
        return measure(method=_automatic(kind, precision, ensemble, device))
    if model not in METHODS:
        return measure()
    needs = classical.METHODS[model].needs if model != PRIOR else ()
    if ensemble != 1:
        raise SettingError(f"ensemble = {ensemble} has no effect on {model}; leave it out")
    if kind.scale > 1 and "scale" not in needs:
        raise SettingError(f"{degradation} is to be enlarged, and {model} does not enlarge; the method for it is bicubic")

    def prior(degraded: Degraded, _: Kernels | None) -> Resized:
        return deep_prior(degraded.images, observed=degraded.observed, device=device)

    def method(degraded: Degraded, kernels: Kernels | None) -> Resized:
        facts = {"noise": float(degraded.noise), "observed": degraded.observed, "kernels": kernels, "scale": kind.scale}
        return classical.apply(model, degraded.images, **{name: facts[name] for name in needs if facts[name] is not None})

    return measure(method=prior if model == PRIOR else method)


judge = evaluate_restorer
"""Its earlier name."""


def judge_restorer(
    model: Model,
    degradation: str,
    data: str | Path | Dataset | Scenes | Sequence[PictureInput],
    *,
    compare: str | None = None,
    precision: Precision = "fp32",
    ensemble: Ways = 1,
    device: str = "auto",
    method: Method | None = None,
) -> Report:
    """PSNR and SSIM of the pictures of `data` that `model` restores after `degradation`, and PSNR by the other common protocols.

    `method` restores in the place of the model: a classical method. `compare` names a perceptual metric, such as lpips-squeeze, for the
    distance between results and clean pictures. Raises SettingError if the model is no restorer or enlarges by another factor.
    """
    kind = benchmark_degradation(degradation)
    if method is None:
        restorer = weights.opened(model, Restorer, otherwise="repairs nothing")
        network = restorer.network
        if network.scale != kind.scale:
            raise SettingError(f"{degradation} wants a network that enlarges by {kind.scale}, this one does by {network.scale}")
        if ensemble != 1:
            restorer = dataclasses.replace(restorer, network=network.self_ensemble(ensemble))
        restore = _restored_by(restorer, kind, precision, device)
    else:
        restore = _clamped(method, kind)
    pictures = data if isinstance(data, Dataset | Scenes) else _pictures(data)
    perceptual = comparer(compare) if compare is not None else None
    rows: dict[str, list[float]] = {}
    for i, picture in enumerate(counted(pictures.pictures, "repairing")):
        clean = _whole(as_stored(to_images(picture[None])), kind.scale)
        for name, value in _figures(kind, clean, i, restore, perceptual).items():
            rows.setdefault(name, []).append(value)
    facts = {"features": inside(compare), "digest": weights_hash(perceptual)} if compare is not None and perceptual is not None else {}
    return Report(
        _measurement(name, values, kind, pictures, precision, ensemble, **(facts if name.startswith("lpips") else {}))
        for name, values in rows.items()
    )


def _automatic(kind: BenchmarkDegradation, precision: Precision, ensemble: Ways, device: str) -> Method:
    """The method of `sfumato restore`: a plan for each picture."""
    networks = Networks()
    task: Task = "upscale" if kind.scale > 1 else "auto"
    request = RestorationRequest(task=task, scale=kind.scale, precision=precision, ensemble=ensemble, device=device)

    def planned(degraded: Degraded, kernels: Kernels | None) -> Resized:
        mask = None if bool((degraded.observed == 1).all()) else degraded.observed
        plan = make_plan(request, degraded.images, observed=mask, networks=networks)
        return degraded.images if plan.nothing else repaired(degraded.images, plan, request, networks)

    return planned


def _clamped(method: Method, kind: BenchmarkDegradation) -> Restore:
    """`method` on a picture of `kind`, with its kernel; results in [0, 1]."""

    def restore(degraded: Degraded, i: int) -> Resized:
        return method(degraded, kind.kernels(i) if kind.kernels else None).clamp(0, 1)

    return restore


def _restored_by(restorer: LoadedModel[Restorer], kind: BenchmarkDegradation, precision: Precision, device: str) -> Restore:
    """`restorer` on a picture of `kind`, with the facts that it is conditioned on."""
    network = restorer.network

    def restore(degraded: Degraded, i: int) -> Resized:
        facts = {"noise": float(degraded.noise), "quality": float(degraded.quality), "observed": degraded.observed}
        conditioning = cast(Conditioning, {name: value for name, value in facts.items() if name in network.conditioning})
        if network.takes_kernels:
            conditioning["kernels"] = kind.kernels(i) if kind.kernels else degraded.blur
        return apply_restorer(restorer, degraded.images, precision=precision, device=device, **conditioning)

    return restore


def _pictures(data: str | Path | Sequence[PictureInput]) -> Dataset | Scenes:
    """The test part of a data set by name, all pictures of a folder or zip, or the pictures of a list, in their own sizes."""
    if not isinstance(data, str | Path):
        return Scenes(name="pictures", pictures=tuple(to_bytes(fit(picture, channels=3, size=None))[0] for picture in data))
    return load_scenes(data, channels=3, part="test" if isinstance(data, str) and data in SCENE_NAMES else "all", largest=None)


def _figures(kind: BenchmarkDegradation, clean: Images, i: int, restore: Restore, perceptual: PerceptualMetric | None) -> dict[str, float]:
    """All figures of one picture; the first is that of the protocol itself."""
    degraded = kind.degrade(clean, i)
    output = restore(degraded, i)
    cut = kind.scale if kind.scale > 1 else 0
    use_luma = kind.luma and (clean.shape[1] == 3 or kind.scale > 1)  # enlarged grey pictures are measured on luma too
    size = (clean.shape[2], clean.shape[3])
    before = degraded.images if kind.scale == 1 else to_images(to_bytes(resize(degraded.images, size)))
    rounded = to_images(to_bytes(output))
    psnr, ssim = (functools.partial(of, reference=clean, use_luma=use_luma, border=cut) for of in (psnr_of, ssim_of))
    figures = {"psnr": psnr(rounded), "ssim": ssim(rounded), "psnr_before": psnr(before), "psnr_unrounded": psnr(output)}
    if not kind.stored:
        clipped = dataclasses.replace(degraded, images=to_images(to_bytes(degraded.images)))
        figures["psnr_of_8_bit_input"] = psnr(to_images(to_bytes(restore(clipped, i))))
    if clean.shape[1] == 3:
        figures["psnr_rgb" if use_luma else "psnr_luma"] = psnr(rounded, use_luma=not use_luma)
    if use_luma:
        figures["psnr_luma_full_range"] = psnr(rounded, full=True)
    if cut:
        figures["psnr_no_border_cut"] = psnr(rounded, border=0)
    if perceptual is not None:
        figures["lpips"] = lpips(perceptual, coloured(rounded, perceptual), coloured(clean, perceptual)).item()
        figures["lpips_before"] = lpips(perceptual, coloured(before, perceptual), coloured(clean, perceptual)).item()
    return figures


_NOTES = {
    "psnr": "the protocol itself",
    "psnr_before": "of the degraded picture; enlarged by bicubic if it is smaller",
    "psnr_unrounded": "the result not rounded to 8 bits",
    "psnr_of_8_bit_input": "the degraded picture clipped and rounded to 8 bits first, like a file",
    "psnr_rgb": "all three channels instead of luma",
    "psnr_luma": "luma instead of all three channels",
    "psnr_luma_full_range": "luma from 0 to 255 instead of 16 to 235",
    "psnr_no_border_cut": "border included",
    "lpips": "perceptual distance of the result to the clean picture",
    "lpips_before": "perceptual distance of the degraded picture to the clean one",
    "ssim": "11 x 11 Gaussian windows of 1.5 pixels inside the picture, mean over channels",
}
"""The note of each figure for its protocol."""


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
    """The mean of `values`, one for each picture, with its interval; none for a single picture."""
    channels = "luma of colour" if kind.luma else "all channels"
    turns = "" if ensemble == 1 else f"; mean over {ensemble} ways to see a picture"
    protocol = Protocol(
        reference=f"{pictures.name} {pictures.fingerprint[:8]}",
        generated=len(values),
        settings=f"{kind.protocol}; {channels}; border cut {kind.scale if kind.scale > 1 else 0}; range 255; mean over pictures{turns}",
        dtype={"bf16": "bfloat16", "fp32": "float32"}.get(precision, precision),
        interval=INTERVAL,
        notes=_NOTES[name],
        features=features,
        weights=digest,
    )
    return mean_of_pictures(name, values, protocol)


def _whole(clean: Images, scale: int) -> Resized:
    """`clean` without the last rows and columns, so that its sides are multiples of `scale`."""
    h, w = (side // scale * scale for side in clean.shape[2:])
    return clean[:, :, :h, :w]
