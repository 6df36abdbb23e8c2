"""A generator without styles is taken wherever none are needed, and refused in one line where they are."""

import dataclasses
from typing import final

import pytest
import torch
from torch import nn

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.data.dataset import Dataset
from sfumato.data.stream import Stream
from sfumato.evaluation.score import generated
from sfumato.models import MODELS
from sfumato.models.roles.generator import Generator
from sfumato.objectives.base import GeneratorObjective, Phase
from sfumato.train.samples import sheet
from sfumato.train.settings import TrainSettings


@final
class Plain(Generator):
    """Noise to images in one step."""

    def __init__(self, classes):
        super().__init__()
        self.latent_dim, self.channels, self.size, self.classes = 4, 1, (8, 8), classes
        self.layer = nn.Linear(4 + classes, 64)

    def sample(self, z, labels=None):
        inputs = z if labels is None else torch.cat([z, nn.functional.one_hot(labels, self.classes).float()], dim=1)
        return torch.sigmoid(self.layer(inputs)).reshape(-1, 1, 8, 8)


class Nothing(GeneratorObjective):
    def phases(self, model: Generator) -> list[Phase]:
        return []


@pytest.fixture(params=[0, 3], ids=["without classes", "with classes"])
def network(request):
    torch.manual_seed(0)
    return Plain(request.param).eval().requires_grad_(False)


def test_an_image_is_that_of_its_seed(network):
    images = sf.generate(network, 5, seed=2, device="cpu")
    assert images.shape == (5, 1, 8, 8)
    assert torch.equal(images[3], sf.generate(network, seeds=[5], device="cpu")[0])


def test_walks_begin_and_end_at_their_seeds(network):
    frames = sf.interpolate(network, [0, 3], steps=2, loop=False, device="cpu")
    assert len(frames) == 3
    assert torch.allclose(frames[0], sf.generate(network, seeds=[0], device="cpu")[0], atol=1e-6)
    assert torch.allclose(frames[2], sf.generate(network, seeds=[3], device="cpu")[0], atol=1e-6)


def test_it_is_measured_and_audited(network, bars):
    data = bars if network.classes else dataclasses.replace(bars, labels=None, classes=())
    figures = {m.name: m.value for m in sf.evaluate(network, data, count=40, device="cpu")}
    assert figures["frechet"] > 0
    assert len(sf.audit(network, data, count=20, device="cpu").images) == 20


def test_its_images_are_a_data_set(network):
    data = generated(network, 6, device="cpu")
    assert isinstance(data, Dataset)
    assert (data.labels is None) == (network.classes == 0)


def test_a_sheet_shows_its_samples(network, bars):
    settings = TrainSettings(model=MODELS["vae"](), objective=Nothing(), batch=16)
    images = sheet(network, Stream(bars, batch=16, seed=0), settings)
    assert images.shape == (64, 1, 8, 8)
    assert 0 <= images.min() < images.max() <= 1


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        (lambda network: sf.generate(network, truncation=0.5), "truncation = 0.5 needs a network with styles, and a Plain has none"),
        (lambda network: sf.interpolate(network, space="w"), "space = w needs a network with styles, and a Plain has none"),
        (lambda network: sf.mix(network, [0], [1], layers=(0, 1)), "Plain has no styles, so that its images cannot be edited"),
    ],
    ids=["truncation", "w", "mix"],
)
def test_where_styles_are_needed_it_is_refused(network, verb, message):
    with pytest.raises(SettingError, match=message):
        verb(network)
