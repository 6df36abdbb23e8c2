"""Restorers that are trained against a discriminator: less PSNR, more texture."""

import dataclasses

from sfumato.models import srgan as networks
from sfumato.objectives import adversarial_restoration, restoration
from sfumato.recipes.restore import NETWORK_X4, upscale_x4
from sfumato.train.settings import TrainSettings


def upscale_gan() -> TrainSettings:
    """SRGAN: enlarges the sides four times and invents texture. The adversarial loss rises over the first sixth of the run."""
    base = upscale_x4()
    return dataclasses.replace(
        base,
        model=networks.Config(restorer=NETWORK_X4),
        objective=adversarial_restoration.Config(
            distance=restoration.Config(charbonnier=0.0, l1=1.0),
            warmup=base.images // 6,
        ),
        optimiser="adam",
        lr=base.lr / 2,
        beta1=0.5,
    )
