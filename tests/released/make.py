"""How the files beside this one were written: run once, at version 0.1.0, and never again.

What stands here are files as people have them. They are opened by every later version (tests/test_released.py), so they are never written
anew, also where this script no longer runs. What a later version writes in another way gets files of its own beside these.

    python tests/released/make.py tests/released/0.1.0

| what | is |
|---|---|
| models/FAMILY.safetensors | a network of each family, with random weights; .xz where it is large, with weights that pack well |
| models/hashes.json | by what directions, styles, edits and dreams know each network |
| models/FAMILY.npz | what it was given (`in.*`) and what it answered (`out.*`), by the name of the question |
| runs/NAME | a run stopped half way, with the command that began it and how large each tensor is when it is done, in runs/expected.json |
| edits/ | directions, styles of a picture, edits, a drag and generated images of models/stylegan.safetensors, with their ledger |
| dreams/ | dreams of a picture, from noise and through a generator, and an atlas, of models/classifier.safetensors |
| restored/ | a folder that `restore` wrote from scans/, with its manifest |
"""

import contextlib
import json
import lzma
import os
import shutil
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sfumato.cli import main
from sfumato.metrics.features import weights_hash
from sfumato.models import MODELS
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.feature_extractor import Backbone, FeatureExtractor, FeaturePyramid
from sfumato.models.roles.latent_variable_model import LatentVariableModel
from sfumato.models.roles.perceptual_metric import PerceptualMetric
from sfumato.models.roles.restorer import AdversarialRestorer, Deblurrer, Restorer
from sfumato.models.roles.style_generator import AdversarialGenerator, StyleGenerator
from sfumato.store import checkpoint
from sfumato.train.recovery import Recovery

GATED = {"width": 4, "middle": 1, "encoder": (1,), "decoder": (1,)}
STYLES = {"latent_dim": 6, "style_dim": 6, "mapping": 2, "width": 4, "discriminator_width": 4, "max_width": 8}
FACTS = {"size": (16, 16), "channels": 3, "classes": 2}


def families() -> dict[str, Any]:
    """A small network of each family, and of some its other shapes."""
    grey, colour = (MODELS["gated"](channels=channels, **GATED) for channels in (1, 3))
    return {
        "classifier": MODELS["classifier"](**FACTS, widths=(4, 6), hidden=(5,), dropout=0.1),
        "compact": MODELS["compact"](width=4, depth=2, scale=2),
        "dcgan": MODELS["dcgan"](**FACTS, latent_dim=6, width=4, discriminator_width=4, max_width=8, blocks=1),
        "deconvolving": MODELS["deconvolving"](corrector=colour, reach=6),
        "dncnn": MODELS["dncnn"](width=4, depth=4, normalise=True),
        "dncnn-ffdnet": MODELS["dncnn"](channels=3, width=4, depth=3, noise_plane=True, fold=2, residual=False),
        "drunet": MODELS["drunet"](widths=(4, 4, 6, 6), blocks=1),
        "features": MODELS["features"](classes=3),
        "gated": MODELS["gated"](**GATED, fold=2, extremes=True),
        "gated-inpaint": MODELS["gated"](**GATED, planes=("known",), fill=2),
        "gated-upscale": MODELS["gated"](channels=3, width=4, middle=1, scale=2),
        "imdn": MODELS["imdn"](width=4, blocks=1, scale=2),
        "lpips": MODELS["lpips"](),
        "paired": MODELS["paired"](grey=grey, colour=colour),
        "rrdb": MODELS["rrdb"](width=4, growth=2, blocks=1, scale=2),
        "srgan": MODELS["srgan"](restorer=MODELS["gated"](channels=3, width=4, middle=1, scale=2), discriminator_width=4),
        "stylegan": MODELS["stylegan"](**FACTS, **STYLES),
        "stylegan-plain": MODELS["stylegan"](
            **(FACTS | {"classes": 0}),
            **STYLES,
            style="adain",
            generator="plain",
            discriminator="plain",
            filtered=False,
            discriminator_layers=1,
            judging="added",
        ),
        "vae": MODELS["vae"](**FACTS, latent_dim=4, width=4, max_width=8, mixture=2),
    }


def write_models(folder: Path) -> None:
    hashes = {}
    for number, (name, config) in enumerate(families().items()):
        torch.manual_seed(number)
        network = config.build().eval()
        large = sum(weights.numel() for weights in network.parameters()) > 50_000
        with torch.no_grad():
            for weights in network.parameters():
                noise = torch.randn(weights.numel())
                # A pattern that comes again and again takes no room in a packed file.
                noise = noise[:64].repeat(weights.numel() // 64 + 1)[: weights.numel()] if large else noise
                weights.copy_(
                    weights.abs().mean() * noise.reshape(weights.shape) if large else weights + 0.1 * noise.reshape(weights.shape)
                )
            if name == "lpips":
                for weights in network.weights:
                    weights.abs_()
        card = {"made_with": "sfumato 0.1.0", "data": {"name": "drawn", "images": 8, "classes": ["round", "square"]}, "metrics": []}
        path = folder / f"{name}.safetensors"
        checkpoint.save(path, network, config, card)
        hashes[name] = weights_hash(checkpoint.load(path).network)
        given, said = questions(checkpoint.load(path).network)
        np.savez_compressed(
            path.with_suffix(".npz"), **{f"in.{k}": v for k, v in given.items()}, **{f"out.{k}": v for k, v in said.items()}
        )
        if large:
            path.with_suffix(".safetensors.xz").write_bytes(lzma.compress(path.read_bytes(), preset=9))
            path.unlink()
    (folder / "hashes.json").write_text(json.dumps(hashes, indent=1) + "\n")


def questions(net: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a network is given, and what it answers."""
    rng = torch.Generator().manual_seed(7)
    size = (net.min_side + 8, net.min_side + 15) if isinstance(net, Backbone | PerceptualMetric) else getattr(net, "size", (16, 24))
    images = torch.randint(0, 256, (2, net.channels, *size), generator=rng).float() / 255
    given, said = {"images": images}, {}
    labels = None
    if getattr(net, "classes", 0) and isinstance(net, StyleGenerator):
        given["labels"] = labels = torch.arange(2) % net.classes
    if isinstance(net, Restorer):
        planes = None
        if net.conditioning:
            given["planes"] = planes = torch.rand(2, len(net.conditioning), *size, generator=rng)
        said["restore"] = net.restore(images, planes)
        if isinstance(net, Deblurrer):
            given["kernels"] = kernels = torch.full((2, 3, 3), 1 / 9)
            said["deblur"] = net.deblur(images, planes, kernels)
    if isinstance(net, AdversarialRestorer):
        said["judge"] = net.discriminate(images.repeat_interleave(net.scale, 2).repeat_interleave(net.scale, 3))
    if isinstance(net, StyleGenerator):
        given["z"] = z = torch.randn(2, net.latent_dim, generator=rng)
        said["style"], said["sample"] = net.map_latent(z, labels), net.sample(z, labels)
    if isinstance(net, AdversarialGenerator):
        said["judge"] = net.discriminate(images, labels).logit
    if isinstance(net, LatentVariableModel):
        said["posterior"] = net.posterior(images, labels)[0]
        said["decode"], said["log_likelihood"] = net.decode(z, labels), net.log_likelihood(images, z, labels)
    if isinstance(net, FeatureExtractor):
        said["features"] = net.features(images)
    if isinstance(net, Classifier):
        said["classify"] = net.classify(images)
    if isinstance(net, FeaturePyramid):
        said["layers"] = torch.cat([maps.mean(dim=(2, 3)) for maps in net.layers(images)], dim=1)
    if isinstance(net, Backbone) and net.classes:
        said["scores"] = net.scores(images)
    if isinstance(net, PerceptualMetric):
        said["distance"] = net.distance(images, images.flip(3))
    return tuple({k: v.numpy() for k, v in each.items()} for each in (given, said))  # type: ignore[return-value]


RUNS = {
    "vae": "train vae --validation 0 --model.width 4 --model.max-width 8 --model.latent-dim 3 --model.mixture 2",
    "dcgan": "train dcgan --model.width 4 --model.discriminator-width 4 --model.max-width 8 --model.latent-dim 4 --doctor act",
    "stylegan": "train stylegan --grow 0 --model.width 4 --model.discriminator-width 4 --model.max-width 8 --model.latent-dim 4 "
    "--model.style-dim 4",
    "restore": "train restore-grey --patch 0 --model.width 4 --model.encoder 1 --model.middle 1 --model.decoder 1",
    "classifier": "train classifier --validation 0.25 --model.widths 4 6 --model.hidden 5",
}
SHORT = (
    "--images 96 --batch 8 --seed 5 --lr 0.003 --lr-warmup 16 --ema 40 --precision fp32 --log-every 16 --sample-every 48 --save-every 32"
)
STOPPED = 6
"""Steps, of 12, after which each run was stopped."""


def write_runs(folder: Path) -> None:
    expected = {}
    for name, words in RUNS.items():
        command = [*words.split(), "--data", "images-idx3-ubyte", *SHORT.split(), "--out", f"runs/{name}"]
        with interrupted(STOPPED):
            assert run(folder, *command) == 130
        shutil.rmtree(folder / f"runs/{name}/tensorboard")
        kept = folder / "kept"
        shutil.copytree(folder / f"runs/{name}", kept)
        assert run(folder, *command) == 0
        tensors, header = checkpoint.read_tensors(folder / f"runs/{name}/model.safetensors")
        norms = {tensor: round(float(value.double().norm()), 9) for tensor, value in tensors.items()}
        expected[name] = {"command": " ".join(command), "images_seen": header["card"]["images_seen"], "norms": norms}
        shutil.rmtree(folder / f"runs/{name}")
        kept.rename(folder / f"runs/{name}")
    (folder / "runs/expected.json").write_text(json.dumps(expected, indent=1) + "\n")


@contextlib.contextmanager
def interrupted(steps: int) -> Iterator[None]:
    """Training is told to stop, as by Ctrl-C, after so many steps."""
    step, count = Recovery.step, 0

    def counted(self: Any, seen: int) -> Any:
        nonlocal count
        count += 1
        if count == steps:
            signal.raise_signal(signal.SIGINT)
        return step(self, seen)

    Recovery.step = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Recovery.step = step  # type: ignore[method-assign]


COMMANDS = (
    "directions models/stylegan.safetensors --count 2 --out edits/directions.safetensors",
    "project models/stylegan.safetensors scans/a.png --steps 6 --out edits/styles.safetensors",
    "edit models/stylegan.safetensors --moves 0=2 1=-1@0-2 --directions edits/directions.safetensors --seed 4 --out edits/edit.png",
    "edit models/stylegan.safetensors --moves 0=1 --directions edits/directions.safetensors --styles edits/styles.safetensors "
    "--out edits/of-picture.png",
    "drag models/stylegan.safetensors --points 4,4:7,4 --steps 2 --seed 1 --out edits/drag.png",
    "generate models/stylegan.safetensors -n 3 --out edits/generated",
    "dream scans/a.png --network models/classifier.safetensors --steps 2 --octaves 1 --precision fp32 --out dreams/picture.png",
    "dream --network models/classifier.safetensors --steps 3 --size 32 --precision fp32 --out dreams/noise.png",
    "dream --network models/classifier.safetensors --label round --through models/stylegan.safetensors --steps 2 --precision fp32 "
    "--out dreams/through.png",
    "features models/classifier.safetensors --steps 2 --channels 0 1 --out dreams/atlas.png",
    "restore scans --model models/gated.safetensors --out restored",
)


def write_inputs(folder: Path) -> None:
    """Pictures to train on, as IDX files, and pictures to repair."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 90, (48, 16, 16), dtype=np.uint8)
    for i in range(48):
        pixels[i, 2 + i % 8 : 10, 4:12] += 150
        pixels[i, :4, : 4 * (i % 2)] = 255
    for name, values in (("images-idx3-ubyte", pixels), ("labels-idx1-ubyte", (np.arange(48) % 2).astype(np.uint8))):
        header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
        (folder / name).write_bytes(header + values.tobytes())
    (folder / "scans").mkdir()
    for name in "ab":
        picture = np.clip(rng.normal(120, 20, (24, 32, 3)), 0, 255).astype(np.uint8)
        picture[6:16, 8:20] = rng.integers(0, 256, 3)
        Image.fromarray(picture).save(folder / f"scans/{name}.png")


def run(folder: Path, *words: str) -> int:
    """The exit code of a command, given in `folder`."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        main([*words, "--threads", "1", "--device", "cpu"])
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        os.chdir(here)
    return 0


def write_all(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("models", "runs", "edits", "dreams"):
        (folder / name).mkdir()
    write_inputs(folder)
    write_models(folder / "models")
    write_runs(folder)
    for command in COMMANDS:
        assert run(folder, *command.split()) == 0, command
    lines = {"sfumato": "0.1.0", "torch": torch.__version__, "commands": list(COMMANDS)}
    (folder / "commands.json").write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]).resolve())
