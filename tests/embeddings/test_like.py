"""More like these: the seeds that are chosen are those whose images are nearest."""

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.data.dataset import Dataset
from sfumato.embeddings.embed import embed
from sfumato.embeddings.like import seeds_like
from sfumato.generation.generate import generate
from sfumato.metrics.features import Pixels
from sfumato.models import MODELS


class Small(Pixels):
    """The means of small grey pictures."""

    size = (8, 8)
    channels = 1


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return MODELS["dcgan"](size=(8, 8), channels=1, classes=0, latent_dim=4, width=4, discriminator_width=0).build().eval()


def test_the_seeds_of_the_pictures_themselves_come_first(generator):
    pixels = (generate(generator, seeds=[7, 19, 40]).as_subclass(torch.Tensor) * 255).round().to(torch.uint8)
    describer = Small(channels=1, side=8)
    for wanted in (0, 1, 2):
        index = embed(Dataset(name="one", pixels=pixels[wanted : wanted + 1]), describer)
        assert seeds_like(index, generator, 3, model=describer)[0] == (7, 19, 40)[wanted]


def test_images_are_nearer_than_those_of_any_seed(generator):
    pixels = (generate(generator, seeds=range(500, 503)).as_subclass(torch.Tensor) * 255).round().to(torch.uint8)
    describer = Small(channels=1, side=8)
    index = embed(Dataset(name="three", pixels=pixels), describer)

    def distance(seeds):
        vectors = describer.features(generate(generator, seeds=seeds).as_subclass(torch.Tensor))
        return torch.cdist(vectors, index.vectors.float()).mean().item()

    assert distance(seeds_like(index, generator, 4, model=describer)) < distance(range(64))
    assert len(set(seeds_like(index, generator, 4, seed=100, model=describer)) & set(range(100, 164))) == 4


@pytest.mark.parametrize("options", [{"n": 0}, {"tries": 0}])
def test_no_images_are_refused(options, generator, bars):
    describer = Small(channels=1, side=8)
    with pytest.raises(SettingError):
        seeds_like(embed(bars, describer), generator, model=describer, **options)
