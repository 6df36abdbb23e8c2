"""Inverse filters: against the equation, and against the blur that they undo."""

import pytest
import torch

from sfumato.nn.blurs import point_spread
from sfumato.nn.resample import correlate
from sfumato.nn.wiener import apply_filters, inverse_filters

IMAGE = torch.rand(2, 3, 40, 37, generator=torch.Generator().manual_seed(0))


def test_filtering_by_way_of_the_spectrum_is_correlation():
    kernels = torch.rand(2, 9, 9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(apply_filters(IMAGE, kernels), correlate(IMAGE, kernels), rtol=0, atol=1e-4)


def test_the_inverse_of_nothing_is_nearly_nothing():
    kernel = inverse_filters(torch.ones(1, 1, 1), torch.zeros(1), balance=1.0, reach=16)
    assert kernel[0, 16, 16] > 0.98
    assert kernel.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("kind", "size", "angle"), [("gaussian", 1.2, 0), ("motion", 7, 0), ("motion", 7, 90), ("defocus", 2, 0)])
def test_it_undoes_most_of_a_blur(kind, size, angle, drawn):
    kernels = point_spread(kind, size, angle=angle)
    clean = drawn(1, 128, 128)
    blurred = correlate(clean, kernels)
    restored = apply_filters(blurred, inverse_filters(kernels, torch.tensor([1 / 255]), balance=1.0, reach=48))
    assert (restored - clean).square().mean() < 0.5 * (blurred - clean).square().mean()


def test_the_stronger_the_noise_the_more_careful():
    kernels = point_spread("gaussian", 1.6, count=2)
    quiet, loud = inverse_filters(kernels, torch.tensor([0.01, 0.2]), balance=1.0, reach=24)
    assert quiet.square().sum() > 3 * loud.square().sum()


def test_the_orientation_is_that_of_the_blur():
    """A kernel to one side is undone by a filter to the other."""
    kernels = torch.zeros(1, 5, 5)
    kernels[0, 1, 4] = 1
    restored = apply_filters(correlate(IMAGE[:1], kernels), inverse_filters(kernels, torch.zeros(1), balance=0.01, reach=12))
    torch.testing.assert_close(restored[..., 8:-8, 8:-8], IMAGE[:1, :, 8:-8, 8:-8], rtol=0, atol=0.02)
