"""Convolutions and filters with derivatives of their own: equal to torch's, to any order, and no dearer."""

import contextlib

import pytest
import torch
from torch.nn import functional as F

from sfumato.nn.binomial import blurred, doubled, halved
from sfumato.nn.convolution import active_conv, conv, map_gradients_only, transposed_conv

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
KERNEL = torch.outer(TAPS, TAPS)


def drawn(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


@pytest.mark.parametrize(("stride", "padding", "side"), [(1, 1, 3), (2, 0, 3), (2, 1, 4), (1, 0, 1)])
def test_convolutions_have_the_derivatives_that_they_say(stride, padding, side):
    x, weight, bias = drawn(1, 2, 4, 5), drawn(3, 2, side, side), drawn(3)

    def plain(x, weight):
        return conv(x, weight, stride=stride, padding=padding)

    def active(x, weight, bias):
        return active_conv(x, weight, bias, 0.2, stride=stride, padding=padding)

    assert torch.equal(plain(x, weight), F.conv2d(x, weight, stride=stride, padding=padding))
    assert torch.allclose(active(x, weight, bias), F.leaky_relu(F.conv2d(x, weight, bias, stride=stride, padding=padding), 0.2))
    for function, inputs in ((plain, (x, weight)), (active, (x, weight, bias))):
        assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


def test_the_adjoint_is_torchs_transposed_convolution():
    x, weight = drawn(2, 4, 3, 4), drawn(4, 3, 3, 3)
    assert torch.allclose(transposed_conv(x, weight, stride=2), F.conv_transpose2d(x, weight, stride=2))
    assert torch.autograd.gradcheck(lambda *each: transposed_conv(*each, stride=2), (x, weight), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda *each: transposed_conv(*each, stride=2), (x, weight), fast_mode=True)


@pytest.mark.parametrize("function", [lambda x: blurred(x, 1, gain=4.0), lambda x: blurred(x, 2), halved])
@pytest.mark.parametrize("size", [(5, 6), (4, 7)])
def test_filters_are_depthwise_convolutions_and_have_their_derivatives(function, size):
    x = drawn(2, 3, *size)
    assert torch.autograd.gradcheck(function, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(function, (x,), fast_mode=True)


def test_filters_weigh_what_they_are_named_for():
    x = drawn(1, 2, 6, 8).detach()
    kernel = KERNEL.expand(2, 1, 4, 4)
    assert torch.allclose(blurred(x, 2), F.conv2d(x, kernel, padding=2, groups=2))
    assert torch.allclose(halved(x), F.conv2d(x, kernel, padding=1, stride=2, groups=2))
    larger = F.conv_transpose2d(x, 4 * kernel, padding=1, stride=2, groups=2)
    assert torch.allclose(doubled(x), larger.float(), atol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (7, 6)])
def test_in_bf16_the_gradient_of_halving_is_that_of_float32(size):
    x = torch.randn(2, 3, *size).bfloat16().requires_grad_()
    exact = x.detach().float().requires_grad_()
    y = halved(x)
    gradient = torch.randn(y.shape).bfloat16()
    y.backward(gradient)
    halved(exact).backward(gradient.float())
    assert torch.allclose(x.grad.float(), exact.grad, atol=0.01)


def test_slopes_of_maps_leave_out_those_of_weights_and_keep_their_own_slopes():
    x, weight, bias = drawn(2, 3, 5, 6), drawn(4, 3, 3, 3), drawn(4)

    def penalty(taken):
        y = active_conv(x, weight, bias, 0.2, padding=1)
        with taken():
            (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return slope.square().sum()

    gradients = torch.autograd.grad(penalty(map_gradients_only), (weight, bias))
    plain = torch.autograd.grad(penalty(contextlib.nullcontext), (weight, bias))
    assert all(torch.allclose(a, b) for a, b in zip(gradients, plain, strict=True))
    with map_gradients_only():
        active_conv(x, weight, bias, 0.2, padding=1).sum().backward()
    assert weight.grad is None
    assert bias.grad is None


def test_under_autocast_all_is_bf16_and_near_float32():
    x, weight, bias = torch.randn(2, 8, 6, 6), torch.randn(16, 8, 3, 3) / 8, torch.randn(16)
    exact = active_conv(x, weight, bias, 0.2, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(x, weight).dtype == transposed_conv(torch.randn(2, 16, 3, 3), weight, stride=2).dtype == torch.bfloat16
        near = active_conv(x, weight, bias, 0.2, padding=1)
    assert near.dtype == torch.bfloat16
    assert torch.allclose(near.float(), exact, atol=0.1)


@pytest.mark.parametrize(("stride", "padding", "side", "length"), [(1, 1, 3, 4), (2, 0, 3, 9), (2, 1, 4, 8), (1, 0, 1, 5)])
def test_the_gradient_of_a_weight_from_small_maps_in_bf16_is_that_of_float32(stride, padding, side, length):
    rng = torch.Generator().manual_seed(length)
    x = torch.randn(2, 5, length, length + 1, generator=rng).bfloat16().contiguous(memory_format=torch.channels_last)
    weight, bias = (torch.randn(*shape, generator=rng).bfloat16() for shape in ((7, 5, side, side), (7,)))
    exact = [each.float().requires_grad_() for each in (x, weight, bias)]
    rounded = [each.requires_grad_() for each in (x, weight, bias)]
    for each in (exact, rounded):
        y = active_conv(*each, 1.0, stride=stride, padding=padding)
        y.backward(torch.linspace(-1, 1, y.numel()).reshape(y.shape).to(y.dtype))
    for name, one, other in zip(("maps", "weight", "bias"), rounded, exact, strict=True):
        error = (one.grad.float() - other.grad).abs().max() / other.grad.abs().max()
        assert error < 0.01, f"the gradient of the {name} is {error:.3f} off"
