"""Do the same command lines still do the same, bit for bit? A recorded set over all verbs and all recipes.

The commands run one after another in a temporary folder, on small inputs that are made here, and with the bundled models. Of each are
recorded the exit code and a hash of every file that it wrote: of a picture its pixels, of a .safetensors its tensors, of a .json or .jsonl
its numbers, but for those that a clock makes, of an .mp4 the sizes and times of its frames; of other files only that they are there. Two
recordings compare only if both were made on one machine, with one torch. Needs no data but what is made here. Each command has a process
of its own, forked from this one after torch was imported, which saves most of its time: three minutes of one core in all. `demo` is left
out, for the clock decides how long it trains.

    python -m benchmarks.commands --write before.json
    python -m benchmarks.commands --against before.json
"""

import argparse
import contextlib
import hashlib
import importlib
import itertools
import json
import os
import runpy
import struct
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

SHORT = "--images 16 --batch 8 --seed 3"
GREY = f"--data grey {SHORT}"
COLOUR = f"--data colour {SHORT}"
SCENES = "--data scenes --patch 32 --images 4 --batch 2 --seed 3"
TINY = "--model.width 4 --model.discriminator-width 4"

COMMANDS = (
    # Training: every recipe, and what resumes, prolongs and starts from a run.
    f"train classifier {COLOUR} --out runs/classifier",
    f"train digits-classifier {GREY} --out runs/digits-classifier",
    f"train fashion-classifier {GREY} --out runs/fashion-classifier",
    f"train eurosat-classifier {COLOUR} --out runs/eurosat-classifier",
    f"train vae {COLOUR} --validation 0 --out runs/vae",
    f"train digits-vae {GREY} --out runs/digits-vae",
    f"train dcgan {COLOUR} --doctor act --out runs/dcgan",
    f"train dcgan-classic {GREY} {TINY} --out runs/dcgan-classic",
    f"train digits {GREY} {TINY} --out runs/digits",
    f"train fashion {GREY} {TINY} --out runs/fashion",
    f"train glyphs {GREY} --out runs/glyphs",
    f"train stylegan {COLOUR} {TINY} --grow 0 --out runs/stylegan",
    f"train cats {COLOUR} {TINY} --grow 0 --by-class --out runs/cats",
    f"train eurosat {COLOUR} {TINY} --grow 0 --no-by-class --out runs/eurosat",
    f"train denoise {SCENES} --out runs/denoise",
    f"train denoise-colour {SCENES} --out runs/denoise-colour",
    f"train denoise-grey {SCENES} --out runs/denoise-grey",
    f"train dncnn {SCENES} --model.depth 5 --out runs/dncnn",
    f"train restore {SCENES} --out runs/restore",
    f"train restore-grey {SCENES} --out runs/restore-grey",
    f"train deblur-digits --data grey --patch 0 {SHORT} --out runs/deblur-digits",
    f"train inpaint {SCENES} --out runs/inpaint",
    f"train deblur {SCENES} --out runs/deblur",
    f"train deblur-grey {SCENES} --out runs/deblur-grey",
    f"train upscale-x2 {SCENES} --out runs/upscale-x2",
    f"train upscale-x4 {SCENES} --out runs/upscale-x4",
    f"train upscale-gan {SCENES} --out runs/upscale-gan",
    f"train digits {GREY.replace('16', '32')} {TINY} --out runs/digits",
    f"train stylegan {COLOUR} --start runs/stylegan --lr 0 --grow 0 --optimiser muon --out runs/started",
    "train digits --data nowhere --out runs/none",
    # Generators.
    "generate digits -n 6 --out generated",
    "generate cats --seeds 3 5 --truncation 0.7 --out cats.png",
    "generate runs/stylegan -n 3 --label b --out own",
    "interpolate digits --seeds 0 1 --steps 3 --out walk.gif",
    "interpolate digits-vae --seeds 0 1 --steps 3 --even --out walk.webp",
    "interpolate fashion --seeds 0 1 --steps 4 --label bag --enlarge 2 --out walk.mp4",
    "mix cats --rows 0 1 --columns 2 3 --layers 0-3 --out mix.png",
    "project fashion grey/a/00.png --steps 8 --out found.safetensors",
    "directions digits --count 2 --out directions.safetensors",
    "directions runs/stylegan --how closed-form --count 2 --out closed.safetensors",
    "directions fashion --examples grey/a grey/b --name rounder --out examples.safetensors",
    "edit digits --moves 0=2 --seed 4 --out edit.png",
    "edit digits --replay edit.json --out again.png",
    "edit fashion --moves rounder=1 --directions examples.safetensors --styles found.safetensors --out projected.png",
    "drag runs/stylegan --points 10,10:14,10 --steps 3 --label a --out drag.png",
    "generate nobody --out none",
    # Dreams.
    "dream scenes/0.png --network eurosat-classifier --steps 2 --octaves 2 --precision fp32 --out dream.png",
    "dream --network eurosat-classifier --steps 4 --size 32 --n 2 --precision fp32 --out dreams",
    "dream --network eurosat-classifier --label 1 --through eurosat --steps 3 --precision fp32 --out through.png",
    "dream scenes/0.png --replay dream.png --out dreamt-again.png",
    "features digits-classifier --channels 0 1 --steps 4 --out atlas.png",
    # Measuring.
    "evaluate digits --data grey --features digits-classifier --count 64 --whole --out digits-figures.json",
    "evaluate digits-vae --data grey --features digits-classifier --count 64 --samples 4 --images 4 --whole --out vae-figures.json",
    "evaluate runs/digits-classifier --data grey --out classifier-figures.json",
    "evaluate restore --restore noise:25 --data scenes --out restore-figures.json",
    "evaluate median --restore salt-and-pepper:30 --data scenes --out median-figures.json",
    "audit digits --data grey --features digits-classifier --count 64 --out audit",
    # Repair.
    "restore damaged --out restored",
    "restore damaged --out restored",
    "restore damaged/noisy.png --task denoise --strength 0.8 --ensemble 4 --out denoised.png",
    "restore damaged/blurred.png --task deblur --blur gaussian:1.5 --noise 2 --out deblurred.png",
    "restore damaged/holes.png --task inpaint --mask mask.png --out filled.png",
    "restore damaged/holes.png --task inpaint --find dead-pixels --method telea --out flaws.png",
    "restore damaged/rough.jpg --task jpeg --out smooth.png",
    "restore scenes/0.png scenes/1.png --task upscale --scale 2 --out larger",
    "restore scenes/0.png --task upscale --scale 4 --memory 1GB --out largest.png",
    "restore damaged/noisy.png --model runs/restore --out own-model.png",
    "restore damaged/noisy.png --method non-local-means --noise 25 --out classical.png",
    "restore walk.mp4 --task denoise --out film.mp4",
    "restore damaged/missing.png --out none.png",
    # Others' weights, lists, help.
    "import theirs.pth --out imported.safetensors",
    "restore grey/a/00.png --task denoise --model imported.safetensors --out by-imported.png",
    "models --runs runs",
    "--version",
    "--help",
)
"""Each command, without `sfumato`."""

CLOCK = ("seconds", "minutes", "elapsed", "images_per_second", "seconds_left", "pace", "format")
"""Numbers in files that a clock makes, or that count how a file is written and not what it says."""
PRELOADED = ("sfumato", "torch.utils.tensorboard", "tyro")
"""sfumato before torch: it says how threads are to wait."""
PICTURES = (".png", ".jpg", ".gif", ".webp", ".tif")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="where to write what the commands do now")
    parser.add_argument("--against", type=Path, help="what --write wrote: print what differs, and exit with 1 if anything does")
    parser.add_argument("--only", default="", help="only commands with this text in them, and those before that they may need")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record = recorded(Path(folder), asked.only)
    if asked.write:
        asked.write.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if asked.against:
        differences = list(compared(json.loads(asked.against.read_text(encoding="utf-8")), record))
        print("\n".join(differences) or f"{len(record)} commands: all the same")
        sys.exit(bool(differences))


def recorded(folder: Path, only: str = "") -> list[dict[str, Any]]:
    """What each command does in `folder`: its words, its exit code and a hash of each file that is new or changed after it."""
    home = folder / ".home"
    # One thread, no accelerator, and nothing that this machine remembers of earlier runs.
    os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HOME": str(home), "XDG_CACHE_HOME": str(home), "COLUMNS": "120"}
    for module in PRELOADED:
        importlib.import_module(module)
    make_inputs(folder)
    chosen = COMMANDS[: 1 + max((i for i, command in enumerate(COMMANDS) if only in command), default=-1)]
    there, record = stamps(folder), []
    for number, command in enumerate(chosen, 1):
        code, seconds = run(command, folder)
        now = stamps(folder)
        files = {name: content(folder / name) for name, stamp in sorted(now.items()) if there.get(name) != stamp}
        there = now
        print(f"[{number}/{len(chosen)}] {seconds:4.1f} s  {code}  {len(files):3} files  sfumato {command}", flush=True)
        if code:
            print((home / "said").read_text(encoding="utf-8")[-3000 if code != 2 else -200 :].strip())
        record.append({"command": command, "code": code, "files": files})
    return record


def run(command: str, folder: Path) -> tuple[int, float]:
    """The exit code of the command, and its seconds of processor time."""
    (folder / ".home").mkdir(exist_ok=True)
    before = sum(os.times()[2:4])
    child = os.fork()
    if not child:
        os._exit(_inside(command, folder))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), sum(os.times()[2:4]) - before


def _inside(command: str, folder: Path) -> int:
    """The command in this process, as `python -m sfumato` runs it; what it says goes to a file."""
    os.chdir(folder)
    with (folder / ".home/said").open("w", encoding="utf-8") as said, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        sys.argv = ["sfumato", *command.split()]
        try:
            runpy.run_module("sfumato", run_name="__main__", alter_sys=False)
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            traceback.print_exc()
            return 1
    return 0


def compared(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each thing that differs."""
    then, now = by_turn(before), by_turn(after)
    yield from (f"{key[0]}: only {'now' if key in now else 'before'}" for key in sorted(then.keys() ^ now.keys()))
    for key in [key for key in then if key in now]:
        old, new = then[key], now[key]
        if old["code"] != new["code"]:
            yield f"{key[0]}: exit code {new['code']}, before {old['code']}"
        for name in sorted(old["files"].keys() | new["files"].keys()):
            one, other = old["files"].get(name), new["files"].get(name)
            if one != other:
                yield f"{key[0]}: {name} {'is new' if one is None else 'is missing' if other is None else 'has other contents'}"


def by_turn(record: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    """Each row by its command and by how often that came before, so that commands that were added since leave the others comparable."""
    rows = dict[tuple[str, int], dict[str, Any]]()
    for row in record:
        turn = next(i for i in itertools.count() if (row["command"], i) not in rows)
        rows[row["command"], turn] = row
    return rows


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Each file below `folder`, and by what one sees that it was written again. Hidden folders, events and locks are left out."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith(".home") and "tfevents" not in name:
            found[name] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def content(path: Path) -> str:
    """The hash of what a file holds, as far as it is the same each time."""
    digest, ending = hashlib.sha256(), path.suffix
    if ending in PICTURES:
        with Image.open(path) as picture:
            for frame in ImageSequence.Iterator(picture):
                digest.update(f"{frame.mode}{frame.size}".encode() + frame.tobytes())
    elif ending == ".mp4":
        import av

        with av.open(str(path)) as film:
            for frame in film.decode(video=0):
                # Not the pixels: an encoder with several threads does not write the same twice.
                digest.update(f"{frame.width}x{frame.height}@{frame.pts}".encode())
    elif ending == ".safetensors":
        # By value alone, so that a tensor may be called otherwise.
        for part in sorted(tensor_hashes(path.read_bytes())):
            digest.update(part)
    elif ending in (".json", ".jsonl"):
        text = path.read_text(encoding="utf-8")
        trees = [json.loads(line) for line in text.splitlines()] if ending == ".jsonl" else json.loads(text)
        digest.update(json.dumps(sorted(map(repr, numbers(trees)))).encode())
    else:
        return "there"
    return digest.hexdigest()[:24]


def tensor_hashes(file: bytes) -> list[bytes]:
    """A hash of the type, shape and bytes of each tensor of a .safetensors file."""
    (length,) = struct.unpack_from("<Q", file)
    rows = [row for name, row in json.loads(file[8 : 8 + length]).items() if name != "__metadata__"]
    parts = [
        (f"{row['dtype']}{row['shape']}", file[8 + length + row["data_offsets"][0] : 8 + length + row["data_offsets"][1]]) for row in rows
    ]
    return [hashlib.sha256(kind.encode() + raw).digest() for kind, raw in parts]


def numbers(tree: Any) -> Iterator[float]:
    """All numbers of a tree, but for those of the clock."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name not in CLOCK:
                yield from numbers(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from numbers(value)
    elif isinstance(tree, int | float):
        yield tree


def make_inputs(folder: Path) -> None:
    """Data sets with two classes, scenes, damaged pictures, a mask, and somebody's weights: the same each time."""
    rng = np.random.default_rng(0)
    for kind, side, channels in (("grey", 28, 1), ("colour", 32, 3)):
        for label in "ab":
            (folder / kind / label).mkdir(parents=True)
            for i in range(32):
                save(shapes(rng, side, side, channels, round_=label == "a"), folder / kind / label / f"{i:02}.png")
    (folder / "scenes").mkdir()
    scenes = [shapes(rng, 72, 88, 3, round_=bool(i % 2), count=30) for i in range(3)]
    for i, scene in enumerate(scenes):
        save(scene, folder / "scenes" / f"{i}.png")
    (folder / "damaged").mkdir()
    noisy = np.clip(scenes[0] + rng.normal(0, 25, scenes[0].shape), 0, 255)
    mask = rng.random(scenes[2].shape[:2]) < 0.1
    save(noisy, folder / "damaged/noisy.png")
    save(blurred(scenes[1]), folder / "damaged/blurred.png")
    save(np.where(mask[..., None], 0, scenes[2]), folder / "damaged/holes.png")
    Image.fromarray(scenes[0].astype(np.uint8)).save(folder / "damaged/rough.jpg", quality=12)
    (folder / "damaged/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    save(mask[..., None] * 255.0, folder / "mask.png")
    import torch

    widths = (1, 8, 8, 8, 8, 1)
    layers = {}
    for i in range(5):
        kernel, bias = rng.normal(0, 0.1, (widths[i + 1], widths[i], 3, 3)), rng.normal(0, 0.1, widths[i + 1])
        layers |= {f"model.{2 * i}.weight": torch.tensor(kernel).float(), f"model.{2 * i}.bias": torch.tensor(bias).float()}
    torch.save(layers, folder / "theirs.pth")


def shapes(rng: np.random.Generator, height: int, width: int, channels: int, *, round_: bool, count: int = 4) -> np.ndarray[Any, Any]:
    """Overlapping discs, or boxes, in [0, 255]."""
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width, channels), 40.0)
    for _ in range(count):
        cy, cx, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(3, height / 3)
        inside = np.hypot(y - cy, x - cx) < r if round_ else (abs(y - cy) < r) & (abs(x - cx) < r / 2)
        image[inside] = rng.uniform(0, 255, channels)
    return image


def blurred(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A Gaussian blur of 1.5 pixels."""
    kernel = np.exp(-(np.arange(-6, 7) ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(image, [(6, 6) if i == axis else (0, 0) for i in range(3)], mode="edge")
        image = sum(weight * np.take(padded, range(i, i + image.shape[axis]), axis) for i, weight in enumerate(kernel))
    return image


def save(image: np.ndarray[Any, Any], path: Path) -> None:
    pixels = np.round(image).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)


if __name__ == "__main__":
    main()
