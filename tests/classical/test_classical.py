"""Methods from before networks: what they must leave alone, and what they are known to reach."""

import builtins

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from sfumato.classical import deconvolve, fill
from sfumato.classical import methods as classical
from sfumato.classical.methods import METHODS
from sfumato.core.errors import ImageError, MissingExtraError, SettingError, UnknownNameError
from sfumato.metrics.fidelity import psnr
from sfumato.nn.blurs import point_spread
from sfumato.nn.resample import correlate

FILLS = ("laplace", "biharmonic", "telea")


def photo(side=96):
    return torch.from_numpy(skimage.data.camera()[100 : 100 + side, 180 : 180 + side].copy())[None, None] / 255


def options_of(name, images, share=0.3):
    """All that a method needs."""
    n, _, h, w = images.shape
    observed = (torch.rand(n, 1, h, w, generator=torch.Generator().manual_seed(0)) >= share).float()
    observed[:, :, 0, 0] = 1
    everything = {"noise": 0.05, "kernels": point_spread("motion", 3, angle=30, count=n), "observed": observed, "scale": 2}
    return {key: everything[key] for key in METHODS[name].needs}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 3), (1, 3, 2, 40), (2, 1, 24, 17)])
def test_any_size_and_colour_keeps_shape_and_range(name, shape):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    before, scale = images.clone(), 2 if name == "bicubic" else 1
    output = classical.apply(name, images, **options_of(name, images))
    assert output.shape == (*shape[:2], shape[2] * scale, shape[3] * scale)
    assert output.dtype == torch.float32
    assert output.isfinite().all()
    assert output.min() >= 0
    assert output.max() <= 1
    assert torch.equal(images, before), "what is handed in stays as it is"


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_constant_picture_stays_constant(name, value):
    images = torch.full((1, 3, 20, 14), value)
    output = classical.apply(name, images, **options_of(name, images))
    torch.testing.assert_close(output, torch.full_like(output, value), rtol=0, atol=0.01 if name == "telea" else 1e-3)


@pytest.mark.parametrize("name", FILLS)
def test_what_is_known_is_untouched_and_nothing_else_counts(name):
    images, rng = photo(40), torch.Generator().manual_seed(1)
    observed = (torch.rand(images.shape, generator=rng) > 0.4).float()
    output = classical.apply(name, images * observed, observed=observed)
    assert torch.equal(output[observed > 0], images[observed > 0])
    torch.testing.assert_close(classical.apply(name, images * observed + (1 - observed), observed=observed), output, rtol=0, atol=2e-4)
    assert torch.equal(classical.apply(name, images, observed=torch.ones_like(observed)), images)
    assert psnr(output, images) > psnr(classical.median(images * observed, size=5), images) + 1


def test_every_channel_may_have_its_own_holes():
    images = torch.rand(2, 3, 12, 12)
    observed = (torch.rand(2, 3, 12, 12) > 0.3).float()
    together = fill.laplace(images, observed=observed)
    for i in range(3):
        one = slice(i, i + 1)
        torch.testing.assert_close(together[:, one], fill.laplace(images[:, one], observed=observed[:, one]), rtol=0, atol=1e-3)


def test_laplace_makes_each_missing_pixel_the_mean_of_its_neighbours():
    ramp = (torch.linspace(0.1, 0.9, 40)[:, None] + torch.linspace(0, 0.1, 30))[None, None]
    observed = torch.ones_like(ramp)
    observed[:, :, 10:30, 5:25] = 0
    torch.testing.assert_close(fill.laplace(ramp * observed, observed=observed), ramp, rtol=0, atol=1e-3)  # a plane is harmonic
    images, far = photo(64), torch.zeros(1, 1, 64, 64)
    far[:, :, ::7, ::5] = 1
    output = fill.laplace(images, observed=far, tolerance=1e-6).double()
    around = (output[..., :-2, 1:-1] + output[..., 2:, 1:-1] + output[..., 1:-1, :-2] + output[..., 1:-1, 2:]) / 4
    assert ((around - output[..., 1:-1, 1:-1])[far[..., 1:-1, 1:-1] == 0]).abs().max() < 2e-6


@pytest.mark.parametrize("blur", ["gaussian", "defocus", "motion"])
def test_a_known_blur_is_undone_with_a_border_that_nobody_has_seen(blur):
    whole, kernels = photo(160), point_spread(blur, {"gaussian": 1.6, "defocus": 3, "motion": 9}[blur], angle=20)
    noise = torch.randn(whole.shape, generator=torch.Generator().manual_seed(0))
    inner = (slice(None), slice(None), slice(20, 140), slice(20, 140))
    degraded, clean = (correlate(whole, kernels) + noise / 255)[inner], whole[inner]
    output = deconvolve.wiener(degraded, kernels=kernels, noise=1 / 255)
    assert psnr(output, clean) > psnr(degraded, clean) + 3
    assert psnr(deconvolve.richardson_lucy(degraded, kernels=kernels, steps=20), clean) > psnr(degraded, clean) + 1.5
    assert psnr(output, clean) >= psnr(deconvolve.wiener(degraded, kernels=kernels, noise=1 / 255, rounds=0), clean)
    rough, smooth = (deconvolve.wiener(degraded, kernels=kernels, noise=1 / 255, balance=b).diff(dim=3).abs().mean() for b in (0.5, 50))
    assert rough > smooth


def test_the_kernel_is_one_that_correlates():
    shift = torch.zeros(1, 5, 5)
    shift[:, 2, 4] = 1
    images = photo(48)
    degraded = correlate(images, shift)
    output = deconvolve.wiener(degraded, kernels=shift, noise=1e-3)
    torch.testing.assert_close(output[..., 4:-4], images[..., 4:-4], rtol=0, atol=0.02)
    output = deconvolve.richardson_lucy(degraded, kernels=shift, steps=5)
    torch.testing.assert_close(output[..., 8:-8], images[..., 8:-8], rtol=0, atol=0.02)


def test_the_median_and_the_means_take_out_what_they_are_for():
    images = photo()
    hit = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    pepper = images.masked_fill(hit < 0.1, 0.0).masked_fill(hit < 0.05, 1.0)
    assert psnr(classical.median(pepper), images) > psnr(pepper, images) + 8
    noisy = images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    assert psnr(classical.non_local_means(noisy, noise=0.1), images) > psnr(noisy, images) + 5
    once = torch.zeros(1, 1, 7, 7).index_put_(tuple(torch.tensor([[0], [0], [3], [3]])), torch.ones(1))
    assert classical.median(once).max() == 0
    assert torch.equal(classical.median(images, size=1), images)


def test_mistakes_are_told():
    images, ones = torch.rand(2, 1, 8, 8), torch.ones(2, 1, 8, 8)
    kernels = point_spread("gaussian", 1, count=2)
    for call, error, says in [
        (lambda: classical.apply("medain", images), UnknownNameError, "did you mean 'median'"),
        (lambda: classical.apply("wiener", images, kernels=kernels), SettingError, "wiener needs noise"),
        (lambda: classical.apply("median", images, noise=0.1), SettingError, "has no option noise"),
        (lambda: classical.median(images, size=4), SettingError, "size = 4"),
        (lambda: classical.bicubic(images, scale=0), SettingError, "scale = 0"),
        (lambda: classical.non_local_means(images, noise=0.0), SettingError, "noise = 0"),
        (lambda: deconvolve.wiener(images, kernels=kernels, noise=0.0), SettingError, "noise = 0"),
        (lambda: deconvolve.wiener(images, kernels=kernels, noise=0.1, balance=0.0), SettingError, "balance = 0"),
        (lambda: deconvolve.wiener(images, kernels=kernels, noise=0.1, rounds=-1), SettingError, "rounds = -1"),
        (lambda: deconvolve.wiener(images, kernels=kernels[:1], noise=0.1), SettingError, "must be 2 squares"),
        (lambda: deconvolve.richardson_lucy(images, kernels=2 * kernels), SettingError, "must sum to 1"),
        (lambda: deconvolve.richardson_lucy(images, kernels=kernels, steps=0), SettingError, "steps = 0"),
        (lambda: point_spread("defocus", 0), SettingError, "defocus of size 0"),
        (lambda: fill.laplace(images, observed=ones[:, :, :4]), ImageError, "observed has the shape"),
        (lambda: fill.telea(images, observed=0 * ones), ImageError, "observed is 0 for every pixel"),
        (lambda: fill.telea(images, observed=ones, radius=0.0), SettingError, "radius = 0"),
        (lambda: fill.laplace(images, observed=ones, tolerance=0.0), SettingError, "tolerance = 0"),
    ]:
        with pytest.raises(error, match=says):
            call()


@pytest.mark.parametrize("name", ["biharmonic", "telea", "non-local-means"])
def test_a_missing_library_is_told(name, monkeypatch):
    original = builtins.__import__

    def without(module, *rest, **more):
        if module.split(".")[0] in ("cv2", "skimage"):
            raise ImportError(module)
        return original(module, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    images = torch.rand(1, 1, 8, 8)
    with pytest.raises(MissingExtraError, match=r"pip install (scikit-image|opencv-python-headless)$"):
        classical.apply(name, images, **options_of(name, images))


def test_salt_and_pepper_on_set12_is_as_published(real_data):
    """30 %, half of each, numpy's default_rng(0) for every image, compared as bytes: Laplace 32.78 dB, the best median 24.93."""
    filled, medians = [], []
    files = sorted((real_data / "set12").glob("*.png"))
    if len(files) != 12:
        pytest.skip("SFUMATO_DATA holds no set12")
    for path in files:
        with Image.open(path) as image:
            clean = torch.from_numpy(np.asarray(image.convert("L")).copy())[None, None] / 255
        dice = torch.from_numpy(np.random.default_rng(0).random(clean.shape[2:]))
        degraded = clean.masked_fill(dice < 0.3, 1.0).masked_fill(dice < 0.15, 0.0)
        observed = ((degraded > 0) & (degraded < 1)).float()
        filled.append(psnr((fill.laplace(degraded, observed=observed) * 255).round() / 255, clean))
        medians.append(psnr(classical.median(degraded, size=5), clean))
    assert torch.cat(filled).mean().item() == pytest.approx(32.78, abs=0.01)
    assert torch.cat(medians).mean().item() == pytest.approx(24.93, abs=0.02)
