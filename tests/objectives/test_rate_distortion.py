"""The objective of codecs: levels are spread, and a short training makes a better bargain at every level."""

import dataclasses

import pytest
import torch

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.data.dataset import Scenes
from sfumato.models.hyperprior import Config as Network
from sfumato.objectives.base import Batch
from sfumato.objectives.rate_distortion import spread_levels

SMALL = Network(fine=8, middle=8, coarse=8, blocks=(1, 1, 1), latent=24, hyper=8, hyper_latent=4)


def batch(count, seed=0, part=0, parts=1):
    images = torch.zeros(count, 3, 2, 2)
    rng = torch.Generator().manual_seed(seed)
    return Batch(clean=images, degraded=images, labels=None, rng=rng, images_seen=0, progress=0.0, part=part, parts=parts)


def test_levels_are_spread_over_the_batch():
    for seed in range(5):
        levels = spread_levels(batch(8, seed)).sort().values
        assert ((levels * 8).floor() == torch.arange(8)).all()


def test_processes_share_the_levels_of_a_batch():
    whole = spread_levels(batch(8))
    parts = [spread_levels(batch(4, part=part, parts=2)) for part in (0, 1)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.fixture
def pictures():
    rng = torch.Generator().manual_seed(0)
    shapes = torch.rand(12, 3, 4, 4, generator=rng).repeat_interleave(20, dim=2).repeat_interleave(20, dim=3)
    return Scenes(name="shapes", pictures=tuple((shapes * 255).to(torch.uint8)))


def test_training_makes_a_better_bargain_and_completes_the_tables(pictures):
    settings = dataclasses.replace(
        sf.recipe("codec"), model=SMALL, data="shapes", validation=0, patch=64, images=400, batch=8, ema=0, precision="fp32"
    )
    rows = []

    class Rows(sf.Callback):
        def row(self, row, settings):
            rows.append(row["codec/total"])

    model = sf.fit(settings, data=pictures, device="cpu", watch=Rows())
    assert rows[-1] < rows[0]
    assert (model.network.tables()[1].sum(dim=1) == 1 << 16).all()


def test_a_patch_that_does_not_fit_is_refused(pictures):
    settings = dataclasses.replace(sf.recipe("codec"), model=SMALL, data="shapes", validation=0, patch=72, images=8)
    with pytest.raises(SettingError, match="patch = 72 must be a multiple of 16"):
        sf.fit(settings, data=pictures, device="cpu")
