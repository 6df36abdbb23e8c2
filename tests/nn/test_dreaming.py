"""Bands, spectra and motion."""

import pytest
import torch

from sfumato.core.rng import seeded_generator
from sfumato.nn.bands import doubled, equalize_bands_, halved
from sfumato.nn.motion import apply_motion, estimate_motion
from sfumato.nn.spectrum import Spectrum


@pytest.mark.parametrize("size", [(32, 40), (33, 41), (7, 9)])
def test_a_flat_image_stays_flat(size):
    flat = torch.full((2, 3, *size), 0.7)
    torch.testing.assert_close(doubled(halved(flat), flat.shape[2:]), flat)


def test_bands_come_out_equally_strong():
    rng = torch.Generator().manual_seed(0)
    waves = torch.arange(64)[None, None, None] * torch.pi
    fine, coarse = torch.cos(waves * 0.75), torch.cos(waves / 32)
    x = (0.05 * fine + coarse).expand(1, 1, 64, 64) + 1e-4 * torch.randn(1, 1, 64, 64, generator=rng)
    equalized = equalize_bands_(x.clone(), 4)

    def strength(y, wave):
        wave = wave.expand_as(y)
        return ((y - y.mean()) * wave).mean() / wave.square().mean()

    assert strength(equalized, fine) / strength(equalized, coarse) > 4 * strength(x, fine) / strength(x, coarse)
    assert equalize_bands_(x.clone(), 1).std() == pytest.approx(1, rel=1e-4)


def test_bands_are_scaled_image_by_image():
    x = torch.rand(2, 3, 24, 24)
    torch.testing.assert_close(equalize_bands_(x.clone(), 3)[1:], equalize_bands_(5 * x[1:], 3), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(32, 40), (31, 45)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_spectrum_becomes_a_picture(size, channels):
    x = 0.1 + 0.8 * torch.rand(1, channels, *size)
    spectrum = Spectrum(size, channels, seeded_generator(0))
    assert spectrum().shape == x.shape
    torch.testing.assert_close(spectrum.set_image(x)(), x, atol=1e-4, rtol=1e-4)


def test_a_spectrum_begins_nearly_grey_and_by_its_seed():
    a, b = (Spectrum((64, 64), 3, seeded_generator(1))() for _ in range(2))
    assert torch.equal(a, b)
    assert 0.001 < a.std() < 0.2


def test_motion_is_found_and_followed():
    rng = torch.Generator().manual_seed(0)
    small = torch.rand(1, 3, 20, 24, generator=rng)
    before = torch.nn.functional.interpolate(small, (80, 96), mode="bicubic").clamp(0, 1)
    after = before.roll((3, -2), (2, 3))
    motion = estimate_motion(before, after)
    middle = motion[:, :, 16:64, 16:80]
    torch.testing.assert_close(middle.mean(dim=(0, 2, 3)), torch.tensor([2.0, -3.0]), atol=0.2, rtol=0)
    inner = (slice(None), slice(None), slice(16, 64), slice(16, 80))
    assert (apply_motion(before, motion)[inner] - after[inner]).abs().mean() < 0.2 * (before[inner] - after[inner]).abs().mean()
    assert not estimate_motion(before, before).any()
