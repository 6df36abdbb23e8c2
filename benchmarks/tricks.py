"""Which tricks of the literature does a restorer gain from, when each is trained for the same time?

    python -m benchmarks.tricks [minutes] [trick, or another ...]

A plain network of eight residual blocks takes noise of 25/255 from colour pictures. Each row trains from the start with one trick, for as
many minutes of one thread's processor time as the others: a trick that makes a step dearer takes fewer steps. Printed is the PSNR on
pictures that none was trained on, BSDS500's val and Set5, and the number of steps. The second plain row shows what another seed changes.

| trick | what it is |
|---|---|
| adam | Adam instead of Muon, at the same learning rate |
| progressive | squares of 32, then 64, then 96 pixels, a third of the time each (Zamir et al. 2022, https://arxiv.org/abs/2111.09881) |
| runs averaged | half the time; then two runs of a quarter from there, their weights averaged (Wortsman et al. 2022, arXiv:2203.05482) |
| distilled | half the time; then the target is half the truth, half the mean over eight views by the network of the first half |
| re-parameterised | kernels are sums of a 3x3, a 1x1 and edge filters, one kernel when used (ECBSR, Zhang et al. 2021) |
| half-instance norm | instance norm of half of a block's channels (Chen et al. 2021, https://arxiv.org/abs/2105.06086) |
| large kernels | blocks of a depthwise 7x7 and two 1x1, with 64 channels (Liu et al. 2022, https://arxiv.org/abs/2201.03545) |
| non-local | after the fourth block, attention among the 2x2 cells of each square of 32 pixels (Wang et al. 2018, arXiv:1711.07971) |
| blind | plain, but trained on noise of 0 to 50/255, and tested at 25 without being told |
| noise map | the same, with the standard deviation as a plane beside the picture (Zhang et al. 2018, https://arxiv.org/abs/1710.04026) |
"""

import copy
import dataclasses
import sys
import time
from typing import Literal, final

import torch
from torch import nn
from torch.nn import functional as F

import sfumato as sf
from sfumato.core.config import settings
from sfumato.core.device import instructions, keep_memory
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Maps, Planes, to_images
from sfumato.data.dataset import Dataset, Scenes
from sfumato.data.scenes import load_scenes
from sfumato.data.stream import Stream
from sfumato.degradations import noise
from sfumato.metrics.fidelity import psnr
from sfumato.models.roles.restorer import Plane, Restorer
from sfumato.nn.fused import Shortcut
from sfumato.objectives import restoration
from sfumato.objectives.base import Batch
from sfumato.recipes import recipe
from sfumato.restoration.tiles import apply_restorer
from sfumato.train.distributed import World
from sfumato.train.settings import TrainSettings, resolve
from sfumato.train.step import Trainee

SIGMA, WIDTH, BLOCKS, SQUARE = 25 / 255, 32, 8, 32
CENTRE = 192
"""Side in pixels of the middle of a test picture that is restored."""

Trick = Literal["none", "re-parameterised", "half-instance norm", "large kernels", "non-local"]
COURSES = ("plain", "adam", "progressive", "runs averaged", "distilled", "blind", "noise map")


class EdgeConv(nn.Module):
    """A 3x3 convolution whose kernel is trained as a sum: free weights, a 1x1, and 1x1s before Sobel's and Laplace's filters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.free = nn.Conv2d(width, width, 3, 1, 1)
        self.parts = nn.ParameterList([nn.Parameter(torch.randn(width, width, 1, 1) * 0.1 * width**-0.5) for _ in range(4)])
        across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]) / 4
        spot, laplace = torch.zeros(3, 3), torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]) / 4
        spot[1, 1] = 1
        self.register_buffer("filters", torch.stack([spot, across, across.T, laplace])[:, None])

    def kernel(self) -> torch.Tensor:
        """The one kernel that has the same effect."""
        return sum((part * filter_ for part, filter_ in zip(self.parts, self.filters, strict=True)), self.free.weight)

    def forward(self, x: Maps) -> Maps:
        return F.conv2d(x, self.kernel().to(x.dtype), self.free.bias.to(x.dtype), padding=1)


class HalfNorm(nn.Module):
    """Instance norm of the first half of the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(width // 2, affine=True)

    def forward(self, x: Maps) -> Maps:
        first, second = x.chunk(2, dim=1)
        return torch.cat([self.norm(first), second], dim=1)


class Attention(nn.Module):
    """x plus attention among the 2x2 cells of each square of 32 pixels; starts as the identity."""

    def __init__(self, width: int, inner: int = 32) -> None:
        super().__init__()
        self.project, self.back = nn.Conv2d(width, 3 * inner, 2, 2), nn.ConvTranspose2d(inner, width, 2, 2)
        nn.init.zeros_(self.back.weight)

    def forward(self, x: Maps) -> Maps:
        maps = self.project(x)
        n, c, h, w = maps.shape
        side, inner = SQUARE // 2, c // 3
        squares = maps.reshape(n, 3, inner, h // side, side, w // side, side).permute(1, 0, 3, 5, 4, 6, 2).reshape(3, -1, side**2, inner)
        mixed = F.scaled_dot_product_attention(*squares).reshape(n, h // side, w // side, side, side, inner)
        return x + self.back(mixed.permute(0, 5, 1, 3, 2, 4).reshape(n, inner, h, w))


class Block(Shortcut):
    """x plus two convolutions with a ReLU between them, of the kind that the trick asks for; the last starts at zero."""

    def __init__(self, width: int, trick: Trick) -> None:
        super().__init__()
        if trick == "large kernels":
            layers = [nn.Conv2d(width, width, 7, 1, 3, groups=width), nn.Conv2d(width, 2 * width, 1), nn.ReLU()]
            last = nn.Conv2d(2 * width, width, 1)
        else:
            edges = trick == "re-parameterised"
            layers = [EdgeConv(width) if edges else nn.Conv2d(width, width, 3, 1, 1), nn.ReLU()]
            if trick == "half-instance norm":
                layers.insert(1, HalfNorm(width))
            last = nn.Conv2d(width, width, 3, 1, 1)
        nn.init.zeros_(last.weight)
        self.body = nn.Sequential(*layers, last)


@sf.register
@settings
class Config:
    """Settings of the network that a trick is tried on."""

    id = "tricks"
    trick: Trick = "none"
    """What is different from plain blocks."""
    planes: tuple[Plane, ...] = ()
    """Planes that the network takes beside the picture."""

    def build(self) -> "Network":
        return Network(self)


@final
class Network(Restorer):
    """Convolution, residual blocks, convolution; what comes out is added to the picture."""

    channels, scale, pad_multiple, receptive_radius = 3, 1, SQUARE, None

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.conditioning = config.planes
        width = 2 * WIDTH if config.trick == "large kernels" else WIDTH
        blocks: list[nn.Module] = [Block(width, config.trick) for _ in range(BLOCKS)]
        if config.trick == "non-local":
            blocks.insert(BLOCKS // 2, Attention(width))
        self.layers = nn.Sequential(nn.Conv2d(3 + len(config.planes), width, 3, 1, 1), *blocks, nn.Conv2d(width, 3, 3, 1, 1))

    def restore(self, degraded: Images, planes: Planes | None = None) -> Maps:
        x = degraded if planes is None else torch.cat([degraded, planes], dim=1)
        return degraded + self.layers(x.contiguous(memory_format=torch.channels_last)).float()


class Pupil(Trainee):
    """A network in training, whose target may be half of what a teacher makes of the degraded picture, as the mean over eight views."""

    teacher: Restorer | None = None

    def _batch(self, images_seen: int) -> Batch:
        batch = super()._batch(images_seen)
        if self.teacher is None:
            return batch
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            taught = self.teacher(batch.degraded)
        return dataclasses.replace(batch, clean=(batch.clean + taught.float()) / 2)


def base(trick: Trick, seed: int) -> TrainSettings:
    """The settings of `denoise`, for the plain network and the loss that is the measure."""
    return dataclasses.replace(
        recipe("denoise"), model=Config(trick=trick), objective=restoration.Config(charbonnier=0.0, psnr=0.01, psnr_top=40.0), seed=seed
    )


def trained(
    training: TrainSettings,
    data: Dataset | Scenes,
    seconds: float,
    *,
    patches: tuple[int, ...] = (64,),
    start: Restorer | None = None,
    teacher: Restorer | None = None,
) -> tuple[Restorer, int]:
    """The network after `seconds` of processor time with squares of each of `patches` in turn, and the number of steps."""

    def pupil(images: int, patch: int) -> Pupil:
        length = {"images": images, "lr_warmup": images // 20, "ema": max(1, images // 20), "patch": patch}
        made = Pupil(resolve(dataclasses.replace(training, **length), data), data, World(), torch.device("cpu"))
        made.teacher = teacher
        if start is not None:
            made.model.load_state_dict(start.state_dict())
            made.average.model.load_state_dict(start.state_dict())
        return made

    steps = [max(1, round(seconds / len(patches) / _step_seconds(pupil(10_000, patch)))) for patch in patches]
    learner = pupil(sum(steps) * training.batch, patches[0])
    done = 0
    for count, patch in zip(steps, patches, strict=True):
        learner.stream = Stream(data, batch=training.batch, seed=training.seed, patch=patch)
        for _ in range(count):
            learner.step(done * training.batch)
            done += 1
    network = learner.best()
    assert isinstance(network, Restorer)
    return network, done


def _step_seconds(pupil: Pupil, warmup: int = 3, counted: int = 12) -> float:
    for i in range(warmup):
        pupil.step(i * pupil.settings.batch)
    began = time.process_time()
    for i in range(warmup, warmup + counted):
        pupil.step(i * pupil.settings.batch)
    return (time.process_time() - began) / counted


def taught(trick: str, data: Dataset | Scenes, seconds: float, seed: int) -> tuple[Restorer, int]:
    """The network that `trick` gives after `seconds`, and the number of steps in all."""
    plain = base("none" if trick in COURSES else trick, seed)
    if trick in ("blind", "noise map"):
        model = Config(planes=("noise",) if trick == "noise map" else ())
        return trained(dataclasses.replace(plain, model=model, degrade=noise.Config(sigma=(0.0, 50 / 255))), data, seconds)
    if trick == "adam":
        return trained(dataclasses.replace(plain, optimiser="adam"), data, seconds)
    if trick == "progressive":
        return trained(plain, data, seconds, patches=(32, 64, 96))
    if trick not in ("runs averaged", "distilled"):
        return trained(plain, data, seconds)
    half, steps = trained(plain, data, seconds / 2)
    if trick == "distilled":
        network, more = trained(dataclasses.replace(plain, seed=seed + 1), data, seconds / 2, start=half, teacher=half.self_ensemble(8))
        return network, steps + more
    runs = [trained(dataclasses.replace(plain, seed=seed + i), data, seconds / 4, start=half) for i in (1, 2)]
    return averaged([network for network, _ in runs]), steps + sum(more for _, more in runs)


def averaged(networks: list[Restorer]) -> Restorer:
    """A network whose weights are the means of those of `networks`."""
    mean = copy.deepcopy(networks[0])
    states = [network.state_dict() for network in networks]
    mean.load_state_dict({name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]})
    return mean


def judged(network: Restorer, data: str) -> float:
    """Mean PSNR in dB of the middle of each picture of `data`, with noise of its own seed, against the clean one."""
    scores, level = [], SIGMA if network.conditioning else None
    for i, picture in enumerate(load_scenes(data, channels=3, part="test").pictures):
        top, left = (max(0, (side - CENTRE) // 2) for side in picture.shape[1:])
        clean = to_images(picture[None, :, top : top + CENTRE, left : left + CENTRE])
        noisy = clean + SIGMA * torch.randn(clean.shape, generator=seeded_generator(0, "tricks", i))
        scores.append(psnr(apply_restorer(network, noisy, noise=level).clamp(0, 1), clean).item())
    return sum(scores) / len(scores)


def main(minutes: float, tricks: list[str]) -> None:
    keep_memory()
    torch.set_num_threads(1)
    data = load_scenes("bsds500", channels=3)
    print(instructions())
    print(f"{minutes:g} minutes of one thread each\n\n| trick | steps | BSDS500 val | Set5 |\n|---|---|---|---|", flush=True)
    for row in tricks:
        trick, seed = ("plain", 1) if row == "plain, another seed" else (row, 0)
        network, steps = taught(trick, data, 60 * minutes, seed)
        print(f"| {row} | {steps:,} | {judged(network, 'bsds500'):.2f} | {judged(network, 'set5'):.2f} |", flush=True)


NETWORKS = ("re-parameterised", "half-instance norm", "large kernels", "non-local")
ROWS = ["plain", "plain, another seed", *COURSES[1:5], *NETWORKS, *COURSES[5:]]

if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 6, sys.argv[2:] or ROWS)
