"""What is particular to each kind of damage: its strength, its shape, its unit."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from sfumato.core.config import dump, parse
from sfumato.core.errors import SettingError
from sfumato.degradations import DEGRADATIONS
from sfumato.degradations.base import degrade
from sfumato.nn.blurs import disk, gaussian, motion_kernels
from sfumato.nn.resample import correlate


def damage(name, clean, seed=0, **settings):
    return degrade(DEGRADATIONS[name](**settings), clean, rng=torch.Generator().manual_seed(seed))


GREY = torch.full((2, 3, 200, 200), 0.4)


def test_noise_has_its_standard_deviation_keeps_the_mean_and_says_how_strong_it_is():
    degraded = damage("noise", GREY, sigma=(0.2, 0.2))
    off = degraded.images - GREY
    assert off.std().item() == pytest.approx(0.2, rel=0.01)
    assert off.mean().item() == pytest.approx(0, abs=0.002)
    assert degraded.images.min() < 0, "clipping would move the mean"
    assert torch.equal(degraded.noise, torch.tensor([0.2, 0.2]))


def test_noise_is_drawn_within_the_span_for_each_image():
    degraded = damage("noise", torch.zeros(64, 1, 40, 40), sigma=(0.1, 0.4))
    assert 0.1 <= degraded.noise.min() < 0.15 < 0.35 < degraded.noise.max() <= 0.4
    torch.testing.assert_close(degraded.images.std(dim=(1, 2, 3)), degraded.noise, rtol=0.08, atol=0)


def test_grain_is_the_same_in_all_channels():
    off = damage("noise", GREY, grey=1.0).images - GREY
    torch.testing.assert_close(off[:, 0], off[:, 1], rtol=0, atol=1e-6)


def test_twice_noise_adds_up_in_squares():
    noise = DEGRADATIONS["noise"](sigma=(0.3, 0.3))
    degraded = damage("chain", GREY, links=(noise, DEGRADATIONS["noise"](sigma=(0.4, 0.4))))
    torch.testing.assert_close(degraded.noise, torch.tensor([0.5, 0.5]))


def test_photon_noise_grows_with_the_light():
    clean = torch.linspace(0.1, 0.9, 5).reshape(1, 1, 5, 1).expand(1, 1, 5, 20_000).contiguous()
    degraded = damage("poisson", clean, photons=(100.0, 100.0)).images
    torch.testing.assert_close(degraded.mean(3), clean[:, :, :, 0], rtol=0.02, atol=0)
    torch.testing.assert_close(degraded.var(3), clean[:, :, :, 0] / 100, rtol=0.05, atol=0)
    torch.testing.assert_close(degraded * 100, (degraded * 100).round(), rtol=0, atol=1e-4, msg="photons come whole")


@pytest.mark.parametrize("salt", [0.5, 0.8])
def test_salt_and_pepper_hit_their_share(salt):
    images = damage("impulse", GREY, density=(0.3, 0.3), salt=salt).images
    assert (images == 1).float().mean().item() == pytest.approx(0.3 * salt, abs=0.01)
    assert (images == 0).float().mean().item() == pytest.approx(0.3 * (1 - salt), abs=0.01)
    assert ((images == 0.4).all(1) | (images != 0.4).all(1)).all(), "a pixel is hit in all its channels"


def test_channels_can_be_hit_alone():
    colour = GREY + torch.tensor([0.0, 0.1, 0.2])[:, None, None]
    hit = damage("impulse", colour, density=(0.3, 0.3), together=False).images != colour
    assert hit.float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert hit.any(1).float().mean().item() == pytest.approx(1 - 0.7**3, abs=0.01)


@pytest.mark.parametrize("sigma", [0.7, 1.6, 3.0])
def test_gaussian_blur_is_scipys(sigma):
    image = torch.rand(1, 1, 40, 50, generator=torch.Generator().manual_seed(3))
    theirs = ndimage.gaussian_filter(image[0, 0].double().numpy(), sigma, mode="reflect", truncate=6)
    ours = damage("gaussian_blur", image, sigma=(sigma, sigma)).images[0, 0]
    np.testing.assert_allclose(ours, theirs, atol=2e-3 if sigma < 1 else 1e-3)


def test_a_stretched_blur_has_its_moments_along_and_across():
    weights = gaussian(torch.tensor([3.0]), torch.tensor([1.5]), torch.tensor([0.5]), reach=14)[0].double()
    place = torch.arange(-14, 15).double()
    y, x = torch.meshgrid(place, place, indexing="ij")
    along, across = x * np.cos(0.5) + y * np.sin(0.5), y * np.cos(0.5) - x * np.sin(0.5)
    assert (weights * along**2).sum().sqrt().item() == pytest.approx(3.0, rel=0.01)
    assert (weights * across**2).sum().sqrt().item() == pytest.approx(1.5, rel=0.01)


def test_the_blur_that_is_told_is_the_one_that_was_done():
    """One after another, and only to some: the image is its clean one correlated with what `blur` says."""
    clean = torch.rand(6, 1, 60, 60, generator=torch.Generator().manual_seed(3))
    two = (DEGRADATIONS["gaussian_blur"](sigma=(0.5, 2.0), stretch=(1.0, 2.0)), DEGRADATIONS["motion"](length=(3.0, 9.0)))
    degraded = damage("chain", clean, links=two, chances=(0.5, 0.6))
    torch.testing.assert_close(degraded.blur.sum(dim=(1, 2)), torch.ones(6))
    again, edge = correlate(clean, degraded.blur), 16
    torch.testing.assert_close(again[..., edge:-edge, edge:-edge], degraded.images[..., edge:-edge, edge:-edge], rtol=0, atol=1e-5)
    spared = [i for i in range(6) if torch.equal(degraded.images[i], clean[i])]
    assert 0 < len(spared) < 6
    assert all(degraded.blur[i].max() == 1 for i in spared)


def test_a_lens_out_of_focus_makes_disks():
    weights = disk(torch.tensor([4.0]), reach=5)[0]
    assert (weights > 0).sum().item() >= np.pi * 16
    assert weights[5, 5].item() == pytest.approx(1 / (np.pi * 16), rel=0.01)
    assert weights[0, 0] == 0
    assert torch.equal(weights, weights.T)
    assert torch.equal(weights, weights.flip(0))


def test_motion_along_a_row_is_a_moving_average():
    weights = motion_kernels(torch.tensor([9.0]), torch.tensor([0.0]), reach=5)[0]
    expected = torch.zeros(11, 11)
    expected[5, 1:10] = 1 / 9
    torch.testing.assert_close(weights, expected, rtol=0, atol=5e-3)
    upright = motion_kernels(torch.tensor([9.0]), torch.tensor([torch.pi / 2]), reach=5)[0]
    torch.testing.assert_close(upright, expected.T, rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gaussian_blur", {"sigma": (0.0, 0.0)}),
        ("defocus", {"radius": (0.0, 0.0)}),
        ("motion", {"length": (1.0, 1.0)}),
        ("noise", {"sigma": (0.0, 0.0)}),
        ("impulse", {"density": (0.0, 0.0)}),
        ("missing", {"share": (0.0, 0.0)}),
        ("downsample", {"factor": 1}),
        ("chain", {}),
    ],
)
def test_no_damage_is_no_change(name, settings, photos):
    torch.testing.assert_close(damage(name, photos, **settings).images, photos, rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [10, 90])
def test_jpeg_is_the_file_that_pillow_writes(channels, quality):
    stored = torch.randint(0, 256, (1, channels, 24, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    degraded = damage("jpeg", stored / 255, quality=(quality, quality))
    pixels = stored[0].permute(1, 2, 0).squeeze(2).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, **({"subsampling": 2} if channels == 3 else {}))
    theirs = np.asarray(Image.open(file))
    assert np.array_equal((degraded.images[0] * 255).round().permute(1, 2, 0).squeeze(2).numpy(), theirs)
    assert degraded.quality.item() == pytest.approx(quality / 100)


def test_jpeg_does_not_hold_four_channels():
    with pytest.raises(SettingError, match="images have 4 channels"):
        damage("jpeg", torch.rand(1, 4, 16, 16))


@pytest.mark.parametrize("kind", ["pixels", "boxes", "strokes", "scratches", "text"])
def test_what_is_missing_is_filled_and_marked(kind):
    clean = torch.rand(6, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25
    degraded = damage("missing", clean, kind=kind, share=(0.2, 0.3), fill=1.0, thickness=(0.02, 0.08))
    hole = degraded.observed == 0
    assert ((degraded.images == 1) == hole).all()
    assert torch.equal(degraded.images * ~hole, clean * ~hole)
    share = hole.float().mean(dim=(1, 2, 3))
    assert ((share > 0.17) & (share < 0.55)).all(), share
    if kind == "pixels":
        assert 0.18 < share.min() < share.max() < 0.33


def test_a_pixel_made_from_a_missing_one_is_missing():
    holes = DEGRADATIONS["missing"](share=(0.1, 0.1))
    degraded = damage("chain", GREY, links=(holes, DEGRADATIONS["downsample"]()))
    before = damage("chain", GREY, links=(holes,))
    assert torch.equal(degraded.observed, -torch.nn.functional.max_pool2d(-before.observed, 2))


def test_a_chain_takes_its_links_in_order_and_each_as_often_as_it_says():
    black, white = (DEGRADATIONS["missing"](share=(0.99, 0.99), fill=fill) for fill in (0.0, 1.0))
    last = damage("chain", GREY, links=(black, white)).images
    assert (last == 1).float().mean() > 0.95
    often = damage("chain", torch.zeros(2000, 1, 4, 4), links=(DEGRADATIONS["noise"](),), chances=(0.3,))
    assert (often.noise > 0).float().mean().item() == pytest.approx(0.3, abs=0.04)
    untouched = often.noise == 0
    assert (often.images[untouched] == 0).all()
    assert (often.images[~untouched].std(dim=(1, 2, 3)) > 0).all()


def test_a_shuffled_chain_has_every_order():
    black, white = (DEGRADATIONS["missing"](share=(0.99, 0.99), fill=fill) for fill in (0.0, 1.0))
    ends = {damage("chain", GREY[:, :, :20, :20], seed, links=(black, white), shuffle=True).images.median().item() for seed in range(12)}
    assert ends == {0.0, 1.0}


def test_a_chain_of_chains_survives_a_file():
    inner = DEGRADATIONS["chain"](links=(DEGRADATIONS["noise"](sigma=(0.0, 0.2)), DEGRADATIONS["jpeg"]()), chances=(1.0, 0.5))
    outer = DEGRADATIONS["chain"](links=(DEGRADATIONS["downsample"](factor=3), inner))
    assert parse(dump(outer)) == outer


def test_a_link_that_changes_the_size_cannot_be_left_to_chance():
    with pytest.raises(SettingError, match="a batch has one size"):
        damage("chain", GREY, links=(DEGRADATIONS["downsample"](),), chances=(0.5,))
    with pytest.raises(SettingError, match="2 chances"):
        DEGRADATIONS["chain"](links=(DEGRADATIONS["noise"](),), chances=(0.5, 0.5))
