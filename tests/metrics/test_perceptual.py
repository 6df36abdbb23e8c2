"""LPIPS as a metric, and path lengths of generators whose lengths are known."""

import pytest
import torch

from sfumato.core.errors import DataError, ImageError, SettingError
from sfumato.core.rng import seeded_generator
from sfumato.metrics.perceptual import lpips, path_lengths, smoothness, without_tails
from sfumato.models.roles.perceptual_metric import PerceptualMetric


class Squares(PerceptualMetric):
    """The sum of squared differences: then the path length of a linear generator is known."""

    channels, least = 1, 1

    def distance(self, images, reference):
        return (images - reference).square().sum(dim=(1, 2, 3))


def linear(matrix):
    return lambda latents: (latents.double() @ matrix).float().view(len(latents), 1, 4, 4)


@pytest.fixture
def pairs():
    return torch.randn(2, 400, 6, generator=seeded_generator(0, "pairs")).unbind(0)


@pytest.fixture
def matrix():
    return torch.randn(6, 16, generator=seeded_generator(1, "matrix"), dtype=torch.float64)


def test_in_w_a_linear_generator_has_the_length_of_its_image(pairs, matrix):
    a, b = pairs
    expected = ((b - a).double() @ matrix).square().sum(1)
    found = path_lengths(linear(matrix), Squares(), a, b, space="w", rng=seeded_generator(0, "t"), epsilon=1e-2)
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


def test_in_z_the_way_is_the_great_circle(pairs):
    a, b = (x / x.norm(dim=1, keepdim=True) for x in pairs)
    angle = (a * b).sum(1).double().acos()
    identity = torch.eye(6, 16, dtype=torch.float64)
    found = path_lengths(linear(identity), Squares(), a, b, space="z", rng=seeded_generator(0, "t"), epsilon=1e-2)
    torch.testing.assert_close(found, angle.square(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        path_lengths(linear(identity), Squares(), a, b, space="z", ends=True, rng=seeded_generator(0, "t"), epsilon=1e-2),
        found,
        rtol=1e-3,
        atol=1e-4,
    )


def test_a_step_of_a_ten_thousandth_survives_float32(pairs, matrix):
    a, b = pairs
    coarse, fine = (path_lengths(linear(matrix), Squares(), a, b, space="w", rng=seeded_generator(0, "t"), epsilon=e) for e in (1e-2, 1e-4))
    torch.testing.assert_close(fine, coarse, rtol=0.05, atol=0.1)


def test_the_mean_is_without_tails_and_says_how_it_was_found(pairs, matrix):
    a, b = pairs
    lengths = path_lengths(linear(matrix), Squares(), a, b, space="w", rng=seeded_generator(0, "t"), epsilon=1e-2)
    m = smoothness(lengths, Squares(), space="w", rng=seeded_generator(0, "t"), epsilon=1e-2)
    assert m.value == pytest.approx(without_tails(lengths).mean().item())
    assert m.interval[0] < m.value < m.interval[1]
    assert "space w, t in [0, 1), epsilon = 0.01, 1% dropped at either end" in m.protocol.settings
    assert m.name == "path_length_w"
    assert without_tails(torch.arange(1000.0)).tolist() == list(range(9, 991))
    with pytest.raises(DataError, match="4 pairs are too few"):
        smoothness(lengths[:4], Squares(), space="w", rng=seeded_generator(0, "t"))
    with pytest.raises(SettingError, match="epsilon = 0"):
        path_lengths(linear(matrix), Squares(), a, b, space="w", rng=seeded_generator(0, "t"), epsilon=0)


def test_large_images_are_shrunk_by_whole_factors():
    sizes = []

    class Sizes(Squares):
        def distance(self, images, reference):
            sizes.append(tuple(images.shape[2:]))
            return super().distance(images, reference)

    latents = torch.randn(2, 3, 2)
    path_lengths(lambda z: torch.zeros(len(z), 1, 600, 520), Sizes(), *latents, space="w", rng=seeded_generator(0, "t"))
    assert sizes == [(300, 260)]


def test_lpips_is_the_distance_of_each_pair(photos):
    other = photos.flip(3)
    found = lpips(Squares(), photos, other, batch=3)
    torch.testing.assert_close(found, (photos - other).square().sum(dim=(1, 2, 3)))
    with pytest.raises(ImageError, match="one shape"):
        lpips(Squares(), photos, other[:4])
