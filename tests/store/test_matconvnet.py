"""Networks of MatConvNet in MATLAB files: read through scipy within limits, and computing what MatConvNet does."""

import io
import random
import struct
import sys
import zlib

import numpy as np
import pytest
import torch
from scipy.io import savemat

from sfumato.core.errors import CheckpointError, MissingExtraError
from sfumato.models import MODELS
from sfumato.store import foreign
from sfumato.store.importing import import_weights
from tests.papers import matconvnet as papers

RELU, LOSS = papers.RELU, papers.LOSS
dncnn = papers.dncnn_layers


def ffdnet(channels=1):
    """Near the identity: the squares of the image pass through beside the random part."""
    rng, folded = np.random.default_rng(3), 4 * channels
    convs = [
        papers.matlab_conv(n, m, rng, gain=0.01) for n, m in ((folded + 1, folded + 2), (folded + 2, folded + 2), (folded + 2, folded))
    ]
    for conv in convs:
        for i in range(folded):
            conv["weights"][0, 0][1, 1, i, i] += 1
    first, middle, last = convs
    return [{"type": "SubP", "scale": 0.5}, {"type": "concat"}, first, RELU, middle, RELU, last, {"type": "SubP", "scale": 2.0}]


def loaded(layers, tmp_path):
    (tmp_path / "net.mat").write_bytes(papers.matlab(layers))
    return foreign.load(tmp_path / "net.mat")


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_dncnn_computes_what_matconvnet_does(channels, normalised, tmp_path):
    layers = dncnn(channels, normalised=normalised)
    model, image = loaded(layers, tmp_path), np.random.default_rng(0).random((12, 15, channels))
    assert model.config == MODELS["dncnn"](channels=channels, width=6, depth=3)
    output = model.network.double().restore(torch.from_numpy(image).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    np.testing.assert_allclose(output.numpy(), image - papers.matlab_formula(layers, image), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_ffdnet_computes_what_matconvnet_does(channels, tmp_path):
    layers = ffdnet(channels)
    model, image = loaded(layers, tmp_path), np.random.default_rng(0).random((12, 16, channels))
    assert model.config == MODELS["dncnn"](channels=channels, width=4 * channels + 2, depth=3, residual=False, noise_plane=True, fold=2)
    noise = torch.full((1, 1, 12, 16), 0.1).double()
    output = model.network.double().restore(torch.from_numpy(image).permute(2, 0, 1)[None], noise)[0].permute(1, 2, 0)
    np.testing.assert_allclose(output.numpy(), papers.matlab_formula(layers, image, 0.1), rtol=1e-5, atol=1e-5)


def test_the_first_versions_have_filters_and_biases(tmp_path):
    layers = dncnn()
    for layer in layers:
        if layer["type"] == "conv":
            weights = layer.pop("weights")
            layer["filters"], layer["biases"] = weights[0, 0], weights[0, 1]
    assert loaded(layers, tmp_path).config.depth == 3


def test_importing_says_what_it_is_and_where_it_comes_from(tmp_path):
    (tmp_path / "sigma=25.mat").write_bytes(papers.matlab(dncnn()))
    lines = import_weights(tmp_path / "sigma=25.mat")
    assert lines[0].startswith("DnCNN of 3 convolutions and 6 channels, MatConvNet's layout")
    assert "origin of the layout: https://github.com/cszn/DnCNN" in lines


def refused(data, saying, tmp_path):
    (tmp_path / "bad.mat").write_bytes(data)
    with pytest.raises(CheckpointError, match=saying) as error:
        import_weights(tmp_path / "bad.mat")
    assert "\n" not in str(error.value)


def changed(where, **settings):
    layers = dncnn()
    return papers.matlab([*layers[:where], layers[where] | settings, *layers[where + 1 :]])


@pytest.mark.parametrize(
    ("data", "saying"),
    [
        (changed(2, dilate=2.0), "a convolution with dilate 2"),
        (changed(2, stride=2.0), "a convolution with stride 2"),
        (changed(2, pad=0.0), "changes the size"),
        (changed(1, leak=0.1), "a layer relu, which no network here has"),
        (changed(1, type="pool"), "a layer pool"),
        (changed(2, weights=np.array([["a", "b"]], dtype=object)), "no real numbers"),
        (papers.matlab([RELU, LOSS]), "no chain of convolutions"),
        (papers.matlab(dncnn(), name="other"), "no network of MatConvNet under net.layers; its variables are other"),
    ],
)
def test_another_network_is_named(data, saying, tmp_path):
    refused(data, saying, tmp_path)


def test_without_scipy_the_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "net.mat").write_bytes(papers.matlab(dncnn()))
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingExtraError, match="MATLAB files need SciPy; install it with: pip install scipy"):
        foreign.load(tmp_path / "net.mat")


HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def array(form, sides, content=b""):
    """A variable called `net` of the class `form`."""
    parts = element(6, struct.pack("<II", form, 0)) + element(5, struct.pack(f"<{len(sides)}i", *sides)) + element(1, b"net")
    return element(14, parts + content)


def nested(depth):
    data = array(6, (1, 1), element(9, bytes(8)))
    for _ in range(depth):
        data = array(1, (1, 1), data)
    return data


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        (nested(5000), "inside each other"),
        (array(1, (1 << 30, 1 << 30)), "damaged .an array of 1073741824 x 1073741824"),
        (array(1, (1, 30_000), 30_000 * element(14, b"")), "more than 20,000 arrays"),
        (array(6, (1 << 16, 1 << 15), element(9, bytes(8))), "damaged .an array of 65536"),
        (array(1, (-1, -1)), "damaged .an array of -1"),
        (array(16, (1, 1), element(14, b"")), "a function, an object"),
        (array(17, (1, 1), element(14, b"")), "a function, an object"),
        (array(5, (1, 1), element(14, b"")), "a sparse matrix"),
        (array(2, (1, 1), element(5, struct.pack("<i", 0)) + element(1, b"")), "no names of a structure"),
        (struct.pack("<II", 14, 1 << 31), "cut off"),
        (element(15, zlib.compress(bytes(1 << 28), 9)), "larger than the limit"),
        (element(15, b"no stream"), "damaged"),
        (element(3, b"12345678"), "no array"),
        (b"1234", "cut off"),
    ],
)
def test_hostile_files_are_refused_in_a_line(content, saying, tmp_path):
    refused(HEADER + content, saying, tmp_path)


def test_spoilt_files_are_read_or_refused_in_a_line(tmp_path):
    out = io.BytesIO()
    savemat(out, {"net": {"layers": np.array([[{"type": "relu"}, papers.matlab_conv(1, 2, np.random.default_rng(0))]], dtype=object)}})
    rng, whole, refusals = random.Random(0), [papers.matlab(dncnn()), out.getvalue()], 0
    broken = 0
    for i in range(150):
        data = bytearray(whole[i % 2])
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(120, len(data))
            data[place] = rng.choice([0, 1, 0x7F, 0xFF, rng.randrange(256)])
        (tmp_path / "net.mat").write_bytes(data[: rng.choice([len(data), len(data), rng.randrange(100, len(data))])])
        try:
            foreign.load(tmp_path / "net.mat")
        except CheckpointError as error:
            refusals += 1
            broken += "\n" in str(error)
    assert refusals > 50
    assert not broken
