"""Tiles for an amount of memory, counted by hand."""

import itertools
import math

import pytest
import torch

from sfumato.restoration import networks as job
from sfumato.restoration.memory import BASE, Tiling, cost, footprint, tile_for, tiling
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import make_plan
from sfumato.restoration.request import RestorationRequest
from sfumato.restoration.restore import restore
from sfumato.restoration.tiles import pieces, spans, usage
from sfumato.store import weights


@pytest.mark.parametrize(("radius", "row"), [(0, 0.0), (10, 0.0), (10, 1000.0)])
def test_the_largest_tile_that_fits(restorer, radius, row):
    side = 256 + 2 * radius
    need = 100.0 * side**2 + row * side
    network = restorer(radius=radius)
    assert tile_for(network, need, pixel=100.0, row=row) == 256
    assert tile_for(network, need - 1, pixel=100.0, row=row) == 192
    assert tile_for(network, 0.0, pixel=100.0, row=row) == 32, "however little there is"
    assert tile_for(network, 100.0 * side**2 - 1, pixel=100.0) == 192, "rows take nothing if not told"
    assert tile_for(network, 1e18, pixel=100.0, row=row) == 4096


def test_the_footprint_counts_the_largest_layer(restorer):
    """In and out of a convolution, 4 bytes each, times what is held beside it."""
    assert footprint(restorer(channels=1)) == pytest.approx(4 * 4.5 * 2)
    assert footprint(restorer(channels=3, grey_path=False)) == pytest.approx(4 * 4.5 * 6)
    assert tile_for(restorer(radius=0), 36 * 512**2) == 512, "which is measured where it is not told"


def test_usage_is_the_share_that_is_not_context(restorer):
    network = restorer(radius=10)
    assert usage(network, (100, 100), None) == 1.0
    assert usage(network, (100, 100), 100) == 1.0
    assert usage(network, (100, 100), 50) == pytest.approx(100 * 100 / (120 * 120))
    assert usage(network, (100, 300), (100, 100)) == pytest.approx(300 / (110 + 120 + 110))


def test_pieces_and_their_contexts(restorer):
    down, across = pieces(restorer(radius=5, multiple=4), (40, 10), (16, 10))
    assert down == [((0, 16), (0, 24)), ((16, 32), (8, 40)), ((32, 40), (24, 40))], "contexts in multiples of 4"
    assert across == [((0, 8), (0, 10)), ((8, 10), (0, 10))], "and tiles too"


@pytest.mark.parametrize(("length", "tile", "grid"), [(100, 30, 8), (1, 1, 8), (64, 64, 1), (65, 64, 16), (7, 1000, 4)])
def test_spans_cover_all_once(length, tile, grid):
    every = list(spans(length, tile, grid))
    assert every[0][0] == 0
    assert every[-1][1] == length
    assert all(stop == start for (_, stop), (start, _) in itertools.pairwise(every))
    assert all(start % grid == 0 for start, _ in every)
    longest = max(stop - start for start, stop in every)
    assert longest <= max(tile, grid)
    assert len(every) == math.ceil(length / (max(1, tile // grid) * grid)), "and no more of them than needed"


@pytest.mark.parametrize("size", [(3000, 3000), (200, 6000), (6000, 200)])
@pytest.mark.parametrize("room", [0.4, 1.5, 10.0])
def test_tiles_fit_and_waste_no_more_than_squares(restorer, size, room):
    network, memory = restorer(radius=60, multiple=4), room * 100.0 * 200**2
    chosen = tiling(network, size, memory, pixel=100.0)
    square = tile_for(network, memory, pixel=100.0)
    assert chosen.usage == pytest.approx(usage(network, size, chosen.tile))
    assert chosen.usage >= usage(network, size, square)
    if chosen.tile != (square, square):
        down, across = pieces(network, size, chosen.tile)
        rows, columns = (max(stop - start for _, (start, stop) in each) for each in (down, across))
        assert 100.0 * rows * columns <= memory


def test_what_small_tiles_cost_is_said(restorer):
    network = restorer(radius=60)
    assert cost(Tiling((64, 64), 1 / 3), network, 1e9, lambda _: Tiling((64, 64), 1.0)) == ""
    words = cost(Tiling((32, 48), 0.1), network, 1e9, lambda more: Tiling((64, 64), 0.5 if more >= 1.5e9 else 0.1))
    assert words == "--memory 1.0GB leaves tiles of 48 x 32 pixels in a context of 60: 10 times slower; 1.5GB would do"
    assert cost(Tiling((32, 48), 0.1), network, 1e9, lambda _: Tiling((32, 48), 0.1)).endswith("10 times slower")


def test_networks_are_opened_measured_and_tiled_once(restorer, monkeypatch):
    networks, network, calls = Networks(), restorer(radius=8), []
    real = footprint
    monkeypatch.setattr("sfumato.restoration.memory.footprint", lambda which: (calls.append(which), real(which))[1])
    assert networks.opened(network) is network
    assert networks.opened(network, 4) is networks.opened(network, 4) is not network
    assert networks.ready(network, torch.device("cpu")) is networks.ready(network, torch.device("cpu"))
    for _ in range(2):
        assert networks.tile(network, (900, 900), 1e9, lambda allowed: allowed - 9.9e8) == tiling(network, (900, 900), 1e7, pixel=36.0).tile
    assert calls == [network]


def test_bundled_networks_are_kept_for_the_next_run_and_files_are_read_again(tmp_path, monkeypatch):
    read, real, cpu = [], weights.load, torch.device("cpu")
    own = tmp_path / "own.safetensors"
    own.write_bytes(weights.find("denoise").read_bytes())
    job._bundled.cache_clear()
    job._at_work.cache_clear()
    monkeypatch.setattr(weights, "load", lambda which: (read.append(str(which)), real(which))[1])
    first, second = Networks(), Networks()
    assert first.opened("denoise") is second.opened("denoise")
    assert first.ready(first.opened("denoise"), cpu) is second.ready(second.opened("denoise"), cpu)
    assert first.opened("denoise", 8) is not second.opened("denoise", 8)
    assert first.opened(own) is not second.opened(own)
    assert read == ["denoise", str(own), str(own)]
    before = [weight.clone() for weight in first.opened("denoise").parameters()]
    restore(torch.full((1, 3, 40, 40), 0.5), task="denoise", precision="bf16")
    assert all(weight.equal(old) for weight, old in zip(second.opened("denoise").parameters(), before, strict=True))


def test_the_search_for_noise_stays_within_the_memory(restorer, monkeypatch):
    """Nine pieces of a picture go through the network one after another, in tiles if a piece does not fit."""
    network, shown = restorer(channels=3, radius=4), []
    monkeypatch.setattr(Networks, "opened", lambda self, which, views=1, **_: network)
    monkeypatch.setattr(network, "restore", lambda x, planes=None: shown.append(x.shape) or x)
    clean = torch.linspace(0, 1, 420).expand(1, 3, 420, 420)
    pixel = 100.0
    monkeypatch.setattr(Networks, "footprint", lambda self, network: pixel)
    for allowed, pieces_shown in ((1e9, 9), (pixel * 80**2, 81)):
        shown.clear()
        make_plan(RestorationRequest(memory=BASE + 12 * clean.numel() + allowed), clean)
        assert len(shown) == pieces_shown
        assert all(n == 1 and pixel * h * w <= allowed for n, _, h, w in shown)
