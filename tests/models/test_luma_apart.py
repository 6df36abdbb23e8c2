"""A pair with luma apart: luma by the network for grey images, chroma by the one for colour."""

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.models import MODELS
from sfumato.models.roles.restorer import LumaApart
from sfumato.nn.channels import luma
from sfumato.restoration.networks import Networks
from sfumato.restoration.tiles import apply_restorer


@pytest.fixture
def pair():
    torch.manual_seed(0)
    parts = {name: MODELS["gated"](channels=channels, width=4, middle=1) for name, channels in (("grey", 1), ("colour", 3))}
    network = MODELS["paired"](**parts).build().eval()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return network


PICTURE = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(1))


def chroma(images):
    return images - luma(images)


@torch.no_grad()
def test_luma_is_that_of_the_grey_network_and_chroma_that_of_the_other(pair):
    output = pair.with_luma_apart().restore(PICTURE)
    torch.testing.assert_close(luma(output), pair.grey.restore(luma(PICTURE)))
    torch.testing.assert_close(chroma(output), chroma(pair.colour.restore(PICTURE)))


@torch.no_grad()
def test_grey_images_go_the_way_of_grey_images(pair):
    grey = PICTURE[:, :1]
    assert torch.equal(pair.with_luma_apart().restore(grey), pair.grey.restore(grey))
    assert torch.equal(apply_restorer(pair.with_luma_apart(), grey), apply_restorer(pair, grey))


def test_tiles_agree_with_the_whole(pair):
    network = pair.with_luma_apart()
    torch.testing.assert_close(apply_restorer(network, PICTURE, tile=8), apply_restorer(network, PICTURE), rtol=0, atol=1e-5)


def test_a_network_without_a_grey_path_is_itself():
    network = MODELS["gated"](channels=3, width=4, middle=1).build()
    assert network.with_luma_apart() is network


@torch.no_grad()
def test_two_networks_by_name_are_like_a_pair(pair):
    networks = Networks()
    apart = networks.luma_apart(pair.grey, pair.colour)
    assert torch.equal(apart.restore(PICTURE), pair.with_luma_apart().restore(PICTURE))
    assert networks.luma_apart(pair.grey, pair.colour) is apart, "pictures share a batch"
    assert networks.luma_apart(pair.grey, pair.colour, 4) is networks.luma_apart(pair.grey, pair.colour, 4) is not apart
    assert (apart.receptive_radius, apart.pad_multiple, apart.tile_multiple) == (
        pair.receptive_radius,
        pair.pad_multiple,
        pair.tile_multiple,
    )


def test_networks_of_different_scale_or_planes_are_refused(pair):
    for facts in ({"scale": 2}, {"planes": ("noise",)}):
        with pytest.raises(SettingError, match="both must have the same scale and planes"):
            LumaApart(MODELS["gated"](channels=1, width=4, middle=1, **facts).build(), pair.colour)


def test_networks_keep_both_apart(pair):
    networks = Networks()
    assert networks.opened(pair) is pair
    assert networks.opened(pair, luma_apart=True) is networks.opened(pair, luma_apart=True) is not pair
