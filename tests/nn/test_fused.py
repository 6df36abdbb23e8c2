"""Networks at work: fewer passes over memory, the same outputs."""

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sfumato.models import gated
from sfumato.nn.fused import ActiveConv, Shortcut, ShuffledConv, fused


class Sum(Shortcut):
    def __init__(self, *layers):
        super().__init__()
        self.body = nn.Sequential(*layers)


class Passes(TorchDispatchMode):
    """Names of what is computed while it is active."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def agree(one, other, x):
    with torch.no_grad():
        assert torch.allclose(one(x), other(x), atol=1e-6)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.allclose(one(x).float(), other(x).float(), atol=0.05)


def test_relus_join_the_convolutions_before_them():
    torch.manual_seed(0)
    odd = nn.Conv2d(4, 4, (3, 1), padding=(1, 0))
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, 1, 1, bias=False), nn.Identity(), nn.ReLU(inplace=True), odd, nn.ReLU(), nn.Conv2d(4, 1, 3, 2, 1)
    ).eval()
    joined = fused(network)
    assert [type(layer) for layer in joined] == [ActiveConv, nn.Identity, nn.Identity, nn.Conv2d, nn.ReLU, nn.Conv2d]
    agree(joined, network, torch.randn(2, 1, 8, 8).contiguous(memory_format=torch.channels_last))
    assert isinstance(network[2], nn.ReLU)


@pytest.mark.parametrize("factor", [2, 3])
def test_pixel_shuffles_join_1x1_convolutions(factor):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(6, 5 * factor**2, 1, bias=False), nn.PixelShuffle(factor)).eval()
    joined = fused(network)
    assert [type(layer) for layer in joined] == [ShuffledConv, nn.Identity]
    agree(joined, network, torch.randn(2, 6, 7, 4).contiguous(memory_format=torch.channels_last))
    for other in (nn.Conv2d(6, 8, 1), nn.Conv2d(6, 8, 3, 1, 1, bias=False), nn.Conv2d(6, 8, 1, padding=1, bias=False)):
        kept = nn.Sequential(other, nn.PixelShuffle(2)).eval()
        assert fused(kept) is kept


def test_a_sum_takes_the_memory_of_its_last_layer_and_leaves_its_input():
    torch.manual_seed(0)
    network = nn.Sequential(Sum(nn.Conv2d(3, 3, 3, 1, 1), nn.ReLU(inplace=True), nn.Conv2d(3, 3, 3, 1, 1))).eval()
    joined, x = fused(network), torch.randn(1, 3, 9, 9)
    assert joined[0].in_place
    assert not network[0].in_place
    before = copy.deepcopy(x)
    agree(joined, network, x)
    assert torch.equal(x, before)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert joined(x).dtype == torch.float32, "the sum with float32 maps is float32, as it is in training"


@pytest.mark.parametrize(
    "last",
    [
        nn.Conv2d(3, 3, 3, 1, 1),
        nn.Conv2d(3, 3, 1, bias=False),
        nn.Conv2d(3, 3, 5, padding=2),
        nn.Conv2d(3, 3, 3, padding=2, dilation=2),
        nn.Conv2d(3, 3, 3, padding=1, groups=3),
        nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 3, (3, 1), padding=(1, 0)),
        nn.Conv2d(3, 3, 3, padding="same"),
        nn.Identity(),
    ],
    ids=str,
)
def test_a_sum_joins_the_convolution_before_it(last):
    torch.manual_seed(0)
    network = nn.Sequential(Sum(nn.Conv2d(3, 3, 3, 1, 1), last)).eval()
    joined, x = fused(network), torch.randn(2, 3, 7, 9).contiguous(memory_format=torch.channels_last)
    agree(joined, network, x)
    slopes = [torch.autograd.grad(each(y := x.clone().requires_grad_()).square().sum(), y)[0] for each in (joined, network)]
    assert torch.allclose(*slopes, atol=1e-5)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch was built without oneDNN, which joins them")
def test_the_sum_costs_no_pass_of_its_own():
    network = nn.Sequential(Sum(nn.Conv2d(3, 3, 3, 1, 1), nn.Conv2d(3, 3, 3, 1, 1))).eval()
    x = torch.randn(2, 3, 7, 9).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        with Passes() as apart:
            network(x)
        with Passes() as joined:
            fused(network)(x)
    assert sum("add" in name for name in apart.names) == 1
    assert len(joined.names) == 2, joined.names


def test_in_training_all_stays():
    network = gated.Config(channels=1, width=4, encoder=(1,), middle=1, decoder=(1,)).build()
    assert fused(network.train()) is network
    joined = fused(network.eval())
    assert joined is not network
    assert {type(layer).__name__ for layer in joined.modules()} >= {"ActiveConv", "ShuffledConv"}
    agree(joined.restore, network.restore, torch.rand(1, 1, 12, 16))
    plain = nn.Sequential(nn.Conv2d(1, 1, 3)).eval()
    assert fused(plain) is plain


def test_a_network_put_together_of_others_at_work_is_joined_too():
    part = gated.Config(channels=1, width=4, middle=1).build().eval()
    whole = nn.Sequential(part)
    assert whole.training
    assert fused(whole)[0].in_place
    part.train()
    assert fused(whole) is whole
