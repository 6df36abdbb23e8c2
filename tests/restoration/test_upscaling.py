"""Enlarging by any factor, and a JPEG repaired before it is enlarged: the right size, the same in tiles and strips, and said so."""

import io

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.core.tensors import to_bytes, to_images
from sfumato.degradations.jpeg import recompressed
from sfumato.metrics.fidelity import psnr
from sfumato.models.roles.restorer import InSequence
from sfumato.nn.blurs import gaussian
from sfumato.nn.channels import luma
from sfumato.nn.resample import correlate, shrink
from sfumato.restoration import upscaling
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import make_plan
from sfumato.restoration.request import RestorationRequest, request_facts
from sfumato.restoration.tiles import apply_restorer

PHOTOGRAPH = to_images(torch.from_numpy(skimage.data.astronaut()[:160, 60:220].copy()).permute(2, 0, 1)[None].contiguous())
PICTURE = torch.rand(1, 3, 24, 16, generator=torch.Generator().manual_seed(0))


def smooth(h, w):
    """A grey picture whose enlargement is known."""
    rows, columns = torch.linspace(0.2, 0.8, h)[:, None], torch.linspace(0.3, 0.6, w)[None]
    return ((rows + columns) / 2)[None, None]


@given(st.floats(1, 8))
def test_the_network_reaches_the_factor_and_the_next_smaller_one_does_not(factor):
    reached = upscaling.reached(factor)
    assert upscaling.upscaler(factor) == f"upscale-x{reached}"
    assert reached >= min(factor, 4)
    assert reached == 2 or factor > reached - 1
    best = upscaling.reached(factor, "best")
    assert upscaling.upscaler(factor, "best") == f"upscale-x{best}-best"
    assert best == (2 if factor <= 2 else 4)
    assert upscaling.reached(factor, "sharp") == 4


@pytest.mark.parametrize("factor", [1.01, 1.5, 2.5, 3, 5.2, 8])
def test_any_factor_gives_a_picture_of_that_size(factor):
    picture = smooth(15, 21)
    output = sf.restore(picture, task="upscale", scale=factor)
    assert output.shape == (1, 1, int(15 * factor + 0.5), int(21 * factor + 0.5))
    expected = torch.nn.functional.interpolate(picture, size=output.shape[2:], mode="bilinear", align_corners=False)
    assert (output - expected).abs().max() < 0.03
    assert (output.plans[0].scale, output.plans[0].network.scale) == (factor, upscaling.reached(factor))


def test_a_factor_of_1_leaves_the_picture_and_one_beyond_8_is_refused():
    assert torch.equal(torch.Tensor(sf.restore(PICTURE, task="upscale", scale=1)), PICTURE)
    with pytest.raises(SettingError, match=r"scale = 8.5 is outside \[1, 8\]"):
        sf.restore(PICTURE, task="upscale", scale=8.5)
    assert sf.restore(PICTURE, task="upscale", scale=8.5, method="bicubic").shape == (1, 3, 204, 136)


def test_the_opacity_grows_with_the_picture():
    pixels = np.full((12, 10, 4), 200, np.uint8)
    pixels[:, :5, 3] = 0
    output = np.asarray(sf.restore(Image.fromarray(pixels), task="upscale", scale=1.5))
    assert output.shape == (18, 15, 4)
    assert (output[:, 0, 3] == 0).all()
    assert (output[:, -1, 3] == 200).all()


def jpeg(quality):
    file = io.BytesIO()
    rows, columns = np.mgrid[:40, :48]
    pixels = np.stack([rows * 6, columns * 5, (rows + columns) % 16 * 15], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.mark.parametrize(
    ("quality", "repair"),
    [
        (upscaling.ONE_STEP - 1, "deblock, upscale-x2"),
        (upscaling.ONE_STEP, "upscale-jpeg-x2"),
        (95, "upscale-jpeg-x2"),
        (97, "upscale-x2"),
    ],
)
def test_a_jpeg_is_repaired_and_enlarged_in_one_step_and_a_very_coarse_one_in_two(quality, repair):
    output = sf.restore(jpeg(quality), task="upscale", scale=2)
    assert isinstance(output.plans[0].network, InSequence) is ("," in repair)
    assert output.plans[0].repair == repair
    assert (f"JPEG of quality {quality}: {repair}" in output.plans[0].summary) is (repair != "upscale-x2")


@pytest.mark.parametrize(("quality", "first"), [(60, "deblock"), (90, "denoise"), (97, "")])
def test_the_best_quality_repairs_a_jpeg_first(quality, first):
    plan = make_plan(RestorationRequest(task="upscale", quality="best"), PICTURE, quality=quality, networks=Networks())
    assert plan.repair == ", ".join(filter(None, [first, "upscale-x2-best"]))


@pytest.mark.parametrize(
    ("scale", "repair"), [(2, "upscale-jpeg-x2"), (3, "upscale-jpeg-x4, reduced from 4 times"), (4, "upscale-jpeg-x4")]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_one_step_is_better_than_the_network_of_clean_pictures(scale, repair, channels):
    clean = PHOTOGRAPH[..., :156, :156] if channels == 3 else luma(PHOTOGRAPH[..., :156, :156])
    small = recompressed(shrink(clean, scale).clamp(0, 1), torch.tensor([60.0]))
    output = sf.restore(small, task="upscale", scale=scale)
    assert output.plans[0].repair == repair
    assert psnr(output, clean) > psnr(apply_restorer(f"upscale-x{scale}", small), clean) + 0.3


@pytest.mark.parametrize("quality", [60, 90])
@pytest.mark.parametrize("offset", [0, 3])
def test_a_picture_that_was_a_jpeg_is_known_by_its_pixels_and_repaired_too(quality, offset):
    clean = PHOTOGRAPH
    was_jpeg = recompressed(clean, torch.tensor([float(quality)]))[..., offset:, offset:]
    output = sf.restore(was_jpeg, task="upscale", scale=2)
    assert f"JPEG of quality {quality}: upscale-jpeg-x2" in output.plans[0].summary
    assert sf.restore(clean, task="upscale", scale=2).plans[0].repair == "upscale-x2"


@pytest.mark.parametrize(
    ("channels", "size", "repair"), [(3, 0.1, "denoise"), (1, 0.1, "restore"), (3, 0.8, "denoise"), (1, 0.8, "denoise")]
)
def test_a_noisy_picture_is_denoised_before_it_is_enlarged(channels, size, repair):
    clean = PHOTOGRAPH if channels == 3 else luma(PHOTOGRAPH)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    width = torch.tensor([size])
    noise = correlate(noise, gaussian(width, width, torch.zeros(1), reach=3))
    small = to_images(to_bytes((shrink(clean, 2) + 0.05 * noise[..., :80, :80] / noise.std()).clamp(0, 1)))
    output = sf.restore(small, task="upscale", scale=2)
    assert output.plans[0].repair == f"{repair}, upscale-x2"
    assert "noise of" in output.plans[0].damage
    assert psnr(output, clean) > psnr(apply_restorer("upscale-x2", small), clean) + 1


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_noise_rather_than_details_is_taken_away_before(channels):
    """White noise under a JPEG: patches do not see it, and the network for JPEGs would enlarge it."""
    clean = PHOTOGRAPH if channels == 3 else luma(PHOTOGRAPH)
    small = shrink(clean, 2)
    noisy = small + 20 / 255 * torch.randn(small.shape, generator=torch.Generator().manual_seed(5))
    saved = recompressed(noisy.clamp(0, 1), torch.tensor([70.0]))
    output = sf.restore(saved, task="upscale", scale=2)
    assert "noise" in output.plans[0].damage
    assert psnr(output, clean) > psnr(apply_restorer("upscale-jpeg-x2", saved), clean) + 3
    assert "noise" not in sf.restore(recompressed(small, torch.tensor([70.0])), task="upscale", scale=2).plans[0].damage


@pytest.mark.parametrize("channels", [1, 3])
def test_repair_and_enlargement_are_one_after_the_other(channels):
    networks, picture = Networks(), PICTURE[:, :channels]
    request = RestorationRequest(task="upscale", scale=2)
    plan = make_plan(request, picture, quality=20, networks=networks)
    repairer = networks.luma_apart("deblock", "denoise")
    repaired = apply_restorer(repairer, picture)
    torch.testing.assert_close(apply_restorer(plan.network, picture), apply_restorer("upscale-x2", repaired), rtol=0, atol=1e-5)
    assert make_plan(request, picture, quality=15, networks=networks).network is plan.network, "pictures share a batch"


def test_networks_in_sequence_are_the_same_in_tiles(restorer):
    first, second = restorer(channels=3, radius=1, multiple=2), restorer(channels=3, scale=2, radius=1, multiple=4)
    for network in (first, second):
        torch.nn.init.normal_(network.convolution.weight, std=0.3)
    joined = InSequence(first, second)
    assert (joined.scale, joined.receptive_radius, joined.pad_multiple) == (2, 2, 4)
    whole = apply_restorer(joined, PICTURE)
    torch.testing.assert_close(apply_restorer(joined, PICTURE, tile=8), whole)
    torch.testing.assert_close(whole, apply_restorer(second, apply_restorer(first, PICTURE)))


def test_a_later_network_looks_less_far_in_an_enlarged_picture(restorer):
    assert InSequence(restorer(channels=3, scale=2, radius=3), restorer(channels=3, radius=5)).receptive_radius == 6
    assert InSequence(restorer(channels=3), restorer(channels=3, radius=None)).receptive_radius is None


@pytest.mark.parametrize("facts", [{"channels": 1}, {"channels": 3, "conditioning": ("noise",)}])
def test_networks_that_do_not_fit_together_are_refused(restorer, facts):
    with pytest.raises(SettingError):
        InSequence(restorer(channels=3), restorer(**facts))


@given(st.data())
def test_strips_of_any_height_are_buffered_as_the_whole(data):
    heights = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    whole = torch.rand(1, 1, sum(heights), 3)
    buffer = upscaling.RowBuffer(iter(whole.split(heights, dim=2)))
    start = 0
    while start < sum(heights):
        start = data.draw(st.integers(start, sum(heights) - 1))
        stop = data.draw(st.integers(start + 1, sum(heights)))
        assert torch.equal(buffer.rows(start, stop), whole[:, :, start:stop])
        start += 1


@pytest.mark.parametrize(("scale", "name"), [(2, "upscale-x2"), (4, "upscale-x4"), (1.5, "upscale-x2")])
def test_best_quality_is_the_mean_over_eight_views_of_a_larger_network(scale, name):
    plain, best = (
        make_plan(RestorationRequest(task="upscale", scale=scale, quality=q), PICTURE, networks=Networks()) for q in ("standard", "best")
    )
    assert plain.repair.split(",")[0] == name
    assert best.repair.split(",")[0] == f"{name}-best"
    assert len(best.network.orientations) == 8
    assert sum(w.numel() for w in best.network.parameters()) > 3 * sum(w.numel() for w in plain.network.parameters())


@pytest.mark.parametrize("scale", [2, 4])
def test_best_quality_agrees_with_the_picture(scale):
    small = shrink(torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(3)), 4).clamp(0, 1)
    plain, best = (sf.restore(small, task="upscale", scale=scale, quality=quality) for quality in ("standard", "best"))
    off = [(shrink(large, scale) - small).square().mean().item() for large in (plain, best)]
    assert off[1] < 0.5 * off[0], off


def test_best_quality_of_other_repairs_is_the_mean_over_eight_views():
    noisy = (PICTURE + 0.1 * torch.randn(PICTURE.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
    for settings in (
        {"task": "denoise"},
        {"task": "jpeg"},
        {"task": "denoise", "model": "restore"},
        {"task": "upscale", "model": "upscale-x2"},
    ):
        best, eight = (sf.restore(noisy, **settings, **options) for options in ({"quality": "best"}, {"ensemble": 8}))
        assert torch.equal(best, eight)
        assert not torch.equal(best, sf.restore(noisy, **settings))
    assert RestorationRequest(quality="best", ensemble=4).views == 4


@pytest.mark.parametrize("settings", [{"task": "denoise", "method": "median"}, {"task": "upscale", "method": "bicubic"}])
def test_best_quality_is_for_networks(settings):
    with pytest.raises(SettingError, match="quality = best has no effect on"):
        RestorationRequest(quality="best", **settings).check()


def test_a_sharp_look_is_by_a_network_of_its_own_and_says_that_it_invents():
    request = RestorationRequest(task="upscale", look="sharp", scale=3)
    plan = make_plan(request, PICTURE, networks=Networks())
    assert plan.summary == "3 times: upscale-sharp, reduced from 4 times; fine detail is invented"
    coarse = make_plan(request, PICTURE, quality=70, networks=Networks())
    assert coarse.summary.startswith("3 times, JPEG of quality 70: deblock, upscale-sharp"), "blocks would be sharpened"
    faithful = sf.restore(PICTURE, task="upscale", scale=3)
    assert not torch.equal(sf.restore(PICTURE, task="upscale", scale=3, look="sharp"), faithful)
    assert "invented" not in faithful.plans[0].summary


@pytest.mark.parametrize(
    "settings",
    [
        {"task": "denoise"},
        {"task": "upscale", "method": "bicubic"},
        {"task": "upscale", "model": "upscale-x2"},
        {"task": "upscale", "quality": "best"},
        {"task": "upscale", "ensemble": 4},
    ],
)
def test_a_sharp_look_is_for_a_single_view_of_a_bundled_model_that_enlarges(settings):
    with pytest.raises(SettingError, match="look = sharp"):
        RestorationRequest(look="sharp", **settings).check()


def test_a_manifest_tells_a_sharp_look_from_a_faithful_one():
    sharp, faithful = (request_facts(RestorationRequest(task="upscale", look=look)) for look in ("sharp", "faithful"))
    assert "upscale-sharp" in sharp["weights"]
    assert sharp["look"] == "sharp"
    assert "look" not in faithful, "manifests of older releases lack it"
