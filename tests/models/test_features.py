"""The networks for photographs: layouts by their published sizes, sight against gradients, resizing against the originals."""

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.core.errors import SettingError
from sfumato.models import MODELS
from sfumato.models.roles.feature_extractor import Backbone
from sfumato.nn.branches import Branches
from sfumato.nn.resample import bilinear_from_corner

PARAMETERS = {"squeezenet": 1_235_496, "alexnet": 61_100_840, "vgg16": 138_357_544, "googlenet": 6_624_904, "inception": 23_834_568}
"""As published, for 1000 classes; of Inception and GoogLeNet without the heads that only training had."""


def built(trunk, **changes) -> Backbone:
    with torch.device("meta") if changes.pop("hollow", False) else torch.device("cpu"):
        return MODELS["features"](trunk=trunk, **changes).build().eval()


@pytest.mark.parametrize("trunk", PARAMETERS)
def test_there_are_as_many_parameters_as_published(trunk):
    assert sum(p.numel() for p in built(trunk, hollow=True).parameters()) == PARAMETERS[trunk]


def test_names_of_weights_are_the_communitys_but_for_the_first_word():
    names = {
        "squeezenet": {"steps.0.weight": (64, 3, 3, 3), "steps.12.expand3x3.weight": (256, 64, 3, 3), "head.1.weight": (1000, 512, 1, 1)},
        "alexnet": {"steps.10.weight": (256, 256, 3, 3), "head.1.weight": (4096, 9216), "head.6.bias": (1000,)},
        "vgg16": {"steps.28.weight": (512, 512, 3, 3), "head.0.weight": (4096, 25088), "head.6.weight": (1000, 4096)},
        "googlenet": {"steps.inception4a.branch4.1.conv.weight": (64, 480, 1, 1), "steps.conv2.bn.weight": (64,), "head.fc.bias": (1000,)},
        "inception": {
            "steps.Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
            "steps.Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
            "steps.Mixed_6c.branch7x7dbl_4.conv.weight": (160, 160, 7, 1),
            "steps.Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
            "steps.Mixed_7c.branch3x3_2b.bn.running_var": (384,),
            "head.fc.weight": (1008, 2048),
        },
    }
    for trunk, expected in names.items():
        state = built(trunk, classes=1008 if trunk == "inception" else 1000, hollow=True).state_dict()
        assert {name: tuple(state[name].shape) for name in expected} == expected


@pytest.mark.parametrize(("trunk", "sides"), [("squeezenet", (55, 13, 512)), ("inception", (147, 8, 2048)), ("googlenet", (112, 7, 1024))])
def test_maps_have_the_sizes_that_the_papers_draw(trunk, sides):
    net = built(trunk, classes=0)
    maps = net.layers(torch.rand(1, 3, *net.size))
    first, last, width = sides
    assert maps[-1].shape == (1, width, last, last)
    assert maps[0].shape[2] == (111 if trunk == "squeezenet" else first)


@pytest.mark.parametrize(
    ("trunk", "name"), [("squeezenet", "fire5"), ("alexnet", "relu2"), ("googlenet", "inception3a"), ("vgg16", "relu3_3")]
)
def test_a_place_sees_as_far_as_it_says(trunk, name):
    net = built(trunk, classes=0).double()
    for weights in net.requires_grad_(requires_grad=False).parameters():
        weights.abs_()  # so that no path is cut by a ReLU
    layer = net.named[name]
    images = torch.rand(1, 3, *[layer.receptive_field + 4 * layer.stride] * 2, dtype=torch.float64)
    images = (images + 3).requires_grad_()
    (maps,) = net.layers(images, [name])
    middle = maps.shape[2] // 2
    maps[0, :, middle, middle].sum().backward()
    rows = images.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    field = int(rows[-1] - rows[0]) + 1
    assert layer.width == maps.shape[1]
    # A maximum passes the gradient to one of its places, so that the ends may be missing.
    assert layer.receptive_field - 2 * layer.stride <= field <= layer.receptive_field


def test_known_receptive_fields():
    fields = {("alexnet", "relu5"): 163, ("vgg16", "relu5_3"): 196, ("inception", "Mixed_7c"): 1311}
    assert {(trunk, name): built(trunk, classes=0, hollow=True).named[name].receptive_field for trunk, name in fields} == fields


def test_layers_come_as_they_are_asked_for_and_unknown_ones_are_refused():
    net = built("squeezenet")
    images = torch.rand(1, 3, 40, 40)
    late, early, again = net.layers(images, ["fire4", "conv1", "fire4"])
    assert torch.equal(late, again)
    assert early.shape[1] == 64
    assert torch.equal(early, net.layers(images)[0])
    with pytest.raises(SettingError, match=r"no layer 'fir4' \(did you mean 'fire4'\?\)"):
        net.layers(images, ["fir4"])
    with pytest.raises(SettingError, match="40 x 16 pixels are too small for this network; both sides must be 17"):
        net.layers(torch.rand(1, 3, 16, 40))
    with pytest.raises(SettingError, match="4 channels"):
        net.layers(torch.rand(1, 4, 40, 40))


def test_features_are_means_of_the_last_maps_or_the_last_hidden_layer():
    net = built("squeezenet")
    images = torch.rand(2, 3, 224, 224)
    torch.testing.assert_close(net.features(images), net.layers(images, ["fire9"])[0].mean(dim=(2, 3)))
    assert net.scores(images).shape == (2, 1000)
    assert built("vgg16", hollow=True).feature_dim == built("alexnet", hollow=True).feature_dim == 4096
    assert built("vgg16", classes=0, hollow=True).feature_dim == 512
    with pytest.raises(SettingError, match="classes = 0"):
        built("squeezenet", classes=0).scores(images)


def test_a_grey_image_is_shown_as_a_coloured_one():
    net, grey = built("squeezenet"), torch.rand(1, 1, 30, 30)
    torch.testing.assert_close(net.features(grey), net.features(grey.expand(1, 3, 30, 30)))


def test_clean_resizing_is_pillows():
    net = built("inception", classes=0, hollow=True)
    for h, w in ((64, 48), (400, 320)):
        image = torch.rand(h, w, generator=torch.Generator().manual_seed(0))
        theirs = np.asarray(Image.fromarray(image.numpy(), mode="F").resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 1)
        torch.testing.assert_close(net.resized(image[None, None])[0, 0], torch.from_numpy(theirs), rtol=0, atol=1e-4)


def test_the_first_resizing_starts_at_the_corner():
    ramp = torch.arange(4.0).view(1, 1, 1, 4) / 4
    assert bilinear_from_corner(ramp, (1, 8)).flatten().tolist() == [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.75]
    assert bilinear_from_corner(ramp, (1, 2)).flatten().tolist() == [0, 0.5]


def test_branches_share_what_begins_alike():
    calls = []
    shared = torch.nn.Conv2d(1, 1, 1)
    shared.register_forward_hook(lambda *_: calls.append(1))
    block = Branches({"a": shared, "b": torch.nn.ReLU()}, {"a": shared, "c": torch.nn.Sigmoid()})
    x = torch.randn(1, 1, 2, 2)
    torch.testing.assert_close(block(x), torch.cat([shared(x).relu(), shared(x).sigmoid()], dim=1))
    assert len(calls) == 3
