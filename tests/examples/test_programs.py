"""The programs that a person copies, each run with tiny sizes: they end, print what they promise, and write readable files."""

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from sfumato.core.tensors import to_pixels

FOLDER = Path(__file__).parents[2] / "examples"
GAN = ("model.width=4", "model.discriminator_width=4", "images=32", "batch=8")
VAE = ("model.width=4", "model.mixture=2", "images=32", "batch=8")
RESTORER = ("patch=16", "images=16", "batch=4", "precision=fp32", "optimiser=adam")
GATED = ("model.width=4", "model.encoder=[1]", "model.middle=1", "model.decoder=[1]")
CODEC = (
    "patch=64",
    "validation=0",
    "images=8",
    "batch=4",
    *(f"model.{n}=8" for n in ("fine", "middle", "coarse", "hyper")),
    "model.latent=24",
)

RUNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "train_gan": (("photos", *GAN, "model.size=[16,16]"), ("gan.png", "runs/gan/model.safetensors")),
    "conditional_digits": (("data={bars}", *GAN), ("classes/0.png", "classes/2.png")),
    "vae_latent_walk": (("data={bars}", *VAE), ("vae.png", "walk.gif")),
    "deblur_digits": (("data={bars}", *GATED, "images=32", "batch=8"), ("runs/deblur-digits/model.safetensors",)),
    "restore_pictures": (("photos", "restored"), ("restored/one/0.png", "restored/one/0-filled.png", "restored/all/1.png")),
    "own_network": (("data=photos/", *RESTORER, "model.width=4"), ()),
    "own_objective": (("data={bars}", *GAN), ("moments.png",)),
    "own_degradation": (("data=photos/", *RESTORER, *GATED), ()),
    "dream": (("photos/0.png", "digits-classifier", "stages.6", "2"), ("dream.png", "dream-channel.png", "channels.png")),
    "edit_and_drag": ((), ("directions.png", "edited.png", "dragged.png")),
    "compress_folder": (("photos/", "small", *CODEC), ("small/0.sfm", "small/0.png")),
    "search_and_cluster": (("photos", "digits-vae", "2"), ("photos.index", "groups/group-01.index")),
}
"""The arguments of each program, and files that it writes."""

PICTURES = {"restore_pictures": 2, "compress_folder": 2}
"""Number of pictures in the folder where it decides the time of the program; 12 for all others."""


def code_lines(path: Path) -> int:
    """The lines of a program that are neither empty nor its first docstring."""
    source = path.read_text(encoding="utf-8")
    end = ast.parse(source).body[0].end_lineno
    return sum(bool(line.strip()) for line in source.splitlines()[end:])


@pytest.mark.usefixtures("apart", "unchecked")
@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_program_runs_with_tiny_sizes(name, tmp_path, monkeypatch, drawn, bars_file):
    if name == "search_and_cluster":
        pytest.importorskip("sklearn", reason="groups need scikit-learn")
    arguments, written = RUNS[name]
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    picture = drawn(3, 64, 64)
    for i in range(PICTURES.get(name, 12)):
        Image.fromarray(to_pixels(picture.roll((7 * i, 13 * i), (2, 3)).flip(2 + i % 2)).numpy()).save(f"photos/{i}.png")
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *(argument.format(bars=bars_file) for argument in arguments)])
    torch.manual_seed(0)
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    for path in map(Path, written):
        assert path.stat().st_size > 0
        if path.suffix in (".png", ".gif"):
            with Image.open(path) as picture:
                picture.load()


def test_the_list_of_programs_has_each_of_them_with_a_sentence():
    listed = re.findall(r"^\| \[`([\w/.]+)`\]\(\1\) \| (.+) \|$", (FOLDER / "README.md").read_text(encoding="utf-8"), re.M)
    assert [name for name, _ in listed] == list(dict.fromkeys(name for name, _ in listed))
    assert {name for name, _ in listed} == {path.name for path in FOLDER.glob("*.py")} | {"cluster", "notebooks"}
    assert all(sentence.endswith(".") for _, sentence in listed)


def test_every_program_is_run():
    assert {path.stem for path in FOLDER.glob("*.py")} - set(RUNS) == {"restore_onnx"}, "tests/store has that one"


@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_program_is_short_and_says_how_it_is_called(name):
    path = FOLDER / f"{name}.py"
    assert 8 <= code_lines(path) <= 40
    assert f"\n    python {name}.py" in path.read_text(encoding="utf-8").split(chr(34) * 3)[1]
