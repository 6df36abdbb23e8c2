"""One iteration of training a StyleGAN2, against the usual formulation, and against what convolutions can do at best.

32 pixels, 128 channels at every size, z and w of 128 numbers, 4 mapping layers, skip generator, residual discriminator, 16 images,
R1 every 16 steps, path length every 4: 107.9 GFLOP an iteration. The usual formulation: a convolution of its own for each image
(grouped), filters on maps folded into the batch, float32, channels first. Seconds of one core; median of interleaved rounds.

    python -m benchmarks.stylegan [rounds]
"""

import statistics
import sys
import time

import torch
from torch.nn import functional as F

from sfumato.core.device import instructions, keep_memory
from sfumato.models import MODELS
from sfumato.nn import style
from sfumato.objectives._styles import PathLength
from sfumato.objectives.adversarial import discriminator_loss, generator_loss, squared_slope

BATCH = 16
GFLOP = {"discriminator": 57.8, "penalty": 49.8, "generator": 40.9, "path": 24.3}
EVERY = {"discriminator": 1, "penalty": 16, "generator": 1, "path": 4}


def folded(x, padding, *, gain=1.0, stride=1):
    """The filter on every map as an image of its own."""
    n, c, h, w = x.shape
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    y = F.conv2d(x.reshape(n * c, 1, h, w), gain * torch.outer(taps, taps)[None, None], padding=padding, stride=stride)
    return y.reshape(n, c, *y.shape[2:])


def doubled(x):
    n, c, h, w = x.shape
    wide = F.pad(x.reshape(n * c, 1, h, 1, w, 1), (0, 1, 0, 0, 0, 1)).reshape(n, c, 2 * h, 2 * w)
    return folded(F.pad(wide, (2, 1, 2, 1)), 0, gain=4.0)


def grouped(layer, x, w, noise=None):
    """`StyledConv.forward` with weights of its own for each image."""
    s, (n, c, h, wide) = layer.affine(w), x.shape
    weight = layer.weight[None] * s[:, None, :, None, None]
    weight = weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, n * c, h, wide)
    if layer.up:
        y = F.conv_transpose2d(x, weight.transpose(1, 2).reshape(n * c, -1, 3, 3), stride=2, groups=n)
        y = folded(y.reshape(n, -1, *y.shape[2:]), 1, gain=4.0)
    else:
        y = F.conv2d(x, weight.reshape(-1, c, 3, 3), padding=1, groups=n).reshape(n, -1, h, wide)
    y = y + layer._noise(y, noise) * layer.strength + layer.bias[:, None, None]
    return F.leaky_relu(y, style.SLOPE) * style.GAIN


def plain(layer, x):
    """`Conv.forward` in torch's own operators, a pass each for convolution, bias and activation."""
    weight = layer.weight * (layer.gain * (style.GAIN if layer.bias is not None else 1.0) / layer.weight[0].numel() ** 0.5)
    side = layer.weight.shape[2]
    if layer.down:
        x = folded(x, 1, stride=2) if side == 1 else folded(x, 2)
    y = F.conv2d(x, weight, stride=2 if layer.down and side > 1 else 1, padding=0 if layer.down else side // 2)
    return y if layer.bias is None else F.leaky_relu(y + (layer.bias * (layer.gain * style.GAIN))[:, None, None], style.SLOPE)


class Bench:
    def __init__(self, *, usual: bool) -> None:
        torch.manual_seed(0)
        config = MODELS["stylegan"](size=(32, 32), channels=3, classes=0, width=128, discriminator_width=128, max_width=128)
        self.model = config.build().train()
        self.usual = usual
        if not usual:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.path = PathLength()
        self.weights = {"generator": list(self.model.generator.parameters()), "discriminator": list(self.model.discriminator.parameters())}
        self.movers = {name: torch.optim.Adam(w, lr=1e-4, betas=(0.0, 0.99), fused=not usual) for name, w in self.weights.items()}
        self.real = torch.rand(BATCH, 3, 32, 32)

    def phase(self, name: str) -> float:
        """Seconds of one phase, its optimiser included."""
        models = sys.modules["sfumato.models.stylegan"]
        before = style.StyledConv.forward, style.Conv.forward, models.doubled
        if self.usual:
            style.StyledConv.forward, style.Conv.forward, models.doubled = grouped, plain, doubled
        began = time.process_time()
        who = "generator" if name in ("generator", "path") else "discriminator"
        for key, weights in self.weights.items():
            for w in weights:
                w.requires_grad_(self.usual or key == who)
        self.movers[who].zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=not self.usual):
            getattr(self, f"_{name}")().backward()
        self.movers[who].step()
        spent = time.process_time() - began
        style.StyledConv.forward, style.Conv.forward, models.doubled = before
        return spent

    def _generator(self):
        images = self.model.sample(torch.randn(BATCH, 128))
        return generator_loss("non-saturating", self.model.discriminate(images).logit, None)

    def _discriminator(self):
        with torch.no_grad():
            images = self.model.sample(torch.randn(BATCH, 128))
        on_real, on_fake = self.model.discriminate_both(self.real, images)
        return discriminator_loss("non-saturating", on_real.logit, on_fake.logit)

    def _penalty(self):
        return 5 * squared_slope(lambda x: self.model.discriminate(x).logit, self.real)

    def _path(self):
        styles = self.model.map_latent(torch.randn(BATCH // 2, 128))
        return 2 * self.path(self.model, styles, None, torch.randn(BATCH // 2, 3, 32, 32))[0]


def peak() -> float:
    """GFLOP/s of a large 3x3 convolution in bf16."""
    x = torch.randn(4, 64, 256, 256).to(memory_format=torch.channels_last).bfloat16()
    weight = torch.randn(64, 64, 3, 3).to(memory_format=torch.channels_last).bfloat16()
    began = time.process_time()
    for _ in range(3):
        F.conv2d(x, weight, padding=1)
    return 3 * 2 * 9 * 64 * 64 * 4 * 256**2 / (time.process_time() - began) / 1e9


def main(rounds: int) -> None:
    keep_memory()
    torch.set_num_threads(1)
    ours, usual = Bench(usual=False), Bench(usual=True)
    print(instructions())
    print({name: sum(w.numel() for w in weights) for name, weights in ours.weights.items()})
    seen = {(which, name): [] for which in ("ours", "usual") for name in GFLOP}
    rates = []
    for i in range(rounds + 1):
        for name in GFLOP:
            for which, bench in (("ours", ours), ("usual", usual)):
                seconds = bench.phase(name)
                if i:
                    seen[which, name].append(seconds)
        rates.append(peak())
    total, best = {}, max(rates)
    for which in ("ours", "usual"):
        times = {name: statistics.median(seen[which, name]) for name in GFLOP}
        total[which] = sum(times[name] / EVERY[name] for name in GFLOP)
        print(which, {name: f"{1e3 * t:.0f} ms" for name, t in times.items()}, f"{BATCH / total[which]:.1f} images/s")
    work = sum(GFLOP[name] / EVERY[name] for name in GFLOP)
    print(f"ours: {work / total['ours']:.0f} of {best:.0f} GFLOP/s that a bf16 convolution reaches: {work / total['ours'] / best:.2f}")
    print(f"ours against the usual formulation: {total['usual'] / total['ours']:.2f} times")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
