"""Style mixing and path lengths."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from sfumato.core.errors import SettingError
from sfumato.core.rng import seeded_generator
from sfumato.models import MODELS
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.objectives import adversarial as styled
from sfumato.objectives._styles import PathLength, mixed_styles
from sfumato.objectives.base import Batch
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel


class Linear(StyleGenerator):
    """Four styles of two numbers; the image is a matrix times all of them."""

    latent_dim, style_dim, styles, channels, size, classes = 2, 2, 4, 1, (2, 2), 0

    def __init__(self, matrix):
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def map_latent(self, z, labels=None):
        return z[:, None].expand(-1, 4, -1)

    def synthesize(self, styles, labels=None, steering=None):
        return (styles.flatten(1) @ self.matrix.T).reshape(-1, 1, 2, 2)


def batch(n):
    clean = torch.zeros(n, 1, 2, 2)
    return Batch(clean=clean, degraded=clean, labels=None, rng=seeded_generator(0), images_seen=0, progress=0.0)


def test_as_many_are_mixed_as_asked_and_from_any_layer_on():
    styles = mixed_styles(Linear(torch.eye(4, 8)), batch(4000), 0.75)
    changes = (styles[:, 1:] != styles[:, :-1]).any(dim=2)
    assert changes.sum(dim=1).max() == 1, "there is one border between two latents"
    assert changes.any(dim=1).float().mean().item() == pytest.approx(0.75, abs=0.03)
    torch.testing.assert_close(changes.float().mean(dim=0), torch.full((3,), 0.25), rtol=0, atol=0.03)


def test_unmixed_every_layer_has_the_one_style():
    styles = mixed_styles(Linear(torch.eye(4, 8)), batch(8), 0.0)
    assert torch.equal(styles, styles[:, :1].expand_as(styles))


def test_the_length_is_that_of_the_slope():
    """Of a linear generator: |Jᵀ noise|, root mean square over layers; images count double, as they span [-1, 1] in papers."""
    matrix = torch.randn(4, 8, generator=seeded_generator(1))
    model, path = Linear(matrix), PathLength()
    noise = torch.randn(3, 1, 2, 2, generator=seeded_generator(2))
    penalty, mean = path(model, model.map_latent(torch.zeros(3, 2)).clone().requires_grad_(), None, noise)
    slope = (2 * noise.flatten(1) / math.sqrt(4) @ matrix).reshape(3, 4, 2)
    lengths = slope.square().sum(dim=2).mean(dim=1).sqrt()
    assert mean.item() == pytest.approx(lengths.mean().item(), rel=1e-5)
    assert path.mean.item() == pytest.approx(0.01 * lengths.mean().item(), rel=1e-4)
    assert penalty.item() == pytest.approx((lengths - path.mean).square().mean().item(), rel=1e-4)
    penalty.backward()
    assert model.matrix.grad.abs().sum() > 0


def test_a_generator_whose_styles_are_its_latents_has_a_length_too():
    model = Linear(torch.randn(4, 8, generator=seeded_generator(1)))
    penalty, _ = PathLength()(model, model.map_latent(torch.zeros(3, 2)), None, torch.randn(3, 1, 2, 2, generator=seeded_generator(2)))
    penalty.backward()
    assert model.matrix.grad.abs().sum() > 0


def test_the_objective_mixes_and_measures_paths_of_half_a_batch(monkeypatch):
    seen = []
    monkeypatch.setattr(styled, "mixed_styles", lambda model, batch, chance: seen.append(chance) or mixed_styles(model, batch, chance))
    painted = []
    model = MODELS["stylegan"](size=(16, 16), channels=1, classes=2, width=4, discriminator_width=4, max_width=8, group=2).build()
    paint = model.synthesize
    monkeypatch.setattr(model, "synthesize", lambda styles, labels=None, options=None: painted.append(styles) or paint(styles, labels))
    phases = {p.name: p for p in styled.Config(mixing=1.0, path=2.0, path_every=3).phases(model)}
    images = torch.rand(6, 1, 16, 16, generator=seeded_generator(3))
    data = Batch(clean=images, degraded=images, labels=torch.arange(6) % 2, rng=seeded_generator(0), images_seen=0, progress=0.0)
    phases["generator"].loss(data)
    assert seen == [1.0]
    assert (painted[0][:, 0] != painted[0][:, -1]).any(dim=1).all(), "each has two latents"
    losses = phases["path"].loss(data)
    assert len(painted[1]) == 3
    assert phases["path"].every == 3
    assert losses["total"].item() == pytest.approx(3 * 2 * losses["uneven"].item(), rel=1e-5)
    losses["total"].backward()
    assert all(w.grad is not None for name, w in model.generator.named_parameters() if "mapping" in name)
    assert isinstance(phases["path"].memory, PathLength)


def test_a_trained_network_compares_batches_by_their_mean_maps(monkeypatch):
    eyes = MODELS["classifier"](size=(16, 16), channels=1, classes=2, widths=(4, 8)).build().eval()
    monkeypatch.setattr(weights, "load", lambda which: LoadedModel(eyes))
    model = MODELS["dcgan"](size=(16, 16), channels=1, classes=0, width=4, discriminator_width=4).build()
    images = torch.rand(6, 1, 16, 16, generator=seeded_generator(3))
    data = Batch(clean=images, degraded=images, labels=None, rng=seeded_generator(0), images_seen=0, progress=0.0)
    plain = styled.Config().phases(model)[0].loss(data)
    losses = styled.Config(perceptual=2.0, features="some").phases(model)[0].loss(dataclasses.replace(data, rng=seeded_generator(0)))
    made = model.sample(dataclasses.replace(data, rng=seeded_generator(0)).normal(model.latent_dim))
    apart = sum((a.mean(0) - b.mean(0)).abs().mean() for a, b in zip(eyes.layers(made), eyes.layers(images), strict=True))
    torch.testing.assert_close(losses["perceptual"], apart)
    torch.testing.assert_close(losses["total"], plain["total"] + 2 * apart)
    with pytest.raises(SettingError, match="both or neither"):
        styled.Config(perceptual=1.0).phases(model)


def test_the_mean_is_what_it_remembers():
    model, path = Linear(torch.randn(4, 8, generator=seeded_generator(1))), PathLength()
    for i in range(800):
        noise = torch.randn(4, 1, 2, 2, generator=seeded_generator(i))
        _, mean = path(model, model.map_latent(torch.zeros(4, 2)).clone().requires_grad_(), None, noise)
    assert path.mean.item() == pytest.approx(mean.item(), rel=0.4)
    assert "mean" in path.state_dict()
