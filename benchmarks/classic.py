"""Is a bundled generator better than a classic DCGAN that was given the same minutes? And, of cats, than a VAE?

The classic DCGAN (recipe `dcgan-classic`: batch normalisation, ReLU, tanh, Adam 2e-4 with beta1 0.5, no labels) is trained on the
same images for as many minutes as the card of the bundled model says that it took, then both are measured in the same way: the
Fréchet distance of 10,000 generated images to the training images, in the features of a classifier that neither has met, beside
the floor, the same of real test images. Cats are measured in the features of SqueezeNet: 6,000 images against all 6,000.

    python -m benchmarks.classic fashion [minutes] [threads]
"""

import dataclasses
import sys
from pathlib import Path

from rich.console import Console

from scripts.bundle import COMPARED
from sfumato.core.device import instructions, keep_memory, set_threads
from sfumato.evaluation.evaluate import evaluate
from sfumato.recipes import recipe
from sfumato.store import weights
from sfumato.train.loop import fit
from sfumato.train.progress import ProgressLine

RIVALS = {"cats": ("dcgan-classic", "vae")}


def main(name: str, minutes: float | None = None, threads: int | None = None) -> None:
    print(instructions())
    keep_memory()
    set_threads(threads)
    card = weights.load(name).card
    minutes = minutes or card.minutes
    ours = {m.name: m for m in evaluate(name, **COMPARED.get(name, {}))}
    for rival in RIVALS.get(name, ("dcgan-classic",)):
        settings = dataclasses.replace(recipe(rival), data=card.data.name, budget=f"{minutes:.1f}min")
        network = fit(settings, run=Path("runs") / f"{rival}-{name}", watch=ProgressLine(Console()))
        if network.interrupted:
            raise KeyboardInterrupt
        theirs = {m.name: m for m in evaluate(network, **COMPARED.get(name, {}))}
        for figure in ("frechet", "kid", "precision", "recall", "density", "coverage"):
            mine, other, floor = ours[figure].value, theirs[figure].value, ours[f"floor_{figure}"].value
            print(f"{figure:10} {name}: {mine:9.4f}   {rival}: {other:9.4f}   floor: {floor:9.4f}")
        ratio = ours["frechet"].difference(theirs["frechet"]) / theirs["frechet"].value + 1
        print(f"distance of {name}: {ratio:.3f} of {rival}'s after {minutes:.1f} minutes of either")
        print(ours["frechet"])
        print(theirs["frechet"])


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:3]), *map(int, sys.argv[3:4]))
