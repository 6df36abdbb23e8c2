"""Gates, each against its formula written out, and over windows as over the whole image."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sfumato.nn.attention import ChannelGate, PixelGate, Split

KINDS = ("mean", "mean+max", "mean+std", "linear")


def maps(h=9, w=7, c=8, seed=0):
    return torch.randn(2, c, h, w, generator=torch.Generator().manual_seed(seed)) * 2 + 0.3


def gate(kind, cell=0, channels=8):
    torch.manual_seed(1)
    return ChannelGate(kind, channels, reduction=2, cell=cell)


def bottleneck(weigh, v):
    """W2 relu(W1 v) of vectors."""
    first, last = weigh[0], weigh[2]
    return F.linear(F.relu(F.linear(v, first.weight[:, :, 0, 0], first.bias)), last.weight[:, :, 0, 0], last.bias)


def plain(kind, net, x):
    """The number of each channel, from the formula."""
    v = x.flatten(2)
    if kind == "mean":
        return bottleneck(net.weigh, v.mean(2)).sigmoid()
    if kind == "mean+max":
        return (bottleneck(net.weigh, v.mean(2)) + bottleneck(net.weigh, v.amax(2))).sigmoid()
    if kind == "mean+std":
        return bottleneck(net.weigh, v.mean(2) + v.std(2, correction=0)).sigmoid()
    return F.linear(v.mean(2), net.weigh.weight[:, :, 0, 0], net.weigh.bias)


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_gate_is_its_formula(kind):
    net, x = gate(kind), maps()
    torch.testing.assert_close(net(x), x * plain(kind, net, x)[:, :, None, None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_that_holds_the_image_is_the_image(kind):
    x = maps()
    for cell in (9, 20, 5):  # of 9 x 7 pixels, cells of 5 are two either way, and neighbours
        torch.testing.assert_close(gate(kind, cell)(x), gate(kind)(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(cell=st.integers(1, 6), h=st.integers(1, 20), w=st.integers(1, 20))
def test_each_window_is_its_cell_and_the_neighbours_as_far_as_the_image_goes(kind, cell, h, w):
    x = maps(h, w)
    whole, windowed = gate(kind), gate(kind, cell)
    gated = windowed(x)
    for top in range(0, h, cell):
        for left in range(0, w, cell):
            window = x[:, :, max(0, top - cell) : top + 2 * cell, max(0, left - cell) : left + 2 * cell]
            here = (slice(None), slice(None), slice(top, top + cell), slice(left, left + cell))
            expected = x[here] * plain(kind, whole, window)[:, :, None, None]
            torch.testing.assert_close(gated[here], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [24, 22])  # whole cells, and a ragged border
def test_a_tile_with_a_cell_around_it_is_the_whole(kind, side):
    net, x = gate(kind, 4), maps(side, side)
    whole, tile = net(x), net(x[:, :, 4:, 8:20])
    torch.testing.assert_close(tile[:, :, 4:, 4:-4], whole[:, :, 8:, 12:16], rtol=1e-4, atol=1e-5)


def test_the_spread_of_a_flat_map_is_none_and_has_a_slope():
    x = torch.full((1, 8, 6, 6), 3.0, requires_grad=True)
    net = gate("mean+std")
    y = net(x)
    torch.testing.assert_close(y, 3 * bottleneck(net.weigh, torch.full((1, 8), 3.0)).sigmoid()[:, :, None, None].expand_as(x))
    y.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_the_spread_survives_half_the_bits():
    """The mean is far larger than the spread: the difference of squares must not be taken in 16 bits."""
    net, x = gate("mean+std"), 20 + 0.1 * maps()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        statistic = net._statistic(x)
    torch.testing.assert_close(statistic, (x.mean((2, 3)) + x.std((2, 3), correction=0))[:, :, None, None], rtol=1e-3, atol=1e-3)


def test_a_pixel_gate_is_its_formula():
    torch.manual_seed(0)
    pointwise, pooled, x = PixelGate("pointwise", 8, reduction=2), PixelGate("pooled", 8), maps()
    m = bottleneck(pointwise.weigh, x.permute(0, 2, 3, 1)).sigmoid().permute(0, 3, 1, 2)
    torch.testing.assert_close(pointwise(x), x * m)
    padded = F.pad(torch.stack([x.mean(1), x.amax(1)], dim=1), (3, 3, 3, 3))
    sums = torch.zeros(2, 1, 9, 7) + pooled.weigh.bias
    for i in range(7):
        for j in range(7):
            sums += (padded[:, :, i : i + 9, j : j + 7] * pooled.weigh.weight[0, :, i, j, None, None]).sum(1, keepdim=True)
    torch.testing.assert_close(pooled(x), x * sums.sigmoid(), rtol=1e-4, atol=1e-5)
    assert (pointwise.receptive_radius, pooled.receptive_radius) == (0, 3)


def test_a_split_is_the_product_of_the_halves():
    x = maps()
    assert torch.equal(Split()(x), x[:, :4] * x[:, 4:])
