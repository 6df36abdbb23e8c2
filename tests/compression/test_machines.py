"""The same file has the same symbols in another process, with other threads, instructions, memory layouts and number formats."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import sfumato
from sfumato.compression import own_network
from sfumato.compression.compress import compress
from sfumato.compression.decompress import decompress
from sfumato.core.device import autocast
from sfumato.models.hyperprior import Config, level_shares
from sfumato.nn.exact import MOST, ExactConvolution, settled
from sfumato.store.checkpoint import save_model

SCRIPT = """
import hashlib, json, sys
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[3]))
from sfumato.compression.container import parsed
from sfumato.compression.decompress import decompress
from sfumato.compression.symbols import SymbolCoder
from sfumato.core.device import autocast
import sfumato as sf
model, data = sf.load(sys.argv[1]), Path(sys.argv[2]).read_bytes()
if sys.argv[4] == "contiguous":
    model.network.to(memory_format=torch.contiguous_format)
with autocast(sys.argv[5], torch.device("cpu")):
    parts = parsed(data)
    coder = SymbolCoder(model.network, parts.header.quality)
    decoded = coder.decode(parts.tiles[0].stream, parts.tiles[0].lanes, (4, 6))
    image = decompress(data, model=model)
    own = decompress(Path(sys.argv[2]).with_name("own.sfm").read_bytes())
pictures = [(list(each.tobytes()), each.damage) for each in (image, own)]
print(json.dumps([hashlib.sha256(decoded.latent.numpy().tobytes()).hexdigest(), pictures]))
"""


def elsewhere(folder, threads, layout, precision, **environment):
    """The hash of the symbols of the first file in `folder`, and pixels and damage of both, as another process has them."""
    command = [sys.executable, "-c", SCRIPT, str(folder / "model.safetensors"), str(folder / "a.sfm"), str(threads), layout, precision]
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(sfumato.__file__).parents[1]), "HOME": str(folder)}
    done = subprocess.run(command, env=own | environment, capture_output=True, text=True, check=True)
    symbols, pictures = json.loads(done.stdout)
    return symbols, [(np.array(pixels), damage) for pixels, damage in pictures]


def test_other_processes_have_the_same_symbols(codec, photograph, tmp_path, monkeypatch):
    """Of a file of a codec, and of one with a network of its own: its check fits only if all of its numbers are the same."""
    monkeypatch.setattr(own_network, "STEPS", 12)
    save_model(tmp_path / "model.safetensors", codec)
    (tmp_path / "a.sfm").write_bytes(compress(photograph(64, 96), quality=70, model=codec))
    (tmp_path / "own.sfm").write_bytes(compress(photograph(64, 96), quality=70, effort="max"))
    here = [decompress((tmp_path / name).read_bytes(), model=codec) for name in ("a.sfm", "own.sfm")]
    symbols = set()
    for threads, layout, precision, capability in ((2, "contiguous", "fp32", "default"), (1, "channels_last", "bf16", "")):
        environment = {"ATEN_CPU_CAPABILITY": capability} if capability else {}
        digest, pictures = elsewhere(tmp_path, threads, layout, precision, **environment)
        symbols.add(digest)
        for image, (pixels, damage) in zip(here, pictures, strict=True):
            assert damage == []
            assert np.abs(pixels - np.asarray(image, dtype=int).ravel()).max() <= 1
    assert len(symbols) == 1


def test_autocast_leaves_symbols_alone(codec, photograph):
    data = compress(photograph(32, 32), model=codec)
    with autocast("bf16", torch.device("cpu")):
        assert decompress(data, model=codec).damage == ()


def test_sums_are_exact_in_any_order():
    """Compared with whole numbers of Python, at the largest activations."""
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(40, 3, 5, padding=2)
    exact = ExactConvolution(layer, "layer")
    x = torch.randint(-MOST, MOST + 1, (40, 6, 7)).double()
    sums = exact.sums(x).reshape(3, 6, 7)
    weight, bias = (layer.weight.double() * 4096).round().long(), (layer.bias.double() * 4096).round().long() * 256
    padded = torch.nn.functional.pad(x.long(), (2, 2, 2, 2))
    for channel, row, column in ((0, 0, 0), (2, 3, 4), (1, 5, 6)):
        square = padded[:, row : row + 5, column : column + 5]
        assert int(sums[channel, row, column]) == int((weight[channel] * square).sum() + bias[channel])
    assert torch.equal(exact.sums(x, torch.tensor([0, 41, 17])), sums.flatten(1)[:, [0, 41, 17]])
    assert settled(sums.flatten(1)).abs().max() <= MOST


def test_weights_that_allow_no_exact_sums_are_refused():
    layer = torch.nn.Conv2d(4, 2, 1)
    torch.nn.init.constant_(layer.weight, 1e7)
    with pytest.raises(ValueError, match="hidden: its sums could reach"):
        ExactConvolution(layer, "hidden")


def test_whole_numbers_follow_the_network_that_was_trained(codec):
    network = codec.network
    size, quality = (8, 12), 70
    rng = torch.Generator().manual_seed(0)
    hyper = torch.randint(-4, 5, (4, 2, 3), generator=rng)
    latent = (torch.randn(24, *size, generator=rng) * 256).round().long()
    first = network.first_half(size)
    shares = level_shares(torch.tensor([69 / 99]))
    features = network.hyper_synthesis(hyper[None].float(), shares)
    model = network.entropy_model(quality)
    whole = model.features(hyper, size)
    for half, known in ((first, None), (~first, latent * first)):
        mean, place = network.predicted(features, None if known is None else known[None].float() / 256, torch.tensor([69 / 99]))
        at = half.flatten().nonzero().flatten()
        exact = model.predict(whole, at, known)
        sizes = network.spread.sizes(torch.tensor([69 / 99]))[0].flatten(1).clamp_min(1)
        assert ((exact.mean / 256 - mean[0].flatten(1)[:, at]) / sizes).abs().max() < 0.05
        assert (exact.scale - place[0].flatten(1)[:, at].clamp(0, 63)).abs().max() <= 1


def test_the_network_keeps_its_budget_of_work():
    """At most 20,000 multiplications a pixel each way, with the integer part counted."""
    from torch.utils.flop_counter import FlopCounterMode

    network = Config().build().eval().requires_grad_(False)
    side, level = 128, torch.tensor([0.5])
    at = network.first_half((8, 8)).flatten().nonzero().flatten()
    model = network.entropy_model(50)

    def work(function):
        with FlopCounterMode(display=False) as counter:
            result = function()
        return counter.get_total_flops() / 2 / side**2, result

    encode, latent = work(lambda: network.encode(torch.rand(1, 3, side, side), level))
    hyper_encode, _ = work(lambda: network.hyper_encode(latent, level))
    decode, _ = work(lambda: network.decode(latent, level))
    features, whole = work(lambda: model.features(torch.zeros(64, 2, 2, dtype=torch.int64), (8, 8)))
    first, _ = work(lambda: model.predict(whole, at))
    second, _ = work(lambda: model.predict(whole, at, torch.zeros(320, 8, 8, dtype=torch.int64)))
    assert encode + hyper_encode + features + first + second <= 20_000
    assert decode + features + first + second <= 20_000
