"""What the laws share: small networks of every family, and everything that one may ask of them."""

import dataclasses
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
import torch

from sfumato.core.image import to_images
from sfumato.core.settings import Range
from sfumato.models import MODELS
from sfumato.models.base import Adversarial, Classifies, Describes, Encodes, Restores, Samples

SMALL = {"channels": 8, "units": 8, "numbers": 6, "convolutions": 4, "blocks": 2}
"""The largest number of each unit that a network in a test has."""


def ranges(config):
    """Name to (plain type, Range) of every setting that is a number, or several."""
    found = {}
    for name, hint in get_type_hints(config, include_extras=True).items():
        if get_origin(hint) is Annotated:
            plain, *extras = get_args(hint)
            found[name] = plain, next(e for e in extras if isinstance(e, Range))
    return found


@pytest.fixture(name="ranges")
def _ranges():
    return ranges


@pytest.fixture
def small():
    """The settings of a small network: `small(name, size, channels, classes, **changes)`."""

    def make(name, size=(16, 16), channels=1, classes=0, **changes):
        kind = MODELS[name]
        defaults = {field.name: field.default for field in dataclasses.fields(kind)}
        values = {}
        for field, (_, limits) in ranges(kind).items():
            most, default = SMALL.get(limits.unit), defaults[field]
            if most and isinstance(default, int):
                values[field] = min(most, default)
            if most and isinstance(default, tuple):
                values[field] = tuple(min(most, each) for each in default)
        facts = {"size": size, "channels": channels, "classes": classes}
        return kind(**{**values, **{fact: value for fact, value in facts.items() if fact in defaults}, **changes})

    return make


@pytest.fixture
def ask():
    """Every answer that the roles of a network let one ask for, about images, labels and latents number `which` of four."""

    def answers(net, which=slice(None)):
        rng = torch.Generator().manual_seed(7)
        stored = torch.randint(0, 256, (4, net.channels, *getattr(net, "size", (16, 24))), generator=rng, dtype=torch.uint8)
        images = to_images(stored)[which]
        labels = (torch.arange(4) % net.classes)[which] if getattr(net, "classes", 0) else None
        said = {}
        if isinstance(net, Restores):
            planes = torch.rand(4, len(net.takes), 16, 24, generator=rng)[which] if net.takes else None
            said["restore"] = net.restore(images, planes)
        if isinstance(net, Samples):
            z = torch.randn(4, net.latent_dim, generator=rng)[which]
            said["sample"] = net.sample(z, labels)
        if isinstance(net, Adversarial):
            said["judge"] = net.judge(images, labels).logit
        if isinstance(net, Encodes):
            said["mean"], said["logvar"] = net.posterior(images, labels)
            said["decode"] = net.decode(z, labels)
            said["observe"] = net.observe(images, images.flip(2))
            said["log_likelihood"] = net.log_likelihood(said["observe"], z, labels)
        if isinstance(net, Describes):
            said["features"] = net.features(images)
        if isinstance(net, Classifies):
            said["classify"] = net.classify(images)
        return said

    return answers
