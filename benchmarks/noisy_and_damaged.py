"""Do the restorers that undo something else cope with the noise of a camera?

    python -m benchmarks.noisy_and_damaged [--pictures N] [--only WORDS] [--model NAME] [--grey]

Pictures of BSDS500's val, which nothing was trained on, are damaged and get the noise of a camera at ISO 1600 to 6400, with and without a
JPEG. Printed is the mean PSNR as they are, after `restore --task TASK`, with `--task denoise` before it and after it, and after the same
task without the noise, which is the most that can be hoped for. Of holes, only the pixels in them count, and as they are these are black.
With `--grey` the pictures are those of a camera in black and white: everything is turned to grey after the noise.
"""

import argparse
import statistics
from typing import Any

import torch

import sfumato as sf
from sfumato.core.device import instructions, keep_memory
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Planes, to_bytes, to_images
from sfumato.data.scenes import load_scenes
from sfumato.degradations import camera, downsample, gaussian_blur, missing, motion
from sfumato.degradations.base import Degradation, degrade
from sfumato.nn.channels import luma

CAMERA = camera.Config(iso=(1600, 6400), scaled=0)
DAMAGES: dict[str, tuple[Degradation | None, dict[str, Any]]] = {
    "deblur, Gaussian blur of 1.6 pixels": (gaussian_blur.Config(sigma=(1.6, 1.6)), {"task": "deblur", "blur": "gaussian:1.6"}),
    "deblur, motion of 9 pixels": (motion.Config(length=(9, 9), angle=(30, 30)), {"task": "deblur", "blur": "motion:9@30"}),
    "inpaint, half of the pixels": (missing.Config(kind="pixels", share=(0.5, 0.5)), {"task": "inpaint"}),
    "inpaint, strokes": (missing.Config(kind="strokes", share=(0.15, 0.15), thickness=(0.05, 0.05)), {"task": "inpaint"}),
    "upscale, 2 times": (downsample.Config(factor=2), {"task": "upscale", "scale": 2}),
    "jpeg, of the camera": (None, {"task": "jpeg"}),
}
"""What happens to a picture besides the noise, and what is asked for."""
SIDES = 240, 320


def main(pictures: int, only: str, model: str | None, grey: bool) -> None:
    keep_memory()
    chosen = [each[None] for each in load_scenes("bsds500", channels=3, part="test", largest=None).pictures[5::5] if wide(each)]
    print(f"{'':36s} noisy  task  denoise, task  task, denoise  without noise")
    for name, (damage, asked) in DAMAGES.items():
        if only in name:
            options = asked if model is None else {**asked, "model": model}
            images = [to_images(each)[..., : SIDES[0], : SIDES[1]] for each in chosen[:pictures]]
            rows = [errors(each, damage, options, i, grey) for i, each in enumerate(images)]
            noisy, task, before, after, hope = (statistics.mean(column) for column in zip(*rows, strict=True))
            print(f"{name:36s} {noisy:5.2f} {task:5.2f} {before:14.2f} {after:14.2f} {hope:14.2f}", flush=True)
    print(f"dB, mean of {min(pictures, len(chosen))} pictures ({instructions()})")


def errors(
    clean: Images, damage: Degradation | None, options: dict[str, Any], seed: int, grey: bool
) -> tuple[float, float, float, float, float]:
    """PSNR of a noisy picture, after the task, after a denoiser and the task, after both in the other order, and without noise."""
    damaged = degrade(damage, clean, rng=seeded_generator(seed)) if damage else None
    holes = isinstance(damage, missing.Config)
    pure = clean if damaged is None or holes else rounded(damaged.images)
    noisy = rounded(degrade(CAMERA, pure, rng=seeded_generator(seed + 1000)).images)
    if grey:
        clean, pure, noisy = luma(clean), rounded(luma(pure)), rounded(luma(noisy))
    known: Planes = damaged.observed if damaged is not None and holes else torch.ones_like(pure[:, :1])
    counted = (1 - known if holes else torch.ones_like(clean[:, :1])).expand_as(clean)

    def repaired(images: Images) -> Images:
        return rounded(sf.restore(images * known, mask=1 - known, **options) if holes else sf.restore(images, **options))

    def denoised(images: Images) -> Images:
        return rounded(sf.restore(images, task="denoise"))

    def fidelity(images: Images) -> float:
        if images.shape != clean.shape:
            images = rounded(sf.restore(images, task="upscale", method="bicubic", scale=clean.shape[2] / images.shape[2]))
        return -10 * torch.log10(((images - clean).square() * counted).sum() / counted.sum()).item()

    after = repaired(noisy)
    results = noisy * known, after, repaired(denoised(noisy * known)), denoised(after), repaired(pure)
    first, second, third, fourth, fifth = map(fidelity, results)
    return first, second, third, fourth, fifth


def wide(picture: torch.Tensor) -> bool:
    return picture.shape[1] >= SIDES[0] and picture.shape[2] >= SIDES[1]


def rounded(images: Images) -> Images:
    return to_images(to_bytes(images))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--only", default="", help="part of the name of the damages to try")
    parser.add_argument("--model", help="name or path of the network, instead of the bundled one for the task")
    parser.add_argument("--grey", action="store_true", help="turn the pictures to grey after the noise")
    arguments = parser.parse_args()
    main(arguments.pictures, arguments.only, arguments.model, arguments.grey)
