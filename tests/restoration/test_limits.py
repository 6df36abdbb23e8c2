"""The limit on what a denoiser changes: true noise is within it, and a pattern that is no noise is kept."""

import dataclasses
import io

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

import sfumato as sf
from sfumato.analysis.jpeg import coarseness
from sfumato.core.tensors import to_images
from sfumato.degradations.jpeg import recompressed
from sfumato.io import files
from sfumato.io.channels import as_images, as_pixels
from sfumato.io.files import Picture
from sfumato.metrics.fidelity import psnr
from sfumato.nn.blurs import gaussian
from sfumato.nn.channels import colourless, luma
from sfumato.nn.resample import correlate
from sfumato.restoration import plan as plan_of
from sfumato.restoration import repair as repairs
from sfumato.restoration import repair_rows
from sfumato.restoration.batch import repaired
from sfumato.restoration.examined import examine
from sfumato.restoration.limits import denoised, limited
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import RestorationPlan, make_plan
from sfumato.restoration.repair import repair
from sfumato.restoration.request import RestorationRequest

CLEAN = to_images(torch.from_numpy(skimage.data.astronaut()[:160, 60:220].copy()).permute(2, 0, 1)[None].contiguous())


def coarse(images, level=0.03, size=0.8):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    width = torch.tensor([size])
    noise = correlate(noise, gaussian(width, width, torch.zeros(1), reach=3))
    return ((images + noise * level / noise.std()).clamp(0, 1) * 255).round() / 255


def test_a_change_is_at_most_three_times_the_noise_and_a_rounding_error():
    before = torch.full((1, 3, 4, 4), 0.5)
    for change in (0.01, -0.01):
        after = before + change
        assert torch.equal(limited(before, after, ((0.01,) * 3,) * 8), after)
        assert torch.allclose(limited(before, after, ((0.001,) * 3,) * 8), before + (0.003 + 1 / 255) * (1 if change > 0 else -1))


def test_the_limit_follows_the_brightness_of_the_result():
    strengths = tuple((level / 100,) * 3 for level in range(8))
    for level in range(8):
        after = torch.full((1, 3, 2, 2), (level + 0.5) / 8)
        allowed = (limited(after - 1, after, strengths) - (after - 1)).max().item()
        assert allowed == pytest.approx(3 * level / 100 + 1 / 255, abs=1e-6)


def test_channels_have_their_own_limits_and_grey_pictures_the_mean():
    before, strengths = torch.zeros(1, 3, 2, 2), ((0.0, 0.01, 0.02),)
    changes = (limited(before, before + 0.5, strengths) * 255)[0, :, 0, 0]
    assert torch.allclose(changes, 1 + torch.tensor([0.0, 0.03, 0.06]) * 255, atol=1e-4)
    grey = limited(before[:, :1], before[:, :1] + 0.5, strengths)
    assert grey.max().item() == pytest.approx(0.03 + 1 / 255)


def spotted(seed=0):
    """A smooth picture with dark spots in its middle, as on a leopard, and faint noise."""
    rows, columns = torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing="ij")
    plain = torch.stack([0.6 + rows / 2000, 0.5 + columns / 2000, 0.35 + rows / 2000])[None]
    spots = ((rows % 9 - 4).square() + (columns % 9 - 4).square() < 5) & ((rows - 100).square() + (columns - 100).square() < 50**2)
    noise = 0.012 * torch.randn(1, 3, 200, 200, generator=torch.Generator().manual_seed(seed))
    return plain - 0.3 * spots, noise


def test_noise_is_removed_and_a_pattern_is_kept():
    """Where the network took the spots away altogether, the loss would be 0.3 at each of them."""
    clean, noise = spotted()
    plan = make_plan(RestorationRequest(task="denoise"), clean + noise)
    assert plan.strengths
    assert max(map(max, plan.strengths)) < 0.02
    wiped = limited(clean + noise, clean.mean(dim=(2, 3), keepdim=True).expand_as(clean), plan.strengths)
    assert (wiped - clean).abs().max() < 0.15, "even a network that wipes the picture keeps its spots"
    assert psnr(sf.restore(clean + noise, task="denoise"), clean) > psnr(clean + noise, clean) + 2


def test_coarse_noise_goes_to_the_denoiser_within_limits():
    noisy = coarse(CLEAN)
    result = sf.restore(noisy)
    assert result.plans[0].repair == "denoise"
    assert result.plans[0].strengths
    assert psnr(result, CLEAN) > psnr(sf.restore(noisy, "restore"), CLEAN) + 0.3
    assert psnr(result, CLEAN) > psnr(noisy, CLEAN) + 2


def test_details_of_a_picture_with_coarse_noise_are_kept_beside_the_network():
    """Grass, which the network takes for noise in part: with the picture's own details it is nearer to the truth."""
    clean = to_images(torch.from_numpy(skimage.data.grass()[:256, :256].copy())[None, None]).expand(-1, 3, -1, -1)
    noisy = coarse(clean * 0.6 + 0.2 * CLEAN.mean(), level=0.02)
    plan = make_plan(RestorationRequest(task="denoise"), noisy)
    assert plan.powers is not None
    assert plan.powers.shape == (3, 16, 16)
    output = torch.Tensor(sf.restore(noisy, task="denoise"))
    network_alone = repaired(noisy, dataclasses.replace(plan, powers=None), RestorationRequest(task="denoise"))
    truth = clean * 0.6 + 0.2 * CLEAN.mean()
    assert psnr(output, truth) > psnr(network_alone, truth) + 0.1


@pytest.mark.parametrize("height", [1, 40, 256, 300, 530])
def test_bands_of_rows_are_the_whole(height):
    rng = torch.Generator().manual_seed(height)
    stored = torch.randint(0, 256, (height, 30, 3), generator=rng, dtype=torch.uint8)
    output = torch.rand(1, 3, height, 30, generator=rng)
    plan = RestorationPlan(summary="", strengths=((0.1,) * 3,) * 8, powers=torch.rand(3, 16, 16, generator=rng) * 1e-3)
    strips = (output[:, :, start : start + 70] for start in range(0, height, 70))
    bands = torch.cat(list(repair_rows._denoised(strips, lambda start, stop: as_images(stored[start:stop]), height, plan)), dim=2)
    whole = denoised(as_images(stored), output, plan.strengths, plan.powers)
    assert torch.allclose(bands, whole, atol=1e-6)


def test_what_has_no_limits():
    """White noise, a network that the person names, and a picture that is too small to measure."""
    white = (CLEAN + 0.06 * torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    for task in ("auto", "denoise"):
        plan = make_plan(RestorationRequest(task=task), white)
        assert (plan.repair, plan.strengths) == ("denoise", ())
    assert not make_plan(RestorationRequest(model="restore", task="denoise"), coarse(CLEAN)).strengths
    assert not make_plan(RestorationRequest(task="denoise"), CLEAN[..., :12, :12]).strengths


@pytest.mark.parametrize("task", ["auto", "denoise"])
def test_plain_white_noise_is_told_without_a_network(task, monkeypatch):
    white = (CLEAN + 0.1 * torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    monkeypatch.setattr(plan_of, "denoised_crops", lambda *_: pytest.fail("the picture was denoised to measure its noise"))
    assert make_plan(RestorationRequest(task=task), white).repair == "denoise"
    with pytest.raises(pytest.fail.Exception):
        make_plan(RestorationRequest(task=task), coarse(CLEAN))


def test_white_noise_in_grey_and_wrong_pixels_go_to_the_general_network():
    noisy = coarse(CLEAN, size=0.1)
    salted = torch.where(torch.rand(noisy.shape, generator=torch.Generator().manual_seed(0)) < 0.003, 1.0, noisy)
    request = RestorationRequest(task="denoise")
    assert make_plan(request, noisy).repair == "denoise"
    assert make_plan(request, noisy[:, :1]).repair == make_plan(request, noisy[:, :1].expand(-1, 3, -1, -1)).repair == "restore"
    assert make_plan(request, salted).repair == "restore"


@pytest.mark.parametrize("size", [0.6, 0.8, 1.2])
def test_coarse_noise_in_grey_is_seen_and_taken_away(size):
    """Film, scans and cameras: a network for white noise leaves it as it is."""
    grey = luma(CLEAN)
    noisy = coarse(grey, level=0.05, size=size)
    output = sf.restore(noisy)
    assert output.plans[0].repair == "denoise"
    assert psnr(output, grey) > psnr(noisy, grey) + 2.5
    in_three = sf.restore(noisy.expand(-1, 3, -1, -1))
    assert bool(colourless(in_three).all())
    torch.testing.assert_close(torch.Tensor(in_three[:, :1]), torch.Tensor(output), atol=0.02, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_that_was_there_before_a_coarse_jpeg_is_seen_and_taken_away(channels):
    clean = CLEAN if channels == 3 else luma(CLEAN)
    noisy = recompressed(coarse(clean, level=0.09, size=0.1), torch.tensor([50.0]))
    plan = make_plan(RestorationRequest(), noisy, quality=50)
    assert (plan.repair, plan.damage.startswith("noise of at least")) == ("denoise" if channels == 3 else "restore", True)
    by_auto = repaired(noisy, plan, RestorationRequest(), Networks())
    assert psnr(by_auto, clean) > psnr(noisy, clean) + 3
    quiet = make_plan(RestorationRequest(), recompressed(clean, torch.tensor([50.0])), quality=50)
    assert (quiet.repair, bool(quiet.strengths)) == ("deblock", True)


@pytest.mark.parametrize("picture", [coarse(CLEAN), coarse(luma(CLEAN)), CLEAN], ids=["colour", "grey", "clean"])
def test_what_the_studio_says_of_a_picture_is_what_auto_sees(picture):
    assert examine(picture[0]).sentence() == sf.restore(picture).plans[0].damage
    assert (examine(picture[0]).noise_kind == "coarse") is (picture is not CLEAN)


def test_noise_under_transparent_pixels_is_none_that_is_seen():
    cut = Image.fromarray(as_pixels(coarse(CLEAN), torch.uint8).numpy())
    cut.putalpha(Image.fromarray(np.pad(np.full((60, 60), 255, np.uint8), ((0, 100), (0, 100)))))
    assert examine(cut).sentence() == sf.restore(cut).plans[0].damage


def jpeg(quality, mode="RGB"):
    file = io.BytesIO()
    Image.fromarray(as_pixels(CLEAN, torch.uint8).numpy()).convert(mode).save(file, "JPEG", quality=quality)
    return file.getvalue()


def test_a_jpeg_of_middling_quality_is_repaired_within_its_rounding():
    before = to_images(torch.from_numpy(np.asarray(Image.open(io.BytesIO(jpeg(75)))).copy()).permute(2, 0, 1)[None])
    restored = sf.restore(jpeg(75))
    after = to_images(torch.from_numpy(np.asarray(restored).copy()).permute(2, 0, 1)[None])
    assert restored.plans[0].repair == "deblock"
    assert 0 < (after - before).abs().max() <= 3 * coarseness(75) + 1.51 / 255
    assert psnr(after, CLEAN) > psnr(before, CLEAN) + 0.4


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_finer_jpegs_stay_as_they_are(mode):
    assert sf.restore(jpeg(75, mode)).plans[0].repair == "deblock"
    assert sf.restore(jpeg(85, mode)).plans[0].nothing


def test_a_middling_quality_counts_in_files_alone():
    """A picture that was a JPEG once and has been edited since is no longer what the JPEG's rounding says."""
    pixels = to_images(torch.from_numpy(np.asarray(Image.open(io.BytesIO(jpeg(75)))).copy()).permute(2, 0, 1)[None])
    assert sf.restore(pixels).plans[0].nothing


def test_strips_have_the_limits_of_the_whole(tmp_path, monkeypatch):
    pytest.importorskip("pyvips", reason="pictures larger than memory need the extra vips")
    clean, noise = spotted()
    files.write(tmp_path / "noisy.png", Picture(pixels=as_pixels(clean + noise, torch.uint8)))
    request = RestorationRequest(task="denoise")
    plan = repair(tmp_path / "noisy.png", tmp_path / "whole.png", request)
    monkeypatch.setattr(repairs, "_WHOLE", 1e9)
    sampled = repair(tmp_path / "noisy.png", tmp_path / "strips.png", request).strengths
    strongest = [torch.tensor(each).amax(dim=0) for each in (sampled, plan.strengths)]
    assert torch.allclose(*strongest, rtol=0.4), "from a sample of the picture"
    whole, strips = (files.read(tmp_path / f"{name}.png").pixels.int() for name in ("whole", "strips"))
    apart = (whole - strips).abs()
    assert (apart > 2).float().mean() < 0.005
    assert apart.max() <= 5
