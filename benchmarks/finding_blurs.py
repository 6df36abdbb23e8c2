"""How well are blurs found and undone that nobody told?

Every fourth picture of BSD68 is blurred, with noise of 2/255 and 8 bits or as a JPEG. Printed are in how many the right kind is found, by
how much its size (and direction) is wrong, and PSNR of the blurred pictures, of `restore`, which is blind, of `deblur` told what was
found, as `sfumato restore` does it, and told the truth. The sharp pictures are asked as well.

    python -m benchmarks.finding_blurs [quality ...]

The qualities are those of the JPEGs, 0 for no JPEG; without any, 0, 90 and 40.
"""

import sys

import torch

import sfumato as sf
from sfumato.core.device import keep_memory
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, to_bytes, to_images
from sfumato.data.scenes import load_scenes
from sfumato.degradations import chain, defocus, gaussian_blur, jpeg, motion, noise, quantise
from sfumato.degradations.base import Degradation, degrade
from sfumato.metrics.fidelity import psnr
from sfumato.nn.blurs import Blur
from sfumato.restoration.examined import examine

BLURS = (
    Blur("gaussian", 1.0),
    Blur("gaussian", 1.6),
    Blur("gaussian", 2.5),
    Blur("defocus", 2.5),
    Blur("motion", 9, 30),
    Blur("motion", 15, 100),
)


def spoilt(clean: Images, blur: Blur, quality: int | None) -> Images:
    size, turn = (blur.size, blur.size), (blur.angle, blur.angle)
    spread: Degradation = {
        "gaussian": lambda: gaussian_blur.Config(sigma=size),
        "defocus": lambda: defocus.Config(radius=size),
        "motion": lambda: motion.Config(length=size, angle=turn),
    }[blur.kind]()
    stored = quantise.Config() if quality is None else jpeg.Config(quality=(quality, quality))
    links = (spread, noise.Config(sigma=(2 / 255, 2 / 255)), stored)
    return degrade(chain.Config(links=links, chances=(1.0, 1.0, 1.0)), clean, rng=seeded_generator(0)).images.clamp(0, 1)


def row(pictures: list[Images], blur: Blur, quality: int | None) -> str:
    found, figures = [], []
    for clean in pictures:
        seen = spoilt(clean, blur, quality)
        plan = examine(seen)
        found.append(plan.spread if plan.task == "deblur" else None)
        made = [seen, sf.restore(seen, "restore", precision="bf16"), sf.restore(seen, precision="bf16"), told(seen, blur)]
        figures.append([float(psnr(each.clamp(0, 1), clean)) for each in made])
    right = [each for each in found if each is not None and each.kind == blur.kind]
    size = sum(abs(each.size - blur.size) for each in right) / max(1, len(right))
    turn = max((min(abs(each.angle - blur.angle), 180 - abs(each.angle - blur.angle)) for each in right), default=0)
    wrong = f"{size:.2f}" + (f", {turn:g} degrees at most" if blur.kind == "motion" else "")
    means = torch.tensor(figures).mean(dim=0).tolist()
    how = f"{blur}{'' if quality is None else f', JPEG of quality {quality}'}"
    return f"| {how} | {len(right)} of {len(pictures)} | {wrong} | {' | '.join(f'{mean:.2f}' for mean in means)} |"


def told(seen: Images, blur: Blur) -> Images:
    return sf.restore(seen, task="deblur", blur=str(blur), precision="bf16")


def main(qualities: list[int]) -> None:
    keep_memory()
    pictures = [to_images(to_bytes(to_images(each[None]))) for each in load_scenes("bsd68", channels=1, largest=None).pictures[::4]]
    sharp = sum(examine(each).task == "deblur" for each in pictures)
    print(f"{sharp} of {len(pictures)} sharp pictures are taken for blurred\n")
    print("| blur | found in | off by | seen | `restore` | found | told |\n|---|---|---|---|---|---|---|")
    for quality in qualities:
        for blur in BLURS:
            print(row(pictures, blur, quality or None), flush=True)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [0, 90, 40])
