"""Lossless compression of small images by a VAE, with bits back and a stack coder: bits per dimension beside PNG and WebP.

    stack ─ pop z by q(z|x) ─ push x by p(x|z) ─ push z by p(z) ─> stack, which has grown by about minus the ELBO of the image
    stack ─ pop z by p(z) ─ pop x by p(x|z) ─ push z by q(z|x) ─> the stack of before, and the image

The bits that choose z are no loss, since the decoder gets them back: they are the code of the images before (Townsend et al. 2019,
https://arxiv.org/abs/1901.04866). Latents are cut into 1,024 intervals that are equally likely by the prior. Some lanes code a part of the
images each, one image after another. All images are decoded again and compared with the originals.

The file is for the images of a data set together: the first image of each lane needs bits to choose its z, which are counted, as are the
states of the lanes. Of PNG and WebP there are three figures: for a file of each image; the same without the bytes of a file of one pixel,
which do not depend on the image; and for one file of all images in a grid.

An image of a network with the likelihood bernoulli is first turned into bits at random, as its training does; PNG gets the bits too.

    python -m benchmarks.bits_back digits-vae --data mnist [--count 2000] [--lanes 8]
    python -m benchmarks.bits_back runs/fashion --data fashion-mnist
"""

import argparse
import io
import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

import sfumato as sf
from sfumato.core.tensors import to_images
from sfumato.models import vae

PRECISION, LOW = 16, 1 << 16
INTERVALS = 1 << 10
"""Intervals of each latent number, equally likely by the prior."""
Whole = NDArray[np.int64]


class Stack:
    """Last-in first-out range coders of the ANS kind side by side, a lane each."""

    def __init__(self, lanes: int, first: int, seed: int = 0) -> None:
        """Each lane begins with `first` random words, of which the first image of the lane takes its choices."""
        rng = np.random.default_rng(seed)
        self.state: Whole = np.full(lanes, LOW, dtype=np.int64)
        self.words = rng.integers(0, LOW, (lanes, first), dtype=np.int64)
        self.count: Whole = np.full(lanes, first, dtype=np.int64)

    @property
    def bits(self) -> int:
        """All words, and the states."""
        return int(self.count.sum()) * PRECISION + 2 * PRECISION * len(self.state)

    def push(self, start: Whole, size: Whole, lanes: Whole) -> None:
        """Codes a symbol with this span of [0, 2^16) in each of `lanes`."""
        state = self.state[lanes]
        full = state >= size << PRECISION
        over = lanes[full]
        if len(over):
            if (room := int(self.count[over].max())) == self.words.shape[1]:
                self.words = np.concatenate([self.words, np.zeros((len(self.words), max(1024, room)), dtype=np.int64)], axis=1)
            self.words[over, self.count[over]] = state[full] & (LOW - 1)
            self.count[over] += 1
            state[full] >>= PRECISION
        self.state[lanes] = (state // size << PRECISION) + state % size + start

    def peek(self, lanes: Whole) -> Whole:
        """A number in [0, 2^16) for each of `lanes`, which lies in the span of the symbol that `drop` then takes away."""
        return self.state[lanes] & (LOW - 1)

    def drop(self, start: Whole, size: Whole, lanes: Whole) -> None:
        """Takes away the symbol with this span from each of `lanes`."""
        state = self.state[lanes]
        state = size * (state >> PRECISION) + (state & (LOW - 1)) - start
        empty = state < LOW
        under = lanes[empty]
        self.count[under] -= 1
        assert (self.count[under] >= 0).all(), "too few first words"
        state[empty] = state[empty] << PRECISION | self.words[under, self.count[under]]
        self.state[lanes] = state

    def copy(self) -> "Stack":
        """The same stack once more."""
        other = Stack(len(self.state), 0)
        other.state, other.words, other.count = self.state.copy(), self.words.copy(), self.count.copy()
        return other


class Coder:
    """Pushes and pops images of a VAE. Networks see batches of one size, so that coding and decoding compute the same numbers."""

    def __init__(self, network: vae.Vae, lanes: int) -> None:
        self.network, self.lanes = network, lanes
        inner = torch.arange(1, INTERVALS, dtype=torch.float64) / INTERVALS
        middle = (torch.arange(INTERVALS, dtype=torch.float64) + 0.5) / INTERVALS
        self.edges, self.places = torch.special.ndtri(inner), torch.special.ndtri(middle)

    def push(self, stack: Stack, images: Whole, lanes: Whole) -> None:
        """Codes an image (n, c * h * w) in each of `lanes`, (n)."""
        numbers = np.zeros((len(lanes), self.network.latent_dim), dtype=np.int64)
        for i, table in enumerate(self._posterior(images)):
            numbers[:, i] = _pop(stack, table[: len(lanes)], lanes)
        pixels = self._pixels(numbers)
        for i in reversed(range(images.shape[1])):
            table, own = pixels(i)[: len(lanes)], images[:, i]
            rows = np.arange(len(lanes))
            stack.push(table[rows, own], table[rows, own + 1] - table[rows, own], lanes)
        each = LOW // INTERVALS
        for i in reversed(range(numbers.shape[1])):
            stack.push(numbers[:, i] * each, np.full(len(lanes), each), lanes)

    def pop(self, stack: Stack, lanes: Whole) -> Whole:
        """The images (n, c * h * w) that were coded last in `lanes`."""
        each, network = LOW // INTERVALS, self.network
        numbers = np.zeros((len(lanes), network.latent_dim), dtype=np.int64)
        for i in range(numbers.shape[1]):
            numbers[:, i] = stack.peek(lanes) // each
            stack.drop(numbers[:, i] * each, np.full(len(lanes), each), lanes)
        pixels = self._pixels(numbers)
        images = np.zeros((len(lanes), network.channels * math.prod(network.size)), dtype=np.int64)
        for i in range(images.shape[1]):
            images[:, i] = _pop(stack, pixels(i)[: len(lanes)], lanes)
        for i, table in reversed(list(enumerate(self._posterior(images)))):
            rows, own = np.arange(len(lanes)), numbers[:, i]
            stack.push(table[rows, own], table[rows, own + 1] - table[rows, own], lanes)
        return images

    @torch.no_grad()
    def _posterior(self, images: Whole) -> list[Whole]:
        """For each latent number the rising sums (lanes, INTERVALS + 1) of the sizes of its intervals."""
        full = np.zeros((self.lanes, images.shape[1]), dtype=np.int64)
        full[: len(images)] = images
        top = 1 if self.network.likelihood == "bernoulli" else 255
        shown = torch.from_numpy(full).float().div(top).reshape(self.lanes, self.network.channels, *self.network.size)
        mean, logvar = (each.double() for each in self.network.posterior(shown))
        below = torch.special.ndtr((self.edges - mean[:, :, None]) / (logvar[:, :, None] / 2).exp())
        return [_sums(below[:, i]) for i in range(mean.shape[1])]

    @torch.no_grad()
    def _pixels(self, numbers: Whole):
        """A function of the number of a pixel, which returns the rising sums (lanes, values + 1) of the sizes of its values."""
        full = np.zeros((self.lanes, numbers.shape[1]), dtype=np.int64)
        full[: len(numbers)] = numbers
        decoded = self.network.decode(self.places[torch.from_numpy(full)].float()).double().flatten(1)
        if self.network.likelihood == "bernoulli":
            return lambda i: _sums(1 - decoded[:, i : i + 1])
        assert self.network.log_scale is not None
        scale = (self.network.log_scale.double() - math.log(2)).exp().expand(-1, *self.network.size).flatten()
        inner = (torch.arange(255, dtype=torch.float64) + 0.5) / 255
        return lambda i: _sums(((inner - decoded[:, i : i + 1]) / scale[i]).sigmoid())


def _sums(below: torch.Tensor) -> Whole:
    """From the probability below each inner edge (n, k - 1), whole sums (n, k + 1) from 0 to 2^16, of which each step is at least 1."""
    count = below.shape[1] + 1
    inner = (below * (LOW - count)).floor().long() + torch.arange(1, count)
    return F.pad(F.pad(inner, (1, 0)), (0, 1), value=LOW).numpy()


def _pop(stack: Stack, table: Whole, lanes: Whole) -> Whole:
    """The symbol that was coded last in each of `lanes`, by the rising sums (n, k + 1) of its sizes."""
    rows = np.arange(len(lanes))
    symbols = (table[:, 1:] <= stack.peek(lanes)[:, None]).sum(axis=1)
    stack.drop(table[rows, symbols], table[rows, symbols + 1] - table[rows, symbols], lanes)
    return symbols


def coded(coder: Coder, images: Whole, lanes: int) -> tuple[float, float]:
    """Bits per dimension with the first words counted, and of the last half of the images alone. Raises AssertionError if one differs."""
    stack = Stack(lanes, coder.network.latent_dim)
    before = stack.copy()
    parts = [np.arange(start, min(start + lanes, len(images))) for start in range(0, len(images), lanes)]
    half, bits = len(parts) // 2, 0
    for number, part in enumerate(parts):
        if number == half:
            bits = stack.bits
        coder.push(stack, images[part], np.arange(len(part)))
    whole, later = stack.bits / images.size, (stack.bits - bits) / images[parts[half][0] :].size
    for part in reversed(parts):
        assert (coder.pop(stack, np.arange(len(part))) == images[part]).all(), "an image came back changed"
    assert (stack.state == before.state).all()
    assert (stack.count == before.count).all()
    return whole, later


def saved(image: Image.Image, form: str) -> int:
    """Bytes of a lossless file of one format, at its best setting."""
    file = io.BytesIO()
    image.save(file, form, **({"optimize": True} if form == "PNG" else {"lossless": True, "method": 6, "quality": 100}))
    return len(file.getvalue())


def picture(pixels: Whole, bits: bool) -> Image.Image:
    """An image (h, w, c) of values as Pillow has it."""
    if bits:
        return Image.fromarray((pixels[..., 0] * 255).astype(np.uint8)).convert("1")
    return Image.fromarray((pixels[..., 0] if pixels.shape[2] == 1 else pixels).astype(np.uint8))


def anchors(images: Whole, shape: tuple[int, int, int], *, bits: bool) -> None:
    """Prints bits per dimension of PNG and WebP."""
    c, h, w = shape
    shown = images.reshape(-1, c, h, w).transpose(0, 2, 3, 1)
    side = math.isqrt(len(shown))
    grid = shown[: side * side].reshape(side, side, h, w, c).transpose(0, 2, 1, 3, 4).reshape(side * h, side * w, c)
    for form in ("PNG", "WEBP"):
        sizes = [saved(picture(each, bits), form) for each in shown]
        least = saved(picture(shown[0, :1, :1], bits), form)
        files, bare = 8 * sum(sizes) / images.size, 8 * sum(size - least for size in sizes) / images.size
        print(f"{form:22}{files:8.3f} in files, {bare:.3f} bare, {8 * saved(picture(grid, bits), form) / grid.size:.3f} in one sheet")


def main() -> None:
    """Codes the images of the test part, decodes them, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--lanes", type=int, default=8)
    options = parser.parse_args()
    network = sf.load(options.model).network.eval()
    assert isinstance(network, vae.Vae)
    assert not network.classes, "a model with classes needs the labels too"
    assert network.likelihood != "gaussian", "a density of pixels gives no code; train with --model.likelihood logistic"
    data = sf.load_dataset(options.data, part="test", size=network.size, channels=network.channels)
    pixels = data.pixels[: options.count]
    bits = network.likelihood == "bernoulli"
    rng = torch.Generator().manual_seed(0)
    observed = network.observe(to_images(pixels), torch.rand(pixels.shape, generator=rng)).long() if bits else pixels.long()
    images = observed.flatten(1).numpy()
    print(f"{len(images):,} images of {options.data}, test part, {'bits' if bits else '8 bits a value'}; bits per dimension")
    whole, later = coded(Coder(network, options.lanes), images, options.lanes)
    print(f"{options.model[-20:]:22}{whole:8.3f} in a file with all, {later:.3f} for each more image in it; all were decoded again")
    anchors(images, (network.channels, *network.size), bits=bits)


if __name__ == "__main__":
    main()
