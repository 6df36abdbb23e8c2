"""Other people's network pickles: what is read comes back bit for bit, what is hostile is refused by name, and nothing of either runs."""

import argparse
import contextlib
import io
import os
import pickle  # noqa: TID251  to make what must be read and what must be refused
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sfumato.core.errors import CheckpointError
from sfumato.store import pickles
from sfumato.store.importing import import_weights
from sfumato.store.pickles import source


class EasyDict(dict):
    """As theirs: keys are attributes."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name, value):
        self[name] = value


def _reconstruct_persistent_obj(meta):
    raise AssertionError("never called here")


SOURCE = '"""Copyright NVIDIA CORPORATION."""\nopen({!r}, "w").write("ran")\n'


class Persistent(nn.Module):
    """Pickles as their persistent classes do: the source of its module, its class's name and its state."""

    source = SOURCE.format("/nowhere")

    def __init__(self, *args, **kwargs):
        super().__init__()
        self._init_args, self._init_kwargs = args, EasyDict(kwargs)

    def __reduce__(self):
        meta = {"type": "class", "version": 6, "module_src": self.source, "class_name": type(self).__name__, "state": self.__dict__}
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)


class Layer(Persistent):
    def __init__(self, inputs, outputs, side=3, frozen=False, **kwargs):
        super().__init__(inputs, outputs, **kwargs)
        weight = torch.randn(outputs, inputs, side, side).to(memory_format=torch.channels_last)
        if frozen:
            self.register_buffer("weight", weight)
        else:
            self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.randn(outputs))
        self.register_parameter("gain", None)
        self.weight_gain, self.activation, self.conv_clamp = np.float64(1 / np.sqrt(inputs)), "lrelu", None
        self.register_buffer("noise_strength", torch.tensor(0.25))


class Block(Persistent):
    def __init__(self, width, **kwargs):
        super().__init__(width, **kwargs)
        self.conv0, self.conv1 = Layer(width, width), Layer(width, width, frozen=True)
        self.register_buffer("resample_filter", torch.rand(4, 4).half())
        self.use_fp16, self.size = True, np.broadcast_to(np.asarray(36), [2])


class Synthesis(Persistent):
    pass


class Generator(Persistent):
    def __init__(self, *blocks, **kwargs):
        super().__init__(**kwargs)
        self.z_dim, self.taps = 8, np.arange(6).reshape(2, 3).astype(np.float32)
        self.synthesis = Synthesis(w_dim=4)
        for name in blocks:
            setattr(self.synthesis, name, Block(4))
        self.register_buffer("w_avg", torch.arange(6.0, dtype=torch.float64)[1:5])


class Convolution(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.Layer = nn.Conv2d(inputs, outputs, 1, bias=False)


class Plain(nn.Module):
    """As R3GAN's: classes by name, no sources."""

    def __init__(self):
        super().__init__()
        self.Model = Convolution(3, 4)
        self.Model.MainLayers = nn.ModuleList([Convolution(4, 4), nn.Linear(4, 2)])
        self.Model.MainLayers[0].DataType = torch.bfloat16
        self.z_dim, self.c_dim = 64, 0


THEIRS = {
    "torch_utils.persistence": [_reconstruct_persistent_obj],
    "dnnlib.util": [EasyDict],
    "R3GAN.Networks": [Convolution],
    "training.networks": [type("Generator", (Plain,), {}), type("Discriminator", (Plain,), {})],
}


def written_by_them(value, protocol=4):
    """A pickle. Their packages can be imported while it is written, and are gone before it is read."""
    with pytest.MonkeyPatch.context() as patch:
        for place in ("torch_utils", "dnnlib", "R3GAN", "training"):
            patch.setitem(sys.modules, place, types.ModuleType(place))
        for place, things in THEIRS.items():
            module = types.ModuleType(place)
            patch.setitem(sys.modules, place, module)
            for thing in things:
                patch.setattr(thing, "__module__", place)
                setattr(module, thing.__name__, thing)
        data = pickle.dumps(value, protocol)
    assert "torch_utils.persistence" not in sys.modules
    return data


@pytest.fixture
def theirs():
    return written_by_them


def snapshot(*blocks, **more):
    settings = {"z_dim": 8, "c_dim": 0, "mapping_kwargs": EasyDict(num_layers=2), "synthesis_kwargs": EasyDict(channel_base=64)}
    torch.manual_seed(0)
    g, d, ema = Generator(*blocks, **settings), Generator(*blocks, epilogue_kwargs={"mbstd_group_size": 4}), Generator(*blocks, **settings)
    return {"training_set_kwargs": EasyDict(path="cats.zip", xflip=True), "G": g, "D": d, "G_ema": ema, **more}


def same(network, module):
    state = module.state_dict()
    assert set(network.tensors) == set(state)
    for name, value in state.items():
        assert network.tensors[name].dtype == value.dtype
        assert network.tensors[name].stride() == value.stride() or value.numel() < 2
        assert network.tensors[name].numpy().tobytes() == value.detach().numpy().tobytes()
    assert network.parameters == {name for name, _ in module.named_parameters()}


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize(("blocks", "kind"), [(("b4", "b8"), "stylegan2-ada"), (("L0_36_512", "L1_36_512"), "stylegan3")])
def test_persistent_pickles_come_back_bit_for_bit(protocol, blocks, kind, theirs, tmp_path, monkeypatch):
    mark = tmp_path / "ran"
    monkeypatch.setattr(Persistent, "source", SOURCE.format(str(mark)))
    nets = snapshot(*blocks, augment_pipe=None)
    (tmp_path / "net.pkl").write_bytes(theirs(nets, protocol))
    found = pickles.read(tmp_path / "net.pkl")
    assert found.kind == kind == pickles.kind(tmp_path / "net.pkl")
    assert list(found.networks) == ["G", "D", "G_ema"]
    for name, network in found.networks.items():
        same(network, nets[name])
    made = found.networks["G"]
    assert made.name == "Generator"
    assert made.settings == {"z_dim": 8, "c_dim": 0, "mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {"channel_base": 64}}
    assert made.facts["z_dim"] == 8
    assert made.facts["taps"] == [[0, 1, 2], [3, 4, 5]]
    assert made.facts[f"synthesis.{blocks[0]}.size"] == [36, 36]
    assert made.facts[f"synthesis.{blocks[1]}.conv0.weight_gain"] == 0.5
    assert made.facts[f"synthesis.{blocks[1]}.conv0.conv_clamp"] is None
    assert found.networks["D"].settings["epilogue_kwargs"] == {"mbstd_group_size": 4}
    assert found.settings == {"training_set_kwargs": {"path": "cats.zip", "xflip": True}, "augment_pipe": None}
    assert "non-commercial" in found.licence
    assert found.file == "net.pkl"
    assert len(found.sha256) == 64
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_r3gan_pickles_come_back_bit_for_bit(protocol, theirs, tmp_path):
    torch.manual_seed(0)
    g, d = (made() for made in THEIRS["training.networks"])
    optimiser = torch.optim.Adam(g.parameters())
    sum(weight.square().sum() for weight in g.parameters()).backward()
    optimiser.step()
    g.zero_grad()
    nets = {"G": g, "D": d, "G_ema": g, "cur_nimg": 1200, "G_opt_state": optimiser.state_dict()}
    (tmp_path / "net.pkl").write_bytes(theirs(nets, protocol))
    found = pickles.read(tmp_path / "net.pkl")
    assert found.kind == "r3gan"
    for name in ("G", "D", "G_ema"):
        same(found.networks[name], nets[name])
    assert found.networks["G"].facts["Model.MainLayers.0.DataType"] == "bfloat16"
    assert found.networks["G"].facts["Model.Layer.groups"] == 1
    assert found.networks["G"].settings == {}
    assert found.settings == {"cur_nimg": 1200}
    import_weights(tmp_path / "net.pkl", tmp_path / "table.safetensors")  # in which G and G_ema are the same
    table = load_file(tmp_path / "table.safetensors")
    assert all(torch.equal(table[f"{name}.{key}"], value) for name in ("G", "G_ema") for key, value in found.networks[name].tensors.items())


@pytest.mark.parametrize("zipped", [True, False])
def test_rosinality_files_come_back_bit_for_bit(zipped, tmp_path):
    torch.manual_seed(0)
    names = ("input.input", "conv1.conv.weight", "noises.noise_0", "convs.0.conv.blur.kernel", "to_rgb1.bias")
    state = OrderedDict((name, torch.randn(3, 2)) for name in names)
    state["flag"], state["empty"] = torch.tensor([True, False]), torch.zeros(0, 4)
    state["tied"] = state["input.input"][1:]
    state._metadata = {"": {"version": 1}}
    args = argparse.Namespace(size=256, path="cats", r1=10.0, betas=(0.0, 0.99))
    optimiser = {"state": {0: {"step": 3, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.002, "params": [0]}]}
    tree = {"g": state, "d": {"final_conv.0.weight": torch.ones(1)}, "g_ema": state, "g_optim": optimiser, "args": args, "ada_aug_p": 0.4}
    tree["latent_avg"] = torch.randn(4).bfloat16()
    torch.save(tree, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    found = pickles.read(tmp_path / "net.pt")
    assert found.kind == "rosinality"
    assert set(found.networks) == {"G", "D", "G_ema"}
    for name, value in state.items():
        assert torch.equal(found.networks["G_ema"].tensors[name], value)
    assert found.networks["G_ema"].parameters == set(state) - {"noises.noise_0", "convs.0.conv.blur.kernel"}
    assert found.settings == {"args": {"size": 256, "path": "cats", "r1": 10.0, "betas": [0.0, 0.99]}, "ada_aug_p": 0.4}
    assert torch.equal(found.tensors["latent_avg"], tree["latent_avg"])
    assert found.networks["D"].name == "Discriminator"


def test_a_pickle_of_something_else_says_what_it_holds(theirs, tmp_path):
    for value, saying in [
        ([1, 2], "holds a list"),
        ({"epoch": 3}, "none of G, D, G_ema, g, d, g_ema; it has 'epoch'"),
        ({"g_ema": {"w": 1}}, "none of G"),
        ({"G": Generator("other")}, "its G is a Generator, of a layout that is not known"),
    ]:
        refused(tmp_path, theirs(value), saying)


@pytest.mark.parametrize("megabytes", [0, 4, 5])
def test_a_genuine_file_is_read_whatever_the_share_of_its_objects(megabytes, theirs, tmp_path, monkeypatch):
    """The objects of three networks cost the reader 5 MB, however narrow the networks are."""
    nets, opened = snapshot("b4", *(f"b{8 + i}" for i in range(10))), []
    nets["G"].synthesis.wide = Layer(megabytes * 3236 + 1, 9)
    (tmp_path / "net.pkl").write_bytes(theirs(nets))
    monkeypatch.setattr(source.Source, "digest", lambda self: opened.append(self) or "0")
    assert len(pickles.read(tmp_path / "net.pkl").networks["G"].tensors["synthesis.wide.weight"]) == 9
    assert opened[0].spent - opened[0].size > 4 << 20


def refused(folder, data, saying):
    (folder / "net.pkl").write_bytes(data)
    with pytest.raises(CheckpointError, match=saying):
        pickles.read(folder / "net.pkl")


class Calls:
    """Pickles as a call of `thing`, with what comes after it as its arguments, state, and items."""

    def __init__(self, *how):
        self.how = how

    def __reduce__(self):
        return self.how


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["top", "settings", "attribute", "tensor", "buffer", "key"])
def test_code_is_refused_by_name_wherever_it_lies(protocol, place, theirs, tmp_path):
    mark = tmp_path / "ran"
    call, nets = Calls(os.system, (f"touch {mark}",)), snapshot("b4")
    if place == "settings":
        nets["G"]._init_kwargs["z_dim"] = call
    elif place == "attribute":
        nets["D"].synthesis.b4.hook = call
    elif place in ("tensor", "buffer"):
        nets["G_ema"].__dict__["_parameters" if place == "tensor" else "_buffers"]["more"] = call
    data = theirs({"top": call, "key": {call: 1}}.get(place, nets), protocol)
    why = "asks for posix.system, which is code|asks for copy_reg._reconstructor|keeps its numbers as text|uses the step"
    saying = f"net.pkl: refused, nothing of it was run: it ({why})"
    refused(tmp_path, data, saying)
    assert not mark.exists()


@pytest.fixture
def whole(theirs):
    """A small file of each container."""
    files = {"persistent": theirs(snapshot("b4"))}
    for name, zipped in (("zip", True), ("legacy", False)):
        stream = io.BytesIO()
        torch.save({"g_ema": {"conv1.conv.weight": torch.rand(9)}}, stream, _use_new_zipfile_serialization=zipped)
        files[name] = stream.getvalue()
    return files


@pytest.mark.parametrize("container", ["persistent", "zip", "legacy"])
def test_cut_short_anywhere_it_is_refused(container, whole, tmp_path):
    data = whole[container]
    for length in sorted({*range(0, len(data), max(len(data) // 40, 1)), *range(len(data) - 5, len(data))}):
        refused(tmp_path, data[:length], "net.pkl: (damaged|refused)")


@pytest.mark.parametrize("container", ["persistent", "zip", "legacy"])
def test_any_wrong_byte_is_read_or_refused(container, whole, tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(30):
        data = bytearray(whole[container])
        data[rng.integers(len(data))] = rng.integers(256)
        (tmp_path / "net.pkl").write_bytes(data)
        with contextlib.suppress(CheckpointError):
            pickles.read(tmp_path / "net.pkl")


def test_no_file_is_told(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pkl: cannot be read"):
        pickles.read(tmp_path / "absent.pkl")
    with pytest.raises(CheckpointError, match="cannot be read"):
        pickles.kind(tmp_path)


def test_modules_without_end_are_refused(theirs, tmp_path):
    outer = inner = Synthesis()
    for _ in range(90):
        outer.more = Synthesis()
        outer = outer.more
    refused(tmp_path, theirs({"G": Generator("b4"), "D": inner}, 4), "modules lie more than 64 deep")
