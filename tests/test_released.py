"""Files of earlier versions are opened for ever: `tests/released` holds them, as people have them; see `tests/released/make.py`.

What a network of then answers now is compared with what it answered then, to a hundred-thousandth: other processors round otherwise.
"""

import json
import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.cli import main
from sfumato.core.config import dump
from sfumato.metrics.features import weights_hash
from sfumato.store import checkpoint, migrate
from sfumato.train.folder import read_settings

RELEASES = sorted(path for path in (Path(__file__).parent / "released").iterdir() if (path / "models").is_dir())
MODELS = [path for release in RELEASES for path in sorted((release / "models").glob("*.npz"))]
RUNS = [path for release in RELEASES for path in sorted((release / "runs").iterdir()) if path.is_dir()]
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def called(path):
    """The name of a file with that of its release, for the name of a test."""
    return f"{path.relative_to(Path(__file__).parent / 'released').parts[0]}-{path.stem}"


every_release = pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)


@pytest.fixture
def files(request, tmp_path, monkeypatch):
    """A copy of what a release wrote, as the working folder."""
    release = request.node.callspec.params.get("release") or request.node.callspec.params["run"].parents[1]
    shutil.copytree(release, tmp_path / "files")
    monkeypatch.chdir(tmp_path / "files")
    return tmp_path / "files"


@pytest.fixture
def sfumato():
    """A function from words to what the command with these words says; it must succeed."""

    def run(*words):
        main([*words, "--threads", "1", "--device", "cpu"])  # it exits only where it fails

    return run


def model_file(answers, folder):
    """The model beside the file of its `answers`, unpacked into `folder` where it is packed."""
    plain = answers.with_suffix(".safetensors")
    if plain.is_file():
        return plain
    (folder / plain.name).write_bytes(lzma.decompress(answers.with_suffix(".safetensors.xz").read_bytes()))
    return folder / plain.name


@pytest.mark.parametrize("answers", MODELS, ids=called)
def test_a_network_of_then_answers_as_it_did(answers, tmp_path):
    model = checkpoint.load(model_file(answers, tmp_path))
    assert model.card.data.classes == ("round", "square")
    with np.load(answers) as stored:
        given, said = ({k[len(p) :]: torch.from_numpy(stored[k]) for k in stored if k.startswith(p)} for p in ("in.", "out."))
    for question, answer in said.items():
        torch.testing.assert_close(asked(model.network, question, given), answer, **CLOSE, msg=lambda text, q=question: f"{q}: {text}")


def asked(network, question, given):
    """What the network answers to a question of which `given` holds all that one may have to tell."""
    images, labels, planes, z = (given.get(name) for name in ("images", "labels", "planes", "z"))
    scale = getattr(network, "scale", 1)
    grown = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    return {
        "restore": lambda: network.restore(images, planes),
        "deblur": lambda: network.deblur(images, planes, given["kernels"]),
        "judge": lambda: network.discriminate(images, labels).logit if hasattr(network, "sample") else network.discriminate(grown),
        "style": lambda: network.map_latent(z, labels),
        "sample": lambda: network.sample(z, labels),
        "posterior": lambda: network.posterior(images, labels)[0],
        "decode": lambda: network.decode(z, labels),
        "log_likelihood": lambda: network.log_likelihood(images, z, labels),
        "features": lambda: network.features(images),
        "classify": lambda: network.classify(images),
        "layers": lambda: torch.cat([maps.mean(dim=(2, 3)) for maps in network.layers(images)], dim=1),
        "scores": lambda: network.scores(images),
        "distance": lambda: network.distance(images, images.flip(3)),
    }[question]()


@pytest.mark.parametrize("answers", MODELS, ids=called)
def test_a_network_of_then_is_known_by_the_same_hash(answers, tmp_path):
    hashes = json.loads((answers.parent / "hashes.json").read_text())
    assert weights_hash(checkpoint.load(model_file(answers, tmp_path)).network) == hashes[answers.stem], (
        "edits, directions and dreams of this network would no longer be taken: give a class that was renamed `hashed_as`"
    )


def test_a_class_that_was_renamed_keeps_the_name_by_which_it_is_hashed():
    new = type("New", (torch.nn.Linear,), {"hashed_as": "Linear"})(2, 2)
    old = torch.nn.Linear(2, 2)
    old.load_state_dict(new.state_dict())
    assert weights_hash(new) == weights_hash(old)


@pytest.mark.parametrize("answers", MODELS, ids=called)
def test_a_model_of_then_that_is_saved_now_is_the_same_network(answers, tmp_path):
    old = checkpoint.load(model_file(answers, tmp_path))
    checkpoint.save_model(tmp_path / "new.safetensors", old)
    new = checkpoint.load(tmp_path / "new.safetensors")
    assert (new.config, new.card) == (old.config, old.card)
    assert weights_hash(new.network) == weights_hash(old.network)
    assert checkpoint.read_header(tmp_path / "new.safetensors")["format"] == migrate.FORMAT


@pytest.mark.parametrize("run", RUNS, ids=called)
def test_a_run_of_then_goes_on_with_its_command_and_ends_as_it_would_have(run, files, sfumato):
    expected = json.loads((files / "runs/expected.json").read_text())[run.name]
    lines = (files / "runs" / run.name / "log.jsonl").read_text().splitlines()
    sfumato(*expected["command"].split())
    tensors, header = checkpoint.read_tensors(files / "runs" / run.name / "model.safetensors")
    assert header["card"]["images_seen"] == expected["images_seen"]
    norms = {name: float(value.double().norm()) for name, value in tensors.items()}
    # A weight without effect on the loss, such as a bias that cancels, follows the rounding of its gradient.
    assert norms == pytest.approx(expected["norms"], rel=1e-3, abs=1e-3)
    assert (files / "runs" / run.name / "log.jsonl").read_text().splitlines()[: len(lines)] == lines, "it went on, and did not begin anew"


@pytest.mark.parametrize("run", RUNS, ids=called)
def test_the_settings_of_a_run_of_then_are_written_in_the_form_of_now(run):
    settings = read_settings(run / "settings.json")
    assert read_settings_of(dump(settings)) == settings


def read_settings_of(tree):
    from sfumato.core.config import parse

    return parse(migrate.upgraded_tree({"format": migrate.FORMAT, **tree}))


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def assert_same_picture(one, other):
    """Rounding to bytes may turn the difference of two processors into one of 255."""
    assert np.abs(pixels(one) - pixels(other)).max() <= 1


@every_release
@pytest.mark.parametrize("name", ["edit", "of-picture"])
def test_an_edit_of_then_is_done_again(name, release, files, sfumato):
    sfumato("edit", "models/stylegan.safetensors", "--replay", f"edits/{name}.json", "--out", "again.png")
    assert_same_picture("again.png", f"edits/{name}.png")


@every_release
def test_directions_styles_and_drags_of_then_are_taken(release, files, sfumato):
    model, directions = "models/stylegan.safetensors", ("--directions", "edits/directions.safetensors")
    sfumato("edit", model, "--moves", "0=2", "1=-1@0-2", *directions, "--seed", "4", "--out", "edit.png")
    assert_same_picture("edit.png", "edits/edit.png")
    sfumato("edit", model, "--moves", "0=1", *directions, "--styles", "edits/styles.safetensors", "--out", "of.png")
    assert_same_picture("of.png", "edits/of-picture.png")
    sfumato("edit", model, "--moves", "0=0", *directions, "--styles", "edits/drag.safetensors", "--out", "drag.png")
    side = pixels("drag.png").shape[1]
    after = pixels("edits/drag.png")[-side:, -side:]
    assert np.abs(pixels("drag.png") - after).max() <= 1


@every_release
def test_generated_images_of_then_are_made_again_and_their_ledger_says_whose_they_are(release, files, sfumato):
    shutil.copytree("edits/generated", "kept")
    # Without --overwrite: what an earlier `generate` wrote is replaced, or left if it tells of the same.
    sfumato("generate", "models/stylegan.safetensors", "-n", "3", "--out", "edits/generated")
    for path in sorted(Path("kept").glob("*.png")):
        assert_same_picture(path, Path("edits/generated") / path.name)
    with Image.open("kept/00001-square.png") as image:
        told = json.loads(image.info["sfumato"])
    assert told["weights"] == weights_hash(sf.load("models/stylegan.safetensors").network)


@every_release
@pytest.mark.parametrize("ending", [".png", ".json"])
@pytest.mark.parametrize(("name", "pictures"), [("picture", ["scans/a.png"]), ("noise", []), ("through", [])])
def test_a_dream_of_then_is_dreamt_again(name, pictures, ending, release, files, sfumato):
    sfumato("dream", *pictures, "--replay", f"dreams/{name}{ending}", "--out", "again.png")
    assert_same_picture("again.png", f"dreams/{name}.png")


@every_release
def test_what_was_repaired_then_is_not_repaired_again(release, files):
    before = {path.name: path.read_bytes() for path in Path("restored").iterdir()}
    version = json.loads(Path("commands.json").read_text())["sfumato"]
    # Another version repairs anew: its manifest says with which one each picture was made.
    code = f"import sfumato; sfumato.__version__ = {version!r}; from sfumato.cli import main; main()"
    words = ["restore", "scans", "--model", "models/gated.safetensors", "--out", "restored", "--device", "cpu", "--threads", "1"]
    env = {**os.environ, "PYTHONPATH": str(Path(sf.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 done before" in done.stdout + done.stderr
    assert {path.name: path.read_bytes() for path in Path("restored").iterdir()} == before


@every_release
def test_the_commands_of_then_are_understood(release, files, sfumato):
    for name in ("edits", "dreams", "restored"):
        shutil.move(name, f"old-{name}")
    for command in json.loads(Path("commands.json").read_text())["commands"]:
        sfumato(*command.split())
    for name in ("edits", "dreams", "restored"):
        old = {path.relative_to(f"old-{name}") for path in Path(f"old-{name}").rglob("*")}
        assert {path.relative_to(name) for path in Path(name).rglob("*")} >= old
        for path in (path for path in old if path.suffix == ".png"):
            assert_same_picture(Path(name) / path, Path(f"old-{name}") / path)
