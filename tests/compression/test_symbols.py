"""Symbols of a tile: what the decoder has is what the encoder had, number for number."""

import pytest
import torch

from sfumato.compression.symbols import SILENT, SymbolCoder, symbol_check


def latent_of(codec, size, seed=0, spread=2.0):
    rng = torch.Generator().manual_seed(seed)
    network = codec.network
    latent = spread * torch.randn(1, network.latent_channels, *size, generator=rng)
    hyper = torch.randint(-3, 4, (network.hyper_channels, -(-size[0] // 4), -(-size[1] // 4)), generator=rng)
    return latent, hyper


@pytest.mark.parametrize("quality", [1, 37, 100])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (8, 12)])
def test_a_tile_comes_back(codec, size, quality):
    coder = SymbolCoder(codec.network, quality)
    latent, hyper = latent_of(codec, size)
    coded = coder.encode(latent, hyper)
    decoded = coder.decode(coded.stream, coded.lanes, size)
    assert torch.equal(decoded.latent, coded.latent)
    assert torch.equal(decoded.hyper, hyper)
    assert (decoded.check, decoded.hyper_check, decoded.share) == (coded.check, symbol_check(hyper), 1)
    assert (decoded.latent[None] / 256 - latent).abs().quantile(0.5) <= 0.5


def test_a_symbol_moves_to_0_only_where_bits_are_saved(codec):
    coder = SymbolCoder(codec.network, 50)
    distances = torch.linspace(-6, 6, 1201).double()[None]
    for scale, dead in ((SILENT, 0.65), (20, 0.52), (63, 0.5)):
        symbols = coder.economical(distances, torch.full_like(distances, scale, dtype=torch.int64)).double()
        rounded = distances.round()
        moved = symbols != rounded
        assert torch.equal(symbols[moved], (rounded - rounded.sign())[moved])
        assert ((distances - symbols).abs() < 1).all()
        assert not symbols[distances.abs() < dead].any(), "a smaller scale has a wider range of zeros"
    in_the_middle = ((distances.abs() % 1) - 0.5).abs() < 0.02
    assert not (moved & ~in_the_middle).any(), "all numbers near 0 have about the same bits if the scale is large"
    assert not coder.economical(distances, torch.zeros_like(distances, dtype=torch.int64)).any()
    far = torch.tensor([[700.6, -700.6]]).double()
    assert coder.economical(far, torch.full((1, 2), 30)).tolist() == [[701, -701]]


def test_numbers_that_no_table_has_come_back(codec):
    coder = SymbolCoder(codec.network, 50)
    latent, hyper = latent_of(codec, (4, 4))
    latent[0, ::3] += 700 * torch.randn(8, 4, 4, generator=torch.Generator().manual_seed(3))
    coded = coder.encode(latent, hyper)
    decoded = coder.decode(coded.stream, coded.lanes, (4, 4))
    assert torch.equal(decoded.latent, coded.latent)
    loud = coded.latent[::3].abs() > 256 * 300
    assert loud.any()


def test_the_beginning_of_a_stream_gives_the_first_symbols(codec):
    coder = SymbolCoder(codec.network, 50)
    latent, hyper = latent_of(codec, (8, 8))
    coded = coder.encode(latent, hyper)
    shares, errors = [], []
    for tenth in range(3, 11):
        decoded = coder.decode(coded.stream[: len(coded.stream) * tenth // 10], coded.lanes, (8, 8))
        shares.append(decoded.share)
        errors.append(float((decoded.latent - coded.latent).double().square().mean()))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert errors[-1] == 0
    assert errors[0] > errors[4] > 0


def test_a_prediction_is_the_tile_without_symbols(codec):
    coder = SymbolCoder(codec.network, 50)
    _, hyper = latent_of(codec, (6, 5))
    predicted = coder.predicted(hyper, (6, 5))
    coded = coder.encode(predicted[None] / 256, hyper)
    assert torch.equal(coded.latent, predicted)
