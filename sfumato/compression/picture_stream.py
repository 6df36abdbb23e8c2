"""The stream of a picture with a network of its own: the weights of the network, then the grids, number after number.

    8 bytes: for each of the four groups of weights, binary digits after the point, and the index of the scale of its numbers
    stream (see `rans.py`): the weights, group after group; the grids in their order, wavefront after wavefront

A wavefront is all numbers of a grid whose column plus three times their row is the same: their neighbours have been read before, so that
they are read at once. Numbers that a table does not have are escaped: they follow their wavefront with 16 bits each.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from sfumato.compression import pyramid, rans
from sfumato.compression.laplace import ESCAPE, FRACTIONS, PER_OCTAVE, REACH, SCALES, UNIT_SCALE, laplace_tables, row_of
from sfumato.compression.pyramid import BORDER, LARGEST, NEIGHBOURS, Columns, ContextNetwork, Grid, PictureNetwork
from sfumato.compression.rans import Numbers
from sfumato.compression.symbols import symbol_check
from sfumato.core.errors import FormatError
from sfumato.nn.exact import MOST, ONE, ExactConvolution

MOST_DIGITS = 12
"""Binary digits after the point that a weight can have."""
COARSE = 3
"""The finest level of the coarse part, which has a check of its own: an eighth of the sides."""
_HALF = 1 << 15
_SLOPE = 3
_AT_ONCE = 1 << 17
"""Numbers that are predicted at once, which bounds the memory."""

IntegerPyramid = list[Int64[Tensor, "1 _c _h _w"]]
_Run = tuple[Numbers, Numbers]


@dataclass(frozen=True, kw_only=True)
class PictureCode:
    """A picture with its network as bytes."""

    stream: bytes
    lanes: int
    coarse_check: int
    """16 bits of the weights and of the levels from `COARSE` on."""
    check: int
    """16 bits of all numbers."""


@dataclass(frozen=True, kw_only=True)
class ReadPicture:
    """A picture with its network, as far as its stream goes."""

    network: PictureNetwork
    pyramid: IntegerPyramid
    """Numbers that are missing are 0."""
    coarse_check: int
    check: int
    coarse_read: bool
    """Whether the weights and the levels from `COARSE` on were in the stream as a whole."""
    share: float
    """Share of the numbers that were in the stream."""


def weight_groups(network: PictureNetwork) -> list[list[nn.Parameter]]:
    """The weights that share a number of digits: weights and biases of the context networks, weights and biases of the synthesis."""
    named = [dict(part.named_parameters()) for part in (network.contexts, network.synthesis)]
    return [[weight for name, weight in part.items() if name.endswith("bias") == biases] for part in named for biases in (False, True)]


def whole_group(group: list[nn.Parameter], digits: int) -> Numbers:
    """The weights of a group as whole numbers."""
    flat = torch.cat([weight.detach().flatten() for weight in group]).double()
    return (flat * 2**digits).round().clamp(1 - _HALF, _HALF - 1).numpy().astype(np.int64)


def set_group(group: list[nn.Parameter], numbers: Numbers, digits: int) -> None:
    """Gives a group the weights of whole numbers."""
    values, place = torch.from_numpy(numbers) / 2**digits, 0
    with torch.no_grad():
        for weight in group:
            weight.copy_(values[place : place + weight.numel()].reshape(weight.shape))
            place += weight.numel()


def scale_for(numbers: Numbers) -> tuple[int, float]:
    """The index of the scale with which whole numbers around zero take the fewest bits, and these bits."""
    codes = np.where(np.abs(numbers) <= REACH, numbers + REACH, ESCAPE)
    costs = []
    for scale in range(SCALES):
        frequency = laplace_tables().frequency[row_of(scale, 0)]
        escaped = frequency[codes] == 0
        bits = -np.log2(np.where(escaped, frequency[ESCAPE], frequency[codes]) / (1 << rans.PRECISION))
        costs.append(float(bits.sum() + 16 * escaped.sum()))
    return int(np.argmin(costs)), min(costs)


def encode(network: PictureNetwork, digits: list[int], numbers: IntegerPyramid) -> PictureCode:
    """The stream of a network whose groups of weights have so many `digits`, and of the grids that it predicts."""
    runs, head, check = list[_Run](), bytearray(), 0
    for group, places in zip(weight_groups(network), digits, strict=True):
        weights = whole_group(group, places)
        scale, _ = scale_for(weights)
        head += bytes([places, scale])
        runs += _runs(weights, np.zeros_like(weights), np.full_like(weights, row_of(scale, 0)))
        check = symbol_check(torch.from_numpy(weights), check)
    coder, coarse_check = _GridCoder(network, numbers), 0
    for grid in pyramid.order():
        values = numbers[grid.level][0, grid.channel].numpy().ravel()
        base, rows = coder.predict_all(grid)
        for at in wavefronts(*coder.sizes[grid.level]):
            runs += _runs(values[at], base[at], rows[at])
        check = symbol_check(torch.from_numpy(values), check)
        coarse_check = check if grid.level >= COARSE else coarse_check
    lanes = _lanes_for(sum(level.numel() for level in numbers))
    return PictureCode(stream=bytes(head) + rans.encode(runs, lanes), lanes=lanes, coarse_check=coarse_check, check=check)


def decode(stream: bytes, lanes: int, size: tuple[int, int], quality: int) -> ReadPicture:
    """The network and the grids of a picture of `size` in a stream, as far as it goes.

    Raises FormatError if not even the weights are there.
    """
    decoder, check = rans.Decoder(stream[_HEAD:], lanes), 0
    with torch.random.fork_rng(devices=[]):  # first weights, which are replaced, take no numbers from the caller
        network = PictureNetwork(quality)
    for group, (places, scale) in zip(weight_groups(network), _head(stream), strict=True):
        count = sum(weight.numel() for weight in group)
        rows = np.full(count, row_of(scale, 0))
        weights = _read(decoder, np.zeros(count, dtype=np.int64), rows)
        if len(weights) < count:
            raise FormatError("the stream ends within the weights of its network")
        set_group(group, weights, places)
        check = symbol_check(torch.from_numpy(weights), check)
    blank = [torch.zeros(1, pyramid.channels(level), h, w, dtype=torch.int64) for level, (h, w) in enumerate(pyramid.sizes(size))]
    coder, coarse_check, coarse_read, got = _GridCoder(network, blank), 0, True, 0
    for grid in pyramid.order():
        got += coder.read(grid, decoder)
        check = symbol_check(blank[grid.level][0, grid.channel], check)
        if grid.level >= COARSE:
            coarse_check, coarse_read = check, not decoder.broken
        if decoder.broken:
            break
    share = got / sum(level.numel() for level in blank)
    return ReadPicture(network=network, pyramid=blank, coarse_check=coarse_check, check=check, coarse_read=coarse_read, share=share)


def wavefronts(h: int, w: int) -> list[Numbers]:
    """The positions of a grid, as numbers in reading order, in groups that are read at once."""
    times = (_SLOPE * np.arange(h)[:, None] + np.arange(w)[None]).ravel()
    order = np.argsort(times, kind="stable")
    counts = np.bincount(times)
    return np.split(order, np.cumsum(counts[counts > 0])[:-1])


_HEAD = 8


def _head(stream: bytes) -> list[tuple[int, int]]:
    """Digits and scale of each group of weights."""
    pairs = [(stream[i], stream[i + 1]) for i in range(0, _HEAD, 2)] if len(stream) >= _HEAD else []
    if not pairs or any(digits > MOST_DIGITS or scale >= SCALES for digits, scale in pairs):
        raise FormatError("the description of the weights of its network is damaged")
    return pairs


def _lanes_for(numbers: int) -> int:
    """Logarithm of the number of lanes. A wavefront of a large grid has hundreds of numbers; a lane costs about two bytes."""
    return min(5, (numbers // 50_000).bit_length())


def _runs(values: Numbers, base: Numbers, rows: Numbers) -> list[_Run]:
    """The runs of numbers with predictions: their codes, then those that are escaped."""
    tables, distance = laplace_tables(), values - base
    codes = np.where(np.abs(distance) <= REACH, distance + REACH, ESCAPE)
    codes[tables.frequency[rows, codes] == 0] = ESCAPE
    escaped = values[codes == ESCAPE] + _HALF
    runs = [tables.spans(rows, codes)]
    return [*runs, (escaped, np.ones_like(escaped))] if len(escaped) else runs


def _read(decoder: rans.Decoder, base: Numbers, rows: Numbers) -> Numbers:
    """The numbers that `_runs` made of values with these predictions; fewer if the stream ends."""
    codes = decoder.read(laplace_tables(), rows)
    values, escapes = codes - REACH + base[: len(codes)], np.flatnonzero(codes == ESCAPE)
    if len(codes) < len(rows) or not len(escapes):
        return values
    plain = decoder.read_plain(len(escapes))
    values[escapes[: len(plain)]] = plain - _HALF
    return values if len(plain) == len(escapes) else values[: escapes[len(plain)]]


class _ExactContext:
    """A context network in whole numbers, with the same result on every machine."""

    def __init__(self, network: ContextNetwork) -> None:
        """Raises SettingError if the weights do not allow exact sums."""
        self.first, self.second = ExactConvolution(network.first, "first"), ExactConvolution(network.second, "second")
        self.output = ExactConvolution(network.output, "output")

    def __call__(self, columns: Columns) -> tuple[Numbers, Numbers]:
        """Whole numbers below the means, and rows of the tables, for columns in float64."""
        hidden = self.first(columns[:, :, None] * ONE).clamp_min(0)
        hidden = (self.second(hidden) + hidden).clamp(0, MOST)
        mean, place = self.output(hidden)[:, :, 0].numpy()
        sixteenths = np.floor(mean * (FRACTIONS / ONE) + 0.5).astype(np.int64)
        scale = np.floor(place * (2 * PER_OCTAVE / ONE) + (UNIT_SCALE + 0.5)).astype(np.int64).clip(0, SCALES - 1)
        return sixteenths // FRACTIONS, row_of(scale, sixteenths % FRACTIONS)


class _GridCoder:
    """Predicts the numbers of a pyramid, grid by grid."""

    def __init__(self, network: PictureNetwork, numbers: IntegerPyramid) -> None:
        """Raises SettingError if the weights do not allow exact sums."""
        self.numbers, self.sizes = numbers, [(level.shape[2], level.shape[3]) for level in numbers]
        self.values = [level.double().clamp(-LARGEST, LARGEST) for level in numbers]
        self.brightness, self.colours = (_ExactContext(network.context_of(channel)) for channel in (0, 1))

    def predict(self, grid: Grid, columns: Columns) -> tuple[Numbers, Numbers]:
        """Whole numbers below the means, and rows of the tables, of some numbers of a grid."""
        return (self.colours if grid.channel else self.brightness)(columns)

    def predict_all(self, grid: Grid) -> tuple[Numbers, Numbers]:
        """The same of all numbers, which are known: in reading order."""
        near = pyramid.neighbours(self.values[grid.level][0, grid.channel])
        columns = torch.cat([near, pyramid.surroundings(self.values, grid)])
        parts = [self.predict(grid, part) for part in columns.split(_AT_ONCE, dim=1)]
        return np.concatenate([base for base, _ in parts]), np.concatenate([rows for _, rows in parts])

    def read(self, grid: Grid, decoder: rans.Decoder) -> int:
        """Reads the numbers of a grid; how many there were."""
        (h, w), got = self.sizes[grid.level], 0
        around = pyramid.surroundings(self.values, grid).numpy()
        width = w + 2 * BORDER
        padded = np.zeros((h + BORDER) * width)
        offsets = np.array([[row * width + column] for row, column in NEIGHBOURS])
        target = self.numbers[grid.level][0, grid.channel].view(-1).numpy()
        for at in wavefronts(h, w):
            places = (at // w + BORDER) * width + at % w + BORDER
            columns = np.concatenate([padded[places + offsets], around[:, at]])
            values = _read(decoder, *self.predict(grid, torch.from_numpy(columns)))
            target[at[: len(values)]] = values
            padded[places[: len(values)]] = values.clip(-LARGEST, LARGEST)
            got += len(values)
            if len(values) < len(at):
                break
        self.values[grid.level][0, grid.channel] = self.numbers[grid.level][0, grid.channel].double().clamp(-LARGEST, LARGEST)
        return got
