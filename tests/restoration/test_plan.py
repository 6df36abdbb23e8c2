"""What is chosen for a picture that is blurred. What is chosen for others is tested where pictures are repaired."""

import pytest
import skimage.data
import torch

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.core.tensors import to_images
from sfumato.degradations import DEGRADATIONS
from sfumato.degradations.base import degrade
from sfumato.metrics.fidelity import psnr
from sfumato.models.roles.restorer import WithKernel
from sfumato.nn.blurs import named
from sfumato.restoration.plan import make_plan
from sfumato.restoration.request import RestorationRequest

SHARP = to_images(torch.from_numpy(skimage.data.camera()[None, None, 60:316, 100:356].copy()))


def blurred(name: str, **settings: tuple[float, float]) -> torch.Tensor:
    """As an 8-bit file would have it, with a little noise."""
    rng = torch.Generator().manual_seed(0)
    seen = degrade(DEGRADATIONS[name](**settings), SHARP, rng=rng).images
    seen = degrade(DEGRADATIONS["noise"](sigma=(0.008, 0.008)), seen, rng=rng).images
    return (seen.clamp(0, 1) * 255).round() / 255


MOVED = blurred("motion", length=(9.0, 9.0), angle=(30.0, 30.0))


@pytest.mark.parametrize("task", ["auto", "deblur"])
def test_deblur_is_told_what_is_found(task):
    plan = make_plan(RestorationRequest(task=task), MOVED)
    assert isinstance(plan.network, WithKernel)
    assert "motion of" in plan.summary
    told = named(plan.summary.rpartition("deblur, blur ")[2])
    assert told.kind == "motion"
    assert torch.equal(plan.network.kernels, told.kernels())


@pytest.mark.parametrize(
    ("name", "settings", "least"),
    [
        ("gaussian_blur", {"sigma": (1.6, 1.6)}, 1.0),
        ("defocus", {"radius": (2.5, 2.5)}, 2.0),
        ("motion", {"length": (9.0, 9.0), "angle": (30.0, 30.0)}, 2.0),
    ],
)
def test_a_blur_that_nobody_told_is_undone(name, settings, least):
    seen = blurred(name, **settings)
    made, blind = sf.restore(seen), sf.restore(seen, "restore")
    assert psnr(made.clamp(0, 1), SHARP) > psnr(seen, SHARP) + least
    assert psnr(made.clamp(0, 1), SHARP) > psnr(blind.clamp(0, 1), SHARP) + least


def test_what_the_person_says_goes_before_what_is_found():
    plan = make_plan(RestorationRequest(blur="gaussian:1.2"), MOVED)
    assert isinstance(plan.network, WithKernel)
    assert torch.equal(plan.network.kernels, named("gaussian:1.2").kernels())
    assert ", blur " not in plan.summary


def test_methods_are_told_what_is_found():
    plan = make_plan(RestorationRequest(method="wiener"), MOVED)
    assert plan.kernels is not None
    assert "wiener, blur motion:" in plan.summary
    noisy = degrade(DEGRADATIONS["noise"](sigma=(0.06, 0.06)), blurred("gaussian_blur", sigma=(1.6, 1.6)), rng=torch.Generator()).images
    assert "wiener, blur gaussian:" in make_plan(RestorationRequest(method="wiener"), noisy).summary, "though noise is worse"
    assert "deblur, blur gaussian:" in make_plan(RestorationRequest(model="deblur"), noisy).summary
    assert make_plan(RestorationRequest(), noisy).summary.endswith(": restore")
    with pytest.raises(SettingError, match="no blur could be estimated, and wiener has to know it; give it"):
        make_plan(RestorationRequest(method="wiener", task="deblur"), SHARP)


def test_another_task_is_no_matter_of_blur():
    assert not isinstance(make_plan(RestorationRequest(task="denoise"), MOVED).network, WithKernel)
    assert make_plan(RestorationRequest(task="denoise"), MOVED).summary.endswith(": restore")


def test_a_sharp_picture_is_left_to_restore():
    assert make_plan(RestorationRequest(task="deblur"), SHARP).summary.endswith(": restore")


def test_an_inverse_filter_is_told_of_the_rounding_of_a_jpeg():
    stored = degrade(DEGRADATIONS["jpeg"](quality=(85.0, 85.0)), MOVED, rng=torch.Generator()).images
    assert make_plan(RestorationRequest(), stored).noise == pytest.approx(2 / 255)
    assert make_plan(RestorationRequest(noise=0.001, task="deblur"), stored).noise == 0.001
    coarse = degrade(DEGRADATIONS["jpeg"](quality=(40.0, 40.0)), MOVED, rng=torch.Generator()).images
    assert make_plan(RestorationRequest(task="deblur"), coarse).noise == pytest.approx(4.8 / 255, abs=0.5 / 255)


@pytest.mark.parametrize("request_", [{"task": "deblur"}, {"method": "wiener"}, {"model": "deblur"}], ids=str)
def test_an_inverse_filter_is_told_of_noise_that_patches_do_not_see(request_):
    """The noise of a camera is correlated: an estimate from patches sees a small part of it, and the filter would amplify the rest."""
    sensor = DEGRADATIONS["camera"](iso=(6400.0, 6400.0), full_well=(5e3, 5e3), luma_smoothing=(1.0, 1.0), scaled=0.0, compressed=0.0)
    noisy = degrade(sensor, MOVED, rng=torch.Generator().manual_seed(0)).images.clamp(0, 1)
    true, patches = (noisy - MOVED).std().item(), sf.diagnose(noisy).noise
    plan = make_plan(RestorationRequest(blur="motion:9@30", **request_), noisy)
    assert patches is not None
    assert patches < 0.5 * true
    assert plan.noise is not None
    assert 0.7 * true < plan.noise < 1.5 * true
    told = make_plan(RestorationRequest(blur="motion:9@30", noise=patches, **request_), noisy)
    assert told.noise == patches
    errors = [(sf.restore(noisy, blur="motion:9@30", noise=noise, **request_) - SHARP).square().mean() for noise in (None, patches)]
    assert errors[0] < 0.8 * errors[1]


def test_a_method_that_fills_in_asks_where():
    with pytest.raises(SettingError, match="inpaint needs a mask; give --mask FILE"):
        make_plan(RestorationRequest(method="laplace"), SHARP)


def test_noise_is_refused_by_who_has_no_use_for_it():
    for request in (RestorationRequest(noise=0.1), RestorationRequest(noise=0.1, task="upscale")):
        with pytest.raises(SettingError, match="takes no noise level; leave out noise"):
            make_plan(request, SHARP)
