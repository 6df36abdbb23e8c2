"""The estimate of noise on small pictures, and its parts against statistics by hand."""

import pytest
import torch

from sfumato.analysis import noise


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", [1 / 255, 5 / 255, 0.1])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_on_one_grey(sigma, channels):
    assert noise.noise_level(0.5 + sigma * normal(1, channels, 64, 64)) == pytest.approx(sigma, rel=0.06)


def test_channels_are_averaged():
    sigmas = torch.tensor([0.01, 0.02, 0.06]).reshape(1, 3, 1, 1)
    assert noise.noise_level(0.5 + sigmas * normal(1, 3, 64, 64)) == pytest.approx(0.03, rel=0.06)


def test_texture_in_some_directions_is_no_noise():
    """Waves as strong as the noise add to few eigenvalues."""
    rows = (0.1 * (torch.arange(96.0) / 3).sin())[:, None]
    assert noise.noise_level(0.5 + rows + 0.02 * normal(1, 1, 96, 96)) == pytest.approx(0.02, rel=0.1)


def test_texture_in_half_of_the_picture_is_left_out():
    picture = 0.5 + 0.02 * normal(1, 1, 128, 128)
    picture[:, :, :, 64:] += 0.2 * (
        torch.rand(64, 32, generator=torch.Generator().manual_seed(1)).repeat_interleave(2, 1) - 0.5
    ).repeat_interleave(2, 0)
    assert noise.noise_level(picture) == pytest.approx(0.02, rel=0.1)


def test_one_colour_has_no_noise_and_a_drawing_no_estimate():
    assert noise.noise_level(torch.full((1, 3, 32, 32), 0.3)) == 0.0
    assert noise.noise_level(torch.zeros(1, 1, 32, 32)) == 0.0
    page = torch.ones(1, 1, 96, 96)
    page[:, :, 20:60:6, 20:70] = 0.2
    assert noise.noise_level(page) is None


@pytest.mark.parametrize("paper", [0.0, 1.0])
@pytest.mark.parametrize("sigma", [0.02, 0.08])
def test_noise_on_paper_that_was_cut_off(paper, sigma):
    picture = (paper + sigma * normal(1, 1, 96, 96)).clamp(0, 1)
    assert noise.noise_level(picture) == pytest.approx(sigma, rel=0.1)
    assert noise._of_paper(picture[:, 0]) == pytest.approx(sigma, rel=0.1)


def test_what_is_too_loud_on_paper_is_no_noise():
    hit = torch.ones(1, 96, 96)
    hit[torch.rand(1, 96, 96, generator=torch.Generator().manual_seed(0)) < 0.5] = 0.0
    assert noise._of_paper(hit) is None
    assert noise._of_paper(torch.full((1, 96, 96), 0.5)) is None
    assert noise._of_paper((1 + 0.02 * normal(1, 20, 20)).clamp(0, 1)) is None, "fewer than 500 squares"


def test_clipped_values_do_not_count():
    """In a picture whose right half is cut off at white, the left half decides."""
    picture = 0.5 + 0.03 * normal(1, 1, 80, 120)
    picture[:, :, :, 80:] = (1 + 0.03 * normal(1, 1, 80, 40, seed=1)).clamp(0, 1)
    assert noise.noise_level(picture) == pytest.approx(0.03, rel=0.1)


@pytest.mark.parametrize("side", [7, 5, 3])
def test_smaller_patches_where_larger_ones_are_too_few(side):
    """Strips between black lines hold patches of `side` pixels and no larger ones."""
    picture = 0.5 + 0.03 * normal(1, 1, 160, 160)
    picture[:, :, :: side + 1] = 0.0
    assert noise.noise_level(picture) == pytest.approx(0.03, rel=0.1)


@pytest.mark.parametrize("side", [3, 5, 7])
def test_the_bound_is_the_quantile_of_the_gradient_of_noise(side):
    patches = normal(40_000, side, side)
    gradient = noise._gradient(patches, side).flatten()
    assert noise._bound(side) == pytest.approx(gradient.quantile(0.99).item(), rel=0.02)


def test_the_gradient_is_the_sum_over_neighbours():
    picture = normal(1, 6, 7)
    patch = picture[0, 1:4, 2:5]
    expected = patch.diff(dim=0).square().sum() + patch.diff(dim=1).square().sum()
    assert noise._gradient(picture, 3).shape == (1, 4, 5)
    assert noise._gradient(picture, 3)[0, 1, 2].item() == pytest.approx(expected.item(), rel=1e-5)


def test_even_squares_are_counted():
    x = normal(1, 9, 9)
    x[:, :4, :5] = 0.5
    assert noise._even(x) == pytest.approx(2 * 3 / 49)


def test_the_covariance_is_that_of_the_patches():
    patches = normal(200, 9) @ normal(9, 9, seed=1) + 0.1
    assert torch.allclose(noise._covariance(patches).float(), patches.T.cov(), rtol=1e-3, atol=1e-3)


def test_the_mean_of_equal_eigenvalues_without_the_large_ones():
    small = torch.tensor([0.9, 0.95, 1.0, 1.05, 1.1])
    assert noise._white(torch.cat([small, torch.tensor([8.0, 30.0])])) == pytest.approx(1.0)
    assert noise._white(small) == pytest.approx(1.0)
    assert noise._white(torch.tensor([1.0, 9.0])) == pytest.approx(5.0)
    assert noise._white(torch.tensor([2.0])) == 2.0


def test_many_patches_are_spread_over_the_picture():
    picture = 0.5 + 0.02 * normal(1, 1, 80, 80)
    whole, some = (noise._channel(picture[0], most) for most in (20_000, 3000))
    assert some != whole
    assert some == pytest.approx(whole, rel=0.15)


@pytest.mark.parametrize("sigma", [0.05, 0.13])
def test_one_channel_is_enough_for_strong_noise(sigma):
    picture = torch.linspace(0.3, 0.6, 150).expand(1, 3, 150, 150) + sigma * torch.tensor([1.0, 1.2, 0.9]).reshape(3, 1, 1) * normal(
        1, 3, 150, 150
    )
    levels = noise.plain_white_noise(picture)
    assert noise.plain_noise_level(picture, levels) == pytest.approx(noise.noise_level(picture), rel=0.03)


@pytest.mark.parametrize("sigma", [0.05, 0.15])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(128, 128), (131, 167)])
def test_much_white_noise_is_plain(sigma, channels, size):
    ramp = torch.linspace(0.3, 0.6, size[1]).expand(1, channels, *size)
    assert noise.plain_white_noise(ramp + sigma * normal(1, channels, *size)) == pytest.approx([sigma] * channels, rel=0.1)


def test_what_is_like_its_neighbours_or_faint_is_not_plain():
    """Noise of two pixels, noise that was sharpened, noise of rows, a single noisy channel, texture of 4 pixels, and little noise."""
    white = normal(1, 3, 129, 129)
    soft = torch.nn.functional.avg_pool2d(white, 2, stride=1) * 2
    others = {
        "soft": 0.1 * soft,
        "sharpened": 0.1 * (2 * white[..., 1:, 1:] - soft),
        "rows": 0.1 * white[..., :1].expand(white.shape),
        "red": 0.1 * white * torch.tensor([1.0, 0.1, 0.1]).reshape(3, 1, 1),
        "texture": 0.1 * white[..., :32, :32].repeat_interleave(4, 2).repeat_interleave(4, 3),
        "faint": 0.03 * white,
        "small": 0.1 * white[..., :15, :40],
    }
    for name, other in others.items():
        assert noise.plain_white_noise(0.5 + other) is None, name
    assert noise.plain_white_noise(0.5 + 0.1 * white) is not None
