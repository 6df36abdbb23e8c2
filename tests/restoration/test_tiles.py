"""Repairing images: any size, any channels, in tiles as in one piece."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sfumato.core.errors import SettingError
from sfumato.models import MODELS
from sfumato.restoration.tiles import apply_restorer

NETWORKS = {
    "dncnn": {"width": 6, "depth": 4},
    "ffdnet": {"width": 6, "depth": 3, "fold": 2, "residual": False, "noise_plane": True, "channels": 3},
    "drunet": {"widths": (4, 6), "blocks": 1, "channels": 1},
    "rrdb": {"width": 4, "growth": 2, "blocks": 1, "scale": 2},
    "compact": {"width": 6, "depth": 3, "scale": 3},
    "gated, flat": {"width": 4, "middle": 2, "window": 5, "channel_gate": "mean+max", "pixel_gate": "pooled", "extremes": True},
    "gated, enlarging": {"width": 4, "middle": 1, "window": 4, "channel_gate": "mean+std", "pixel_gate": "pointwise", "scale": 2},
    "gated, U-Net": {"width": 4, "encoder": (1, 0), "middle": 1, "decoder": (0, 1), "window": 8, "channel_gate": "mean"},
    "gated, folded U-Net": {
        "width": 4,
        "encoder": (1,),
        "middle": 0,
        "decoder": (1,),
        "convolution": "depthwise",
        "between": "split",
        "channel_gate": "linear",
        "pixel_gate": "pooled",
        "window": 4,
        "fold": 2,
        "planes": ("noise",),
    },
    "gated, without windows": {"width": 4, "encoder": (1, 1), "middle": 1, "decoder": (1, 1), "fold": 2, "pixel_gate": "pointwise"},
    "srgan": {"restorer": MODELS["gated"](width=4, middle=1, window=6, channel_gate="mean", scale=2), "discriminator_width": 2},
}


def network(which):
    torch.manual_seed(0)
    family = "dncnn" if which == "ffdnet" else which.partition(",")[0]
    net = MODELS[family](**NETWORKS[which]).build().eval()
    for weight in net.parameters():
        if not weight.any():  # a block that begins as the identity would prove nothing
            torch.nn.init.normal_(weight, std=0.2)
    return net


def extra(net):
    return {"noise": 0.1} if net.conditioning else {}


@settings(max_examples=50, deadline=None)
@given(which=st.sampled_from(list(NETWORKS)), h=st.integers(1, 70), w=st.integers(1, 70), tile=st.integers(1, 50))
def test_tiles_are_the_whole(which, h, w, tile):
    assume(h * w <= 150 * tile**2)  # thousands of tiles take long and tell no more
    net = network(which)
    images = torch.rand(1, net.channels, h, w, generator=torch.Generator().manual_seed(h * 100 + w))
    whole, tiled = apply_restorer(net, images, **extra(net)), apply_restorer(net, images, tile=tile, **extra(net))
    assert whole.shape == (1, net.channels, h * net.scale, w * net.scale)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    which=st.sampled_from(list(NETWORKS)),
    h=st.integers(1, 60),
    w=st.integers(1, 60),
    tile=st.integers(10, 40),
    ways=st.sampled_from([4, 8]),
)
def test_tiles_are_the_whole_in_every_way_round(which, h, w, tile, ways):
    net = network(which).self_ensemble(ways)
    images = torch.rand(1, net.channels, h, w, generator=torch.Generator().manual_seed(h * 100 + w))
    whole, tiled = apply_restorer(net, images, **extra(net)), apply_restorer(net, images, tile=tile, **extra(net))
    assert whole.shape == (1, net.channels, h * net.scale, w * net.scale)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("which", NETWORKS)
def test_seen_in_every_way_an_image_turned_is_its_result_turned(which):
    net = network(which)
    side = 2 * net.tile_multiple
    images, planes = torch.rand(1, net.channels, side, 2 * side), torch.full((1, 1, side, 2 * side), 0.1) if net.conditioning else None
    across = None if planes is None else planes.transpose(2, 3)
    with torch.no_grad():
        plain, four, eight = (each.restore(images, planes) for each in (net, net.self_ensemble(4), net.self_ensemble(8)))
        torch.testing.assert_close(net.self_ensemble(4).restore(images.flip(3), planes), four.flip(3), rtol=0, atol=1e-5)
        torch.testing.assert_close(
            net.self_ensemble(8).restore(images.transpose(2, 3).flip(2), across), eight.transpose(2, 3).flip(2), atol=1e-5, rtol=0
        )
    assert not torch.allclose(plain, four, atol=1e-5)
    assert not torch.allclose(four, eight, atol=1e-5)
    with pytest.raises(SettingError, match="views = 3 must be 4"):
        net.self_ensemble(3)


def test_no_tile_sees_more_than_it_needs(monkeypatch):
    net, seen = network("dncnn"), []
    original = net.restore
    monkeypatch.setattr(net, "restore", lambda x, planes=None: seen.append(x.shape[2:]) or original(x, planes))
    apply_restorer(net, torch.rand(1, 1, 100, 90), tile=32)
    assert len(seen) == 12
    assert max(max(shape) for shape in seen) <= 32 + 2 * net.receptive_radius


def test_a_whole_image_is_computed_once(monkeypatch):
    net, seen = network("gated, folded U-Net"), []
    original = net.restore
    monkeypatch.setattr(net, "restore", lambda x, planes=None: seen.append(x.shape[2:]) or original(x, planes))
    apply_restorer(net, torch.rand(1, 3, 33, 47), noise=0.1)
    assert len(seen) == 1


def test_a_grey_network_repairs_each_channel_of_a_colour_image():
    net, images = network("dncnn"), torch.rand(2, 3, 9, 11)
    together = apply_restorer(net, images)
    for i in range(3):
        torch.testing.assert_close(together[:, i : i + 1], apply_restorer(net, images[:, i : i + 1]), rtol=0, atol=1e-6)


def test_a_colour_network_is_shown_a_grey_image_in_all_channels():
    net, images = network("compact"), torch.rand(2, 1, 9, 11)
    with torch.no_grad():
        expected = net.restore(images.expand(2, 3, 9, 11)).mean(1, keepdim=True).clamp(0, 1)
    torch.testing.assert_close(apply_restorer(net, images), expected, rtol=0, atol=1e-5)
    assert expected.shape == (2, 1, 27, 33)


def test_the_result_is_in_range():
    net = network("dncnn")
    torch.nn.init.constant_(net.layers[-1].bias, 0.6)
    made = apply_restorer(net, torch.rand(1, 1, 8, 8))
    assert made.min() == 0
    assert made.max() <= 1


def test_noise_may_differ_from_pixel_to_pixel():
    net, images = network("ffdnet"), torch.rand(1, 3, 16, 16)
    plane = torch.full((1, 1, 16, 16), 0.1)
    assert torch.equal(apply_restorer(net, images, noise=plane), apply_restorer(net, images, noise=0.1))
    plane[:, :, :, 8:] = 0.5
    assert not torch.equal(apply_restorer(net, images, noise=plane), apply_restorer(net, images, noise=0.1))


def test_what_cannot_be_is_told():
    images = torch.rand(1, 3, 16, 16)
    with pytest.raises(SettingError, match="this network needs noise"):
        apply_restorer(network("ffdnet"), images)
    deconvolving = MODELS["deconvolving"](corrector=MODELS["gated"](width=4, middle=1)).build().eval()
    with pytest.raises(SettingError, match="noise differs from pixel to pixel; deblurring filters"):
        apply_restorer(deconvolving, torch.rand(1, 3, 40, 40), noise=torch.linspace(0, 0.1, 1600).reshape(1, 1, 40, 40))
    with pytest.raises(SettingError, match="noise has shape"):
        apply_restorer(network("ffdnet"), images, noise=torch.zeros(1, 1, 8, 8))
    with pytest.raises(SettingError, match="2 channels, the network takes 3"):
        apply_restorer(network("compact"), torch.rand(1, 2, 8, 8))
    with pytest.raises(SettingError, match="takes the whole image"):
        apply_restorer(MODELS["imdn"](width=8, blocks=1, scale=2).build().eval(), images, tile=8)
    with pytest.raises(SettingError, match="repairs nothing"):
        apply_restorer("digits", images)
    with pytest.raises(SettingError, match="tile = 0"):
        apply_restorer(network("dncnn"), images, tile=0)
