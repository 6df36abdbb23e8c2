"""Blurred MNIST digits: how much nearer to the sharp ones, and how much better read by a classifier, after restoring?

The digits of the test set are blurred by a Gaussian of 2 pixels and given noise of 0.05, as the recipe `deblur-digits` does to those of the
training set. The classifier is the bundled one, which has never seen a blurred digit.

    sfumato train deblur-digits --threads 1
    python -m benchmarks.blurred_digits runs/deblur-digits [digits.png]
"""

import sys
from pathlib import Path

import torch

import sfumato as sf
from sfumato.classical.deconvolve import wiener
from sfumato.core.device import instructions, keep_memory
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import to_images, to_pixels
from sfumato.data.load import load
from sfumato.degradations.base import degrade
from sfumato.io.files import save_image
from sfumato.metrics.fidelity import psnr
from sfumato.nn.blurs import point_spread
from sfumato.restoration.tiles import apply_restorer


def main(which: str, picture: str | None) -> None:
    print(instructions())
    keep_memory()
    network, classifier, test = sf.load(which), sf.load("digits-classifier"), load("mnist", part="test")
    how = sf.recipe("deblur-digits").degrade
    clean = to_images(test.pixels)
    blurred = torch.cat([degrade(how, part, rng=seeded_generator(0, i)).images for i, part in enumerate(clean.split(500))])
    made = torch.cat([apply_restorer(network, part) for part in blurred.split(500)])
    kernels = point_spread("gaussian", 2.0, count=500)
    old = torch.cat([wiener(part, kernels=kernels, noise=0.05) for part in blurred.split(500)])
    print(f"{network.card.images_seen:,} images in {network.card.minutes:.1f} minutes")
    print("| digits | PSNR | accuracy |\n|---|---|---|")
    for name, images in (
        ("blurred", blurred.clamp(0, 1)),
        ("Wiener filter, blur and noise known", old),
        ("restored", made),
        ("sharp", clean),
    ):
        with torch.no_grad():
            right = torch.cat([classifier.network.classify(part).argmax(1) for part in images.split(500)]) == test.labels
        value = psnr(images, clean)
        shown = "-" if name == "sharp" else f"{value.mean():.2f} dB"
        print(f"| {name} | {shown} | {right.float().mean():.2%} |")
    if picture:
        rows = torch.stack([blurred[:16], made[:16], clean[:16]]).flatten(0, 1)
        save_image(Path(picture), to_pixels(rows.repeat_interleave(2, 2).repeat_interleave(2, 3), columns=16))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
