"""Steps of back-projection: the reduction of an enlarged image comes back to the image, in tiles and in exported graphs too."""

import itertools

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.models import gated
from sfumato.nn.resample import shrink
from sfumato.restoration.tiles import apply_restorer

IMAGES = torch.rand(1, 3, 70, 54, generator=torch.Generator().manual_seed(0))


def network(scale, steps):
    torch.manual_seed(0)
    return gated.Config(width=8, middle=2, scale=scale, back_projections=steps).build().eval()


@pytest.mark.parametrize("scale", [2, 3, 4])
@torch.no_grad()
def test_each_step_brings_the_reduction_nearer_to_the_image(scale):
    errors = []
    for steps in range(4):
        model = network(scale, steps)
        torch.nn.init.normal_(model.tail.weight, std=0.05)
        errors.append((shrink(model.restore(IMAGES), scale) - IMAGES).square().mean().item())
    assert all(later < 0.5 * sooner for sooner, later in itertools.pairwise(errors)), errors


@pytest.mark.parametrize("scale", [2, 4])
def test_tiles_are_the_whole(scale):
    model = network(scale, 2)
    torch.nn.init.normal_(model.tail.weight, std=0.05)
    assert torch.allclose(apply_restorer(model, IMAGES, tile=24), apply_restorer(model, IMAGES), atol=1e-5)


@torch.no_grad()
def test_an_exported_graph_reduces_alike(monkeypatch):
    model = network(4, 2)
    torch.nn.init.normal_(model.tail.weight, std=0.05)
    plain = model.restore(IMAGES)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert torch.allclose(model.restore(IMAGES), plain, atol=1e-5)


def test_steps_without_an_enlargement_are_refused():
    with pytest.raises(SettingError, match="no effect"):
        gated.Config(back_projections=1)
