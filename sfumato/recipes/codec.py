"""Codecs: networks that compress images."""

from sfumato.data import augment
from sfumato.models import hyperprior
from sfumato.objectives import rate_distortion
from sfumato.train.settings import TrainSettings


def codec() -> TrainSettings:
    """A codec for photographs at all rates, in one file."""
    return TrainSettings(
        model=hyperprior.Config(),
        objective=rate_distortion.Config(),
        data="bsds500+bsds500-half+photos+drawings",
        validation=0.03,
        patch=128,
        augment=augment.Config(flip=0.5, turn=0.5, grey=0.05),
        images=400_000,
        batch=8,
        optimiser="muon",
        lr=1e-3,
        doctor="act",
        lr_warmup=800,
        lr_end=0.01,
        clip=1.0,
        ema=10_000,
        precision="auto",
        log_every=4_000,
        sample_every=40_000,
        save_every=20_000,
    )
