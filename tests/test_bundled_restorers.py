"""The restorers that come with the toolkit: small, honest about where they come from, the same in tiles, and better than nothing."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

import sfumato as sf
from sfumato.classical.deconvolve import point_spread
from sfumato.core.image import to_images
from sfumato.data.dataset import Scenes
from sfumato.jobs.tiles import restored
from sfumato.jobs.trials import judge, judge_restorer
from sfumato.models.base import Deblurs
from sfumato.store import weights

NAMES = ("restore", "inpaint", "deblur", "upscale-x2", "upscale-x4")

each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def camera():
    """A photograph that nothing was trained on, cut to keep the tests short."""
    picture = torch.from_numpy(data.camera()[100:228, 150:300].copy())
    return Scenes(name="camera", pictures=(picture.expand(3, -1, -1).contiguous(),))


@each
def test_it_is_small_and_says_where_it_comes_from(name):
    path = weights.bundled()[name]
    assert path.stat().st_size <= 8e6
    card = sf.load(name).card
    assert card["name"] == name
    assert "BSDS500" in card["data"]["terms"]
    assert "licence" in card
    assert {m["protocol"]["reference"].split()[0] for m in card["metrics"]} <= {"set12", "bsd68", "set5", "bsds500"}


@each
@settings(max_examples=6, deadline=None)
@given(h=st.integers(1, 150), w=st.integers(1, 150), tile=st.integers(8, 120), colour=st.booleans())
def test_tiles_are_the_whole(name, h, w, tile, colour):
    net = sf.load(name)
    images = torch.rand(1, 3 if colour else 1, h, w, generator=torch.Generator().manual_seed(h * 200 + w))
    known = (torch.rand(1, 1, h, w, generator=torch.Generator().manual_seed(1)) > 0.4).float()
    told = {name: value for name, value in {"known": known, "noise": 0.01}.items() if name in net.takes}
    if isinstance(net, Deblurs):
        told["kernels"] = point_spread("motion", 7, angle=30)
    whole, tiled = restored(net, images, **told), restored(net, images, tile=tile, **told)
    assert (whole - tiled).abs().max().item() <= 1e-4


@pytest.mark.parametrize(
    ("name", "damage", "least"),
    [
        ("restore", "noise:25", 6.0),
        ("restore", "salt-and-pepper:20", 12.0),
        ("restore", "jpeg:10", 0.3),
        ("inpaint", "missing:50", 15.0),
        ("inpaint", "text", 10.0),
        ("deblur", "blur:1.6", 2.0),
        ("deblur", "motion:9", 5.0),
        ("upscale-x2", "x2", 1.0),
        ("upscale-x4", "x4", 0.5),
    ],
)
def test_it_is_better_than_nothing(name, damage, least, camera):
    found = {m.name: m.value for m in judge_restorer(name, damage, camera)}
    assert found["psnr"] > found["psnr_before"] + least


def test_auto_chooses_for_itself(camera):
    for damage, least in (("noise:25", 6.0), ("salt-and-pepper:30", 17.0), ("text", 10.0), ("x2", 1.0)):
        found = {m.name: m.value for m in judge("auto", damage, camera)}
        assert found["psnr"] > found["psnr_before"] + least, damage


def test_a_clean_picture_is_left_nearly_as_it_was(camera):
    clean = to_images(camera.pictures[0][None])
    error = (restored("restore", clean) - clean).square().mean().item()
    assert -10 * math.log10(error) > 36
