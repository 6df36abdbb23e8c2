"""Adaptive augmentation: each change against a plain way to make it, one image at a time, and as often as it should come."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch.nn import functional as F

from sfumato.core.errors import SettingError
from sfumato.data.adaptive import AMOUNTS, COLOURED, GATES, WARPED, Config

NAMES = [field.name for field in dataclasses.fields(Config) if field.name not in ("target", "probability", "over", "every")]
FIRST = {"flip": 0, "turn": 1, "shift": 2, "scale": 4, "rotate": 5, "stretch": 6, "slide": 8, "brightness": 10, "contrast": 11}
FIRST |= {"invert": 12, "hue": 13, "saturation": 14, "cutout": 15}
"""The first of the amounts of each change."""


def only(*names):
    return Config(probability=0.5, **{name: float(name in names) for name in NAMES})


def draws(count, seed=1):
    return torch.rand(count, len(GATES) + AMOUNTS, generator=torch.Generator().manual_seed(seed))


def amounts(uniform, name, k=0):
    return uniform[:, len(GATES) + FIRST[name] + k].double().numpy()


@pytest.fixture
def images():
    return torch.rand(48, 3, 12, 12, generator=torch.Generator().manual_seed(0))


ONE, NONE = torch.tensor(1.0), torch.tensor(0.0)


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 8, 8), (4, 7, 10), (2, 5, 5)])
def test_with_probability_zero_it_is_the_identity_bit_for_bit(shape):
    images = torch.randn(20, *shape, generator=torch.Generator().manual_seed(0))
    everything = Config(target=0.6, cutout=1.0)
    assert torch.equal(everything(images, draws(20), NONE), images)
    assert not torch.equal(everything(images, draws(20), ONE), images)


def test_a_flip_is_a_flip_half_of_the_time(images):
    u = draws(48)
    changed = only("flip")(images, u, ONE)
    for image, before, amount in zip(changed, images, amounts(u, "flip"), strict=True):
        assert torch.equal(image, before.flip(2) if amount >= 0.5 else before)


@pytest.mark.parametrize("size", [(12, 12), (8, 12)])
def test_a_turn_is_by_quarters_or_where_the_image_is_not_square_by_halves(size):
    images, u = torch.rand(48, 3, *size), draws(48)
    changed = only("turn")(images, u, ONE)
    for image, before, amount in zip(changed, images, amounts(u, "turn"), strict=True):
        quarters = int(4 * amount) if size[0] == size[1] else 2 * int(2 * amount)
        assert torch.equal(image, torch.rot90(before, quarters, (1, 2)))


def test_a_shift_is_by_whole_pixels_and_mirrors_at_the_border():
    images, u = torch.rand(48, 2, 16, 24), draws(48)
    changed = only("shift")(images, u, ONE)
    for i, image in enumerate(changed):
        down, right = (int(np.round((2 * amounts(u, "shift", k)[i] - 1) * side / 8)) for k, side in ((0, 16), (1, 24)))
        wide = np.pad(images[i].numpy(), ((0, 0), (3, 3), (3, 3)), mode="symmetric")
        expected = wide[:, 3 - down : 19 - down, 3 - right : 27 - right]
        assert np.array_equal(image.numpy(), expected)


def test_exact_changes_come_in_their_order(images):
    u = draws(48)
    by_steps = only("shift")(only("turn")(only("flip")(images, u, ONE), u, ONE), u, ONE)
    assert torch.equal(only("flip", "turn", "shift")(images, u, ONE), by_steps)


def waves(x, y):
    return np.stack([np.cos(0.25 * x + 0.1 * y), np.sin(0.3 * y - 0.2), np.cos(0.2 * x - 0.15 * y)])


def test_the_warp_is_each_step_one_after_the_other():
    h, w, n = 40, 48, 24
    u = draws(n, seed=3)
    y, x = np.meshgrid(np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2, indexing="ij")
    still = torch.from_numpy(waves(x, y)).expand(n, -1, -1, -1)
    changed = only("scale", "rotate", "stretch", "slide")(still, u, ONE).numpy()
    turns = [2 * math.pi * amounts(u, "rotate", k) - math.pi for k in (0, 2)]
    for i in range(n):
        size, wide = (2 ** (0.2 * norm.ppf(amounts(u, name)[i])) for name in ("scale", "stretch"))
        right, down = (norm.ppf(amounts(u, "slide", k)[i]) * side / 8 for k, side in ((0, w), (1, h)))
        place = np.stack([x.ravel(), y.ravel()])
        # An image that is moved by a map has at a place what was where the map comes from; the last map is undone first.
        place = place - np.array([[right], [down]])
        for angle, matrix in ((turns[1][i], np.diag([1 / wide, wide])), (turns[0][i], np.eye(2) / size)):
            back = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
            place = matrix @ (back @ place)
        inside = (np.abs(place[0]) < w / 2 - 4) & (np.abs(place[1]) < h / 2 - 4)
        expected = waves(*place).reshape(3, h, w)
        assert np.abs((changed[i] - expected) * inside.reshape(h, w)).max() < 0.02


def matrices(u, i):
    """The colours of image `i`, as a product of 4x4 matrices, in [-1, 1]."""
    v = np.array([1, 1, 1, 0]) / math.sqrt(3)
    along, eye, whole = np.outer(v, v), np.eye(4), np.diag([1, 1, 1, 0])
    move = np.eye(4)
    move[:3, 3] = 0.2 * norm.ppf(amounts(u, "brightness")[i])
    contrast = np.diag([*[2 ** (0.5 * norm.ppf(amounts(u, "contrast")[i]))] * 3, 1])
    invert = eye - 2 * along * (amounts(u, "invert")[i] >= 0.5)
    angle, s = math.pi * (2 * amounts(u, "hue")[i] - 1), 2 ** norm.ppf(amounts(u, "saturation")[i])
    cross = np.zeros((4, 4))
    cross[:3, :3] = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    hue = eye + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross  # Rodrigues
    vivid = along + (whole - along) * s + np.diag([0, 0, 0, 1])
    return {"brightness": move, "contrast": contrast, "invert": invert, "hue": hue, "saturation": vivid}


@pytest.mark.parametrize("names", [*[(name,) for name in COLOURED], COLOURED])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_colours_are_the_product_of_their_matrices(names, channels):
    images, u = torch.rand(24, channels, 4, 5, generator=torch.Generator().manual_seed(0)), draws(24)
    changed = only(*names)(images, u, ONE).numpy()
    for i, image in enumerate(images.numpy()):
        matrix = np.eye(4)
        for name in names:
            matrix = matrices(u, i)[name] @ matrix
        colours = image[:3] if channels >= 3 else image[:1].repeat(3, 0)
        expected = np.einsum("ab,bhw->ahw", matrix[:3, :3], 2 * colours - 1) + matrix[:3, 3, None, None]
        expected = (expected.mean(0, keepdims=True) if channels < 3 else expected) / 2 + 0.5
        np.testing.assert_allclose(changed[i, : len(expected)], expected, atol=2e-5)
        assert np.array_equal(changed[i, len(expected) :], image[len(expected) :]), "opacity stays"


def test_a_hole_is_half_of_each_side_around_its_centre():
    u = draws(48)
    changed = only("cutout")(torch.zeros(48, 3, 12, 20), u, ONE)
    for i, image in enumerate(changed):
        y, x = (((np.arange(side) + 0.5) / side - amounts(u, "cutout", k)[i]) for k, side in ((0, 12), (1, 20)))
        expected = 0.5 * ((np.abs(y) < 0.25)[:, None] & (np.abs(x) < 0.25))
        np.testing.assert_array_equal(image.numpy(), np.broadcast_to(expected, (3, 12, 20)))


@pytest.mark.parametrize("name", NAMES)
def test_each_change_comes_as_often_as_asked_for(name):
    n = 3000
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).expand(n, -1, -1, -1)
    uniform = draws(n)
    uniform[:, len(GATES) :] = 0.8  # an amount that shows
    config = dataclasses.replace(only(name), **{name: 0.5})
    changed = (config(images, uniform, torch.tensor(0.6)) != images).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.035)


def test_one_image_is_changed_in_the_same_way_in_any_batch(images):
    config, u, p = Config(probability=0.5, cutout=1.0), draws(48), torch.tensor(0.6)
    whole = config(images, u, p)
    parts = torch.cat([config(images[i : i + 7], u[i : i + 7], p) for i in range(0, 48, 7)])
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-5)
    assert len({tuple(row) for row in (whole - images).abs().mean((2, 3)).tolist()}) > 40, "each in its own"


def test_more_probability_changes_more_images_and_keeps_those_that_were(images):
    config, u = only("flip"), draws(48)
    flipped = [(config(images, u, torch.tensor(p)) != images).flatten(1).any(1) for p in (0.3, 0.6, 1.0)]
    assert (flipped[0] <= flipped[1]).all()
    assert (flipped[1] <= flipped[2]).all()
    assert flipped[0].sum() < flipped[1].sum() < flipped[2].sum()


@pytest.mark.parametrize("gates", [WARPED, GATES])
def test_its_derivatives_of_both_orders_are_right(gates):
    config = only(*(gate.removesuffix(" again") for gate in gates))
    x = torch.rand(2, 3, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    u, p = draws(2), torch.tensor(0.7)
    assert torch.autograd.gradcheck(lambda x: config(x, u, p), x)
    assert torch.autograd.gradgradcheck(lambda x: config(x, u, p) ** 3, x)


def test_it_stays_in_full_precision_under_autocast(images):
    config, u, p = Config(probability=0.5), draws(48), torch.tensor(0.7)
    x = images.clone().requires_grad_()

    def slope():
        changed = config(x, u, p)
        return changed, torch.autograd.grad(F.softplus(changed).sum(), x, create_graph=True)[0]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = slope()
    assert all(torch.equal(one, other) for one, other in zip(half, slope(), strict=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"flip": 0.0}, "flip = 0.0 has no effect, because target and probability are 0"),
        ({"probability": 0.3, "over": 1000}, "over = 1000 has no effect, because target is 0"),
        ({"target": 0.6, **dict.fromkeys(NAMES, 0.0)}, "all transforms are 0; set at least one above 0: flip, turn"),
    ],
)
def test_what_has_no_effect_is_refused(values, message):
    with pytest.raises(SettingError, match=message):
        Config(**values)


def test_colours_that_are_not_known_are_refused():
    many = torch.rand(2, 5, 4, 4)
    assert only("flip")(many, draws(2), ONE).shape == many.shape
    with pytest.raises(SettingError, match="colours of 5 channels are unknown"):
        only("hue")(many, draws(2), ONE)
