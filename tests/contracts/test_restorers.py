"""Laws for every network that repairs images."""

from typing import get_type_hints

import pytest
import torch

from sfumato.models import MODELS
from sfumato.models.roles.restorer import Restorer

pytestmark = pytest.mark.parametrize("name", [n for n in MODELS if issubclass(get_type_hints(MODELS[n].build)["return"], Restorer)])


@pytest.fixture
def build(small):
    def make(name, **changes):
        torch.manual_seed(0)
        net = small(name, channels=3, **changes).build().eval()
        for weight in net.parameters():
            if not weight.any():  # a block that begins as the identity would hide what it looks at
                torch.nn.init.normal_(weight, std=0.3)
        return net

    return make


def planes(net, side):
    if not net.conditioning:
        return None
    known = (torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0)) < 0.7).float()
    return torch.cat([known if name == "observed" else torch.full_like(known, 0.1) for name in net.conditioning], dim=1)


def test_any_size_that_is_a_multiple_comes_back_at_its_scale(name, build, variants):
    for change in [{}, *variants(name)]:
        net = build(name, **change)
        for h, w in ((1, 1), (2, 5), (7, 3)):
            image = torch.rand(1, 3, h * net.pad_multiple, w * net.pad_multiple)
            extra = torch.rand(1, len(net.conditioning), *image.shape[2:]) if net.conditioning else None
            assert net.restore(image, extra).shape == (1, 3, h * net.pad_multiple * net.scale, w * net.pad_multiple * net.scale), change


def test_what_lies_beyond_its_context_does_not_matter(name, build, variants):
    for change in [{}, *variants(name)]:
        net = build(name, **change)
        if net.receptive_radius is None:
            continue  # it looks at the whole image
        side = 2 * (net.receptive_radius // net.pad_multiple + 2) * net.pad_multiple
        for middle in (side // 2, side // 2 - 1):  # on either side of a cell's border, if there are cells
            image = torch.rand(1, 3, side, side, requires_grad=True)
            made = net.restore(image, planes(net, side))
            place = middle * net.scale
            made[0, :, place, place].sum().backward()
            slope = image.grad[0].abs().sum(0)
            rows, columns = torch.nonzero(slope > 1e-6 * slope.max(), as_tuple=True)  # a spectrum is exact but for rounding
            reach = max((rows - middle).abs().max().item(), (columns - middle).abs().max().item())
            assert 0 < reach <= net.receptive_radius, f"it says less than it looks at with {change}"


def test_every_plane_that_it_takes_matters(name, build, variants):
    for change in [{}, *variants(name)]:
        net = build(name, **change)
        image = torch.rand(1, 3, 16, 16)
        for i in range(len(net.conditioning)):
            extra = torch.zeros(1, len(net.conditioning), 16, 16)
            other = extra.clone()
            other[:, i] = 1
            assert not torch.equal(net.restore(image, extra), net.restore(image, other)), (net.conditioning[i], change)
