"""Networks of others by name: where they are looked for, what is refused, and LPIPS against its formula."""

import os
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from sfumato.core.errors import CheckpointError, DownloadError
from sfumato.models import MODELS
from sfumato.store import foreign, public, weights
from sfumato.store.foreign.features import claim


def theirs(trunk, classes=1000):
    """A fresh network's weights under the names of the field."""
    net = MODELS["features"](trunk=trunk, classes=classes).build()
    flat = trunk in ("googlenet", "inception")
    rules = ("head.fc.", "fc."), ("head.", "classifier."), ("steps.", "" if flat else "features.")
    named = {}
    for name, value in net.state_dict().items():
        old, new = next(rule for rule in rules if name.startswith(rule[0]))
        named[new + name.removeprefix(old)] = value
    return net.eval(), named


@pytest.fixture
def own(tmp_path, monkeypatch):
    """An empty SFUMATO_WEIGHTS, an empty cache, and no net."""
    monkeypatch.setenv("SFUMATO_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path / "cache"))

    def refuse(urls, target, **_):
        raise DownloadError(f"{target.name} could not be fetched ({urls[0]}: no net); run the same command again")

    monkeypatch.setattr(public, "fetch", refuse)
    (tmp_path / "weights" / "lpips").mkdir(parents=True)
    return tmp_path / "weights"


def test_weights_are_found_by_their_name_and_mean_the_same(own):
    net, state = theirs("squeezenet")
    torch.save({name: value.half() for name, value in state.items()}, own / "squeezenet1_1.pth")
    loaded = weights.load("squeezenet")
    images = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded.network.features(images), net.features(images), rtol=2e-2, atol=2e-2)
    assert loaded.card.imported.layout == "SqueezeNet 1.1, 1000 classes"
    assert not loaded.network.training


def test_without_them_the_message_says_where_to_put_what(own):
    with pytest.raises(DownloadError, match=r"vgg16-397923af\.pth from https://download\.pytorch\.org/models .* SFUMATO_WEIGHTS"):
        weights.load("vgg16")


def test_another_network_under_the_name_is_refused(own):
    torch.save(theirs("squeezenet")[1], own / "vgg16.pth")
    with pytest.raises(CheckpointError, match=r"holds SqueezeNet 1\.1, 1000 classes, not vgg16"):
        weights.load("vgg16")
    torch.save({"anything": torch.ones(1)}, own / "squeezenet1_1.pth")
    with pytest.raises(CheckpointError, match="holds no network that is known"):
        weights.load("squeezenet")


def test_code_in_a_file_is_refused_and_not_run(own, tmp_path):
    class Canary:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    torch.save({"features.0.weight": Canary()}, own / "squeezenet1_1.pth")
    with pytest.raises(CheckpointError, match="nothing of it was run"):
        weights.load("squeezenet")
    assert not (tmp_path / "run").exists()


def test_both_inceptions_are_the_same_weights_after_other_resizing(own):
    state = theirs("inception", classes=1008)[1]
    state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(state, own / "pt_inception-2015-12-05-6726825d.pth")
    first, clean = weights.load("inception"), weights.load("inception-clean")
    assert (first.network.resizing, clean.network.resizing) == (
        "bilinear of TensorFlow 1, not antialiased, 299",
        "bicubic, antialiased, 299",
    )
    assert torch.equal(first.network.steps.Mixed_7c.branch1x1.conv.weight, clean.network.steps.Mixed_7c.branch1x1.conv.weight)
    assert claim({**state, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}) is None, "a later Inception pools otherwise"
    assert claim({**state, "extra.weight": torch.zeros(1)}) is None


def test_heads_that_only_training_needs_are_left_out(own):
    net, state = theirs("googlenet")
    torch.save({**state, "aux1.fc1.weight": torch.zeros(3, 3)}, own / "googlenet.pth")
    loaded = foreign.load(own / "googlenet.pth")
    images = torch.rand(1, 3, 40, 40)
    torch.testing.assert_close(loaded.network.scores(images), net.scores(images), rtol=1e-3, atol=1e-4)


def by_hand(net, trunk, images, reference):
    """Equation 1, written down a second time, in float64."""
    total = torch.zeros(len(images), dtype=torch.float64)
    for a, b, w in zip(trunk.layers(images), trunk.layers(reference), net.weights, strict=True):
        a, b = (x.double() / (x.double().square().sum(1, keepdim=True).sqrt() + 1e-10) for x in (a, b))
        total += ((a - b).square() * w.double()[None, :, None, None]).sum(1).mean((1, 2))
    return total


@pytest.mark.parametrize(("trunk", "name"), [("squeezenet", "squeeze"), ("alexnet", "alex"), ("vgg16", "vgg")])
def test_lpips_is_its_formula(own, trunk, name):
    net, state = theirs(trunk, classes=0)
    linear = {f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1) / width for i, width in enumerate(net.layer_widths)}
    torch.save(linear, own / "lpips" / f"{name}.pth")
    torch.save(state, own / {"squeezenet": "squeezenet1_1.pth"}.get(trunk, f"{trunk}.pth"))
    lpips = weights.load(f"lpips-{name}")
    images, reference = torch.rand(2, 2, 3, 40, 36, generator=torch.Generator().manual_seed(0)).unbind(0)
    torch.testing.assert_close(
        lpips.network.distance(images, reference).double(), by_hand(lpips.network, net, images, reference), rtol=1e-4, atol=1e-6
    )
    assert lpips.network.distance(images, images).tolist() == [0, 0]


def test_its_levels_are_those_of_the_paper_for_images_in_minus_one_to_one():
    net = MODELS["features"](classes=0).build()
    images = torch.rand(1, 3, 20, 20)
    shift, scale = (torch.tensor(x).view(3, 1, 1) for x in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    expected = net.steps[:2](((2 * images - 1) - shift) / scale)
    torch.testing.assert_close(net.layers(images, ["conv1"])[0], expected, rtol=1e-4, atol=1e-5)


def test_it_is_a_loss_even_of_black_images():
    net = MODELS["lpips"]().build()
    images = torch.zeros(2, 3, 32, 32, requires_grad=True)
    net.distance(images, torch.rand(2, 3, 32, 32)).sum().backward()
    assert torch.isfinite(images.grad).all()
    assert images.grad.abs().sum() > 0


def test_real_weights_see_what_people_see(real_data):
    """With the weights of the paper: nothing, a little noise, a blur, and another picture, in this order."""
    folder = os.environ.get("SFUMATO_WEIGHTS")
    if not folder or not (Path(folder) / "lpips" / "squeeze.pth").is_file() or not (Path(folder) / "squeezenet1_1.pth").is_file():
        pytest.skip("SFUMATO_WEIGHTS does not hold SqueezeNet and lpips/squeeze.pth")
    from sfumato.io.files import read

    image = read(real_data / "set5" / "butterfly_GT.png").pixels[None, :128, :128].clone().permute(0, 3, 1, 2) / 255
    net = weights.load("lpips-squeeze")
    noise = 0.02 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    blurred = F.interpolate(F.avg_pool2d(image, 4), scale_factor=4, mode="bilinear")
    seen = [net.network.distance(image, other).item() for other in (image, image + noise, blurred, image.roll(64, 3))]
    assert seen[0] == 0
    assert seen == sorted(seen)
    assert 0.2 < seen[2] < 0.8
