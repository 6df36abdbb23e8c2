"""The styles with which a generator comes nearest to a picture: first one style for all layers, then one for each, then the noise.

After Karras et al. 2020 (https://arxiv.org/abs/1912.04958, appendix D) with three differences: styles are counted in deviations of the
network's own, so that one step size serves every generator; the layers' styles part in the second half and are pulled together (Tov et
al. 2021, https://arxiv.org/abs/2102.02766, on why); and what is compared needs no trained weights (editing/similarity.py).
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from sfumato.core import atomic_io, outputs
from sfumato.core.deprecation import renamed_arguments
from sfumato.core.device import select_device
from sfumato.core.errors import ImageError, SettingError
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, Maps, PerImage, Scalar, Styles, to_pixels
from sfumato.editing import latent_image as subjects
from sfumato.editing.latent_image import LatentImage, render
from sfumato.editing.similarity import Similarity, eyes_of
from sfumato.generation.generate import class_names, labels_of, sampler, show, styled
from sfumato.io import decode, files
from sfumato.models.roles.feature_extractor import FeaturePyramid
from sfumato.models.roles.generator import Generator, latents
from sfumato.models.roles.latent_variable_model import LatentVariableModel
from sfumato.models.roles.style_generator import StyleGenerator, SynthesisOptions
from sfumato.nn.resample import resize
from sfumato.store import weights
from sfumato.store.loaded import Model

Whose = Int64[Tensor, " _starts"]
Picture = Tensor | Image.Image | str | Path

DRAWS, STARTS = 1024, 64
"""Styles from which the network's own deviations are known, and how many of them, at least, are looked at for a start."""
TOGETHER, ROUND = 16, 0.04
"""The search begins at so many of the nearest starts at once, of images larger than 64 x 64 pixels at fewer in proportion; after each
round, this share of the steps, the nearer half goes on. From a single start some generators do not find one image in three."""
RATE, RISE, FALL = 0.1, 0.05, 0.25
"""Step size in deviations, and the shares of the steps in which it rises and falls."""
BLUR = 0.05
"""Deviation of what is added to the style at first, so that the search does not stop in the first hollow."""
PULL, STILL = 0.003, 1e-3
"""Weights of what holds the layers' styles together and of what keeps the noise noise."""


@dataclass(frozen=True, kw_only=True)
class Projection:
    """What was found for a picture."""

    subject: LatentImage
    image: Images
    """What the network makes of it, in [0, 1]."""
    picture: Images
    """The picture at the network's size."""
    psnr: float
    """Between the two, in dB."""
    source: Path | None = None
    """Where the picture lies, if it was a file; what is written tells its name alone."""


class Spread(NamedTuple):
    """The network's own styles: their mean and the deviation of each number."""

    mean: Styles
    deviation: Styles


@renamed_arguments(tell="on_progress")
def project(
    model: Model,
    picture: Picture,
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
    """What comes nearest to the picture: a tensor (c, h, w) or (1, c, h, w) in [0, 1], a PIL image or a path, cut and resized to fit.

    With `layers`, each layer has a style of its own in the second half of the steps. With `noise` the last half fits the noise too, or
    all steps without `layers`, where the network has such: nearer to the picture, and harder to edit. `features` names a model in whose
    layers images are compared beside their pixels. Without a `label`, a model that knows classes takes the one whose images come
    nearest. `on_progress` is called with each step and its distance. Raises SettingError for steps below 1, and like `generate`; ImageError
    for a picture that cannot be used.
    """
    if steps < 1:
        raise SettingError(f"steps = {steps} must be at least 1")
    where = select_device(device)
    generator = sampler(model).to(where)
    network = generator.network
    others = []
    if features is not None:
        others = [weights.opened(features, FeaturePyramid, otherwise="has no layers to compare images in").network.to(where)]
    target = fitted(picture, network).to(where)
    likeness = Similarity(target, eyes_of(network, *others))
    rng = seeded_generator(seed, "project")
    own, labels, spread = start(generator, target, likeness, label, rng)
    search = _Search(network, likeness, spread, labels, rng)
    first = steps if not layers or network.styles == 1 else steps * 2 // 5
    while len(own) > 1:
        own = search.halve(search.run(own, round(ROUND * steps), on_progress=on_progress))
    styles = search.run(own, first - search.steps, noise=noise and first == steps, on_progress=on_progress)
    if first < steps:
        styles = search.run(styles.expand(-1, network.styles, -1), steps - first, noise=noise, on_progress=on_progress)
    found = spread.mean + spread.deviation * styles
    which = None if search.labels is None else int(search.labels)
    source = Path(picture) if isinstance(picture, str | Path) else None
    origin = {
        "picture": "" if source is None else source.name,
        "label": None if which is None else class_names(generator)[which],
        "steps": steps,
        "seed": seed,
    }
    subject = LatentImage(styles=found.expand(-1, network.styles, -1).cpu(), label=which, noise=search.noise_found(), origin=origin)
    image = render(generator, subject)
    psnr = -10 * math.log10(max(1e-10, (image - target.cpu()).square().mean().item()))
    return Projection(subject=subject, image=image, picture=target.cpu(), psnr=psnr, source=source)


def save(projection: Projection, out: Path, model: Model) -> list[Path]:
    """Writes the styles to `out`, and beside it a picture of what was asked for and what was found, and a .json. Returns the paths.

    Raises SettingError if that would be written over the picture itself, StorageError if it cannot be written.
    """
    _, sheet, told = output_files(out, projection.source or "")
    subjects.save(out, projection.subject, model)
    files.save_image(sheet, to_pixels(torch.cat([projection.picture, projection.image]), columns=2))
    atomic_io.write(told, json.dumps({**projection.subject.origin, "psnr": round(projection.psnr, 3)}, indent=2) + "\n")
    return [out, sheet, told]


def output_files(out: Path, picture: str | Path = "") -> list[Path]:
    """The files that `save` will write for what was found for `picture`.

    Raises SettingError if `out` does not end in .safetensors, or if a file would be written over the picture itself.
    """
    outputs.check_ending(out, (".safetensors",), "styles")
    sheet = out.with_suffix(".png")
    if picture and Path(picture).expanduser().resolve() == sheet.resolve():
        raise SettingError(f"{sheet} is the picture itself and would be written over; choose another --out")
    return [out, sheet, out.with_suffix(".json")]


def fitted(picture: Picture, network: Generator) -> Images:
    """The picture with the network's channels and size: its largest middle piece of that shape. Raises ImageError if it cannot be."""
    (h, w), c = network.size, network.channels
    if isinstance(picture, Tensor):
        image = picture if picture.ndim == 4 else picture[None]
        if image.ndim != 4 or len(image) != 1 or not image.is_floating_point() or image.shape[1] not in (1, c):
            raise ImageError(f"a tensor of shape {tuple(picture.shape)} and {picture.dtype} is not one image of {c} channels in [0, 1]")
        tall, wide = image.shape[2:]
        scale = min(tall / h, wide / w)
        high, broad = max(1, round(h * scale)), max(1, round(w * scale))
        top, left = (tall - high) // 2, (wide - broad) // 2
        cut = image[:, :, top : top + high, left : left + broad].float().expand(-1, c, -1, -1)
        return cut.clone() if (high, broad) == (h, w) else resize(cut, (h, w)).clamp(0, 1)
    if c > 4:
        raise ImageError(f"no picture file has the {c} channels of this model's images; give a tensor")
    if isinstance(picture, Image.Image):
        pixels = decode.prepare(ImageOps.exif_transpose(picture), channels=c, size=(h, w), crop="centre")
    else:
        pixels = decode.decode(Path(picture), str(picture), channels=c, size=(h, w))
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None] / 255


@torch.no_grad()
def start(
    model: Model, target: Images, similarity: Similarity, label: str | int | None, rng: torch.Generator
) -> tuple[Styles, Whose | None, Spread]:
    """Where to begin, in deviations: the nearest of some random images, the mean and, for an encoder, what it says; nearest first."""
    source = sampler(model)
    network = source.network
    z = latents(network, DRAWS, rng)
    labels = labels_of(source, range(DRAWS), label)
    styles = styled(source, z, labels)[:, :1]
    spread = spread_of(styles, target.device)
    together = 2 ** int(math.log2(max(1, min(TOGETHER, TOGETHER * 64 * 64 // math.prod(network.size)))))
    starts = max(STARTS, 16 * together)
    mean, tried = spread.mean.cpu(), styles[:starts]
    whose = None if labels is None else labels[:starts]
    if isinstance(network, LatentVariableModel):
        names = None if labels is None else labels[: max(1, network.classes if label is None else 1)]
        shots = target.expand(1 if names is None else len(names), -1, -1, -1)
        posterior = network.posterior(shots, None if names is None else names.to(target.device))[0][:, None].cpu()
        tried, whose = torch.cat([posterior, tried]), None if whose is None or names is None else torch.cat([names, whose])
    tried = torch.cat([mean, tried])
    whose = None if whose is None else torch.cat([whose[:1], whose])
    images = show(source, tried.expand(-1, network.styles, -1), whose).to(target.device)
    best = torch.cat([similarity(part) for part in images.split(16)]).topk(together, largest=False).indices.cpu()
    own = (tried[best].to(target.device) - spread.mean) / spread.deviation
    return own, None if whose is None else whose[best].to(target.device), spread


def spread_of(styles: Styles, device: torch.device) -> Spread:
    """Mean and deviations of many styles; what hardly varies counts as a tenth of what varies in the mean."""
    deviation = styles.std(dim=0, keepdim=True)
    return Spread(styles.mean(dim=0, keepdim=True).to(device), deviation.clamp_min(float(deviation.mean()) / 10 + 1e-8).to(device))


class _Search:
    """Styles (in deviations), one or several at once, and noise on their way to a picture."""

    def __init__(
        self, network: StyleGenerator, similarity: Similarity, spread: Spread, labels: Labels | None, rng: torch.Generator
    ) -> None:
        self.network, self.likeness, self.spread, self.labels, self.rng = network, similarity, spread, labels, rng
        self.planes: list[Tensor] = []
        self.levels: list[tuple[Tensor, Tensor]] = []
        self.steps = 0
        """Taken so far."""

    def run(self, styles: Styles, steps: int, *, on_progress: Callable[[int, float], None], noise: bool = False) -> Styles:
        """Where `steps` lead from `styles`; with `noise`, the network's noise is fitted beside them."""
        x = styles.detach().clone().requires_grad_()
        many = x.shape[1] > 1
        if noise:
            self.planes = [plane.detach().clone().requires_grad_() for plane in self.network.noise()]
            self.levels = [(plane.detach().mean(), plane.detach().std(correction=0)) for plane in self.planes]
        optimiser = torch.optim.Adam([x, *self.planes], lr=RATE)
        for step, rate in enumerate(rates(steps)):
            optimiser.param_groups[0]["lr"] = rate
            blur = 0.0 if many else BLUR * max(0.0, 1 - step / steps / 0.75) ** 2
            shaken = x + blur * torch.randn(x.shape, generator=self.rng).to(x) if blur else x
            far = self._far(shaken)
            loss = far.sum() + PULL * style_spread(x) if many else far.sum()
            loss = loss + STILL * stillness(self.planes) if self.planes else loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            self._level()
            on_progress(self.steps, far.min().item())
            self.steps += 1
        return x.detach()

    @torch.no_grad()
    def halve(self, styles: Styles) -> Styles:
        """The nearer half of them, whose labels are kept too."""
        best = self._far(styles).topk(max(1, len(styles) // 2), largest=False).indices
        self.labels = None if self.labels is None else self.labels[best]
        return styles[best]

    def _far(self, styles: Styles) -> PerImage:
        """How far the image of each is from the picture."""
        own = self.spread.mean + self.spread.deviation * styles
        options = SynthesisOptions(noise=self.planes) if self.planes else None
        return self.likeness(self.network.synthesize(own.expand(-1, self.network.styles, -1), self.labels, options))

    def noise_found(self) -> tuple[Maps, ...] | None:
        """The noise that was fitted, on the CPU, if any."""
        return tuple(plane.detach().cpu() for plane in self.planes) or None

    @torch.no_grad()
    def _level(self) -> None:
        """Gives each plane of noise the mean and deviation back that it had."""
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
    """How far planes of noise are from white noise, which has 1: their squared correlation with themselves one pixel further, times pixels.

    At their own size and halved down to 8 pixels (Karras et al. 2020, appendix D).
    """
    found = []
    for plane in planes:
        x = plane
        while True:
            x = (x - x.mean()) * (x.std(correction=0) + 1e-8).reciprocal()
            found += [(x * x.roll(1, dims=axis)).mean().square() * x[0].numel() for axis in (2, 3)]
            if min(x.shape[2:]) < 16:
                break
            x = F.avg_pool2d(x, 2)
    return torch.stack(found).mean()
