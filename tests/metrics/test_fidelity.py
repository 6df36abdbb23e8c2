"""PSNR, SSIM and MS-SSIM against scikit-image and torchmetrics, and where their answer is known."""

import math

import pytest
import torch
from torch.nn import functional as F

from sfumato.core.errors import ImageError
from sfumato.core.rng import seeded_generator
from sfumato.metrics.fidelity import ms_ssim, psnr, ssim
from sfumato.nn.ssim import SCALES


def pair(n, c, h, w, *, noise=0.1, seed=0):
    """Smooth images, and the same with noise."""
    rng = seeded_generator(seed)
    clean = F.interpolate(torch.rand(n, c, 5, 5, generator=rng), size=(h, w), mode="bicubic").clamp(0, 1)
    return (clean + noise * torch.randn(clean.shape, generator=rng)).clamp(0, 1), clean


def channel_last(images):
    return [image.permute(1, 2, 0).double().numpy() for image in images]


@pytest.mark.parametrize(("c", "h", "w"), [(1, 11, 11), (3, 24, 17), (4, 40, 64)])
def test_ssim_is_scikit_images_inside_the_border(c, h, w):
    """scikit-image pads; its map agrees wherever a window lies wholly inside."""
    from skimage.metrics import structural_similarity

    images, reference = pair(2, c, h, w)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0, "channel_axis": 2, "full": True}
    maps = [structural_similarity(a, b, **options)[1] for a, b in zip(channel_last(images), channel_last(reference), strict=True)]
    expected = [m[5 : h - 5, 5 : w - 5].mean() for m in maps]
    assert ssim(images, reference).tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("c", [1, 3])
def test_psnr_is_scikit_images(c):
    from skimage.metrics import peak_signal_noise_ratio

    images, reference = pair(3, c, 12, 20)
    pairs = zip(channel_last(images), channel_last(reference), strict=True)
    assert psnr(images, reference).tolist() == pytest.approx([peak_signal_noise_ratio(b, a, data_range=1.0) for a, b in pairs], rel=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_psnr_and_ssim_are_torchmetrics():
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    images, reference = (x.double() for x in pair(3, 3, 30, 26))
    theirs = peak_signal_noise_ratio(images, reference, data_range=1.0, reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(psnr(images, reference), theirs)
    options = {"data_range": 1.0, "reduction": "none", "return_full_image": True}
    _, whole = structural_similarity_index_measure(images, reference, **options)
    torch.testing.assert_close(ssim(images, reference), whole[..., 5:-5, 5:-5].mean(dim=(1, 2, 3)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("c", "noise"), [(1, 0.05), (3, 0.3)])
def test_ms_ssim_is_made_of_torchmetrics_scales(c, noise):
    """Theirs has the padded border in the coarsest scale; its parts, cut to whole windows and put together, are ours."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure, structural_similarity_index_measure

    images, reference = (x.double() for x in pair(1, c, 192, 176, noise=noise))
    products = []
    for channel in range(c):
        a, b, product = images[:, channel : channel + 1], reference[:, channel : channel + 1], 1.0
        for scale, weight in enumerate(SCALES):
            last = scale == len(SCALES) - 1
            options = {"return_full_image": True} if last else {"return_contrast_sensitivity": True}
            _, part = structural_similarity_index_measure(a, b, data_range=1.0, **options)
            product *= (part[..., 5:-5, 5:-5] if last else part).mean().item() ** weight
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        products.append(product)
    ours = ms_ssim(images, reference).item()
    assert ours == pytest.approx(sum(products) / c, rel=1e-9)
    assert ours == pytest.approx(multiscale_structural_similarity_index_measure(images, reference, data_range=1.0).item(), abs=0.02)


def test_equal_images():
    _, clean = pair(2, 3, 176, 192)
    assert psnr(clean, clean).tolist() == [math.inf, math.inf]
    assert ssim(clean, clean).tolist() == pytest.approx([1, 1], abs=1e-12)
    assert ms_ssim(clean, clean).tolist() == pytest.approx([1, 1], abs=1e-12)


def test_flat_images_leave_only_the_luminance():
    a, b = torch.full((1, 3, 11, 11), 0.25), torch.full((1, 3, 11, 11), 0.5)
    assert ssim(a, b).item() == pytest.approx((2 * 0.25 * 0.5 + 1e-4) / (0.25**2 + 0.5**2 + 1e-4), rel=1e-6)
    assert psnr(a, b).item() == pytest.approx(20 * math.log10(4), rel=1e-6)


def test_a_negative_is_below_zero_for_ssim_and_zero_for_ms_ssim():
    _, clean = pair(1, 1, 176, 176)
    pattern = (clean + 0.3 * torch.randn(clean.shape, generator=seeded_generator(1))).clamp(0, 1)
    assert ssim(1 - pattern, pattern).item() < 0
    assert ms_ssim(1 - pattern, pattern).item() == 0


def test_more_noise_is_worse_and_each_image_is_judged_alone():
    clean = pair(3, 3, 161, 165)[1]
    noise = torch.randn(clean.shape, generator=seeded_generator(5)) * torch.tensor([0.02, 0.1, 0.4]).view(3, 1, 1, 1)
    for metric in (psnr, ssim, ms_ssim):
        values = metric(clean + noise, clean)
        assert values[0] > values[1] > values[2]
        torch.testing.assert_close(values[1:2], metric((clean + noise)[1:2], clean[1:2]))
        torch.testing.assert_close(values, metric(clean, clean + noise))


def test_odd_sizes_lose_no_row_to_halving():
    """The last row of an odd image counts at every scale."""
    _, clean = pair(1, 1, 161, 161)
    touched = clean.clone()
    touched[..., -1, :] = 1 - touched[..., -1, :]
    assert ms_ssim(touched, clean).item() < 0.999


def test_images_too_small_are_refused_with_the_size_they_need():
    small, less = torch.rand(1, 1, 10, 40), torch.rand(1, 3, 160, 200)
    with pytest.raises(ImageError, match="at least 11 pixels either way; these have 40 x 10"):
        ssim(small, small)
    with pytest.raises(ImageError, match="at least 161 pixels"):
        ms_ssim(less, less)


def test_unequal_shapes_are_refused():
    """The types say so too, but only in tests; without them one image would be compared with a whole batch."""
    from sfumato.metrics import fidelity

    with pytest.raises(ImageError, match="must be of one shape"):
        fidelity._pair(torch.rand(2, 3, 16, 16), torch.rand(1, 3, 16, 16), 1, "PSNR")
