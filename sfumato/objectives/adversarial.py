"""Adversarial objectives: a generator against a discriminator that tells its images from real ones.

    non-saturating   Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661: the minimax value, the generator's side with the log trick
    least-squares    Mao et al. 2017, https://arxiv.org/abs/1611.04076
    hinge            Lim & Ye 2017, https://arxiv.org/abs/1705.02894
    wasserstein      Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875; with a gradient penalty, Gulrajani et al. 2017, 1704.00028
    relativistic     each real image against one generated image (Jolicoeur-Martineau 2018, 1807.00734), stable with R1 and R2
                     together (Huang et al. 2024, https://arxiv.org/abs/2501.05441)

With labels, the discriminator also tells classes apart, and generated images must show the asked one (Odena et al. 2017,
https://arxiv.org/abs/1610.09585).

R1 and R2 are the squared gradients of the discriminator on real and on generated images (Mescheder et al. 2018,
https://arxiv.org/abs/1801.04406), taken on every step or, lazily, on every k-th with k times the weight (Karras et al. 2020).
Path length keeps a generator's steps even, mixing its layers apart: `objectives/_styles.py`. Images that are not paired can still be
compared by the eyes of a trained network, on average (feature matching, Salimans et al. 2016, https://arxiv.org/abs/1606.03498, 3.1).
Adaptive augmentation (Karras et al. 2020, https://arxiv.org/abs/2006.06676) keeps a discriminator from learning few images by heart.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, PerImage, Scalar
from sfumato.data.adaptive import Config as Adaptive
from sfumato.data.augment import Config as Augmentation
from sfumato.models.roles.style_generator import AdversarialGenerator, DiscriminatorOutput
from sfumato.nn.convolution import map_gradients_only
from sfumato.objectives._controller import Controller
from sfumato.objectives._freeze import trained
from sfumato.objectives._perceptual import Perception, device_of
from sfumato.objectives._styles import PathLength, mixed
from sfumato.objectives.base import Batch, Losses, Phase

Kind = Literal["non-saturating", "least-squares", "hinge", "wasserstein", "relativistic"]


@settings
class Config:
    id = "adversarial"
    loss: Kind = "relativistic"
    """What either side minimises."""
    r1: Annotated[float | None, Range(0, 10_000)] = 0.25
    """Weight gamma of the gradient penalty on real images, gamma / 2 * E|grad D|^2, for images in [0, 1]: a quarter of what papers
    with images in [-1, 1] write. None takes it from the size of the images: 0.25 at 64 x 64 in colour, in proportion to their numbers."""
    r2: Annotated[float | None, Range(0, 10_000)] = 0.25
    """The same on generated images."""
    penalty_end: Annotated[float, Range(0, 1, "of the start")] = 0.3
    """R1 and R2 fall to this share of their weight along a cosine over the run; 1 keeps them."""
    penalty_every: Annotated[int, Range(1, 64, "steps")] = 4
    """R1 and R2 are taken on every k-th step, k times as strong."""
    gradient_penalty: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of (|grad D| - 1)^2 between real and generated images; 10 is usual with wasserstein."""
    generator_every: Annotated[int, Range(1, 64, "steps")] = 1
    """The generator moves on every k-th step; 5 is usual with wasserstein."""
    classify: Annotated[float, Range(0, 100)] = 0.3
    """Weight of the cross-entropy of the class, where there are labels: the discriminator learns it on real images alone, the
    generator is held to it as far as the discriminator has learned it. Too much of it and every image is a typical one."""
    mixing: Annotated[float, Range(0, 1, "of the images")] = 0.0
    """Share of the generated images whose layers, from a random one on, are steered by another latent; 0.9 is usual with styles."""
    path: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of the path length; 2 is usual with styles."""
    path_every: Annotated[int, Range(1, 64, "steps")] = 4
    """It is taken on every k-th step, of half a batch, k times as strong."""
    perceptual: Annotated[float, Range(0, 1000)] = 0.0
    """Weight of the L1 distance between what a trained network sees, on average, in generated and in real images, layer by layer."""
    features: str = ""
    """The network that looks: a bundled model, a file, or a public name such as vgg16."""
    layers: Annotated[tuple[float, ...], Range(0, 1000)] = ()
    """Weights of its layers, finest first; none for one each."""
    augment: Augmentation = Augmentation()
    """Differentiable augmentation of all that the discriminator sees."""
    adaptive: Adaptive = Adaptive()
    """More of it, each change with a small probability that grows as the discriminator learns images by heart: for few images."""

    freeze: Annotated[int, Range(0, 64, "sizes")] = 0
    """The discriminator's layers at this many of its finest sizes are not trained. For few images, with weights to start from."""

    def check(self) -> None:
        if self.loss == "wasserstein" and self.gradient_penalty == 0 and self.r1 == 0:
            raise SettingError("adversarial: loss = 'wasserstein' needs gradient_penalty (10 is usual) or r1 above 0")

    def suited(self, *, channels: int, size: tuple[int, int]) -> "Config":
        """The same with what was left open taken from the shape of the images."""
        # What a sum over pixels weighs grows with their number: published weights of tuned runs go up about as fast.
        gamma = 0.25 * channels * size[0] * size[1] / (3 * 64 * 64)
        open_ones = [name for name in ("r1", "r2") if getattr(self, name) is None]
        return dataclasses.replace(self, **dict.fromkeys(open_ones, gamma))

    def phases(self, model: AdversarialGenerator) -> list[Phase]:
        """Generator, discriminator, and the lazy penalties. The generator comes first: its images serve all but the last.

        Raises SettingError for a penalty on a discriminator with batch normalisation, where no image has a slope of its own, for
        `perceptual` without `features` or the other way round, and if `freeze` leaves nothing to train.
        """
        if self.r1 is None or self.r2 is None:
            return self.suited(channels=model.channels, size=model.size).phases(model)
        self._refuse_batch_norm(model)
        if bool(self.perceptual) != bool(self.features):
            raise SettingError("adversarial: perceptual is the weight of what features names; give both or neither")
        if self.layers and not self.features:
            raise SettingError("adversarial: layers are those of features, and there are none; give both or neither")
        if self.mixing and model.styles == 1:
            raise SettingError(f"objective.mixing = {self.mixing:g} has no effect: this network has one style for the whole image")
        duel = Duel(self, model)
        judge, paint = trained(model, self.freeze), list(model.generator.parameters())
        phases = [
            Phase(name="generator", weights=paint, loss=duel.generator, every=self.generator_every),
            Phase(name="discriminator", weights=judge, loss=duel.discriminator, memory=duel.controller),
        ]
        if self.r1 or self.r2:
            phases.append(Phase(name="penalty", weights=judge, loss=duel.penalty, every=self.penalty_every))
        if self.path:
            phases.append(Phase(name="path", weights=paint, loss=duel.path, every=self.path_every, memory=duel.length))
        return phases

    def _refuse_batch_norm(self, model: AdversarialGenerator) -> None:
        batched = any(isinstance(module, nn.BatchNorm2d) for module in model.discriminator.modules())
        if batched and (self.r1 or self.r2 or self.gradient_penalty):
            raise SettingError(
                "the discriminator normalises over the batch (model.discriminator_normalise = 'batch'), so that no image has a slope of "
                "its own: r1, r2 and gradient_penalty must be 0"
            )


class Duel:
    """The losses of both sides, and what they share: the images of a step, the controller, the mean path."""

    def __init__(self, config: Config, model: AdversarialGenerator) -> None:
        self.config, self.model = config, model
        self.gammas = config.r1 or 0.0, config.r2 or 0.0
        self.controller = Controller(config.adaptive, penalised=any(self.gammas))
        self.length = PathLength()
        self.eyes = Perception(config.features, config.layers, model.channels, device_of(model)) if config.perceptual else None
        self.shown = Shown(lambda batch: model.synthesize(mixed(model, batch, config.mixing), batch.labels))

    def generator(self, batch: Batch) -> Losses:
        """What the generator minimises, with new images."""
        fake = self.shown.make(batch)
        on_fake = self._judged(fake, batch)
        on_real = self._judged(batch.clean, batch).logit.detach() if self.config.loss == "relativistic" else None
        # What a discriminator that does not know the classes says of them tells nothing of what images should look like.
        weight = self.controller.known.clamp(0, 1)
        losses = self._with_classes(generator_loss(self.config.loss, on_fake.logit, on_real), on_fake, batch, weight=weight)
        if self.eyes is not None:
            losses["perceptual"] = self.eyes.apart_on_average(fake, batch.clean)
            losses["total"] = losses["total"] + self.config.perceptual * losses["perceptual"]
        return losses | {"diversity": _spread(fake) / _spread(batch.clean)}

    def discriminator(self, batch: Batch) -> Losses:
        """What the discriminator minimises, and how it fares, with the same images."""
        fake = self.shown.take(batch)
        self.controller.steer(len(batch.clean) * batch.parts)
        verdict = self._judged(batch.clean, batch)
        on_real, on_fake = verdict.logit, self._judged(fake, batch).logit
        sure = signs(self.config.loss, on_real.detach(), on_fake.detach())
        self.controller.note(sure)
        total = discriminator_loss(self.config.loss, on_real, on_fake)
        losses = self._with_classes(total, verdict, batch)
        if "classes" in losses:
            self.controller.learn(losses["classes"].detach(), self.model.classes)
        losses |= {"real_logit": on_real.mean(), "fake_logit": on_fake.mean(), "told_apart": told_apart(on_real, on_fake)}
        losses["certainty"] = sure.mean()
        if self.config.adaptive.active:
            losses["probability"] = self.controller.probability.clone()
        if self.config.adaptive.target:
            losses["target"] = self.controller.target.clone()
        if self.config.loss == "non-saturating":
            losses["minimax_value"] = -total.detach()
        if self.config.gradient_penalty:
            penalty = self.config.gradient_penalty * self._slope_between(fake, batch)
            losses |= {"penalty": penalty, "penalty_share": penalty / (penalty + total.abs())}
            losses["total"] = losses["total"] + penalty
        return losses

    def penalty(self, batch: Batch) -> Losses:
        """R1 and R2."""
        fake, end = self.shown.take(batch), self.config.penalty_end
        fade = end + (1 - end) * (1 + math.cos(math.pi * batch.progress)) / 2
        r1, r2 = (
            squared_slope(lambda x: self._judged(x, batch).logit, images) if weight else batch.clean.new_zeros(())
            for weight, images in zip(self.gammas, (batch.clean, fake), strict=True)
        )
        weighted = fade * self.controller.gamma * (self.gammas[0] * r1 + self.gammas[1] * r2) / 2
        # A discriminator that knows nothing pays log 2, whatever the loss: a yardstick that does not vanish with it.
        share = weighted / (weighted + math.log(2))
        return {"total": self.config.penalty_every * weighted, "r1": r1, "r2": r2, "share": share}

    def path(self, batch: Batch) -> Losses:
        """The path length, of every second image of the batch: of a batch in order, all classes, in however many processes."""
        z, noise = batch.normal(self.model.latent_dim)[::2], batch.normal(self.model.channels, *self.model.size)[::2]
        labels = None if batch.labels is None else batch.labels[::2]
        uneven, mean = self.length(self.model, self.model.map_latent(z, labels), labels, noise)
        return {"total": self.config.path_every * self.config.path * uneven, "uneven": uneven, "length": mean}

    def _judged(self, images: Images, batch: Batch) -> DiscriminatorOutput:
        """What the discriminator says of `images`, changed as it is to see them."""
        if self.config.augment.active:
            images = self.config.augment(images, batch.uniform(self.config.augment.draws))
        if self.config.adaptive.active:
            images = self.config.adaptive(images, batch.uniform(self.config.adaptive.draws), self.controller.probability)
        return self.model.discriminate(images, batch.labels)

    def _with_classes(self, total: Scalar, verdict: DiscriminatorOutput, batch: Batch, *, weight: Scalar | float = 1.0) -> Losses:
        """`total`, plus what missing the classes of `batch` costs, `weight` times."""
        if not self.config.classify or verdict.scores is None:
            return {"total": total}
        assert batch.labels is not None
        missed = F.cross_entropy(verdict.scores, batch.labels)
        return {"total": total + self.config.classify * weight * missed, "classes": missed}

    def _slope_between(self, fake: Images, batch: Batch) -> Scalar:
        mix = batch.uniform(1, 1, 1)
        x = (batch.clean * mix + fake * (1 - mix)).detach().requires_grad_()
        judged = self.model.discriminate(x, batch.labels).logit.sum()
        with map_gradients_only():
            (slope,) = torch.autograd.grad(judged, x, create_graph=True)
        # Where there is no slope, the square root has none either.
        return ((slope.float().square().sum(dim=(1, 2, 3)) + 1e-12).sqrt() - 1).square().mean()


class Shown:
    """The generated images of a step, made once by `paint`."""

    def __init__(self, generate: Callable[[Batch], Maps]) -> None:
        self._paint = generate
        self._batch: Batch | None = None
        self._images = torch.empty(0)

    def make(self, batch: Batch) -> Maps:
        """New images, with the way back to the weights."""
        images = self._paint(batch)
        self._batch, self._images = batch, images.detach()
        return images

    def take(self, batch: Batch) -> Maps:
        """The images of this step, without a way back."""
        if self._batch is not batch:
            with torch.no_grad():
                self.make(batch)
        return self._images


def discriminator_loss(kind: Kind, real: PerImage, fake: PerImage) -> Scalar:
    """What the discriminator minimises, from its logits."""
    if kind == "non-saturating":
        return (F.softplus(-real) + F.softplus(fake)).mean()
    if kind == "least-squares":
        return ((real - 1).square() + fake.square()).mean() / 2
    if kind == "hinge":
        return (F.relu(1 - real) + F.relu(1 + fake)).mean()
    if kind == "wasserstein":
        return (fake - real).mean()
    return F.softplus(fake - real).mean()


def generator_loss(kind: Kind, fake: PerImage, real: PerImage | None) -> Scalar:
    """What the generator minimises; `real` is needed by the relativistic kind alone."""
    if kind == "non-saturating":
        return F.softplus(-fake).mean()
    if kind == "least-squares":
        return (fake - 1).square().mean() / 2
    if kind == "relativistic":
        assert real is not None
        return F.softplus(real - fake).mean()
    return -fake.mean()


def squared_slope(judge: Callable[[Images], PerImage], images: Images) -> Scalar:
    """Mean over images of the squared length of the gradient of `discriminate`: R1 on real images, R2 on generated ones, without weight."""
    x = images.detach().requires_grad_()
    judged = judge(x).sum()
    with map_gradients_only():
        (slope,) = torch.autograd.grad(judged, x, create_graph=True)
    return slope.float().square().sum(dim=(1, 2, 3)).mean()


def signs(kind: Kind, real: PerImage, fake: PerImage) -> PerImage:
    """Of each real image 1 if it is taken for real, else -1: by its logit where that has a border, else against a generated image."""
    border = {"non-saturating": torch.zeros_like(real), "hinge": torch.zeros_like(real), "least-squares": torch.full_like(real, 0.5)}
    return torch.sign(real - border.get(kind, fake))


def told_apart(real: PerImage, fake: PerImage) -> Scalar:
    """Share of pairs in which the real image has the higher logit: 0.5 is a draw, 1 a discriminator that sees through everything."""
    return (real > fake).float().mean()


def _spread(images: Images) -> Scalar:
    """Standard deviation of a pixel inside the batch, averaged over pixels."""
    return images.detach().std(dim=0, correction=min(1, len(images) - 1)).mean()
