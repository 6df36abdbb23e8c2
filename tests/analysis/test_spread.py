"""Which blur a spectrum shows: bins, powers and factors against closed forms, and blurs of pictures drawn from a power law."""

import math

import pytest
import torch

from sfumato.analysis import spread
from sfumato.analysis.jpeg import luminance_tables
from sfumato.nn.blurs import Blur
from sfumato.nn.resample import correlate


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def frequencies(side):
    """Radius and angle, modulo half a turn, of each frequency of a real transform, in cycles for each pixel."""
    down, right = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)
    return (down.square() + right.square()).sqrt(), torch.atan2(down, right) % math.pi


def photograph(size=192, *, power=2.4, seed=0):
    """Noise with the spectrum of photographs: its power falls as f^-power."""
    spectrum = torch.fft.rfft2(normal(size, size, seed=seed))
    far = frequencies(size)[0].clamp_min(1 / size)
    picture = torch.fft.irfft2(spectrum * far ** (-power / 2), s=(size, size))
    return (0.5 + 0.12 * (picture - picture.mean()) / picture.std()).clamp(0, 1)[None, None]


@pytest.mark.parametrize("side", [64, 128])
def test_a_bin_holds_frequencies_of_one_ring_and_one_ray(side):
    which, counts = spread._bins(side)
    far, angle = frequencies(side)
    inside = which >= 0
    assert torch.equal(inside, (far >= 2.5 / side) & (far < 0.5))
    assert torch.equal(which[inside].bincount().float(), counts)
    rings, rays = (far * 64).floor()[inside], (angle * 24 / math.pi).round()[inside] % 24
    parts = torch.stack([which[inside].float(), rings, rays], dim=1).unique(dim=0)
    assert len(parts) == len(counts) == len(torch.stack([rings, rays], dim=1).unique(dim=0)), (
        "one pair for each bin and one bin for each pair"
    )


def test_a_bin_has_the_mean_of_its_values():
    which, counts = spread._bins(64)
    values = torch.rand(which.shape, generator=torch.Generator().manual_seed(0))
    assert spread._binned(values, 64)[7].item() == pytest.approx(values[which == 7].mean().item(), rel=1e-5)
    assert torch.allclose(spread._binned(torch.ones(which.shape), 64), torch.ones_like(counts))


@pytest.mark.parametrize("channels", [1, 3])
def test_white_noise_has_its_variance_as_power(channels):
    power = spread._power(0.5 + 0.1 * normal(1, 1, 512, 512).expand(-1, channels, -1, -1), 64)
    assert power.mean().item() == pytest.approx(0.01, rel=0.03)
    assert power.std() < 0.004


def test_colours_count_as_in_luma():
    for channel, weight in enumerate((0.299, 0.587, 0.114)):
        crops = torch.full((1, 3, 128, 128), 0.5)
        crops[:, channel] += 0.1 * normal(128, 128)
        grey = crops[:, channel : channel + 1]
        assert torch.allclose(spread._power(crops, 64), weight**2 * spread._power(grey, 64), rtol=1e-3, atol=1e-9)


def test_a_gaussian_passes_its_own_spectrum():
    """The transform of a Gaussian of sigma s is exp(-2 pi^2 s^2 f^2), and power is its square."""
    far, _ = frequencies(64)
    expected = spread._binned((-4 * math.pi**2 * 1.5**2 * far.square()).exp(), 64)
    assert torch.allclose(spread._passed(Blur("gaussian", 1.5), 64), expected, atol=0.003)


def test_motion_passes_all_across_its_way():
    across = spread._passed(Blur("motion", 9.0, 0.0), 64)
    which, _ = spread._bins(64)
    assert across[which[20, 0]].item() == pytest.approx(1, abs=0.1), "up and down"
    assert across[which[0, 20]].item() == pytest.approx(
        (math.sin(9 * math.pi * 20 / 64) / (9 * math.sin(math.pi * 20 / 64))) ** 2, abs=0.01
    )


def test_the_model_falls_by_its_exponents():
    which, _ = spread._bins(128)
    model = spread._model(128)
    assert model.shape[0] == 6
    near, far = model[:, which[0, 10]], model[:, which[0, 40]]
    slopes = (near / far).log() / math.log(4)
    assert torch.allclose(slopes, torch.linspace(1.6, 3.4, 6), atol=0.12)


def test_the_rounding_of_a_jpeg_is_that_of_its_table():
    assert torch.allclose(spread._quantisation(1, 64), torch.tensor(1 / 12)), "all steps are 255 at quality 1"
    which, _ = spread._bins(128)
    table, noise = luminance_tables()[49] / 255, spread._quantisation(50, 128)
    for row, column in ((0, 56), (56, 0), (0, 24), (24, 24)):
        expected = table[row // 8, column // 8].item() ** 2 / 12
        assert noise[which[row, column]].item() == pytest.approx(expected, rel=0.35)


@pytest.mark.parametrize(
    "blur", [Blur("gaussian", 1.5), Blur("defocus", 3.0), Blur("motion", 9.0, 30.0), Blur("motion", 15.0, 120.0)], ids=str
)
def test_the_blur_of_a_picture_is_the_likeliest(blur):
    """Kind, size and angle."""
    blurred = correlate(photograph(), blur.kernels()) + 0.002 * normal(1, 1, 192, 192, seed=1)
    found = spread.likeliest(blurred, noise=0.002)
    assert found is not None
    assert found.kind == blur.kind
    assert found.size == pytest.approx(blur.size, abs=0.2 if blur.kind != "motion" else 1.0)
    assert abs((found.angle - blur.angle + 90) % 180 - 90) <= 5


def test_a_jpeg_hides_what_it_rounds():
    """The same blur is seen where the frequencies that count stand above the rounding."""
    blurred = correlate(photograph(), Blur("motion", 9.0, 30.0).kernels())
    found = spread.likeliest(blurred + 0.002 * normal(1, 1, 192, 192, seed=1), noise=0.002, quality=90)
    assert found is not None
    assert (found.kind, found.size) == ("motion", pytest.approx(9, abs=1))
    assert spread.likeliest(0.5 + 0.001 * normal(1, 1, 192, 192), noise=0.001, quality=10) is None, "nothing stands above it"


def test_small_pictures_have_no_answer():
    assert spread.likeliest(photograph(64)[:, :, :63], noise=0.002) is None
    assert spread.likeliest(photograph(64), noise=0.002) is not None
