"""The style-based networks against their published formulas, written out sample by sample in float64."""

import math

import pytest
import torch
from torch.nn import functional as F

from sfumato.data.adaptive import Config as Adaptive
from sfumato.models import MODELS
from sfumato.models.roles.style_generator import SynthesisOptions

FIR = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8] * 2)


def lrelu(x):
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def dense(x, layer, rate=1.0, active=False):
    y = x @ (layer.weight.double() * rate / math.sqrt(layer.weight.shape[1])).T + layer.bias.double() * rate
    return lrelu(y) if active else y


def normal(x):
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def mapped(mapping, z, label=None, classes=0, rate=0.01):
    parts = [normal(z)] if z is not None else []
    if classes:
        parts.append(normal(dense(F.one_hot(label, classes).double(), mapping.embed)))
    x = torch.cat(parts, dim=1)
    for layer in mapping.layers:
        x = dense(x, layer, rate, active=True)
    return x


def fir(x, pad, up=1, gain=1.0):
    """Zeros between the pixels, zeros around them, then the filter."""
    n, c, h, w = x.shape
    wide = torch.zeros(n, c, h * up, w * up, dtype=x.dtype)
    wide[:, :, ::up, ::up] = x
    return F.conv2d(F.pad(wide, (*pad, *pad)).reshape(n * c, 1, h * up + sum(pad), w * up + sum(pad)), gain * FIR[None, None]).reshape(
        n, c, h * up + sum(pad) - 3, w * up + sum(pad) - 3
    )


def styled(x, layer, w, gain=1.0):
    """Each sample with weights of its own."""
    s, output = dense(w, layer.affine), []
    for i in range(len(x)):
        weight = layer.weight.double() * s[i][None, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if layer.up:
            output.append(fir(F.conv_transpose2d(x[i : i + 1], weight.transpose(0, 1), stride=2), (1, 1), gain=4))
        else:
            output.append(F.conv2d(x[i : i + 1], weight, padding=1))
    y = torch.cat(output) + layer.noise.double() * layer.strength.double() + layer.bias.double()[:, None, None]
    return lrelu(y) * gain


def to_image(x, layer, w):
    s = dense(w, layer.affine) / math.sqrt(layer.weight.shape[1])
    return (
        torch.cat([F.conv2d(x[i : i + 1], layer.weight.double() * s[i][None, :, None, None]) for i in range(len(x))])
        + (layer.bias.double()[:, None, None])
    )


def synthesised(net, w, kind):
    g, half = net.generator.synthesis, math.sqrt(0.5)
    x = styled(g.start.double().expand(len(w), -1, -1, -1), g.second[0], w)
    image = to_image(x, g.images[0], w) if kind == "skip" else None
    for i in range(1, len(g.second)):
        y = styled(styled(x, g.first[i - 1], w), g.second[i], w, half if kind == "residual" else 1.0)
        if kind == "residual":
            weight = g.shortcuts[i - 1].weight.double() / math.sqrt(x.shape[1]) * half
            y = y + fir(F.conv2d(x, weight), (2, 1), up=2, gain=4)
        x = y
        if kind == "skip":
            image = fir(image, (2, 1), up=2, gain=4) + to_image(x, g.images[i], w)
    image = to_image(x, g.images[0], w) if image is None else image
    return image / 2 + 0.5


def conv(x, layer, down=False, gain=1.0):
    weight = layer.weight.double() / math.sqrt(layer.weight[0].numel())
    side = weight.shape[2]
    y = F.conv2d(fir(x, (2, 2) if side == 3 else (1, 1)), weight, stride=2) if down else F.conv2d(x, weight, padding=side // 2)
    return y * gain if layer.bias is None else lrelu(y + layer.bias.double()[:, None, None]) * gain


def judged(net, images, label=None, classes=0, residual=True):
    d = net.discriminator
    x, gain = conv(images.double() * 2 - 1, d.stem), math.sqrt(0.5) if residual else 1.0
    for i in range(len(d.first)):
        y = conv(conv(x, d.first[i]), d.second[i], down=True, gain=gain)
        x = y + conv(x, d.shortcuts[i], down=True, gain=gain) if residual else y
    spread = ((x - x.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt().mean()
    x = conv(torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], dim=1), d.conv)
    score = dense(dense(x.flatten(1), d.dense, active=True), d.score)
    if not classes:
        return score[:, 0]
    return (score * mapped(d.mapping, None, label, classes)).sum(dim=1) / math.sqrt(score.shape[1])


@pytest.fixture
def build():
    def make(**changes):
        torch.manual_seed(0)
        settings = {"size": (32, 32), "channels": 3, "classes": 0, "width": 8, "discriminator_width": 8, "max_width": 16, **changes}
        net = MODELS["stylegan"](latent_dim=12, style_dim=10, mapping=2, **settings).build().eval()
        for name, weight in net.named_parameters():
            if name.endswith(("bias", "strength")):
                torch.nn.init.normal_(weight, std=0.5)
        return net

    return make


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("kind", ["skip", "residual", "plain"])
def test_the_generator_is_the_published_one(build, kind, classes):
    net = build(generator=kind, classes=classes)
    z, labels = torch.randn(4, 12), torch.tensor([0, 2, 1, 1]) if classes else None
    expected = synthesised(net, mapped(net.generator.mapping, z.double(), labels, classes), kind)
    with torch.no_grad():
        output = net.sample(z, labels)
    assert (output - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("kind", ["residual", "plain"])
def test_the_discriminator_is_the_published_one(build, kind, classes):
    net = build(discriminator=kind, classes=classes)
    images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 2, 1, 1]) if classes else None
    expected = judged(net, images, labels, classes, kind == "residual")
    with torch.no_grad():
        output = net.discriminate(images, labels).logit
    assert (output - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(("count", "group"), [(8, 4), (6, 4), (4, 0)])
@pytest.mark.parametrize("judging", ["mapped", "added"])
def test_real_and_generated_images_are_judged_together_as_apart(build, judging, count, group):
    net = build(classes=3, judging=judging, group=group)
    real, fake, labels = torch.rand(count, 3, 32, 32), torch.rand(count, 3, 32, 32), torch.arange(count) % 3
    apart = net.discriminate(real, labels), net.discriminate(fake, labels)
    for one, other in zip(net.discriminate_both(real, fake, labels), apart, strict=True):
        torch.testing.assert_close(one.logit, other.logit, rtol=1e-5, atol=1e-5)
        assert (one.scores is None) == (other.scores is None) == (judging == "mapped")
        if one.scores is not None:
            torch.testing.assert_close(one.scores, other.scores, rtol=1e-5, atol=1e-5)


def test_a_class_may_add_to_a_score_that_all_classes_teach(build):
    net = build(classes=3, judging="added")
    images, kinds = torch.rand(4, 3, 32, 32), net.discriminator.kinds
    logits = [net.discriminate(images, torch.full((4,), label)).logit for label in range(3)]
    torch.testing.assert_close(logits[0] - logits[2], (kinds.bias[0] - kinds.bias[2]).expand(4))  # not of what it sees, before training
    torch.nn.init.normal_(kinds.weight)
    captured = []
    net.discriminator.score.register_forward_hook(lambda _, inputs, output: captured.append((inputs[0].double(), output.double())))
    output = net.discriminate(images, torch.tensor([0, 2, 1, 1])).logit
    features, score = captured[0]
    expected = score[:, 0] + dense(features, kinds)[range(4), [0, 2, 1, 1]]
    torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=1e-5)


def test_it_tells_classes_apart_if_a_class_adds_to_the_score(build):
    net = build(classes=3, judging="added")
    images = torch.rand(4, 3, 32, 32)
    captured = []
    net.discriminator.classifier.register_forward_hook(lambda _, inputs, output: captured.append(inputs[0].double()))
    scores = [net.discriminate(images, torch.full((4,), label)).scores for label in (0, 2)]
    torch.testing.assert_close(scores[0], scores[1])  # what it sees does not depend on what was asked for
    torch.testing.assert_close(scores[0].double(), dense(captured[0], net.discriminator.classifier), rtol=1e-5, atol=1e-5)
    assert build(classes=3).discriminate(images, torch.zeros(4, dtype=torch.long)).scores is None
    assert build(judging="added").discriminate(images).scores is None


def test_either_way_of_style_keeps_a_residual_sum_from_growing(build):
    for style in ("adain", "modulate"):
        plain, residual = (build(style=style, generator=kind).generator.synthesis.second[1] for kind in ("plain", "residual"))
        residual.load_state_dict(plain.state_dict())
        x, w = torch.randn(2, plain.weight.shape[1], *plain.size), torch.randn(2, plain.affine.weight.shape[1])
        with torch.no_grad():
            torch.testing.assert_close(residual(x, w), plain(x, w) * 0.5**0.5, rtol=1e-4, atol=1e-5)
    clamped = build(style="adain", clamp=0.5).generator.synthesis.second[1]
    assert clamped(x, w).abs().max() <= 0.5


def test_the_first_style_sets_mean_and_deviation_of_every_channel(build):
    net = build(style="adain")
    z, steering = torch.randn(2, 12), SynthesisOptions(feature_maps=[])
    with torch.no_grad():
        styles = net.map_latent(z)
        net.synthesize(styles, None, steering)
        for maps, layer in zip(steering.feature_maps, net.generator.synthesis.layers(), strict=True):
            scale, mean = layer.affine(styles[:, 0]).chunk(2, dim=1)
            torch.testing.assert_close(maps.mean(dim=(2, 3)), mean, rtol=0, atol=1e-4)
            torch.testing.assert_close(maps.std(dim=(2, 3), correction=0), scale.abs(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [(16, 16), (28, 28), (48, 20), (17, 33)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_size_and_one_to_four_channels(build, size, channels):
    net = build(size=size, channels=channels)
    images = net.sample(torch.randn(2, 12))
    assert images.shape == (2, channels, *size)
    assert net.discriminate(images).logit.shape == (2,)
    assert torch.isfinite(images).all()


def test_an_image_is_the_same_in_any_batch(build):
    net, z = build(), torch.randn(6, 12)
    with torch.no_grad():
        whole = net.sample(z)
        torch.testing.assert_close(torch.cat([net.sample(z[i : i + 1]) for i in range(6)]), whole, rtol=0, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("changes", [{}, {"layers": 1, "discriminator_layers": 1}], ids=["published", "compact"])
def test_a_gpu_makes_the_same_numbers(build, changes):
    """Images, logits, the gradient of a penalty, and augmentation with all of its changes."""
    net, z = build(**changes), torch.randn(4, 12)
    uniform = torch.rand(4, Adaptive(probability=1.0).draws)
    steps = []
    for device in ("cpu", "cuda"):
        net = net.to(device)
        images = net.sample(z.to(device)).detach().requires_grad_()
        changed = Adaptive(probability=1.0)(images, uniform.to(device), torch.tensor(1.0, device=device))
        logit = net.discriminate(changed).logit
        (slope,) = torch.autograd.grad(logit.sum(), images, create_graph=True)
        slope.square().sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in net.discriminator.parameters() if p.grad is not None])
        steps.append([x.detach().cpu() for x in (images, changed, logit, slope, gradient)])
        net.zero_grad(set_to_none=True)
    for one, other in zip(*steps, strict=True):
        assert (one - other).norm() <= 1e-3 * one.norm()


def test_in_training_noise_is_fresh_and_otherwise_its_own(build):
    net, z = build(), torch.randn(2, 12)
    assert torch.equal(net.sample(z), net.sample(z))
    net.train()
    assert not torch.equal(net.sample(z), net.sample(z))
    planes = [torch.zeros(2, 1, *size) for size in net.noise_shapes()]
    assert torch.equal(
        net.synthesize(net.map_latent(z), None, SynthesisOptions(noise=planes)),
        net.synthesize(net.map_latent(z), None, SynthesisOptions(noise=planes)),
    )


def test_the_mean_style_is_followed_in_training_alone(build):
    net = build(classes=2)
    z, labels = torch.randn(4096, 12), torch.arange(4096) % 2
    net.map_latent(z, labels)
    assert not net.mean_style().any()
    net.train()
    for _ in range(1500):
        net.generator.update_means(torch.tensor([[1.0], [3.0], [3.0]]).expand(3, 10), torch.tensor([0, 1, 1]))
    torch.testing.assert_close(net.mean_style(torch.tensor([1, 0]))[:, 0, 0], torch.tensor([3.0, 1.0]), rtol=0.01, atol=0)
    assert net.mean_style().shape == (1, 1, 10)


@pytest.mark.parametrize("changes", [{}, {"layers": 1, "discriminator_layers": 1, "noise": False}], ids=["published", "compact"])
def test_every_style_steers_something(build, changes):
    net = build(**changes)
    places = [place for place, _ in net.style_affines()]
    assert sorted(set(places)) == list(range(net.styles))
    styles = net.map_latent(torch.randn(1, 12))
    with torch.no_grad():
        image = net.synthesize(styles)
        for i in range(net.styles):
            other = styles.clone()
            other[:, i] = torch.randn(10)
            assert not torch.equal(net.synthesize(other), image), i


COMPACT = {"layers": 1, "filtered": False, "discriminator_layers": 1, "noise": False}


def compact(net, w, kind):
    """One layer a size: every pixel four times, then the convolution."""
    g, half = net.generator.synthesis, math.sqrt(0.5)

    def layered(x, layer, gain):
        s, output = dense(w, layer.affine), []
        for i in range(len(x)):
            weight = layer.weight.double() * s[i][None, :, None, None]
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
            one = x[i : i + 1].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) if layer.up else x[i : i + 1]
            output.append(F.conv2d(one, weight, padding=1))
        return lrelu(torch.cat(output) + layer.bias.double()[:, None, None]) * gain

    x = layered(g.start.double().expand(len(w), -1, -1, -1), g.second[0], 1.0)
    image = to_image(x, g.images[0], w) if kind == "skip" else None
    for i, layer in enumerate(g.first):
        y = layered(x, layer, half if kind == "residual" else 1.0)
        if kind == "residual":
            y = y + fir(F.conv2d(x, g.shortcuts[i].weight.double() / math.sqrt(x.shape[1]) * half), (2, 1), up=2, gain=4)
        x = y
        if kind == "skip":
            image = fir(image, (2, 1), up=2, gain=4) + to_image(x, g.images[i + 1], w)
    return (to_image(x, g.images[0], w) if image is None else image) / 2 + 0.5


@pytest.mark.parametrize("kind", ["skip", "residual", "plain"])
def test_the_compact_generator_is_its_formula(build, kind):
    net = build(generator=kind, **COMPACT)
    assert net.styles == 5
    assert net.noise_shapes() == net.noise() == []
    z = torch.randn(4, 12)
    expected = compact(net, mapped(net.generator.mapping, z.double()), kind)
    with torch.no_grad():
        output = net.sample(z)
    assert (output - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("kind", ["residual", "plain"])
def test_the_compact_discriminator_is_its_formula(build, kind):
    net = build(discriminator=kind, **COMPACT)
    d, images, gain = net.discriminator, torch.rand(4, 3, 32, 32), math.sqrt(0.5) if kind == "residual" else 1.0
    x = images.double() * 2 - 1  # no stem: the first of the 4x4 convolutions reads the image
    for i, layer in enumerate(d.second):
        y = F.conv2d(x, layer.weight.double() / math.sqrt(layer.weight[0].numel()), stride=2, padding=1)
        y = lrelu(y + layer.bias.double()[:, None, None]) * gain
        x = y + conv(x, d.shortcuts[i], down=True, gain=gain) if kind == "residual" else y
    spread = ((x - x.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt().mean()
    x = conv(torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], dim=1), d.conv)
    expected = dense(dense(x.flatten(1), d.dense, active=True), d.score)[:, 0]
    with torch.no_grad():
        output = net.discriminate(images).logit
    assert (output - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("size", [(16, 16), (28, 28), (48, 20), (17, 33)])
def test_the_compact_pair_takes_any_size_and_keeps_its_variance(build, size):
    torch.manual_seed(1)
    settings = {"width": 32, "discriminator_width": 32, "max_width": 64, "channels": 3, "classes": 0, "generator": "plain"}
    net = MODELS["stylegan"](size=size, latent_dim=16, style_dim=16, **settings, **COMPACT).build()
    options = SynthesisOptions(feature_maps=[])
    images = net.synthesize(net.map_latent(torch.randn(8, 16)), None, options)
    assert images.shape == (8, 3, *size)
    assert net.discriminate(images).logit.shape == (8,)
    assert all(0.6 < maps.square().mean().sqrt() < 1.6 for maps in options.feature_maps), "of unit variance all the way"
    assert [tuple(maps.shape[2:]) for maps in options.feature_maps][-1] == size


def test_the_sizes_of_the_network_grow_to_an_end():
    small = MODELS["stylegan"](width=32, discriminator_width=32, max_width=256, discriminator="plain", **COMPACT)
    full = small.larger()
    assert (full.layers, full.discriminator_layers, full.discriminator, full.noise, full.width) == (2, 2, "residual", True, 32)
    wide = full.larger().larger()
    assert (wide.width, wide.discriminator_width, wide.max_width) == (128, 128, 512)
    assert wide.larger() is None
