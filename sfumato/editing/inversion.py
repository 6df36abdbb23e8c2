"""GAN inversion: the styles with which a generator comes nearest to a picture; one style for all layers, then one for each, then the noise.

After Karras et al. 2020 (https://arxiv.org/abs/1912.04958, appendix D) with three differences. Styles are measured in standard deviations
of the network's own styles, so that one step size serves every generator. In the second half each layer has a style of its own, and a
penalty keeps the styles together (Tov et al. 2021, https://arxiv.org/abs/2102.02766, say why). The comparison of images needs no trained
weights (editing/similarity.py).
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn import functional as F

from sfumato.core import atomic_io, outputs
from sfumato.core.deprecation import renamed_arguments, renamed_attribute
from sfumato.core.device import select_device
from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, Maps, PerImage, Scalar, Styles, to_pixels
from sfumato.editing.latent_image import LatentImage, render
from sfumato.editing.similarity import Similarity, feature_extractors
from sfumato.generation.generate import class_names, labels_of, sampler, show, styled
from sfumato.io import files
from sfumato.io.fitting import fit
from sfumato.io.inputs import PictureInput
from sfumato.io.results import save_files
from sfumato.metrics.features import weights_hash
from sfumato.models.roles.feature_extractor import FeaturePyramid
from sfumato.models.roles.generator import Generator, latents
from sfumato.models.roles.style_generator import StyleGenerator, SynthesisOptions
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel, Model

StartLabels = Int64[Tensor, " _starts"]

DRAWS, STARTS = 1024, 64
"""Styles that the network's own deviations are estimated from, and the least number of them that is tried as a start."""
TOGETHER, ROUND = 16, 0.04
"""Number of nearest starts from which the search begins at once, in proportion fewer for images larger than 64 x 64 pixels. After each
round, this share of the steps, the nearer half goes on. From a single start some generators do not reach one image in three."""
RATE, RISE, FALL = 0.1, 0.05, 0.25
"""Step size in deviations, and the shares of the steps in which it rises and falls."""
BLUR = 0.05
"""Standard deviation of the noise that is added to the style at first, so that the search does not stop in the first local minimum."""
PULL, STILL = 0.003, 1e-3
"""Weights of the penalty on the distance of the layers' styles from each other, and of the penalty that keeps the noise white."""


@dataclass(frozen=True, kw_only=True)
class Projection:
    """The latents that come nearest to a picture."""

    latent_image: LatentImage
    image: Images
    """Image of the latents, in [0, 1], (1, c, h, w)."""
    picture: Images
    """The picture at the network's size."""
    psnr: float
    """Between the two, in dB."""
    source: Path | None = None
    """Path of the picture, if it was a file; only its name is written."""

    subject = renamed_attribute("subject", "latent_image")

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the latents as .safetensors, and beside it a picture of `picture` and `image` and a .json. Returns the paths.

        Raises SettingError for another ending, for a file that is not to be replaced, and if the picture itself would be replaced.
        """
        paths = output_files(Path(path), self.source or "")
        return save_files(paths, lambda: _write(self, self.latent_image, paths), by="project", overwrite=overwrite, reads=[self.source])


class Spread(NamedTuple):
    """The network's own styles: their mean and the standard deviation of each number."""

    mean: Styles
    deviation: Styles


@renamed_arguments(tell="on_progress")
def project(
    model: Model,
    picture: PictureInput,
    *,
    steps: int = 300,
    label: str | int | None = None,
    layers: bool = True,
    noise: bool = True,
    features: str | None = None,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[int, float], None] = lambda *_: None,
) -> Projection:
    """The latents whose image comes nearest to a picture; the result has `save(path)`.

    `picture` is a path, bytes, an open file, a PIL image, an array or a tensor (c, h, w) or (1, c, h, w) in [0, 1]; its largest middle
    piece of the network's shape is resized to fit. With `layers`, each layer has a style of its own in the second half of the steps. With
    `noise`, the last half fits the noise too, where the network has noise; without `layers`, all steps do. Both come nearer to the
    picture and are harder to edit. `features` names a model in whose layers images are compared beside their pixels. Without a `label`,
    a model with classes takes the class whose images come nearest. `on_progress` is called with each step and its distance. Raises
    SettingError for steps below 1, and as `generate`; ImageError for a picture that cannot be used.
    """
    if steps < 1:
        raise SettingError(f"steps = {steps} must be at least 1")
    device_used = select_device(device)
    generator = sampler(model).to(device_used)
    target = fitted(picture, generator.network).to(device_used)
    similarity = Similarity(target, _extractors(generator.network, features, device_used))
    search, styles = _searched(
        generator, target, similarity, steps=steps, label=label, seed=seed, layers=layers, noise=noise, on_progress=on_progress
    )
    source = Path(picture) if isinstance(picture, str | Path) else None
    result = _latents(generator, search, styles, picture="" if source is None else source.name, steps=steps, seed=seed)
    image = render(generator, result)
    psnr = -10 * math.log10(max(1e-10, (image - target.cpu()).square().mean().item()))
    return Projection(latent_image=result, image=image, picture=target.cpu(), psnr=psnr, source=source)


def _latents(
    generator: LoadedModel[StyleGenerator], search: "_Search", styles: Styles, *, picture: str, steps: int, seed: int
) -> LatentImage:
    """The latents at the end of a search; `styles` are in deviations."""
    number = None if search.labels is None else int(search.labels)
    label = None if number is None else class_names(generator)[number]
    network = generator.network
    return LatentImage(
        styles=(search.spread.mean + search.spread.deviation * styles).expand(-1, network.styles, -1).cpu(),
        label=number,
        noise=search.fitted_noise(),
        origin={"picture": picture, "label": label, "steps": steps, "seed": seed},
        weights=weights_hash(network),
    )


def _extractors(network: StyleGenerator, features: str | None, device: torch.device) -> list[FeaturePyramid]:
    """The networks in whose layers images are compared. Raises SettingError for a model that has no such layers."""
    if features is None:
        return feature_extractors(network)
    named = weights.opened(features, FeaturePyramid, otherwise="has no layers to compare images in").to(device).network
    return feature_extractors(network, named)


def _searched(
    generator: LoadedModel[StyleGenerator],
    target: Images,
    similarity: Similarity,
    *,
    steps: int,
    label: str | int | None,
    seed: int,
    layers: bool,
    noise: bool,
    on_progress: Callable[[int, float], None],
) -> tuple["_Search", Styles]:
    """The search for `target`, and the styles, in deviations, at its end."""
    network, rng = generator.network, seeded_generator(seed, "project")
    styles, labels, spread = start(generator, target, similarity, label, rng)
    search = _Search(network, similarity, spread, labels, rng)
    shared = steps if not layers or network.styles == 1 else steps * 2 // 5
    while len(styles) > 1:
        styles = search.halve(search.run(styles, round(ROUND * steps), on_progress=on_progress))
    styles = search.run(styles, shared - search.steps, noise=noise and shared == steps, on_progress=on_progress)
    if shared < steps:
        styles = search.run(styles.expand(-1, network.styles, -1), steps - shared, noise=noise, on_progress=on_progress)
    return search, styles


def save(projection: Projection, out: Path, model: Model) -> list[Path]:
    """Writes a projection on `model` to `out`, and beside it a picture and a .json. Returns the paths.

    Raises SettingError if the picture itself would be replaced, StorageError if a file cannot be written.
    """
    paths = output_files(out, projection.source or "")
    _write(projection, replace(projection.latent_image, weights=weights_hash(sampler(model).network)), paths)
    return paths


def _write(projection: Projection, latents: LatentImage, paths: list[Path]) -> None:
    out, sheet, record = paths
    latents.write(out)
    files.save_image(sheet, to_pixels(torch.cat([projection.picture, projection.image]), columns=2))
    atomic_io.write(record, json.dumps({**latents.origin, "psnr": round(projection.psnr, 3)}, indent=2) + "\n")


def output_files(out: Path, picture: str | Path = "") -> list[Path]:
    """The files that `save` will write for the projection of `picture`.

    Raises SettingError if `out` does not end in .safetensors, or if the picture itself would be replaced.
    """
    outputs.check_ending(out, (".safetensors",), "styles")
    sheet = out.with_suffix(".png")
    if picture and Path(picture).expanduser().resolve() == sheet.resolve():
        raise SettingError(f"{sheet} is the picture itself and would be written over; choose another --out")
    return [out, sheet, out.with_suffix(".json")]


def fitted(picture: PictureInput, network: Generator) -> Images:
    """One picture with the network's channels and size: its largest middle piece of that shape. Raises ImageError for an unusable one."""
    return fit(picture, channels=network.channels, size=network.size)


@torch.no_grad()
def start(
    model: Model, target: Images, similarity: Similarity, label: str | int | None, rng: torch.Generator
) -> tuple[Styles, StartLabels | None, Spread]:
    """The starts of the search, in deviations, nearest first, with their labels and the spread of the network's styles.

    They are the nearest of some random styles, the mean style and, for a network with an encoder, the mean of its posterior.
    """
    source = sampler(model)
    network = source.network
    z = latents(network, DRAWS, rng)
    labels = labels_of(source, range(DRAWS), label)
    styles = styled(source, z, labels)[:, :1]
    spread = spread_of(styles, target.device)
    together = 2 ** int(math.log2(max(1, min(TOGETHER, TOGETHER * 64 * 64 // math.prod(network.size)))))
    starts = max(STARTS, 16 * together)
    mean, candidates = spread.mean.cpu(), styles[:starts]
    classes = None if labels is None else labels[:starts]
    names = None if labels is None else labels[: max(1, network.classes if label is None else 1)]
    shots = target.expand(1 if names is None else len(names), -1, -1, -1)
    inferred = network.infer_latents(shots, None if names is None else names.to(target.device))
    if inferred is not None:
        candidates = torch.cat([inferred[:, None].cpu(), candidates])
        classes = None if classes is None or names is None else torch.cat([names, classes])
    candidates = torch.cat([mean, candidates])
    classes = None if classes is None else torch.cat([classes[:1], classes])
    images = show(source, candidates.expand(-1, network.styles, -1), classes).to(target.device)
    best = torch.cat([similarity(part) for part in images.split(16)]).topk(together, largest=False).indices.cpu()
    nearest = (candidates[best].to(target.device) - spread.mean) / spread.deviation
    return nearest, None if classes is None else classes[best].to(target.device), spread


def spread_of(styles: Styles, device: torch.device) -> Spread:
    """Mean and standard deviations of many styles; a deviation is at least a tenth of the mean deviation."""
    deviation = styles.std(dim=0, keepdim=True)
    return Spread(styles.mean(dim=0, keepdim=True).to(device), deviation.clamp_min(float(deviation.mean()) / 10 + 1e-8).to(device))


class _Search:
    """A gradient search for styles, in deviations, one or several at once, and for noise."""

    def __init__(
        self, network: StyleGenerator, similarity: Similarity, spread: Spread, labels: Labels | None, rng: torch.Generator
    ) -> None:
        self.network, self.similarity, self.spread, self.labels, self.rng = network, similarity, spread, labels, rng
        self.planes: list[Tensor] = []
        self.levels: list[tuple[Tensor, Tensor]] = []
        self.steps = 0
        """Number of steps so far."""

    def run(self, styles: Styles, steps: int, *, on_progress: Callable[[int, float], None], noise: bool = False) -> Styles:
        """The styles after `steps` more steps from `styles`; with `noise`, the network's noise is fitted too."""
        x = styles.detach().clone().requires_grad_()
        many = x.shape[1] > 1
        if noise:
            self.planes = [plane.detach().clone().requires_grad_() for plane in self.network.noise()]
            self.levels = [(plane.detach().mean(), plane.detach().std(correction=0)) for plane in self.planes]
        optimizer = torch.optim.Adam([x, *self.planes], lr=RATE)
        for step, rate in enumerate(rates(steps)):
            optimizer.param_groups[0]["lr"] = rate
            blur = 0.0 if many else BLUR * max(0.0, 1 - step / steps / 0.75) ** 2
            shaken = x + blur * torch.randn(x.shape, generator=self.rng).to(x) if blur else x
            distance = self._distance(shaken)
            loss = distance.sum() + PULL * style_spread(x) if many else distance.sum()
            loss = loss + STILL * stillness(self.planes) if self.planes else loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            self._level()
            on_progress(self.steps, distance.min().item())
            self.steps += 1
        return x.detach()

    @torch.no_grad()
    def halve(self, styles: Styles) -> Styles:
        """The nearer half of `styles`; the labels of the others are dropped."""
        best = self._distance(styles).topk(max(1, len(styles) // 2), largest=False).indices
        self.labels = None if self.labels is None else self.labels[best]
        return styles[best]

    def _distance(self, styles: Styles) -> PerImage:
        """The distance of each image from the picture."""
        own = self.spread.mean + self.spread.deviation * styles
        options = SynthesisOptions(noise=self.planes) if self.planes else None
        return self.similarity(self.network.synthesize(own.expand(-1, self.network.styles, -1), self.labels, options))

    def fitted_noise(self) -> tuple[Maps, ...] | None:
        """The noise after the search, on the CPU; None if no noise was fitted."""
        return tuple(plane.detach().cpu() for plane in self.planes) or None

    @torch.no_grad()
    def _level(self) -> None:
        """Restores the mean and the standard deviation that each plane of noise had at the start."""
        for plane, (mean, deviation) in zip(self.planes, self.levels, strict=True):
            centred = plane - plane.mean()
            plane.copy_(centred * (deviation / centred.std(correction=0).clamp_min(1e-8)) + mean)


def rates(steps: int) -> Iterator[float]:
    """The step size of each step: a short rise, a plateau, and a fall along a cosine."""
    for step in range(steps):
        t = (step + 0.5) / steps
        yield RATE * (0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / FALL))) * min(1.0, t / RISE)


def style_spread(styles: Styles) -> Scalar:
    """Mean squared distance of the layers' styles from their mean, in squared deviations."""
    return (styles - styles.mean(dim=1, keepdim=True)).square().mean()


def stillness(planes: list[Tensor]) -> Scalar:
    """Autocorrelation of planes of noise: squared, at a shift of one pixel, times the number of pixels; 1 for white noise.

    The mean over the planes' own size and sizes halved down to 8 pixels (Karras et al. 2020, appendix D).
    """
    correlations = []
    for plane in planes:
        x = plane
        while True:
            x = (x - x.mean()) * (x.std(correction=0) + 1e-8).reciprocal()
            correlations += [(x * x.roll(1, dims=axis)).mean().square() * x[0].numel() for axis in (2, 3)]
            if min(x.shape[2:]) < 16:
                break
            x = F.avg_pool2d(x, 2)
    return torch.stack(correlations).mean()
