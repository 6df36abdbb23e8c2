"""A model is one file; an old one is replaced whole or not at all; what is no model of ours is told so."""

import errno
import os
from types import SimpleNamespace
from typing import final

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sfumato.core.config import parse
from sfumato.core.errors import CheckpointError, StorageError
from sfumato.models import MODELS
from sfumato.store import checkpoint, weights

CONFIG = MODELS["classifier"](size=(8, 8), channels=1, classes=2, widths=(4,), hidden=(4,))


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "model.safetensors", CONFIG.build(), CONFIG, {"note": "é"})
    return tmp_path / "model.safetensors"


def rewrite(path, **header):
    """The same file with other settings."""
    tensors, old = checkpoint.read_tensors(path)
    checkpoint.write_tensors(path, tensors, {**old, **header})


def test_the_header_can_be_read_without_the_weights(model):
    header = checkpoint.read_header(model)
    assert header["card"] == {"metrics": [], "note": "é"}
    assert header["model"]["is"] == "classifier"
    assert header["format"] == checkpoint.FORMAT


def test_any_other_safetensors_reader_can_read_it(model):
    from safetensors.torch import load_file

    assert load_file(model).keys() == CONFIG.build().state_dict().keys()


@pytest.mark.parametrize(
    "settings",
    [
        {"is": "os/system"},
        {"is": "nothing"},
        {"is": "demo/demo"},
        {"is": "augment"},
        {"is": "io/files"},
        {"is": "training"},
        {"is": "classifier"},
        {"is": "classifier", "widht": 3},
        {"is": "classifier", "size": [0, 8], "channels": 1, "classes": 2},
        {"is": "classifier", "size": [8, 8], "channels": 10**6, "classes": 2},
        {},
        [],
        None,
        7,
        "classifier",
    ],
)
def test_settings_that_are_not_usable_are_refused_in_one_line(settings, model):
    rewrite(model, model=settings)
    with pytest.raises(CheckpointError, match="its settings are not usable here") as told:
        checkpoint.load(model)
    assert str(model) in str(told.value)
    assert "\n" not in str(told.value)


def test_weights_of_another_network_do_not_fit(model):
    rewrite(model, model={**checkpoint.read_header(model)["model"], "widths": [8]})
    with pytest.raises(CheckpointError, match="its weights do not fit its settings") as told:
        checkpoint.load(model)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("version", "message"), [(checkpoint.FORMAT + 1, "update Sfumato"), ("one", "no format that can be read")])
def test_a_format_of_the_future_is_told_apart_from_nonsense(version, message, model):
    rewrite(model, format=version)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(model)


@pytest.mark.parametrize("metadata", [None, {}, {"sfumato": "{"}, {"sfumato": "[]"}, {"sfumato": "7"}, {"format": "pt"}])
def test_tensors_of_somebody_else_must_be_imported(metadata, tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "theirs.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match="not written by Sfumato; import it first"):
        checkpoint.load(tmp_path / "theirs.safetensors")


@pytest.mark.parametrize("name", ["absent.safetensors", "."])
def test_what_is_no_file_is_told_so(name, tmp_path):
    with pytest.raises(CheckpointError, match="no model file"):
        checkpoint.load(tmp_path / name)


def test_a_full_disk_leaves_the_old_file(model, monkeypatch):
    before = model.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("sfumato.core.atomic_io.os.fsync", full)
    with pytest.raises(StorageError, match=r"model.safetensors: cannot be written \(No space left on device\); free some space"):
        rewrite(model, card={})
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_a_small_file_does_not_ask_for_a_large_network(model, monkeypatch):
    """Compared first, and without memory: what is not on `meta` would be allocated."""
    header = checkpoint.read_header(model)["model"]
    rewrite(model, model=header | {"widths": [4096], "hidden": [65536]})
    places, build = [], type(CONFIG).build
    monkeypatch.setattr(type(CONFIG), "build", lambda self: places.append(torch.empty(0).device.type) or build(self))
    with pytest.raises(CheckpointError, match=r"do not fit its settings: .* is \(.*\), not \("):
        checkpoint.load(model)
    assert places == ["meta"]


@pytest.mark.parametrize("name", [path.stem for path in weights.bundled().values()])
def test_a_bundled_network_is_loaded_bit_for_bit_and_nothing_is_drawn_for_it(name, monkeypatch):
    path = weights.bundled()[name]
    tensors, header = checkpoint.read_tensors(path)
    built = parse(header["model"]).build()
    built.load_state_dict(tensors)
    monkeypatch.setattr(type(built), "__init__", _only_outlines(type(built).__init__))
    loaded = checkpoint.load(path)
    for (name, value), (other, expected) in zip(loaded.network.state_dict().items(), built.state_dict().items(), strict=True):
        assert (name, value.dtype, value.device) == (other, expected.dtype, expected.device)
        assert torch.equal(value, expected)
    assert not any(weight.requires_grad for weight in loaded.network.parameters())


def _only_outlines(build):
    def init(self, *args, **kwargs):
        assert torch.empty(0).device.type == "meta", "weights were made to be written over"
        build(self, *args, **kwargs)

    return init


@final
class Odd(nn.Module):
    """Holds tensors that are in no checkpoint, in each of the ways that there are, and a weight under two names."""

    def __init__(self, kind):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        if kind == "buffer":
            self.register_buffer("fixed", torch.ones(2), persistent=False)
        if kind == "attribute":
            self.fixed = torch.ones(2)
        if kind == "listed":
            self.fixed = {"one": torch.ones(2)}
        if kind == "closure":
            fixed = torch.ones(2)
            self.value = lambda: fixed
        if kind == "tied":
            self.same = self.weight


@pytest.mark.parametrize("kind", ["buffer", "attribute", "listed", "closure", "tied"])
def test_what_is_computed_when_a_network_is_made_is_there_once_it_is_loaded(kind, tmp_path, monkeypatch):
    odd = SimpleNamespace(build=lambda: Odd(kind))
    checkpoint.save(tmp_path / "odd.safetensors", model := Odd("plain"), CONFIG, {})
    if kind == "tied":
        tensors, header = checkpoint.read_tensors(tmp_path / "odd.safetensors")
        checkpoint.write_tensors(tmp_path / "odd.safetensors", {**tensors, "same": tensors["weight"].clone()}, header)
    monkeypatch.setattr("sfumato.store.checkpoint.parse_as", lambda *_: odd)
    loaded = checkpoint.load(tmp_path / "odd.safetensors")
    assert torch.equal(loaded.network.weight, model.weight)
    if kind == "tied":
        assert loaded.network.same is loaded.network.weight
        return
    fixed = loaded.network.value() if kind == "closure" else loaded.network.fixed["one"] if kind == "listed" else loaded.network.fixed
    assert torch.equal(fixed, torch.ones(2))


def test_weights_of_16_bits_are_loaded_as_the_network_has_them(tmp_path):
    checkpoint.save(tmp_path / "half.safetensors", made := CONFIG.build(), CONFIG, {}, half=True)
    loaded = checkpoint.load(tmp_path / "half.safetensors")
    assert all(torch.equal(a, b.half().float()) for a, b in zip(loaded.network.parameters(), made.parameters(), strict=True) if a.dim())
    assert {weight.dtype for weight in loaded.network.parameters()} == {torch.float32}
