"""How well are dust, hairs and scratches found, and what is filled in without need?

    python -m benchmarks.old_prints [photographs] [PRINT TRUTH]

Photographs of BSDS500's val, on which nothing was trained, get grain and drawn dust as in the recipe `dust`. Printed are the Dice
coefficient of the pixels above one half, and the PSNR before, by a median of 5 pixels, by `--find scratches` and by `--find dust`; then the
share of the photographs without dust that `--find dust` fills in, and how near the result is to them. A scan with its truth is measured
too.
"""

import sys
from pathlib import Path

import torch

from sfumato.classical.methods import median
from sfumato.core.device import keep_memory
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Maps, to_bytes, to_images
from sfumato.data.scenes import load_scenes
from sfumato.degradations.base import Degraded, degrade
from sfumato.io import files
from sfumato.io.channels import as_images
from sfumato.metrics.base import Measurement, Protocol
from sfumato.metrics.fidelity import psnr
from sfumato.objectives.damage import overlap
from sfumato.recipes import recipe
from sfumato.restoration.batch import repaired
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import make_plan
from sfumato.restoration.request import Find, RestorationRequest
from sfumato.restoration.tiles import apply_restorer
from sfumato.store.loaded import Model

SIDE = 256
AUTO = RestorationRequest()


def filled(images: Images, find: Find, networks: Networks) -> tuple[Maps, float]:
    """The picture without what `--find` finds, and the share of it that was filled in."""
    request = RestorationRequest(find=(find,))
    plan = make_plan(request, images, networks=networks)
    if plan.nothing or plan.observed is None:
        return images, 0.0
    return repaired(images, plan, request, networks), 1 - float(plan.observed.mean())


def prints(count: int) -> list[tuple[Images, Degraded]]:
    """Photographs, each with a dusty print of it."""
    scenes = load_scenes("bsds500", channels=1, part="test", largest=None).pictures
    clean = [to_images(picture[None])[:, :, :SIDE, :SIDE] for picture in scenes[:: len(scenes) // count][:count]]
    settings = recipe("dust")
    return [(image, degrade(settings.degrade, image, rng=seeded_generator(i, "print"))) for i, image in enumerate(clean)]


def measured(model: Model, count: int = 20) -> Measurement:
    """The Dice coefficient of the pixels that the network `model` finds."""
    pairs = prints(count)
    values = [float(overlap((apply_restorer(model, dusty.images) > 0.5).float(), 1 - dusty.observed)) for _, dusty in pairs]
    protocol = Protocol(
        reference="bsds500 val", generated=count, settings=f"grain and dust of the recipe, {SIDE} x {SIDE}; above 0.5; mean over pictures"
    )
    mean = sum(values) / count
    return Measurement(name="overlap dust bsds500", value=mean, interval=None, higher_is_better=True, protocol=protocol)


def decibels(clean: Images, shown: Images, networks: Networks) -> list[float]:
    outputs = [shown, median(shown, size=5), *(filled(shown, find, networks)[0] for find in ("scratches", "dust"))]
    plan = make_plan(AUTO, outputs[-1], networks=networks)
    outputs.append(outputs[-1] if plan.nothing else repaired(outputs[-1], plan, AUTO, networks))
    return [float(psnr(to_images(to_bytes(output)), clean)) for output in outputs]


def main(words: list[str]) -> None:
    keep_memory()
    count, networks = int(words.pop(0)) if words and words[0].isdigit() else 20, Networks()
    print(measured("dust", count))
    print("| | before | median of 5 | --find scratches | --find dust | and then auto |\n|---|---|---|---|---|---|")
    pairs = prints(count)
    rows = torch.tensor([decibels(clean, to_images(to_bytes(dusty.images)), networks) for clean, dusty in pairs])
    print(f"| drawn dust | {' | '.join(f'{value:.2f}' for value in rows.mean(0).tolist())} |", flush=True)
    if words:
        scan, truth = (as_images(files.read(Path(word)).pixels) for word in words)
        print(f"| {Path(words[0]).name} | {' | '.join(f'{value:.2f}' for value in decibels(truth, scan, networks))} |", flush=True)
    clean = [filled(image, "dust", networks) for image, _ in pairs]
    shares = [share for _, share in clean]
    changed = [float(psnr(output, image)) for (output, _), (image, _) in zip(clean, pairs, strict=True)]
    print(
        f"without dust: {sum(shares) / count:.3%} filled in, at most {max(shares):.3%}; at least {min(changed):.2f} dB from the photograph"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
