"""The Wiener filter with a pilot: what it brings back, what it leaves, and parts that equal the whole."""

import skimage.data
import torch

from sfumato.analysis.noise_powers import noise_powers
from sfumato.classical.methods import median
from sfumato.classical.pilot_wiener import REACH, pilot_wiener
from sfumato.core.tensors import to_images
from sfumato.metrics.fidelity import psnr
from sfumato.nn.blurs import gaussian
from sfumato.nn.resample import correlate

CLEAN = to_images(torch.from_numpy(skimage.data.astronaut()[:300, 60:340].copy()).permute(2, 0, 1)[None].contiguous())


def smooth(images, width):
    sigma = torch.tensor([width])
    return correlate(images, gaussian(sigma, sigma, torch.zeros(1), reach=4))


def noise(seed=0, level=0.01):
    return torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(seed)) * level


def test_details_come_back_that_a_denoiser_took_for_noise():
    noisy = CLEAN + noise(level=0.02)
    pilot = smooth(noisy, 0.6)
    restored = pilot_wiener(noisy, pilot, noise_powers(noisy - pilot, pilot))
    assert psnr(restored, CLEAN).item() > psnr(pilot, CLEAN).item() + 1
    assert psnr(restored, CLEAN).item() > psnr(noisy, CLEAN).item()


def test_a_perfect_pilot_loses_little():
    noisy = CLEAN + noise(level=0.03)
    restored = pilot_wiener(noisy, CLEAN, noise_powers(noisy - CLEAN, CLEAN))
    assert psnr(restored, CLEAN).item() > psnr(noisy, CLEAN).item() + 15


def test_beside_strong_noise_the_network_counts():
    shares = []
    for level in (0.005, 0.02, 0.1, 0.3):
        noisy = CLEAN + noise(level=level)
        pilot = median(CLEAN, size=3)
        change = (pilot_wiener(noisy, pilot, noise_powers(noisy - pilot, pilot)) - pilot).square().mean()
        shares.append((change / (noisy - pilot).square().mean()).item())
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.001


def test_the_result_for_a_part_with_its_surroundings_is_that_for_the_whole():
    noisy = CLEAN + noise()
    pilot = smooth(noisy, 0.8)
    powers = noise_powers(noisy - pilot, pilot)
    whole = pilot_wiener(noisy, pilot, powers)
    for top, bottom in ((0, 64), (64, 200), (200, 300)):
        first, last = max(0, top - REACH), min(300, bottom + REACH)
        part = pilot_wiener(noisy[:, :, first:last], pilot[:, :, first:last], powers)
        assert torch.allclose(part[:, :, top - first : bottom - first], whole[:, :, top:bottom], atol=1e-5)


def test_a_pilot_that_took_nothing_away_stays():
    images = CLEAN[:, :, :70, :50]
    assert torch.allclose(pilot_wiener(images, images, torch.zeros(3, 16, 16)), images, atol=1e-5)


def test_the_powers_of_noise_are_measured_where_the_picture_is_flat():
    half = torch.cat([torch.full((1, 1, 128, 64), 0.5), CLEAN[:, :1, 100:228, 100:164]], dim=3)
    grain = smooth(torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(1)), 0.8) * 0.05
    grain[..., 64:] *= 3
    powers = noise_powers(grain, half)
    assert powers.shape == (1, 16, 16)
    assert 0.7 < (powers.mean().sqrt() / grain[..., :64].std()).item() < 1.3
    assert powers[0, :4, :4].mean() > 20 * powers[0, 12:, 12:].mean()
