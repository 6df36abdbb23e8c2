"""What the laws share: small networks of every family, and everything that one may ask of them."""

import dataclasses
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import pytest
import torch

from sfumato.core.config import Range
from sfumato.core.tensors import to_images
from sfumato.models import MODELS
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.codec import Codec
from sfumato.models.roles.feature_extractor import Backbone, FeatureExtractor, FeaturePyramid
from sfumato.models.roles.latent_variable_model import LatentVariableModel
from sfumato.models.roles.perceptual_metric import PerceptualMetric
from sfumato.models.roles.restorer import AdversarialRestorer, Restorer
from sfumato.models.roles.style_generator import AdversarialGenerator, StyleGenerator

collect_ignore = ["toy_codec.py", "toy_translator.py"]
"""Plug-ins for the tests of tasks, which claim ids as soon as they are imported."""

SMALL = {"channels": 8, "units": 8, "numbers": 6, "convolutions": 4, "blocks": 2, "pixels a side": 2}
"""The largest number of each unit that a network in a test has."""

TOGETHER = {
    "gated": (
        {"encoder": (1, 0), "decoder": (0, 1), "middle": 1, "window": 8, "channel_gate": "mean+max", "pixel_gate": "pooled"},
        {"encoder": (1,), "decoder": (2,), "middle": 1, "convolution": "depthwise", "between": "split", "channel_gate": "linear"},
        {"encoder": (1,), "decoder": (1,), "middle": 0, "window": 4, "channel_gate": "mean+std", "fold": 2, "scale": 2},
        {"planes": ("noise", "observed"), "fill": 2},
        {"scale": 3, "back_projections": 2},
    )
}
"""Choices of a family that mean something only beside others."""

NOT_ALONE = {"gated": {"fill", "back_projections"}}
"""Settings that are refused without others."""


def ranges(config):
    """Name to (plain type, Range) of every setting that is a number, or several."""
    found = {}
    for name, hint in get_type_hints(config, include_extras=True).items():
        if get_origin(hint) is Annotated:
            plain, *extras = get_args(hint)
            limits = [each for each in extras if isinstance(each, Range)]  # the help of the command line annotates too
            found |= {name: (plain, limits[0])} if limits else {}
    return found


@pytest.fixture(name="ranges")
def _ranges():
    return ranges


@pytest.fixture
def small():
    """The settings of a small network, small networks inside it: `small(name, size, channels, classes, **changes)`."""

    def make(name, size=(16, 16), channels=1, classes=0, **changes):
        return shrunk(MODELS[name], size, channels, classes, **changes)

    def shrunk(kind, size, channels, classes, **changes):
        defaults = {field.name: field.default for field in dataclasses.fields(kind)}
        values = {}
        for field, (_, limits) in ranges(kind).items():
            most, default = SMALL.get(limits.unit), defaults[field]
            if most and isinstance(default, int):
                values[field] = min(most, default)
            if most and isinstance(default, tuple):
                values[field] = tuple(min(most, each) for each in default)
        for field, default in defaults.items():
            if dataclasses.is_dataclass(default) and hasattr(default, "build"):
                values[field] = shrunk(type(default), size, channels, classes)
        facts = {"size": size, "channels": channels, "classes": classes}
        return kind(**{**values, **{fact: value for fact, value in facts.items() if fact in defaults}, **changes})

    return make


@pytest.fixture
def variants():
    """Each other choice of each setting that has choices, on or off, or none by default; and those that belong together."""

    def changes(name):
        kind = MODELS[name]
        for field in dataclasses.fields(kind):
            hint = get_type_hints(kind)[field.name]
            if get_origin(hint) is Literal:
                yield from ({field.name: choice} for choice in get_args(hint) if choice != field.default)
            elif get_origin(hint) is tuple and get_origin(get_args(hint)[0]) is Literal:
                yield {field.name: get_args(get_args(hint)[0])}
            elif hint is bool:
                yield {field.name: not field.default}
            elif hint in (int, float) and field.default == 0 and field.name not in NOT_ALONE.get(name, ()):
                yield {field.name: hint(2) if hint is int else 0.5}
        yield from TOGETHER.get(name, ())

    return changes


@pytest.fixture
def ask():
    """Every answer that the roles of a network let one ask for, about images, labels and latents number `which` of four."""

    def answers(net, which=slice(None)):
        rng = torch.Generator().manual_seed(7)
        size = (net.min_side + 8, net.min_side + 15) if isinstance(net, Backbone | PerceptualMetric) else getattr(net, "size", (16, 24))
        stored = torch.randint(0, 256, (4, net.channels, *size), generator=rng, dtype=torch.uint8)
        images = to_images(stored)[which]
        labels = (torch.arange(4) % net.classes)[which] if getattr(net, "classes", 0) else None
        said = {}
        if isinstance(net, Restorer):
            planes = torch.rand(4, len(net.conditioning), 16, 24, generator=rng)[which] if net.conditioning else None
            said["restore"] = net.restore(images, planes)
        if isinstance(net, AdversarialRestorer):
            said["judge"] = net.discriminate(images)
        if isinstance(net, Codec):
            level, large = torch.tensor([0.1, 0.4, 0.7, 1.0])[which], images.repeat(1, 1, 4, 4)
            said["latent"] = net.encode(large, level)
            said["compressed"] = net.decode(said["latent"], level)
        if isinstance(net, StyleGenerator):
            z = torch.randn(4, net.latent_dim, generator=rng)[which]
            said["sample"] = net.sample(z, labels)
        if isinstance(net, AdversarialGenerator):
            said["judge"] = net.discriminate(images, labels).logit
        if isinstance(net, LatentVariableModel):
            said["mean"], said["logvar"] = net.posterior(images, labels)
            said["decode"] = net.decode(z, labels)
            said["observe"] = net.observe(images, images.flip(2))
            said["log_likelihood"] = net.log_likelihood(said["observe"], z, labels)
        if isinstance(net, FeatureExtractor):
            said["features"] = net.features(images)
        if isinstance(net, FeaturePyramid):
            said["layers"] = torch.cat([maps.mean(dim=(2, 3)) for maps in net.layers(images)], dim=1)
        if isinstance(net, Backbone) and net.classes:
            said["scores"] = net.scores(images)
        if isinstance(net, PerceptualMetric):
            said["distance"] = net.distance(images, images.flip(3))
        if isinstance(net, Classifier):
            said["classify"] = net.classify(images)
        return said

    return answers
