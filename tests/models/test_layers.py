"""Layers, against their formulas."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sfumato.nn.blocks import Down, LabelEmbedding, MinibatchDeviation, Residual, Up, activation, ladder, norm
from sfumato.nn.mixture import Mixture
from sfumato.nn.norm import BatchNorm


@pytest.fixture
def maps():
    return torch.randn(6, 4, 5, 7, generator=torch.Generator().manual_seed(0)) * 3 + 1


@pytest.mark.parametrize("size", [(8, 8), (17, 23), (5, 64), (28, 28)])
def test_the_way_down_and_the_way_up_meet_at_every_size(size):
    steps = ladder(size)
    assert steps[0] == size
    assert min(steps[-1]) >= 4
    for large, small in itertools.pairwise(steps):
        for method in ("strided", "mean"):
            assert Down(1, 2, method=method)(torch.zeros(1, 1, *large)).shape[2:] == small
        for method in ("transposed", "nearest", "bilinear"):
            assert Up(1, 2, large, method=method)(torch.zeros(1, 1, *small)).shape == (1, 2, *large)


def test_sizes_change_as_their_names_say(maps):
    up, down = Up(4, 3, (10, 14), method="nearest"), Down(4, 3, method="mean")
    usual = F.conv2d(F.interpolate(maps, scale_factor=2, mode="nearest"), up.conv.weight, up.conv.bias, padding=1)
    torch.testing.assert_close(up(maps), usual, atol=1e-5, rtol=0)
    even = maps[:, :, :4, :6]
    torch.testing.assert_close(down(even), F.avg_pool2d(F.conv2d(even, down.conv.weight, down.conv.bias, padding=1), 2), atol=1e-5, rtol=0)


def test_the_mean_of_a_convolution_looks_at_all_pixels_alike():
    """A discriminator with strides looks at some places more than at others, which is a grid in the gradient of a generator."""

    def unevenness(method):
        torch.manual_seed(0)
        image = torch.zeros(1, 4, 32, 32, requires_grad=True)
        # The gradient of all squares is how much each pixel counts, on average over what they see there.
        outputs = Down(4, 64, method=method, bias=False)(image)
        power = torch.zeros(32, 32)
        for channel in outputs[0].flatten(1).sum(dim=1):
            power += torch.autograd.grad(channel, image, retain_graph=True)[0][0].square().sum(dim=0)
        inner = power[4:28, 4:28]
        return float((inner.max() - inner.min()) / inner.mean())

    assert unevenness("mean") < 1e-4
    assert unevenness("strided") > 0.05


def test_layer_norm_brings_each_pixel_to_mean_zero_and_variance_one(maps):
    y = norm("layer", 4)(maps)
    torch.testing.assert_close(y.mean(1), torch.zeros(6, 5, 7), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(1, correction=0), torch.ones(6, 5, 7), atol=1e-3, rtol=0)


def test_pixel_norm_brings_each_pixel_to_mean_square_one(maps):
    torch.testing.assert_close(norm("pixel", 4)(maps).square().mean(1), torch.ones(6, 5, 7))


def test_batch_norm_in_one_process_is_torchs(maps):
    ours, theirs = BatchNorm(4), nn.BatchNorm2d(4)
    assert torch.equal(ours(maps), theirs(maps))
    assert torch.equal(ours.running_var, theirs.running_var)


def test_leaky_relu_has_slope_a_fifth():
    assert activation("leaky-relu")(torch.tensor(-1.0)).item() == pytest.approx(-0.2)


@pytest.mark.parametrize("kind", ["batch", "layer", "pixel", "none"])
def test_a_residual_block_starts_as_the_identity_but_for_a_constant_a_channel(kind, maps):
    block = Residual(4, normalise=kind, act="silu")
    torch.testing.assert_close(block(maps), maps + block.body[-1].bias[:, None, None])


def test_minibatch_deviation_is_the_spread_inside_each_group_of_four():
    x = torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    x[4:] = x[4:5]
    y = MinibatchDeviation()(x)
    assert torch.equal(y[:, :3], x)
    torch.testing.assert_close(y[:4, 3], x[:4].std(0, correction=0).mean().expand(4, 2, 2))
    torch.testing.assert_close(y[4:, 3], torch.full((4, 2, 2), 1e-4), msg="equal images have no spread but the floor's root")


def test_a_batch_that_does_not_divide_is_one_group():
    x = torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(MinibatchDeviation()(x)[:, 3, 0, 0], x.std(0, correction=0).mean().expand(6))


def test_label_vectors_have_mean_square_one():
    vectors = LabelEmbedding(5, 16)(torch.arange(5))
    torch.testing.assert_close(vectors.square().mean(1), torch.ones(5))


@pytest.fixture
def clouds():
    """Three round clouds of points, far apart, holding 1/2, 1/4 and 1/4 of them."""
    rng = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [0.0, 0.0], [10.0, 0.0], [0.0, -10.0]])
    return centres.repeat(500, 1) + 0.5 * torch.randn(2000, 2, generator=rng)


def test_a_fitted_mixture_finds_the_clouds(clouds):
    mixture = Mixture(3, 2)
    mixture.fit(clouds, rng=torch.Generator().manual_seed(3))
    order = mixture.weights.argsort(descending=True)
    assert mixture.weights[order[0]].item() == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(mixture.means[order[0]], torch.zeros(2), atol=0.1, rtol=0)
    covariance = mixture.factors[order[0]] @ mixture.factors[order[0]].T
    torch.testing.assert_close(covariance, 0.25 * torch.eye(2), atol=0.05, rtol=0)


def test_samples_of_a_mixture_have_its_moments(clouds):
    mixture = Mixture(3, 2)
    mixture.fit(clouds, rng=torch.Generator().manual_seed(3))
    drawn = mixture(torch.randn(20_000, 2, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(drawn.mean(0), clouds.mean(0), atol=0.15, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), clouds.T.cov(), atol=0.5, rtol=0)


def test_more_components_never_explain_less(clouds):
    reached = [Mixture(k, 2).fit(clouds, rng=torch.Generator().manual_seed(3)) for k in (1, 3)]
    exact = torch.distributions.MultivariateNormal(clouds.mean(0), clouds.T.cov()).log_prob(clouds).mean().item()
    assert reached[0] == pytest.approx(exact, abs=0.01)
    assert reached[1] > reached[0] + 1


def test_a_mixture_of_more_components_than_points_still_fits():
    points = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    mixture = Mixture(12, 3)
    mixture.fit(points, rng=torch.Generator().manual_seed(1))
    assert torch.isfinite(mixture(torch.randn(20, 3))).all()
