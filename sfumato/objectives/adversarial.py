"""Adversarial objectives: a generator against a discriminator that tells its images from real ones.

    non-saturating   Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661: the minimax value, the generator's side with the log trick
    least-squares    Mao et al. 2017, https://arxiv.org/abs/1611.04076
    hinge            Lim & Ye 2017, https://arxiv.org/abs/1705.02894
    wasserstein      Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875; with a gradient penalty, Gulrajani et al. 2017, 1704.00028
    relativistic     each real image against one generated image (Jolicoeur-Martineau 2018, 1807.00734), stable with R1 and R2
                     together (Huang et al. 2024, https://arxiv.org/abs/2501.05441)

With labels, the discriminator also tells classes apart, and a generated image must show the class of its label (Odena et al. 2017,
https://arxiv.org/abs/1610.09585).

R1 and R2 are the squared gradients of the discriminator on real and on generated images (Mescheder et al. 2018,
https://arxiv.org/abs/1801.04406), taken on every step or, lazily, on every k-th with k times the weight (Karras et al. 2020).
The path length penalty and style mixing are in `objectives/_styles.py`. Images that are not paired can still be compared by the features
of a trained network, on average (feature matching, Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 3.1).
Adaptive augmentation (Karras et al. 2020, https://arxiv.org/abs/2006.06676) keeps a discriminator from memorising few images.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.config import Range, family, settings
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Maps, PerImage, Scalar
from sfumato.data.adaptive import Config as Adaptive
from sfumato.data.augment import Config as Augmentation
from sfumato.models.base import OfOneSize
from sfumato.models.roles.style_generator import AdversarialGenerator, DiscriminatorOutput
from sfumato.nn.convolution import map_gradients_only
from sfumato.objectives._controller import Controller
from sfumato.objectives._freeze import trainable_weights
from sfumato.objectives._perceptual import Perception, device_of
from sfumato.objectives._remedies import remedies
from sfumato.objectives._styles import PathLength, mixed_styles
from sfumato.objectives.base import Batch, GeneratorObjective, Losses, Phase, RunSettings

Kind = Literal["non-saturating", "least-squares", "hinge", "wasserstein", "relativistic"]


@settings
class Config(GeneratorObjective[AdversarialGenerator]):
    """Settings of adversarial training of a generator and its discriminator."""

    id = "adversarial"
    loss: Kind = "relativistic"
    """Loss of the generator and of the discriminator."""
    r1: Annotated[float | None, Range(0, 10_000)] = 0.25
    """Weight gamma of the gradient penalty on real images, gamma / 2 * E|grad D|^2, for images in [0, 1]: a quarter of what papers
    with images in [-1, 1] write. None takes it from the size of the images: 0.25 at 64 x 64 in colour, in proportion to the number of
    values of an image."""
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
    """Weight of the L1 distance between the mean feature maps of generated and of real images in a trained network, layer by layer."""
    features: str = ""
    """The network that gives the features: a bundled model, a file, or a public name such as vgg16."""
    layers: Annotated[tuple[float, ...], Range(0, 1000)] = ()
    """Weights of its layers, finest first; none for one each."""
    augment: Augmentation = Augmentation()
    """Differentiable augmentation of all that the discriminator sees."""
    adaptive: Adaptive = Adaptive()
    """More augmentation, each change with a small probability that grows as the discriminator memorises images: for few images."""
    freeze: Annotated[int, Range(0, 64, "sizes")] = 0
    """The discriminator's layers at this many of its finest sizes are not trained. For few images, with weights to start from."""

    def check(self) -> None:
        if self.loss == "wasserstein" and self.gradient_penalty == 0 and self.r1 == 0:
            raise SettingError("adversarial: loss = 'wasserstein' needs gradient_penalty (10 is usual) or r1 above 0")

    def complete(self, model: object) -> "Config":
        """The objective with the weights of the penalties that are None taken from the shape of the images.

        `model` is the network or its complete settings.
        """
        if not isinstance(model, OfOneSize) or model.size is None or model.channels is None:
            raise SettingError(f"adversarial: {family(model)} is no network for images of one size; give such settings to model")
        # A squared gradient is a sum over pixels and grows with their number; published weights of tuned runs grow about as fast.
        gamma = 0.25 * model.channels * model.size[0] * model.size[1] / (3 * 64 * 64)
        unset = [name for name in ("r1", "r2") if getattr(self, name) is None]
        return dataclasses.replace(self, **dict.fromkeys(unset, gamma))

    def class_run(self, model: object) -> int:
        """As many images of one class as the discriminator compares with one another (its minibatch deviation); 1 if it compares none."""
        return max(1, getattr(model, "group", 0))

    def check_start(self, start: str, missing: Sequence[str] = ()) -> None:
        """Raises SettingError if `freeze` would keep weights of the discriminator that were never trained."""
        if self.freeze and not start:
            raise SettingError(
                f"objective.freeze = {self.freeze} would keep random weights as they are; name weights to start from (start)"
            )
        if self.freeze and "discriminator" in missing:
            raise SettingError(
                f"objective.freeze = {self.freeze} would keep random weights as they are: {start} has no discriminator; "
                "start from a run's folder, or leave freeze at 0"
            )

    def monitored(self, model: AdversarialGenerator) -> AdversarialGenerator:
        """`model`: its losses do not show how good the images are."""
        return model

    def remedies(self, fault: str, settings: RunSettings) -> list[str]:
        return remedies(fault, settings)

    def phases(self, model: AdversarialGenerator) -> list[Phase]:
        """Generator, discriminator, and the lazy penalties. The generator comes first: the discriminator and its penalty use its images.

        Raises SettingError for a penalty on a discriminator with batch normalisation, where no image has a slope of its own, for
        `perceptual` without `features` or the other way round, and if `freeze` leaves nothing to train.
        """
        if self.r1 is None or self.r2 is None:
            return self.complete(model).phases(model)
        self._refuse_batch_norm(model)
        if bool(self.perceptual) != bool(self.features):
            raise SettingError("adversarial: perceptual is the weight of the distance in features; give both or neither")
        if self.layers and not self.features:
            raise SettingError("adversarial: layers are weights of the layers of features, which is empty; give both or neither")
        if self.mixing and model.styles == 1:
            raise SettingError(f"objective.mixing = {self.mixing:g} has no effect: this network has one style for the whole image")
        losses = AdversarialLosses(self, model)
        discriminator, generator = trainable_weights(model, self.freeze), list(model.generator.parameters())
        phases = [
            Phase(name="generator", weights=generator, loss=losses.generator, every=self.generator_every),
            Phase(name="discriminator", weights=discriminator, loss=losses.discriminator, memory=losses.controller),
        ]
        if self.r1 or self.r2:
            phases.append(Phase(name="penalty", weights=discriminator, loss=losses.penalty, every=self.penalty_every))
        if self.path:
            phases.append(Phase(name="path", weights=generator, loss=losses.path, every=self.path_every, memory=losses.length))
        return phases

    def _refuse_batch_norm(self, model: AdversarialGenerator) -> None:
        batched = any(isinstance(module, nn.BatchNorm2d) for module in model.discriminator.modules())
        if batched and (self.r1 or self.r2 or self.gradient_penalty):
            raise SettingError(
                "the discriminator normalises over the batch (model.discriminator_normalise = 'batch'), so that no image has a slope of "
                "its own: r1, r2 and gradient_penalty must be 0"
            )


class AdversarialLosses:
    """The losses of generator and discriminator, and their common state: the images of a step, the controller, the mean path length."""

    def __init__(self, config: Config, model: AdversarialGenerator) -> None:
        self.config, self.model = config, model
        self.gammas = config.r1 or 0.0, config.r2 or 0.0
        self.controller = Controller(config.adaptive, penalised=any(self.gammas))
        self.length = PathLength()
        self.perception = Perception(config.features, config.layers, model.channels, device_of(model)) if config.perceptual else None
        self.step_images = StepImages(lambda batch: model.synthesize(mixed_styles(model, batch, config.mixing), batch.labels))

    def generator(self, batch: Batch) -> Losses:
        """The loss of the generator, on new images."""
        fake = self.step_images.generate(batch)
        on_fake = self._discriminate(fake, batch)
        on_real = self._discriminate(batch.clean, batch).logit.detach() if self.config.loss == "relativistic" else None
        # A discriminator that has not learned the classes gives the generator no useful gradient for them.
        weight = self.controller.class_information.clamp(0, 1)
        losses = self._with_classes(generator_loss(self.config.loss, on_fake.logit, on_real), on_fake, batch, weight=weight)
        if self.perception is not None:
            losses["perceptual"] = self.perception.mean_distance(fake, batch.clean)
            losses["total"] = losses["total"] + self.config.perceptual * losses["perceptual"]
        return losses | {"diversity": _spread(fake) / _spread(batch.clean)}

    def discriminator(self, batch: Batch) -> Losses:
        """The loss of the discriminator on the same images, and figures of its state."""
        fake = self.step_images.detached(batch)
        self.controller.steer(len(batch.clean) * batch.parts)
        shown = self._augmented(batch.clean, batch), self._augmented(fake, batch)
        output, on_fakes = self.model.discriminate_both(*shown, batch.labels)
        on_real, on_fake = output.logit, on_fakes.logit
        certainty = signs(self.config.loss, on_real.detach(), on_fake.detach())
        self.controller.note(certainty)
        total = discriminator_loss(self.config.loss, on_real, on_fake)
        losses = self._with_classes(total, output, batch)
        if "classes" in losses:
            self.controller.learn(losses["classes"].detach(), self.model.classes)
        losses |= {"real_logit": on_real.mean(), "fake_logit": on_fake.mean(), "told_apart": told_apart(on_real, on_fake)}
        losses["certainty"] = certainty.mean()
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
        fake, end = self.step_images.detached(batch), self.config.penalty_end
        fade = end + (1 - end) * (1 + math.cos(math.pi * batch.progress)) / 2
        r1, r2 = (
            squared_slope(lambda x: self._discriminate(x, batch).logit, images) if weight else batch.clean.new_zeros(())
            for weight, images in zip(self.gammas, (batch.clean, fake), strict=True)
        )
        weighted = fade * self.controller.gamma * (self.gammas[0] * r1 + self.gammas[1] * r2) / 2
        # The loss of a discriminator that guesses is log 2, of whatever kind: a yardstick that does not vanish as the loss does.
        share = weighted / (weighted + math.log(2))
        return {"total": self.config.penalty_every * weighted, "r1": r1, "r2": r2, "share": share}

    def path(self, batch: Batch) -> Losses:
        """The path length penalty, on every second image of the batch, so that a batch in order of classes keeps all classes."""
        z, noise = batch.normal(self.model.latent_dim)[::2], batch.normal(self.model.channels, *self.model.size)[::2]
        labels = None if batch.labels is None else batch.labels[::2]
        uneven, mean = self.length(self.model, self.model.map_latent(z, labels), labels, noise)
        return {"total": self.config.path_every * self.config.path * uneven, "uneven": uneven, "length": mean}

    def _discriminate(self, images: Images, batch: Batch) -> DiscriminatorOutput:
        """The output of the discriminator for augmented `images`."""
        return self.model.discriminate(self._augmented(images, batch), batch.labels)

    def _augmented(self, images: Images, batch: Batch) -> Images:
        """`images` as the discriminator sees them."""
        if self.config.augment.active:
            images = self.config.augment(images, batch.uniform(self.config.augment.draws))
        if self.config.adaptive.active:
            images = self.config.adaptive(images, batch.uniform(self.config.adaptive.draws), self.controller.probability)
        return images

    def _with_classes(self, total: Scalar, output: DiscriminatorOutput, batch: Batch, *, weight: Scalar | float = 1.0) -> Losses:
        """`total` plus `weight` times the cross-entropy of the classes of `batch`."""
        if not self.config.classify or output.scores is None:
            return {"total": total}
        assert batch.labels is not None
        cross_entropy = F.cross_entropy(output.scores, batch.labels)
        return {"total": total + self.config.classify * weight * cross_entropy, "classes": cross_entropy}

    def _slope_between(self, fake: Images, batch: Batch) -> Scalar:
        mix = batch.uniform(1, 1, 1)
        x = (batch.clean * mix + fake * (1 - mix)).detach().requires_grad_()
        logits = self.model.discriminate(x, batch.labels).logit.sum()
        with map_gradients_only():
            (slope,) = torch.autograd.grad(logits, x, create_graph=True)
        # The square root has no gradient at 0.
        return ((slope.float().square().sum(dim=(1, 2, 3)) + 1e-12).sqrt() - 1).square().mean()


class StepImages:
    """The generated images of a step: the phases of the step share them."""

    def __init__(self, generator: Callable[[Batch], Maps]) -> None:
        self._generator = generator
        self._batch: Batch | None = None
        self._images = torch.empty(0)

    def generate(self, batch: Batch) -> Maps:
        """New images, with gradients to the weights."""
        images = self._generator(batch)
        self._batch, self._images = batch, images.detach()
        return images

    def detached(self, batch: Batch) -> Maps:
        """The images of this step, without gradients."""
        if self._batch is not batch:
            with torch.no_grad():
                self.generate(batch)
        return self._images


def discriminator_loss(kind: Kind, real: PerImage, fake: PerImage) -> Scalar:
    """The loss of the discriminator, from its logits."""
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
    """The loss of the generator, from the logits; `real` is needed by the relativistic kind alone."""
    if kind == "non-saturating":
        return F.softplus(-fake).mean()
    if kind == "least-squares":
        return (fake - 1).square().mean() / 2
    if kind == "relativistic":
        assert real is not None
        return F.softplus(real - fake).mean()
    return -fake.mean()


def squared_slope(discriminate: Callable[[Images], PerImage], images: Images) -> Scalar:
    """Mean over images of the squared length of the gradient of `discriminate`: R1 on real images, R2 on generated ones, without weight."""
    x = images.detach().requires_grad_()
    logits = discriminate(x).sum()
    with map_gradients_only():
        (slope,) = torch.autograd.grad(logits, x, create_graph=True)
    return slope.float().square().sum(dim=(1, 2, 3)).mean()


def signs(kind: Kind, real: PerImage, fake: PerImage) -> PerImage:
    """For each real image 1 if the discriminator takes it for real, else -1.

    The logit is compared with a fixed limit, or for the other kinds of loss with the logit of a generated image.
    """
    limits = {"non-saturating": torch.zeros_like(real), "hinge": torch.zeros_like(real), "least-squares": torch.full_like(real, 0.5)}
    return torch.sign(real - limits.get(kind, fake))


def told_apart(real: PerImage, fake: PerImage) -> Scalar:
    """Share of pairs in which the real image has the higher logit: 0.5 for a discriminator that guesses, 1 for one that is always right."""
    return (real > fake).float().mean()


def _spread(images: Images) -> Scalar:
    """Standard deviation of a pixel inside the batch, averaged over pixels."""
    return images.detach().std(dim=0, correction=min(1, len(images) - 1)).mean()
