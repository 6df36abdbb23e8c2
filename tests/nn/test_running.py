"""Windows at every place: sums and greatest values are those of scipy's filters."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from sfumato.nn.running import over_rectangles, running

X = torch.rand(2, 3, 19, 21, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("side", range(1, 20))
def test_windows_of_any_side_are_joined(side):
    windows = X.unfold(2, side, 1)
    assert torch.allclose(running(X, side, 2), windows.sum(dim=-1), atol=1e-5)
    assert torch.equal(running(X, side, 2, torch.maximum), windows.amax(dim=-1))
    marked = X > 0.9
    assert torch.equal(running(marked, side, 3, torch.bitwise_or), marked.unfold(3, side, 1).any(dim=-1))


@pytest.mark.parametrize(("tall", "wide"), [(7, 7), (2, 3), (1, 5), (19, 21)])
def test_rectangles_are_those_of_scipy(tall, wide):
    sums, greatest = over_rectangles(X, tall, wide), over_rectangles(X, tall, wide, torch.maximum)
    inside = np.s_[:, :, tall // 2 : tall // 2 + 20 - tall, wide // 2 : wide // 2 + 22 - wide]
    expected = ndimage.uniform_filter(X.double().numpy(), (1, 1, tall, wide))[inside] * tall * wide
    assert torch.allclose(sums.double(), torch.from_numpy(expected), atol=1e-4)
    assert torch.equal(greatest, torch.from_numpy(ndimage.maximum_filter(X.numpy(), (1, 1, tall, wide))[inside].copy()))
