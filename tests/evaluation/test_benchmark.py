"""Trials: the damages of the literature are what they say, and the published figures come out."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.core.tensors import to_bytes, to_images
from sfumato.data.dataset import Scenes
from sfumato.evaluation.benchmark import judge, judge_restorer
from sfumato.evaluation.benchmark_degradations import benchmark_degradation
from sfumato.evaluation.picture_fidelity import luma
from sfumato.models import MODELS
from sfumato.nn.resample import shrink
from sfumato.store import foreign


@pytest.fixture
def scenes():
    rng = torch.Generator().manual_seed(0)
    sizes = ((1, 40, 48), (3, 45, 40))
    pictures = [torch.nn.functional.interpolate(torch.rand(1, c, 6, 6, generator=rng), (h, w), mode="bicubic") for c, h, w in sizes]
    return Scenes(name="two", pictures=tuple(to_bytes(p)[0].expand(3, -1, -1).contiguous() for p in pictures))


def values(report):
    return {m.name: m.value for m in report}


def same(scale=1):
    """A network that changes nothing."""
    net = MODELS["gated"](width=4, middle=1, scale=scale).build().eval()
    torch.nn.init.zeros_(net.tail.weight)
    torch.nn.init.zeros_(net.tail.bias)
    return net


def test_noise_is_that_of_the_papers():
    clean = torch.full((1, 3, 5, 4), 0.5)
    np.random.seed(0)  # noqa: NPY002
    theirs = 0.5 + np.random.normal(0, 25 / 255, (5, 4, 3))  # noqa: NPY002
    seen = benchmark_degradation("noise:25").degrade(clean, 7)
    np.testing.assert_allclose(seen.images[0].permute(1, 2, 0), theirs, atol=1e-6)
    assert seen.noise.item() == pytest.approx(25 / 255)


def test_a_network_that_changes_nothing_leaves_the_figure_of_the_damage(scenes):
    for damage in ("noise:25", "salt-and-pepper:30", "blur:1.6", "motion:5", "jpeg:20", "missing:40", "text"):
        found = values(judge_restorer(same(), damage, scenes))
        assert found["psnr"] == pytest.approx(found["psnr_before"], abs=0.8), damage
        assert 5 < found["psnr"] < 45
    found = values(judge_restorer(same(2), "x2", scenes))
    assert found["psnr"] == pytest.approx(found["psnr_before"], abs=1e-6)


def test_the_other_protocols_stand_beside(scenes):
    found = values(judge_restorer(same(), "noise:25", scenes))
    assert found.keys() == {"psnr", "ssim", "psnr_before", "psnr_unrounded", "psnr_of_8_bit_input", "psnr_luma"}
    found = values(judge_restorer(same(2), "x2", scenes))
    assert found.keys() == {"psnr", "ssim", "psnr_before", "psnr_unrounded", "psnr_rgb", "psnr_luma_full_range", "psnr_no_border_cut"}


def test_an_ensemble_is_in_the_protocol_and_nothing_else_changes(scenes):
    torch.manual_seed(0)
    network = MODELS["gated"](width=4, middle=1).build().eval()
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    one, eight = judge_restorer(network, "noise:25", scenes), judge_restorer(network, "noise:25", scenes, ensemble=8)
    assert eight[0].value != one[0].value
    assert eight[0].protocol.settings == one[0].protocol.settings + "; mean over 8 ways to see a picture"
    by_hand = judge_restorer(network.self_ensemble(8), "noise:25", scenes)
    assert values(by_hand) == values(eight)


def test_photons_are_as_noisy_as_their_number_says():
    grey = torch.full((1, 1, 100, 100), 0.5)
    seen = benchmark_degradation("poisson:30").degrade(grey, 0)
    assert seen.images.mean() == pytest.approx(0.5, abs=0.005)
    assert seen.images.var() == pytest.approx(0.5 / 30, rel=0.05)
    assert seen.noise.item() == pytest.approx((0.5 / 30) ** 0.5)
    assert torch.equal(seen.images, benchmark_degradation("poisson:30").degrade(grey, 7).images), "the same for everybody"
    assert torch.equal((seen.images * 30).round(), seen.images * 30)


def test_the_deep_image_prior_is_judged_too(scenes, monkeypatch):
    monkeypatch.setattr("sfumato.evaluation.benchmark.deep_prior", lambda images, observed, device: images.clamp(0.1, 0.9))
    report = {m.name: m for m in judge("deep-image-prior", "noise:25", scenes)}
    assert "psnr" in report
    assert report["psnr"].value != {m.name: m for m in judge("median", "noise:25", scenes)}["psnr"].value


def test_how_many_are_hit():
    clean = torch.full((1, 1, 300, 300), 0.5)
    salted = benchmark_degradation("salt-and-pepper:30").degrade(clean, 0).images
    assert (salted == 0).float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert (salted == 1).float().mean().item() == pytest.approx(0.15, abs=0.01)
    holes = benchmark_degradation("missing:50").degrade(clean, 0)
    assert holes.observed.mean().item() == pytest.approx(0.5, abs=0.01)
    assert torch.equal(holes.images[holes.observed == 0].unique(), torch.zeros(1))
    assert benchmark_degradation("text").degrade(clean, 0).observed.mean().item() == pytest.approx(0.85, abs=0.03)


def test_luma_is_matlabs():
    grey = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 3, 1, 1)
    assert (luma(grey).flatten() * 255).tolist() == pytest.approx([16, 235])
    assert luma(grey, full=True).flatten().tolist() == pytest.approx([0, 1])


def test_small_pictures_are_shrunk_by_matlabs_bicubic_and_stored(scenes):
    clean = to_images(scenes.pictures[0][None])
    assert torch.equal(benchmark_degradation("x4").degrade(clean, 0).images, to_images(to_bytes(shrink(clean, 4))))


def test_a_classical_method_is_told_what_it_needs():
    blocks = torch.randint(0, 256, (1, 6, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    scenes = Scenes(name="blocks", pictures=(blocks.repeat_interleave(9, 1).repeat_interleave(9, 2).expand(3, -1, -1).contiguous(),))
    for method, damage in (("wiener", "blur:1.5"), ("richardson-lucy", "motion:5"), ("laplace", "missing:50")):
        found = values(judge(method, damage, scenes))
        assert found["psnr"] > found["psnr_before"] + 0.5, method


def test_what_cannot_be_is_told(scenes):
    for wrong in ("rain:3", "noise", "noise:300", "x9", "jpeg:0", ""):
        with pytest.raises(SettingError):
            benchmark_degradation(wrong)
    with pytest.raises(SettingError, match="enlarges by 2, this one does by 1"):
        judge_restorer(same(), "x2", scenes)
    for method in ("deep-image-prior", "median", "laplace"):
        with pytest.raises(SettingError, match=f"x2 is to be enlarged, and {method} does not enlarge; the method for it is bicubic"):
            judge(method, "x2", scenes)
    with pytest.raises(SettingError, match="ensemble = 8 has no effect on deep-image-prior"):
        judge("deep-image-prior", "noise:25", scenes, ensemble=8)
    with pytest.raises(SettingError, match="repairs nothing"):
        judge("digits", "noise:25", scenes)


def test_published_figures(real_data):
    """Bicubic on Set5 is 28.42 dB everywhere; IMDN's own weights give 32.21 (Hui et al. 2019)."""
    assert values(judge("bicubic", "x4", "set5"))["psnr"] == pytest.approx(28.42, abs=0.02)
    folder = os.environ.get("SFUMATO_WEIGHTS")
    if not folder or not (Path(folder) / "IMDN_x4.pth").exists():
        pytest.skip("SFUMATO_WEIGHTS does not hold IMDN_x4.pth")
    found = values(judge_restorer(foreign.load(Path(folder) / "IMDN_x4.pth"), "x4", "set5"))
    assert found["psnr"] == pytest.approx(32.21, abs=0.02)
    assert found["psnr_rgb"] == pytest.approx(30.3, abs=0.1)
