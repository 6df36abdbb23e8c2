"""Laws for every network in the folder."""

import dataclasses
import itertools
import json
import math
from typing import get_type_hints

import pytest
import torch

from sfumato.core.config import dump, parse
from sfumato.core.errors import SettingError
from sfumato.models import MODELS
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.feature_extractor import FeaturePyramid
from sfumato.models.roles.restorer import AdversarialRestorer
from sfumato.models.roles.style_generator import AdversarialGenerator
from sfumato.store import checkpoint

SHAPES = {
    "square grey": ((16, 16), 1, 0),
    "tall colour with labels": ((24, 16), 3, 3),
    "wide with alpha": ((16, 40), 4, 0),
    "odd, two channels, with labels": ((17, 23), 2, 5),
    "smallest": ((8, 8), 1, 2),
}

every_network = pytest.mark.parametrize("name", list(MODELS))


def role(name):
    """The class of network that the family called `name` builds."""
    return get_type_hints(MODELS[name].build)["return"]


def left_open(name):
    """Whether the family leaves its size, channels and classes to the data."""
    fields = {field.name: field.default for field in dataclasses.fields(MODELS[name])}
    return all(fields.get(fact, 0) is None for fact in ("size", "channels", "classes"))


@pytest.fixture
def build(small):
    """A network in the evaluating mode; one that classifies gets two classes at the least."""

    def make(name, size=(16, 16), channels=1, classes=0, seed=0, **changes):
        least = 2 if issubclass(role(name), Classifier) else 0
        config = small(name, size, channels, max(least, classes), **changes)
        torch.manual_seed(seed)
        return config, config.build().eval()

    return make


@every_network
def test_the_same_seed_gives_the_same_weights_and_another_gives_others(name, build):
    first, again, other = (build(name, seed=seed)[1].state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first), "built twice from one seed, the weights differ"
    assert any(not torch.equal(first[key], other[key]) for key in first), "another seed gave the very same weights"


@every_network
@pytest.mark.parametrize("shape", SHAPES)
def test_roles_keep_their_word(name, shape, build, ask):
    size, channels, classes = SHAPES[shape]
    _, net = build(name, size, channels, classes)
    latent, features = getattr(net, "latent_dim", None), getattr(net, "feature_dim", None)
    images = (4, channels, *size)
    promised = {
        "sample": images,
        "decode": images,
        "observe": images,
        "judge": (4,),
        "log_likelihood": (4,),
        "mean": (4, latent),
        "logvar": (4, latent),
        "features": (4, features),
        "layers": (4, sum(getattr(net, "layer_widths", ()))),
        "classify": (4, getattr(net, "classes", 0)),
        "scores": (4, getattr(net, "classes", 0)),
        "distance": (4,),
        "latent": (4, getattr(net, "latent_channels", 0), 4, 6),
        "compressed": (4, 3, 64, 96),
        "restore": (4, channels, 16 * getattr(net, "scale", 1), 24 * getattr(net, "scale", 1)),
    }
    for question, answer in ask(net).items():
        assert answer.shape == promised[question], f"{question} of {size} images with {channels} channels and {classes} classes"
        assert answer.dtype == torch.float32, question
        assert torch.isfinite(answer).all(), question


@every_network
def test_every_choice_of_every_setting_makes_a_network(name, build, ask, variants):
    for change in variants(name):
        _, net = build(name, (17, 23), 3, 2, **change)
        for question, answer in ask(net, slice(2)).items():
            assert torch.isfinite(answer).all(), f"{question} with {change}"


@pytest.mark.parametrize("name", [name for name in MODELS if issubclass(role(name), FeaturePyramid)])
def test_layers_go_from_fine_to_coarse_at_any_size_and_back_to_the_image(name, build):
    _, net = build(name, (16, 16), 3)
    for h, w in ((net.min_side, 3 * net.min_side), (net.min_side + 24, net.min_side + 17)):
        images = torch.rand(2, 3, h, w, requires_grad=True)
        maps = net.layers(images)
        assert tuple(m.shape[1] for m in maps) == net.layer_widths
        assert all(a.shape[2] >= b.shape[2] and a.shape[3] >= b.shape[3] for a, b in itertools.pairwise(maps))
        assert all(1 <= side <= math.ceil(full / net.reduction) for side, full in zip(maps[-1].shape[2:], (h, w), strict=True))
        sum(m.sum() for m in maps).backward()
        assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("name", [name for name in MODELS if issubclass(role(name), AdversarialGenerator | AdversarialRestorer)])
def test_a_discriminator_can_be_differentiated_twice(name, build, variants):
    for change in [{}, *variants(name)]:
        _, net = build(name, (8, 8), 1, 0, **change)
        images = torch.rand(4, 1, 8, 8, requires_grad=True)
        logit = net.discriminate(images) if isinstance(net, AdversarialRestorer) else net.discriminate(images).logit
        (slope,) = torch.autograd.grad(logit.sum(), images, create_graph=True)
        slope.square().sum().backward()
        gradients = [w.grad for w in net.discriminator.parameters() if w.grad is not None]
        assert gradients, change
        assert all(torch.isfinite(g).all() for g in gradients), change


@every_network
def test_an_image_does_not_depend_on_its_batch(name, build, ask):
    _, net = build(name, (17, 23), 3, 3)
    together, alone = ask(net), ask(net, slice(2, 3))
    for question in together.keys() - {"judge"}:  # a discriminator may compare the images of its batch
        torch.testing.assert_close(alone[question], together[question][2:3], rtol=1e-4, atol=1e-5, msg=lambda m, q=question: f"{q}: {m}")


@every_network
def test_the_order_of_bytes_in_memory_does_not_matter(name, build, ask):
    _, net = build(name, (17, 23), 3, 3)
    plain = ask(net.to(memory_format=torch.contiguous_format))
    last = ask(net.to(memory_format=torch.channels_last))
    for question, answer in plain.items():
        torch.testing.assert_close(last[question], answer, rtol=1e-4, atol=1e-5, msg=lambda m, q=question: f"{q}: {m}")


@every_network
def test_a_model_file_gives_back_the_same_network(name, build, ask, tmp_path):
    config, net = build(name, (17, 23), 3, 3)
    checkpoint.save(tmp_path / "model.safetensors", net, config, {"note": "for a test"})
    loaded = checkpoint.load(tmp_path / "model.safetensors")
    assert loaded.config == config
    assert loaded.card.dump() == {"metrics": [], "note": "for a test"}
    assert not loaded.network.training
    for key, value in net.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[key], value), f"{key} is not bit for bit what was saved"
    before, after = ask(net.to(memory_format=torch.channels_last)), ask(loaded.network)
    for question in before:
        assert torch.equal(before[question], after[question]), question


@every_network
def test_half_the_bits_cost_little(name, build, ask, tmp_path):
    config, net = build(name, (17, 23), 3, 3)
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    checkpoint.save(whole, net, config, {})
    checkpoint.save(half, net, config, {}, half=True)
    assert half.stat().st_size < 0.8 * whole.stat().st_size
    loaded = checkpoint.load(half)
    for key, value in net.state_dict().items():
        assert loaded.network.state_dict()[key].dtype == value.dtype, key
        torch.testing.assert_close(loaded.network.state_dict()[key], value, rtol=1e-3, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}")
    before, after = ask(net), ask(loaded.network)
    for question in before:
        torch.testing.assert_close(after[question], before[question], rtol=2e-2, atol=2e-2, msg=lambda m, q=question: f"{q}: {m}")


@every_network
def test_settings_survive_a_file(name, small):
    config = small(name, (17, 23), 3, 3)
    assert parse(json.loads(json.dumps(dump(config)))) == config


@pytest.mark.parametrize("name", [name for name in MODELS if left_open(name)])
def test_a_network_is_not_built_before_its_data_is_known(name):
    with pytest.raises(SettingError, match="size, channels, classes must be set"):
        MODELS[name]().build()
