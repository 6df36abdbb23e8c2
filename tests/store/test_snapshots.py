"""StyleGAN2 networks under other people's names: what comes over computes what the published formulas say."""

import argparse

import pytest
import torch

import sfumato as sf
from sfumato.core.errors import CheckpointError, SettingError
from sfumato.models import MODELS
from sfumato.store import foreign
from sfumato.store.importing import import_weights
from sfumato.store.pickles import Network, Snapshot
from sfumato.store.snapshots import converted

FIR = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8] * 2)


def ours(**changes):
    torch.manual_seed(0)
    settings = {"size": (16, 16), "channels": 3, "classes": 0, "width": 4, "discriminator_width": 4, "max_width": 8, **changes}
    net = MODELS["stylegan"](latent_dim=6, style_dim=5, mapping=2, **settings).build().eval()
    for name, weight in net.named_parameters():
        if name.endswith(("bias", "strength")):
            torch.nn.init.normal_(weight, std=0.5)
    net.generator.means.normal_()
    return net


def ada(net):
    """The state dictionaries of generator and discriminator as StyleGAN2-ADA names them."""
    g, sides = {}, [4, 8, 16]
    for i, layer in enumerate(net.generator.mapping.layers):
        g |= {f"mapping.fc{i}.weight": layer.weight, f"mapping.fc{i}.bias": layer.bias}
    g["mapping.w_avg"], g["synthesis.b4.const"] = net.generator.means[0], net.generator.synthesis.start[0]
    for i, r in enumerate(sides):
        s = net.generator.synthesis
        pairs = [("conv1", s.second[i])] + ([("conv0", s.first[i - 1])] if i else [])
        for name, layer in pairs:
            here = f"synthesis.b{r}.{name}."
            g |= {f"{here}weight": layer.weight, f"{here}bias": layer.bias, f"{here}noise_strength": layer.strength}
            g |= {f"{here}noise_const": layer.noise, f"{here}resample_filter": FIR}
            g |= {f"{here}affine.weight": layer.affine.weight, f"{here}affine.bias": layer.affine.bias}
        if s.kind == "residual" and i:
            g[f"synthesis.b{r}.skip.weight"] = s.shortcuts[i - 1].weight
        if s.kind == "skip" or r == 16:
            image, here = s.images[i if s.kind == "skip" else 0], f"synthesis.b{r}.torgb."
            g |= {f"{here}weight": image.weight, f"{here}bias": image.bias}
            g |= {f"{here}affine.weight": image.affine.weight, f"{here}affine.bias": image.affine.bias}
    d, k = {}, net.discriminator
    d |= {"b16.fromrgb.weight": k.stem.weight, "b16.fromrgb.bias": k.stem.bias}
    for i, r in enumerate([16, 8]):
        d |= {f"b{r}.conv0.weight": k.first[i].weight, f"b{r}.conv0.bias": k.first[i].bias}
        d |= {f"b{r}.conv1.weight": k.second[i].weight, f"b{r}.conv1.bias": k.second[i].bias}
        if k.shortcuts:
            d[f"b{r}.skip.weight"] = k.shortcuts[i].weight
    for theirs, layer in (("conv", k.conv), ("fc", k.dense), ("out", k.score)):
        d |= {f"b4.{theirs}.weight": layer.weight, f"b4.{theirs}.bias": layer.bias}
    for part, table in ((net.generator.mapping, g), (k.mapping, d)):
        if part is not None and part.embed is not None:
            table |= {"mapping.embed.weight": part.embed.weight, "mapping.embed.bias": part.embed.bias}
    for i, layer in enumerate(k.mapping.layers if k.mapping is not None else []):
        d |= {f"mapping.fc{i}.weight": layer.weight, f"mapping.fc{i}.bias": layer.bias}
    return [{name: value.detach().clone() for name, value in table.items()} for table in (g, d)]


def rosinality(net):
    """The same as rosinality names them, for an unconditional skip generator and a residual discriminator."""
    g, d = ada(net)
    made, noises = {}, {}
    for name, value in g.items():
        parts = name.split(".")
        if name.startswith("mapping.fc"):
            made[f"style.{int(parts[1][2:]) + 1}.{parts[2]}"] = value
        elif name == "synthesis.b4.const":
            made["input.input"] = value[None]
        elif parts[0] == "synthesis":
            r, end = int(parts[1][1:]), ".".join(parts[3:])
            if parts[2] == "torgb":
                here = "to_rgb1" if r == 4 else f"to_rgbs.{r // 8 - 1}"
            else:
                here = "conv1" if r == 4 else f"convs.{(r // 8 - 1) * 2 + int(parts[2][-1])}"
            ends = {"weight": "conv.weight", "affine.weight": "conv.modulation.weight", "affine.bias": "conv.modulation.bias"}
            if end in ends:
                made[f"{here}.{ends[end]}"] = value[None] if end == "weight" else value
            elif end == "bias":
                made[f"{here}.bias" if parts[2] == "torgb" else f"{here}.activate.bias"] = (
                    value[None, :, None, None] if parts[2] == "torgb" else value
                )
            elif end == "noise_strength":
                made[f"{here}.noise.weight"] = value.reshape(1)
            elif end == "noise_const":
                noises[r, parts[2]] = value
    order = sorted(noises)
    made |= {f"noises.noise_{j}": noises[place][None, None] for j, place in enumerate(order)}
    judge = {"convs.0.0.weight": d["b16.fromrgb.weight"], "convs.0.1.bias": d["b16.fromrgb.bias"]}
    for k, r in ((1, 16), (2, 8)):
        judge |= {f"convs.{k}.conv1.0.weight": d[f"b{r}.conv0.weight"], f"convs.{k}.conv1.1.bias": d[f"b{r}.conv0.bias"]}
        judge |= {f"convs.{k}.conv2.1.weight": d[f"b{r}.conv1.weight"], f"convs.{k}.conv2.2.bias": d[f"b{r}.conv1.bias"]}
        judge |= {f"convs.{k}.skip.1.weight": d[f"b{r}.skip.weight"]}
    judge |= {"final_conv.0.weight": d["b4.conv.weight"], "final_conv.1.bias": d["b4.conv.bias"]}
    for i, theirs in enumerate(("fc", "out")):
        judge |= {f"final_linear.{i}.{end}": d[f"b4.{theirs}.{end}"] for end in ("weight", "bias")}
    return made, judge, g["mapping.w_avg"]


def snapshot(kind, g, d, **more):
    nets = {"G_ema": Network(name="Generator", tensors=g)} | ({} if d is None else {"D": Network(name="Discriminator", tensors=d)})
    return Snapshot(kind=kind, networks=nets, settings={}, tensors=more, licence="", file="x", sha256="0")


def agrees(net, config, state, labels):
    made = config.build().eval()
    made.load_state_dict(state)
    z, images = torch.randn(4, 6), torch.rand(4, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(made.sample(z, labels), net.sample(z, labels))
        torch.testing.assert_close(made.mean_style(), net.mean_style())
        if config.discriminator_width:
            torch.testing.assert_close(made.discriminate(images, labels).logit, net.discriminate(images, labels).logit)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("generator", ["skip", "residual", "plain"])
@pytest.mark.parametrize("discriminator", ["residual", "plain"])
def test_stylegan2_ada(tmp_path, generator, discriminator, classes):
    net = ours(generator=generator, discriminator=discriminator, classes=classes)
    net.generator.means[:] = net.generator.means[:1]
    g, d = ada(net)
    found = converted(snapshot("stylegan2-ada", g, d), tmp_path)
    config, state = found.config, found.state
    assert (config.generator, config.discriminator, config.classes) == (generator, discriminator, classes)
    agrees(net, config, state, torch.tensor([0, 2, 1, 1]) if classes else None)


def test_rosinality(tmp_path):
    net = ours()
    g, d, mean = rosinality(net)
    found = converted(snapshot("rosinality", g, d, latent_avg=mean), tmp_path)
    config, state = found.config, found.state
    agrees(net, config, state, None)


def test_a_generator_alone_comes_without_a_discriminator(tmp_path):
    net = ours()
    found = converted(snapshot("stylegan2-ada", ada(net)[0], None), tmp_path)
    config, state = found.config, found.state
    assert config.discriminator_width == 0
    agrees(net, config, state, None)


def test_what_ours_does_not_have_is_said(tmp_path):
    g, d = ada(ours())
    for change, words in (
        ({"synthesis.b8.conv0.resample_filter": torch.ones(4, 4) / 16}, "not \\[1, 3, 3, 1\\]"),
        ({"synthesis.b8.resample_filter": torch.ones(4, 4) / 16}, r"synthesis\.b8\.resample_filter is not"),
        ({"synthesis.b8.conv1.weight": torch.zeros(5, 8, 3, 3)}, "do not double"),
        ({"mapping.embed.weight": torch.zeros(0, 100_000)}, "its labels become 0 numbers"),
    ):
        with pytest.raises(CheckpointError, match=words):
            converted(snapshot("stylegan2-ada", {**g, **change}, None), tmp_path)
    with pytest.raises(CheckpointError, match=r"b8\.conv1\.resample_filter is not"):
        converted(snapshot("stylegan2-ada", g, {**d, "b8.conv1.resample_filter": torch.ones(4, 4) / 16}), tmp_path)
    theirs, judge, mean = rosinality(ours())
    theirs["to_rgbs.0.upsample.kernel"] = torch.ones(4, 4) / 4
    with pytest.raises(CheckpointError, match="kernel is not"):
        converted(snapshot("rosinality", theirs, judge, latent_avg=mean), tmp_path)
    with pytest.raises(CheckpointError, match="architecture skip"):
        converted(snapshot("stylegan2-ada", g, {**d, "b8.fromrgb.weight": torch.zeros(8, 3, 1, 1)}), tmp_path)
    with pytest.raises(CheckpointError, match="no network here that runs it"):
        converted(snapshot("stylegan3", g, d), tmp_path)
    with pytest.raises(CheckpointError, match="holds no generator"):
        converted(dataclass_without(snapshot("stylegan2-ada", g, d)), tmp_path)


def with_facts(g, d=None, *, settings=None, facts=None, judge=None):
    nets = {"G_ema": Network(name="Generator", tensors=g, settings=settings or {}, facts=facts or {})}
    nets |= {} if d is None else {"D": Network(name="Discriminator", tensors=d, **(judge or {}))}
    return Snapshot(kind="stylegan2-ada", networks=nets, settings={}, tensors={}, licence="", file="x", sha256="0")


def test_the_clamp_is_found_wherever_a_writer_keeps_it(tmp_path):
    g, _ = ada(ours())
    for settings, facts in (
        ({"synthesis_kwargs": {"conv_clamp": 256}}, {}),
        ({"synthesis_kwargs": {"block_kwargs": {"conv_clamp": 256}}}, {}),
        ({"conv_clamp": 256}, {}),
        ({}, {"synthesis.b8.conv0.conv_clamp": 256, "synthesis.b8.skip.conv_clamp": None}),
        ({"synthesis_kwargs": {"conv_clamp": 9}}, {"synthesis.b8.conv0.conv_clamp": 256}),
    ):
        assert converted(with_facts(g, settings=settings, facts=facts), tmp_path).config.clamp == 256
    assert converted(with_facts(g, facts={"synthesis.b8.conv0.conv_clamp": -1}), tmp_path).config.clamp == 0


def bias_act(x, bias=None, *, clamp=None, gain=1.0):
    """Leaky ReLU of x + b, times sqrt(2) and `gain`, held within `clamp` times `gain` (Karras et al. 2020, arXiv:2006.06676)."""
    y = torch.nn.functional.leaky_relu(x + bias.reshape(-1, *[1] * (x.ndim - 2)), 0.2) * 2**0.5 * gain
    return y if clamp is None else y.clamp(-clamp * gain, clamp * gain)


def verdict(d, images, *, clamp, group):
    """The residual discriminator under the names of StyleGAN2-ADA, in the precision of its tensors."""
    f, half = FIR.double(), 0.5**0.5

    def conv(x, weight, **how):
        return torch.nn.functional.conv2d(x, weight / weight[0].numel() ** 0.5, **how)

    def blur(x, padding, stride=1):
        return torch.nn.functional.conv2d(x, f.expand(x.shape[1], 1, 4, 4), padding=padding, stride=stride, groups=x.shape[1])

    x = bias_act(conv(images * 2 - 1, d["b16.fromrgb.weight"]), d["b16.fromrgb.bias"], clamp=clamp)
    for r in (16, 8):
        y = bias_act(conv(x, d[f"b{r}.conv0.weight"], padding=1), d[f"b{r}.conv0.bias"], clamp=clamp)
        y = bias_act(conv(blur(y, 2), d[f"b{r}.conv1.weight"], stride=2), d[f"b{r}.conv1.bias"], clamp=clamp, gain=half)
        x = y + conv(blur(x, 1, 2), d[f"b{r}.skip.weight"]) * half
    parts = x.reshape(-1, len(x) if group is None else group, *x.shape[1:])
    spread = parts.var(dim=1, correction=0).add(1e-8).sqrt().mean(dim=(1, 2, 3))
    plane = spread.repeat_interleave(parts.shape[1])[:, None, None, None].expand(-1, 1, *x.shape[2:])
    x = bias_act(conv(torch.cat([x, plane], dim=1), d["b4.conv.weight"], padding=1), d["b4.conv.bias"], clamp=clamp).flatten(1)
    x = bias_act(x @ d["b4.fc.weight"].T / x.shape[1] ** 0.5, d["b4.fc.bias"])
    return (x @ d["b4.out.weight"].T / x.shape[1] ** 0.5 + d["b4.out.bias"]).squeeze(1)


@pytest.mark.parametrize("group", [None, 2])
@pytest.mark.parametrize(("ours_clamp", "clamp"), [(None, 0.7), (0.9, None), (0.9, 0.7), (0.8, 0.8)])
def test_generator_and_discriminator_keep_their_own_clamp_and_the_group_may_be_all(tmp_path, ours_clamp, clamp, group):
    net = ours(clamp=ours_clamp or 0.0)
    g, d = ada(net)
    told = {"facts": {"b4.mbstd.group_size": group, "b16.conv0.conv_clamp": clamp, "b16.skip.conv_clamp": None}}
    found = converted(with_facts(g, d, settings={"synthesis_kwargs": {"conv_clamp": ours_clamp}}, judge=told), tmp_path)
    made = found.config.build().eval()
    made.load_state_dict(found.state)
    images, z = torch.rand(6, 3, 16, 16), torch.randn(3, 6)
    exact = verdict({name: value.double() for name, value in d.items()}, images.double(), clamp=clamp, group=group)
    with torch.no_grad():
        torch.testing.assert_close(made.discriminate(images).logit.double(), exact, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(made.sample(z), net.sample(z))


def test_the_group_is_four_where_nothing_is_said(tmp_path):
    g, d = ada(ours())
    for told, group in (
        ({}, 4),
        ({"settings": {"epilogue_kwargs": {"mbstd_group_size": None}}}, 0),
        ({"facts": {"b4.mbstd.group_size": 8}}, 8),
    ):
        assert converted(with_facts(g, d, judge=told), tmp_path).config.group == group


@pytest.mark.parametrize(
    ("facts", "judge", "saying"),
    [
        ({"synthesis.b8.conv0.activation": "relu"}, {}, r"synthesis\.b8\.conv0 has activation = relu, where ours has lrelu"),
        ({"mapping.fc1.activation": "swish"}, {}, "activation = swish"),
        ({"mapping.embed.activation": "lrelu"}, {}, "activation = lrelu, where ours has linear"),
        ({}, {"b4.conv.activation": "relu"}, r"Discriminator: b4\.conv has activation = relu"),
        ({"synthesis.b8.conv0.conv_clamp": 256, "synthesis.b4.conv1.conv_clamp": None}, {}, "conv_clamp = 256, None; ours have one limit"),
        ({}, {"b8.conv0.conv_clamp": 256, "b4.conv.conv_clamp": 3}, "conv_clamp = 256, 3; ours"),
        ({"synthesis.b8.conv0.conv_clamp": 0}, {}, "conv_clamp = 0 leaves nothing"),
        ({"mapping.fc0.bias_gain": 0.01, "mapping.fc1.bias_gain": 1}, {}, "2 different lr_multiplier"),
        ({}, {"b4.mbstd.group_size": 100}, r"group = 100 is outside \[0, 64\]"),
    ],
)
def test_what_would_compute_something_else_is_refused_in_true_words(tmp_path, facts, judge, saying):
    g, d = ada(ours())
    converted(
        with_facts(g, d, facts={"synthesis.b8.conv0.activation": "lrelu", "synthesis.b8.conv0.affine.activation": "linear"}), tmp_path
    )
    with pytest.raises(CheckpointError, match=saying):
        converted(with_facts(g, d, facts=facts, judge={"facts": judge}), tmp_path)
    with pytest.raises(CheckpointError, match="activation = relu"):
        converted(with_facts(g, d, settings={"synthesis_kwargs": {"block_kwargs": {"activation": "relu"}}}), tmp_path)


def test_the_rate_of_the_mapping_is_what_its_layers_have(tmp_path):
    g, d = ada(ours(classes=3))
    for facts, settings, rate in (
        ({"mapping.fc0.bias_gain": 0.5, "mapping.fc1.bias_gain": 0.5, "mapping.embed.bias_gain": 1}, {}, 0.5),
        ({}, {"mapping_kwargs": {"lr_multiplier": 0.5}}, 0.5),
        ({}, {}, 0.01),
    ):
        assert converted(with_facts(g, facts=facts, settings=settings), tmp_path).config.mapping_rate == rate
    with pytest.raises(CheckpointError, match=r"learns at 0\.01 in the generator, 0\.5 in the discriminator"):
        converted(with_facts(g, d, judge={"facts": {"mapping.fc0.bias_gain": 0.5}}), tmp_path)


def test_tensors_that_a_stylegan2_has_not_are_not_dropped_in_silence(tmp_path):
    g, d = ada(ours())
    for where, name in ((g, "synthesis.b8.attention.weight"), (d, "b8.conv2.weight"), (g, "mapping.fc0.gain")):
        with pytest.raises(CheckpointError, match=f"has {name}, which a StyleGAN2 has not"):
            converted(
                snapshot(
                    "stylegan2-ada",
                    {**g, **({name: torch.ones(2)} if where is g else {})},
                    d | ({name: torch.ones(2)} if where is d else {}),
                ),
                tmp_path,
            )
    theirs, judge, mean = rosinality(ours())
    with pytest.raises(CheckpointError, match=r"has convs\.0\.gate, which"):
        converted(snapshot("rosinality", {**theirs, "convs.0.gate": torch.ones(2)}, judge, latent_avg=mean), tmp_path)


def test_a_file_that_lacks_any_tensor_is_refused_in_a_line(tmp_path):
    net = ours()
    g, d, _ = rosinality(net)
    path = tmp_path / "net.pt"
    names = [(table, name) for table, held in (("g_ema", g), ("d", d)) for name in held if "kernel" not in name]
    for table, name in [*names[::4], ("d", "convs.1.skip.1.weight"), ("g_ema", "noises.noise_1"), ("g_ema", "input.input")]:
        whole = {"g_ema": dict(g), "d": dict(d)}
        del whole[table][name]
        torch.save(whole, path)
        with pytest.raises(CheckpointError):
            foreign.load(path)


def test_a_small_file_cannot_ask_for_a_large_network(tmp_path, monkeypatch):
    g, _, mean = rosinality(ours())
    wide = {name: value for name, value in g.items() if not name.endswith("conv.weight") or "to_rgb" in name}
    wide |= {name: g[name].new_zeros(1, 4096 >> (name != "conv1.conv.weight"), 1, 1, 1) for name in g.keys() - wide.keys()}
    torch.save({"g_ema": wide, "latent_avg": mean}, tmp_path / "net.pt")
    assert (tmp_path / "net.pt").stat().st_size < 80_000
    largest = []
    drawn = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *size, **how: largest.append(drawn(*size, **how)) or largest[-1])
    with pytest.raises(CheckpointError):
        foreign.load(tmp_path / "net.pt")
    assert sum(x.numel() for x in largest if x.device.type != "meta") < 1000


def dataclass_without(snap):
    snap.networks.pop("G_ema")
    return snap


def test_a_training_file_comes_over_with_its_licence_and_a_measured_mean(tmp_path):
    net = ours()
    g, d, _ = rosinality(net)
    path = tmp_path / "150000.pt"
    torch.save({"g_ema": g, "d": d, "args": argparse.Namespace(size=16, lr=0.002)}, path)
    lines = import_weights(path)
    assert "StyleGAN2 (rosinality), generator and discriminator, 16 x 16, 3 channels" in lines[0]
    assert "non-commercial" in lines[1]
    made = sf.load(tmp_path / "150000.safetensors")
    z = torch.randn(4, 6)
    torch.testing.assert_close(made.network.sample(z), net.sample(z))
    w = net.map_latent(torch.randn(10_000, 6))[:, :1]
    assert (made.network.mean_style() - w.mean(dim=0)).abs().max() < 5 * (w.std(dim=0) / 100).max()
    assert sf.generate(path.with_suffix(".safetensors"), 2, seed=0).shape == (2, 3, 16, 16)


def test_a_file_that_is_there_is_not_written_over(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"weight": torch.zeros(2)}, path)
    (tmp_path / "x.safetensors").write_text("mine")
    with pytest.raises(SettingError, match="is there already"):
        import_weights(path)


def test_a_pickle_that_carries_code_is_refused_by_name(tmp_path):
    path = tmp_path / "network.pkl"
    path.write_bytes(b"\x80\x04cposix\nsystem\n\x8c\x04ls /\x85R.")
    with pytest.raises(CheckpointError, match=r"posix\.system"):
        import_weights(path)
