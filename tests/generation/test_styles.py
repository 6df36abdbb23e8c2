"""Truncation, mixtures and walks, on untrained networks of every family that samples."""

import pytest
import torch

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.editing.latent_image import drawn, render
from sfumato.editing.mix import mix
from sfumato.generation import interpolate as walking
from sfumato.generation.generate import grain, latent, show, styled, synthesize

KINDS = ("stylegan", "dcgan", "vae")


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_image_is_the_same_in_any_batch(untrained, kind):
    network = untrained(kind, classes=3)
    many = sf.generate(network, 19, truncation=0.6)
    assert torch.equal(sf.generate(network, 1, seed=17, truncation=0.6)[0], many[17])
    assert torch.equal(sf.generate(network, seeds=[18, 3], truncation=0.6), many[[18, 3]])


@pytest.mark.parametrize("kind", KINDS)
def test_truncation_goes_from_the_mean_image_to_the_image(untrained, kind):
    network = untrained(kind)
    z = torch.cat([latent(network, s) for s in range(3)])
    mean, half, whole = (styled(network, z, None, truncation=t) for t in (0.0, 0.5, 1.0))
    torch.testing.assert_close(mean, network.mean_style().expand_as(whole))
    torch.testing.assert_close(half, (mean + whole) / 2)
    with torch.no_grad():
        torch.testing.assert_close(synthesize(network, z, None), network.sample(z).clamp(0, 1), atol=1e-5, rtol=0)
    still = show(network, mean, None)
    assert torch.equal(still[0], still[1])


def test_each_seed_has_its_own_noise(untrained):
    network = untrained("stylegan")
    many = sf.generate(network, 19, truncation=0)
    assert not torch.equal(many[0], many[1]), "of one style, noise alone tells them apart"
    assert torch.equal(sf.generate(network, seeds=[18, 3], truncation=0), many[[18, 3]])
    assert torch.equal(render(network, drawn(network, 18, truncation=0))[0], many[18])
    planes = grain(network, [4, 5])
    assert [plane.shape[2:] for plane in planes] == network.noise_shapes()
    assert all(len(plane) == 2 and not torch.equal(*plane) for plane in planes)
    assert torch.stack([plane.std() for plane in planes[-2:]]).sub(1).abs().max() < 0.1


def test_networks_without_noise_inputs_draw_none(untrained):
    assert grain(untrained("dcgan"), [4]) == [] == grain(untrained("stylegan", noise=False), [4])
    assert drawn(untrained("dcgan"), 4).noise is None


def test_each_class_has_its_own_mean(untrained):
    network = untrained("stylegan", classes=2, noise=False)
    network.generator.means.copy_(torch.randn(2, network.style_dim))
    a, b = (sf.generate(network, 1, label=i, truncation=0) for i in (0, 1))
    assert not torch.equal(a, b)
    assert torch.equal(a, sf.generate(network, 1, seed=8, label=0, truncation=0))


def test_a_mixture_has_the_layers_of_its_column(untrained):
    network = untrained("stylegan")
    grid = mix(network, (0, 1), (5, 6, 7), layers=(2, 4))
    assert grid.shape == (12, 3, 32, 32)
    assert torch.equal(grid[1:4], sf.generate(network, seeds=(5, 6, 7)))
    assert torch.equal(grid[[4, 8]], sf.generate(network, seeds=(0, 1)))
    z = torch.cat([latent(network, s) for s in (1, 6)])
    styles = styled(network, z, None)
    expected = styles[:1].clone()
    expected[0, 2:5] = styles[1, 2:5]
    assert torch.equal(grid[10:11], show(network, expected, None, seeds=[1])), "with the noise of its row"
    silent = untrained("stylegan", noise=False)
    assert torch.equal(mix(silent, (0,), (5,), layers=(0, silent.styles - 1))[3], sf.generate(silent, 1, seed=5)[0])


def test_what_cannot_be_mixed_or_walked_is_one_line(untrained):
    with pytest.raises(SettingError, match="one style for the whole image"):
        mix(untrained("vae"), (0,), (1,))
    with pytest.raises(SettingError, match=r"layers 3-40 are not among 0-7"):
        mix(untrained("stylegan"), (0,), (1,), layers=(3, 40))
    with pytest.raises(SettingError, match="make no mixtures"):
        mix(untrained("stylegan"), (), (1,))
    with pytest.raises(SettingError, match=r"truncation = 3 is outside \[-2, 2\]"):
        sf.generate(untrained("vae"), 1, truncation=3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_straight_walk_is_straight_in_the_styles(untrained, kind):
    network = untrained(kind, classes=2)
    frames = sf.interpolate(network, (4, 6), steps=2, space="w", loop=False)
    z, labels = torch.cat([latent(network, s) for s in (4, 6)]), torch.zeros(2, dtype=torch.long)
    styles = styled(network, z, labels)
    middle = show(network, styles.mean(dim=0, keepdim=True), labels[:1], seeds=[4])
    torch.testing.assert_close(frames[1:2], middle, atol=1e-5, rtol=0)
    assert len(sf.interpolate(network, (4, 6), steps=2, space="w")) == 4


def test_lengths_go_over_geometrically_on_great_circles():
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(9, 64, generator=rng), torch.randn(9, 64, generator=rng)
    t = torch.linspace(0, 1, 9)[:, None]
    expected = a.norm(dim=1) ** (1 - t[:, 0]) * b.norm(dim=1) ** t[:, 0]
    torch.testing.assert_close(walking.slerp(a, b, t).norm(dim=1), expected, rtol=1e-4, atol=0)
    same = torch.cat([a[:1], b[1:2]])
    assert torch.isfinite(walking.slerp(same, torch.cat([a[:1], a[1:2]]), 0.5)).all()


def test_even_steps_of_a_known_path_are_found():
    found = walking.evened(torch.linspace(0, 2, 33, dtype=torch.float64), lambda u: (u**3).diff().float())
    torch.testing.assert_close(found**3, torch.linspace(0, 8, 33, dtype=torch.float64), rtol=0, atol=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_an_even_walk_changes_as_much_from_frame_to_frame(untrained, kind):
    network = untrained(kind)

    def uneven(**how):
        far = walking.distances(sf.interpolate(network, (0, 1, 2), steps=16, loop=False, **how))
        return (far.std() / far.mean()).item()

    for space in ("z", "w"):
        assert uneven(space=space, even=True) < min(0.02, uneven(space=space) / 4)
    ends = sf.interpolate(network, (0, 1), steps=6, loop=False, even=True)[[0, -1]]
    z = torch.cat([latent(network, s) for s in (0, 1)])
    torch.testing.assert_close(ends, show(network, styled(network, z, None), None, seeds=[0, 0]), atol=1e-5, rtol=0)
