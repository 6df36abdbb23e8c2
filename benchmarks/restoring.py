"""How much faster are restorers here than in the usual eager module, and how near is that to what the processor can do?

Pictures of 512 x 512, one at a time. The usual module is eager float32, NCHW, batch normalisation as it is, under the default allocator;
ours is `sfumato restore` with --precision bf16 and fp32: channels last, batch normalisation folded, blocks of memory kept. The ceiling is
one plain 3x3 convolution of 64 channels on the same picture in bf16, in the same process. Each side runs in its own process, in turns.

    python -m benchmarks.restoring [dncnn|naf|convolution ...] [rounds] [threads]
"""

import json
import os
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

from sfumato.core.device import instructions, keep_memory
from sfumato.models import MODELS

SIDE = 512
UNET = {"channels": 3, "width": 32, "encoder": (1, 1, 1, 2), "middle": 1, "decoder": (1, 1, 1, 1)}
NETWORKS = {
    "dncnn": ("dncnn", {"channels": 1, "normalise": True}),
    "naf": ("gated", {**UNET, "convolution": "depthwise", "between": "split", "channel_gate": "linear"}),
    "convolution": ("gated", {**UNET, "channel_gate": "mean", "pixel_gate": "pointwise"}),
}


def network(which):
    torch.manual_seed(0)
    family, settings = NETWORKS[which]
    return MODELS[family](**settings).build().eval()


class Norm(nn.Module):
    """Layer normalisation over channels as NCHW code has it."""

    def __init__(self, ours) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = ours.weight, ours.bias, ours.eps

    def forward(self, x):
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        return self.weight[:, None, None] * ((x - mean) / (variance + self.eps).sqrt()) + self.bias[:, None, None]


def usual(net):
    """The same weights in the module that one finds everywhere, as a function."""
    if hasattr(net, "layers"):
        return lambda x: x - net.layers(x)
    for module in net.modules():
        for name, child in module.named_children():
            if type(child).__name__ == "LayerNorm":
                setattr(module, name, Norm(child))

    def forward(x):
        y, skips = net.head(x), []
        for stage, down in zip(net.encoder, net.down, strict=True):
            y = stage(y)
            skips.append(y)
            y = down(y)
        y = net.middle(y)
        for up, stage in zip(net.up, net.decoder, strict=True):
            y = stage(up(y) + skips.pop())
        return net.tail(y) + x

    return forward


def side(which: str, who: str, threads: int) -> dict[str, float]:
    """Megapixels a second, and operations a second of one large convolution."""
    torch.set_num_threads(threads)
    net = network(which)
    images = torch.rand(1, net.channels, SIDE, SIDE)
    if who == "usual":
        forward = usual(net)
        with torch.inference_mode():
            return {"rate": SIDE**2 / 1e6 / _seconds(lambda: forward(images))}
    from sfumato.restoration.tiles import apply_restorer

    keep_memory()
    found = {"rate": SIDE**2 / 1e6 / _seconds(lambda: apply_restorer(net, images, precision=who))}
    if who == "bf16":
        x = torch.rand(1, 64, SIDE, SIDE, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
        w = torch.rand(64, 64, 3, 3, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            found["ceiling"] = 2 * 64 * 64 * 9 * SIDE**2 / _seconds(lambda: F.conv2d(x, w, padding=1)) / 1e9
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as count, torch.inference_mode():
            net.restore(images)
        found["reached"] = count.get_total_flops() / 1e9 * found["rate"] / (SIDE**2 / 1e6)
    return found


def _seconds(step) -> float:
    """The best of five; of the processor's own time with one thread, which other work on the machine does not lengthen."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times = []
    for _ in range(6):
        began = clock()
        step()
        times.append(clock() - began)
    return min(times[1:])


def main(names: list[str], rounds: int, threads: int) -> None:
    print(instructions())
    for which in names:
        seen: dict[str, list[dict[str, float]]] = {"usual": [], "fp32": [], "bf16": []}
        for _ in range(rounds):
            for who, rows in seen.items():
                keep = {} if who != "usual" else {"SFUMATO_MALLOC": "default"}
                command = [sys.executable, "-m", "benchmarks.restoring", "side", which, who, str(threads)]
                out = subprocess.run(command, env={**os.environ, **keep}, capture_output=True, text=True, check=True).stdout
                rows.append(json.loads(out.splitlines()[-1]))
        rate = {who: statistics.median(row["rate"] for row in rows) for who, rows in seen.items()}
        ratios = ", ".join(f"{who} {rate[who]:.3f} Mpx/s = {rate[who] / rate['usual']:.2f}x" for who in ("fp32", "bf16"))
        share = statistics.median(row["reached"] / row["ceiling"] for row in seen["bf16"])
        ceiling = statistics.median(row["ceiling"] for row in seen["bf16"])
        print(
            f"{which}: usual {rate['usual']:.3f} Mpx/s, {ratios}; {share:.2f} of {ceiling:.0f} GFLOP/s, a plain 3x3 convolution", flush=True
        )


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["side"]:
        print(json.dumps(side(words[1], words[2], int(words[3]))))
    else:
        numbers = [int(word) for word in words if word.isdigit()]
        chosen = [word for word in words if not word.isdigit()] or list(NETWORKS)
        main(chosen, *(numbers + [3, 1][len(numbers) :]))
