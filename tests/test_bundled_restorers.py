"""The restorers that come with the toolkit: small, honest about where they come from, the same in tiles, and better than nothing."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from torch.nn.functional import avg_pool2d

import sfumato as sf
from sfumato.core.tensors import to_images
from sfumato.data.dataset import Scenes
from sfumato.data.drawings import drawings
from sfumato.evaluation.benchmark import judge, judge_restorer
from sfumato.io import files
from sfumato.io.channels import as_images
from sfumato.metrics.fidelity import psnr
from sfumato.models.roles.restorer import Deblurrer
from sfumato.nn.blurs import point_spread
from sfumato.nn.resample import resize
from sfumato.restoration.repair import repair
from sfumato.restoration.request import NETWORKS, RestorationRequest
from sfumato.restoration.tiles import apply_restorer
from sfumato.store import weights

each = pytest.mark.parametrize("name", NETWORKS)


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
    assert card.name == name
    assert "BSDS500" in card.data.terms
    assert card.licence
    assert {str(m.protocol["reference"]).split()[0] for m in card.metrics} <= {"set12", "bsd68", "set5", "bsds500", "drawings"}


@each
@settings(max_examples=6, deadline=None)
@given(h=st.integers(1, 120), w=st.integers(1, 120), tile=st.integers(40, 110), colour=st.booleans())
def test_tiles_are_the_whole(name, h, w, tile, colour):
    """Each tile is computed with all that its network looks at; `tests/restoration/test_tiles.py` has smaller tiles of small networks."""
    assert _apart(name, h, w, tile, colour) <= 1e-4


@each
@pytest.mark.parametrize("colour", [False, True])
def test_tiles_that_see_a_part_of_the_picture_are_the_whole(name, colour):
    """Networks look up to 256 pixels far: only of a longer picture do tiles leave out anything."""
    context = sf.load(name).network.receptive_radius
    h, w = (24, 2 * context + 160) if colour else (2 * context + 160, 24)
    assert _apart(name, h, w, 64, colour) <= 1e-4


def _apart(name: str, h: int, w: int, tile: int, colour: bool) -> float:
    """The largest difference between tiles and the whole."""
    net = sf.load(name)
    images = torch.rand(1, 3 if colour else 1, h, w, generator=torch.Generator().manual_seed(h * 200 + w))
    known = (torch.rand(1, 1, h, w, generator=torch.Generator().manual_seed(1)) > 0.4).float()
    told = {name: value for name, value in {"observed": known, "noise": 0.01}.items() if name in net.network.conditioning}
    if isinstance(net, Deblurrer):
        told["kernels"] = point_spread("motion", 7, angle=30)
    return (apply_restorer(net, images, **told) - apply_restorer(net, images, tile=tile, **told)).abs().max().item()


@pytest.mark.parametrize(
    ("name", "damage", "least"),
    [
        ("restore", "noise:25", 6.0),
        ("restore", "salt-and-pepper:20", 12.0),
        ("restore", "jpeg:10", 0.3),
        ("denoise", "noise:25", 6.0),
        ("denoise", "jpeg:10", 0.3),
        ("deblock", "jpeg:10", 0.8),
        ("deblock", "jpeg:40", 0.8),
        ("inpaint", "missing:50", 15.0),
        ("inpaint", "text", 10.0),
        ("deblur", "blur:1.6", 2.0),
        ("deblur", "motion:9", 5.0),
        ("upscale-x2", "x2", 1.0),
        ("upscale-x3", "x3", 0.5),
        ("upscale-x4", "x4", 0.5),
        ("upscale-jpeg-x2", "x2-jpeg:60", 0.5),
        ("upscale-jpeg-x4", "x4-jpeg:60", 0.3),
    ],
)
def test_it_is_better_than_nothing(name, damage, least, camera):
    found = {m.name: m.value for m in judge_restorer(name, damage, camera)}
    assert found["psnr"] > found["psnr_before"] + least


def test_auto_chooses_for_itself(camera):
    for damage, least in (("noise:25", 6.0), ("salt-and-pepper:30", 17.0), ("text", 10.0), ("x2", 1.0)):
        found = {m.name: m.value for m in judge("auto", damage, camera)}
        assert found["psnr"] > found["psnr_before"] + least, damage


def test_a_sharp_look_has_about_as_much_fine_detail_as_the_original():
    """The mean square of the difference from a blurred copy, over that of the original: the faithful look has a fraction of it."""
    shares = {"faithful": [], "sharp": []}
    for photograph in (data.chelsea(), data.coffee(), data.astronaut()):
        original = to_images(torch.from_numpy(photograph[60:252, 120:312].copy()).permute(2, 0, 1)[None])
        small = resize(original, (48, 48), scale=1 / 4).clamp(0, 1)
        for look, each in shares.items():
            output = torch.Tensor(sf.restore(small, task="upscale", scale=4, look=look))
            each.append((_detail(output) / _detail(original)).item())
    assert max(shares["faithful"]) < 0.5, shares
    assert all(0.4 < share < 1.5 for share in shares["sharp"]), shares


def _detail(images):
    return (images - avg_pool2d(images, 3, 1, 1, count_include_pad=False)).square().mean()


@pytest.mark.parametrize(("channels", "name"), [(3, "denoise"), (1, "restore")])
def test_white_noise_goes_to_the_best_network(channels, name):
    clean = to_images(torch.from_numpy(data.astronaut()[:160, 160:320].copy()).permute(2, 0, 1)[None])
    clean = clean if channels == 3 else clean.mean(dim=1, keepdim=True)
    noisy = (clean + 25 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    result = sf.restore(noisy)
    assert result.plans[0].summary.endswith(f": {name}")
    best = max(psnr(apply_restorer(each, noisy).clamp(0, 1), clean) for each in ("denoise", "restore"))
    assert psnr(torch.Tensor(result), clean) > best - 0.01


def test_a_clean_picture_is_left_nearly_as_it_was(camera):
    clean = to_images(camera.pictures[0][None])
    error = (apply_restorer("restore", clean) - clean).square().mean().item()
    assert -10 * math.log10(error) > 36


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_drawn_is_left_whole_and_gets_better(channels):
    """Pages, screens, outlines, mosaics and ramps: letters are no noise, and pure blue is no wrong pixel."""
    for number, picture in enumerate(drawings(10, (160, 160), channels=channels, first=300).pictures):
        clean = to_images(picture[None])
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(number))
        noisy = ((clean + 25 / 255 * noise).clamp(0, 1) * 255).round() / 255
        assert psnr(apply_restorer("restore", clean), clean) > 30, number
        assert psnr(apply_restorer("restore", noisy), clean) > psnr(noisy, clean) + 2, number


@pytest.mark.parametrize("grey", [True, False], ids=["grey", "colour"])
def test_auto_makes_no_jpeg_worse(grey, tmp_path):
    """From file to file; halved first, for photographs have been JPEGs themselves."""
    pixels = data.camera() if grey else data.astronaut()
    photo = Image.fromarray(pixels).resize((176, 176), Image.Resampling.LANCZOS)
    clean = to_images(torch.from_numpy(np.array(photo)).reshape(176, 176, -1).permute(2, 0, 1)[None])
    for quality in (10, 30, 50, 75, 90):
        photo.save(tmp_path / "a.jpg", quality=quality)
        repair(tmp_path / "a.jpg", tmp_path / "b.jpg", RestorationRequest())
        before, after = (psnr(as_images(files.read(tmp_path / name).pixels), clean) for name in ("a.jpg", "b.jpg"))
        assert after > before - 0.01, quality
        assert after > before + 0.3 or quality > 10
