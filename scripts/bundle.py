"""A finished run becomes a bundled model: weights, and a card with what was measured just now, on the very file that is shipped.

python -m scripts.bundle runs/mnist-digits digits [--accuracy-score] [--images=1000]
"""

import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.old_prints import measured
from sfumato.core.device import keep_memory, set_threads
from sfumato.evaluation.benchmark import judge_restorer
from sfumato.evaluation.codecs import evaluate_codec
from sfumato.evaluation.evaluate import evaluate
from sfumato.evaluation.score import accuracy_score
from sfumato.metrics.base import Measurement
from sfumato.models.roles.codec import Codec
from sfumato.models.roles.restorer import AdversarialRestorer, Restorer
from sfumato.models.roles.style_generator import AdversarialGenerator
from sfumato.store import checkpoint, weights
from sfumato.store.cards import Figure
from sfumato.store.loaded import LoadedModel

LIMIT = 3_900_000
"""Bytes above which weights are kept in 16 bits."""


def main(run: Path, name: str, *, score: bool = False, images: int | None = None) -> None:
    keep_memory()
    set_threads()
    target = Path("sfumato/weights") / f"{name}.safetensors"
    model = sampling(weights.load(run))
    card = dataclasses.replace(model.card, name=name, licence="Apache-2.0 (weights); see the terms of the data", metrics=())
    network, half = model.network, sum(4 * w.numel() for w in model.network.parameters()) > LIMIT
    checkpoint.save_model(target, dataclasses.replace(model, card=card), half=half)
    if isinstance(network, Restorer):
        report = tried(target, name)
    elif isinstance(network, Codec):
        report = list(evaluate_codec(target, "bsds500", count=25).report())
    else:
        report = evaluate(target, images=images, **COMPARED.get(name, {}))
    if name in ALSO:
        report += [dataclasses.replace(m, name=f"{m.name} {ALSO[name]['features']}") for m in evaluate(target, **ALSO[name])]
    if score:
        report.append(accuracy_score(target))
    card = dataclasses.replace(card, metrics=tuple(Figure.read(m.as_dict(), m.name) for m in report))
    checkpoint.save_model(target, dataclasses.replace(model, card=card), half=half)
    print("\n".join(map(str, report)))
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")
    (Path("docs") / "cards").mkdir(exist_ok=True)
    (Path("docs") / "cards" / f"{name}.json").write_text(json.dumps(card.dump(), indent=2) + "\n")


COMPARED = {"cats": {"features": "squeezenet", "count": 6_000, "whole": True}}
"""How generators are measured for whose images no classifier is bundled: as many images against all real ones, in a trunk's features."""

ALSO = {"eurosat": COMPARED["cats"]}
"""How some are measured besides: a classifier is no witness for images that learnt from its like."""

TRIALS = {
    "restore": (
        *((f"noise:{sigma}", data) for data in ("set12", "bsd68") for sigma in (15, 25, 50)),
        ("salt-and-pepper:30", "set12"),
        ("jpeg:10", "set12"),
        ("noise:25", "bsds500"),
        ("noise:25", "drawings"),
    ),
    "denoise": (*((f"noise:{sigma}", "bsds500") for sigma in (15, 25, 50)), ("jpeg:40", "bsds500"), ("noise:25", "drawings")),
    "deblock": (("jpeg:10", "set12"), *((f"jpeg:{quality}", "bsds500") for quality in (10, 20, 40)), ("jpeg:40", "drawings")),
    "inpaint": (("missing:50", "set12"), ("text", "set12"), ("missing:80", "set12"), ("missing:50", "bsds500")),
    "deblur": (("blur:1.6", "bsd68"), ("motion:9", "bsd68"), ("blur:3", "bsd68"), ("motion:15", "bsd68"), ("blur:1.6", "bsds500")),
    "upscale-x2": (("x2", "set5"), ("x2", "bsds500")),
    "upscale-x3": (("x3", "set5"), ("x3", "bsds500")),
    "upscale-x4": (("x4", "set5"), ("x4", "bsds500")),
    "upscale-jpeg-x2": tuple((f"x2-jpeg:{quality}", data) for data in ("set5", "bsds500") for quality in (40, 70, 90)),
    "upscale-jpeg-x4": tuple((f"x4-jpeg:{quality}", data) for data in ("set5", "bsds500") for quality in (40, 70, 90)),
    "upscale-sharp": (("x4", "set5"), ("x4", "bsds500")),
    "upscale-x2-best": (("x2", "set5"), ("x2", "bsds500")),
    "upscale-x4-best": (("x4", "set5"), ("x4", "bsds500")),
}
"""What is measured of each restorer, and on which pictures; the part of bsds500 is val, which no training saw."""


BEST = ("upscale-x2-best", "upscale-x4-best")
"""The models of `--quality best`, which are measured over eight views too."""


def tried(model: Path, name: str) -> list[Measurement]:
    """PSNR and SSIM of every trial, and PSNR before it; of the detector of dust its overlap with the truth."""
    if name == "dust":
        return [measured(model)]
    report = []
    for (damage, data), views in itertools.product(TRIALS[name], (1, 8) if name in BEST else (1,)):
        kept = [m for m in judge_restorer(model, damage, data, ensemble=views) if m.name in ("psnr", "ssim", "psnr_before")]
        ways = f" {views} views" if views > 1 else ""
        report += [dataclasses.replace(m, name=f"{m.name} {damage} {data}{ways}") for m in kept]
        print(report[-3], flush=True)
    return report


def sampling(model: LoadedModel[nn.Module]) -> LoadedModel[nn.Module]:
    """`model` as it is shipped: without a discriminator, which only training needs and which is a third of the file.

    A restorer that was trained against one is a file of its own family.
    """
    network = model.network
    if not isinstance(network, AdversarialGenerator | AdversarialRestorer):
        return model
    config: Any = model.config
    if isinstance(network, AdversarialRestorer):
        config, slim = config.restorer, network.restorer
    else:
        config = dataclasses.replace(config, discriminator_width=0)
        slim = config.build()
        slim.load_state_dict({name: w for name, w in network.state_dict().items() if not name.startswith("discriminator.")})
    return dataclasses.replace(model, network=slim, config=config)


if __name__ == "__main__":
    limits = [int(word.removeprefix("--images=")) for word in sys.argv if word.startswith("--images=")]
    main(Path(sys.argv[1]), sys.argv[2], score="--accuracy-score" in sys.argv, images=limits[0] if limits else None)
