"""Adversarial restoration: a restored image must be near the clean one and look like a clean one to a discriminator.

    generator       distance(restored, clean) + weight * adversarial loss
    discriminator   tells clean images from restored ones
    penalty         R1, lazily

SRGAN (Ledig et al. 2017, https://arxiv.org/abs/1609.04802, eq. 3) and, for holes, context encoders (Pathak et al. 2016,
https://arxiv.org/abs/1604.07379, eq. 3). The relativistic loss compares each clean image with its own restored one, in the pairs that
ESRGAN takes averages of (Wang et al. 2018, https://arxiv.org/abs/1809.00219, section 3.2). Images look better at a somewhat lower PSNR.
"""

from typing import Annotated, Literal

from sfumato.core.config import Range, settings
from sfumato.models.roles.restorer import AdversarialRestorer
from sfumato.objectives import restoration
from sfumato.objectives.adversarial import StepImages, discriminator_loss, generator_loss, squared_slope, told_apart
from sfumato.objectives.base import Batch, Losses, Phase


@settings
class Config(restoration.RestorationObjective[AdversarialRestorer]):
    """Settings of adversarial training of a restorer."""

    id = "adversarial_restoration"
    distance: restoration.Config = restoration.Config(charbonnier=0.0, l1=1.0)
    """Distance of the restored image from the clean one."""
    adversarial: Annotated[float, Range(1e-6, 1000)] = 0.01
    """Weight of the adversarial loss beside the distance."""
    warmup: Annotated[int, Range(0, 10**12, "images")] = 0
    """The adversarial loss's weight grows linearly from 0 over this many images."""
    loss: Literal["relativistic", "non-saturating", "least-squares", "hinge"] = "relativistic"
    """Loss of the generator and of the discriminator."""
    r1: Annotated[float, Range(0, 10_000)] = 0.25
    """Weight gamma of the gradient penalty on clean images, gamma / 2 * E|grad D|^2, for images in [0, 1]; 0 leaves it out."""
    penalty_every: Annotated[int, Range(1, 64, "steps")] = 4
    """R1 is taken on every k-th step, k times as strong."""

    def phases(self, model: AdversarialRestorer) -> list[Phase]:
        """Generator, discriminator, and the lazy penalty if there is one. Raises the errors of `distance`."""
        distance = self.distance.distance(model)
        step_images = StepImages(lambda batch: restoration.restored(model, batch))

        def generator(batch: Batch) -> Losses:
            output = step_images.generate(batch)
            losses = distance(output, batch.clean, batch.images_seen)
            on_clean = model.discriminate(batch.clean).detach() if self.loss == "relativistic" else None
            adversarial = generator_loss(self.loss, model.discriminate(output), on_clean)
            ramp = min(1.0, (batch.images_seen + 1) / self.warmup) if self.warmup else 1.0
            total = losses["total"] + ramp * self.adversarial * adversarial
            return {**losses, "total": total, "distance": losses["total"], "adversarial": adversarial}

        def discriminator(batch: Batch) -> Losses:
            real, fake = model.discriminate(batch.clean), model.discriminate(step_images.detached(batch))
            # Not called told_apart, as in a plain GAN: here the distance keeps the generator from winning, and that is no fault.
            figures = {"real_logit": real.mean(), "fake_logit": fake.mean(), "recognised": told_apart(real, fake)}
            return {"total": discriminator_loss(self.loss, real, fake), **figures}

        def penalty(batch: Batch) -> Losses:
            r1 = squared_slope(model.discriminate, batch.clean)
            return {"total": self.penalty_every * self.r1 / 2 * r1, "r1": r1}

        weights, opposing = list(model.restorer.parameters()), list(model.discriminator.parameters())
        phases = [
            Phase(name="generator", weights=weights, loss=generator),
            Phase(name="discriminator", weights=opposing, loss=discriminator),
        ]
        return [*phases, Phase(name="penalty", weights=opposing, loss=penalty, every=self.penalty_every)] if self.r1 else phases
