"""Dreams: do they show more of what was wished, are they the same in tiles, what do they cost?

rise       ten photographs (the first of bsds500's validation part), SqueezeNet's fire5 and fire7: how often as much as before the layer
           says after a dream with the settings as they come, and after a random change of the same norm
classes    from noise, the classes 0, 100, ..., 900: of how many is the picture, as SqueezeNet sees it, first of all of that class?
tiles      the first photograph twice as large, jitter off, in tiles of 160 pixels and whole: PSNR between the two, and how much larger the
           steps between neighbours across borders of tiles are than elsewhere. Rounding, which tiles change, grows from step to step:
           over 10 steps in one size and over 40 in four, in fp32 and in bf16
memory     a picture of 4096 x 3072, two steps in each of four octaves, in a process of its own: its peak
speed      one step up VGG16's last convolution, random weights, 512 x 512, against the usual one (eager, fp32, channels first, gradients
           of the weights too, the default allocator, a process of its own), and against what a bf16 convolution reaches; seconds of one
           core, the best of interleaved rounds

    python -m benchmarks.dreaming [rise | classes | tiles | memory | speed] ...
"""

import dataclasses
import itertools
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from benchmarks.stylegan import peak
from sfumato.core.device import instructions, keep_memory
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import to_images, to_pixels
from sfumato.data.scenes import load_scenes
from sfumato.dreaming.dream import Dream, dream, layer_ascent
from sfumato.dreaming.feature_extractor import dream_network
from sfumato.dreaming.gradient import tiles
from sfumato.io.files import save_image
from sfumato.models import MODELS
from sfumato.nn.resample import resize

ROUNDS, STEPS = 5, 2


def photographs(count: int):
    return [to_images(picture[None]) for picture in load_scenes("bsds500", channels=3, part="test").pictures[:count]]


def rise() -> None:
    seeing = dream_network("squeezenet")
    for layer in ("fire5", "fire7"):
        dreamt, chance_of = [], []
        for i, picture in enumerate(photographs(10)):
            how = Dream(layers=(layer,))
            found = dream(picture, seeing, how)
            change = found.images - picture
            other = torch.randn(picture.shape, generator=seeded_generator(i, "change"))
            other = (picture + other * (change.norm() / other.norm())).clamp(0, 1)
            ascent = layer_ascent(seeing, how, tuple(picture.shape[2:]))
            dreamt.append(found.after[0] / found.before[0])
            chance_of.append(ascent.amount(other) / found.before[0])
        print(
            f"{layer}: {min(dreamt):.1f} to {max(dreamt):.1f} times as much (median {sorted(dreamt)[5]:.1f}); "
            f"after a random change of the same norm {min(chance_of):.2f} to {max(chance_of):.2f} times",
            flush=True,
        )


def classes() -> None:
    seeing, right = dream_network("squeezenet"), 0
    for number in range(0, 1000, 100):
        found = dream(None, seeing, Dream(label=str(number)))
        assert seeing.scores is not None
        with torch.no_grad():
            told = seeing.scores(found.images).softmax(dim=1)[0]
        right += int(told.argmax()) == number
        name = seeing.classes[number].split(",")[0]
        print(f"{name}: {100 * float(told[number]):.0f} %, number {int((told > told[number]).sum()) + 1} of 1,000", flush=True)
    print(f"top-1 for {right} of 10")


def in_tiles() -> None:
    seeing, tile = dream_network("squeezenet"), 160
    (picture,) = photographs(1)
    picture = resize(picture, (2 * picture.shape[2], 2 * picture.shape[3])).clamp(0, 1)
    for layer, (octaves, precision) in itertools.product(("fire5", "fire7"), ((1, "fp32"), (4, "fp32"), (4, "bf16"))):
        how = Dream(layers=(layer,), octaves=octaves, jitter=0, tile=tile, precision=precision)
        parts, whole = dream(picture, seeing, how).images, dream(picture, seeing, dataclasses.replace(how, tile=4096)).images
        psnr = -10 * (parts - whole).square().mean().log10().item()
        found = list(tiles(tuple(picture.shape[2:]), tile, layer_ascent(seeing, how, tuple(picture.shape[2:])).objectives))
        ratios = {}
        for name, made in (("in tiles", parts), ("whole", whole)):
            change = made - picture
            across = []
            for axis in (2, 3):
                edges = sorted({each.inner[axis - 2][0] for each in found} - {0})
                steps = change.diff(dim=axis).abs().mean(dim=(0, 1, 5 - axis))
                at = torch.tensor([edge - 1 for edge in edges])
                rest = torch.ones(len(steps), dtype=torch.bool).index_fill_(0, at, value=False)
                across.append((steps[at].mean() / steps[rest].mean()).item())
            ratios[name] = sum(across) / 2
        print(
            f"{layer}, {octaves} octaves in {precision}: {len(found)} tiles against whole: {psnr:.1f} dB; steps across borders are "
            f"{ratios['in tiles']:.3f} of those elsewhere, at the same places of the whole one {ratios['whole']:.3f}",
            flush=True,
        )


def memory() -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "large.png", Path(folder) / "dream.png"
        save_image(source, to_pixels(resize(photographs(1)[0], (3072, 4096)).clamp(0, 1)))
        began = time.perf_counter()
        words = ["dream", str(source), "--network", "squeezenet", "--steps", str(STEPS), "--out", str(target)]
        done = subprocess.run([sys.executable, "-m", "sfumato", *words], capture_output=True, text=True, check=False)
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(done.stdout + done.stderr, end="")
        print(f"4096 x 3072: peak {most * 1024 / 1e9:.2f} GB, {time.perf_counter() - began:.0f} s for {4 * STEPS} steps")


def usual_step() -> float:
    """Seconds of one step as most programs take it."""
    torch.set_num_threads(1)
    layers, image = trunk(), torch.rand(1, 3, 512, 512, requires_grad=True)
    began = time.process_time()
    layers(image).square().mean().backward()
    with torch.no_grad():
        image += 0.01 * image.grad / image.grad.abs().mean()
    return time.process_time() - began


def trunk() -> nn.Sequential:
    """VGG16's convolutions, written as anyone would."""
    layers, inputs = [], 3
    for outputs in (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512):
        if outputs == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
        inputs = outputs
    return nn.Sequential(*layers)


def speed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    seeing = dream_network(MODELS["features"](trunk="vgg16").build().eval().requires_grad_(False))
    last = seeing.names[-1]
    x = torch.rand(1, 3, 512, 512)
    ascent = layer_ascent(seeing, Dream(layers=(last,), precision="bf16"), (512, 512))
    # Forward, and back to the pixels: twice the convolutions but for the first, whose own inputs need no more than the image's.
    work, side, inputs = 0.0, 512, 3
    for outputs in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512):
        if not outputs:
            side //= 2
            continue
        work += 2 * 2 * 9 * inputs * outputs * side**2 / 1e9
        inputs = outputs
    mine, theirs, best = [], [], []
    for i in range(ROUNDS + 1):
        command = [sys.executable, "-c", "from benchmarks import dreaming; dreaming.usual_step(); print(dreaming.usual_step())"]
        theirs.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        began = time.process_time()
        ascent.slope(x)
        mine.append(time.process_time() - began)
        best.append(peak())
        if not i:
            theirs, mine = [], []
    rate = work / min(mine)
    print(instructions())
    print(
        f"{last}: {min(mine):.2f} s a step, usual {min(theirs):.2f} s: {min(theirs) / min(mine):.2f} times; "
        f"{rate:.0f} of {max(best):.0f} GFLOP/s that a bf16 convolution reaches: {rate / max(best):.2f}"
    )


if __name__ == "__main__":
    keep_memory()
    jobs = {"rise": rise, "classes": classes, "tiles": in_tiles, "memory": memory, "speed": speed}
    for each in sys.argv[1:] or jobs:
        jobs[each]()
