"""A new task is a file: a codec and a translator that nobody in the package knows train, stop, go on, and load in another process."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.core.plugins import VARIABLE
from sfumato.core.tensors import to_pixels
from sfumato.io.files import save_image
from sfumato.models import MODELS
from sfumato.objectives import OBJECTIVES
from sfumato.train.log import Callback
from sfumato.train.settings import TrainSettings

HERE = Path(__file__).parent
TOYS = {"toy-codec": ("images", ("bits_per_pixel", "psnr"), (4, 4)), "toy-translator": ("kinds", ("error",), (3, 4))}
"""For each recipe: its data, its figures of held-out images, and rows and columns of its preview."""


@pytest.fixture
def folder(tmp_path):
    """A folder of a person: pictures for the codec, and pairs of an image and its negative for the translator."""
    rng = torch.Generator().manual_seed(0)
    for i in range(24):
        image = torch.rand(1, 1, 2, 2, generator=rng).repeat_interleave(6, dim=2).repeat_interleave(6, dim=3)
        save_image(tmp_path / f"images/{i:02}.png", to_pixels(image[..., : 8 + i % 5]))
        save_image(tmp_path / f"kinds/A/{i:02}.png", to_pixels(image))
        save_image(tmp_path / f"kinds/B/{i:02}.png", to_pixels(1 - image))
    return tmp_path


@pytest.fixture
def recipe(folder, monkeypatch, apart):
    """The recipe of a toy, on data of `folder`; the toys are plug-ins in this test."""
    monkeypatch.setenv(VARIABLE, "toy_codec,toy_translator")
    monkeypatch.syspath_prepend(HERE)
    for module in ("toy_codec", "toy_translator"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return lambda name: dataclasses.replace(sf.recipe(name), data=str(folder / TOYS[name][0]))


class Crash(Callback):
    """Ends the process of training, in effect, at the first line of the log after `images` images."""

    def __init__(self, images):
        self.images = images

    def row(self, row, settings):
        if row["images"] > self.images:
            raise RuntimeError("the power failed")


def figures(run):
    rows = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [{k: v for k, v in row.items() if not k.startswith(("seconds", "images_per"))} for row in rows if "note" not in row]


@pytest.mark.parametrize("name", TOYS)
def test_it_learns_crashes_goes_on_exactly_and_loads(name, recipe, folder):
    straight = sf.fit(recipe(name), run=folder / "straight", device="cpu")
    first, *_, last = figures(folder / "straight")
    phase = next(key for key in first if key.endswith("/total"))
    assert last[phase] < 0.7 * first[phase]

    with pytest.raises(RuntimeError, match="the power failed"):
        sf.fit(recipe(name), run=folder / "run", device="cpu", watch=Crash(200))
    resumed = sf.fit(recipe(name), run=folder / "run", device="cpu")
    weights, again = straight.network.state_dict(), resumed.network.state_dict()
    assert all(torch.equal(again[key], value) for key, value in weights.items())
    assert figures(folder / "run") == figures(folder / "straight")

    loaded = sf.load(folder / "run")
    assert all(torch.equal(value, weights[key]) for key, value in loaded.network.state_dict().items())
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(loaded(images), straight(images), atol=1e-6)


@pytest.mark.parametrize("name", TOYS)
def test_it_has_its_own_preview_and_figures(name, recipe, folder):
    sf.fit(recipe(name), run=folder / "run", device="cpu")
    measured = [row for row in figures(folder / "run") if any(key.startswith("validation/") for key in row)]
    assert [row["images"] for row in measured] == [160, 320, 480, 640][: len(measured)]
    _, names, (rows, columns) = TOYS[name]
    for row in measured:
        assert {key for key in row if key.startswith("validation/")} == {f"validation/{key}" for key in names}
    for path in (folder / "run/samples").iterdir():
        with Image.open(path) as image:
            side = 8 if name == "toy-codec" else 12
            assert image.width // side >= columns
            assert image.height // side >= rows - 2


def test_what_only_training_ends_with_is_in_the_file(recipe, folder):
    model = sf.fit(recipe("toy-codec"), run=folder / "run", device="cpu")
    assert model.network.largest > 0
    assert sf.load(folder / "run").network.largest == model.network.largest


def test_pairs_stay_together_and_are_held_out_together(recipe, folder, monkeypatch):
    batches = []
    objective = OBJECTIVES["toy_pairs"]
    prepare = objective.prepare
    monkeypatch.setattr(objective, "prepare", lambda self, batch, settings: batches.append(prepare(self, batch, settings)) or batches[-1])
    model = sf.fit(recipe("toy-translator"), device="cpu")
    assert model.network.channels == 1
    assert batches
    for batch in batches:
        assert torch.allclose(batch.degraded + batch.clean, torch.ones_like(batch.clean), atol=0.01)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("toy-codec", {"patch": 6}, "patch = 6 must be a multiple of 4"),
        ("toy-codec", {"crop": "stretch"}, "crop has no effect with the objective toy_rate_distortion"),
        ("toy-translator", {"patch": 8}, "patch has no effect with the objective toy_pairs"),
    ],
)
def test_settings_that_do_not_fit_are_refused(name, change, message, recipe):
    with pytest.raises(SettingError, match=message):
        sf.fit(dataclasses.replace(recipe(name), **change), device="cpu")


@pytest.mark.parametrize(
    ("model", "objective", "message"),
    [
        ("dcgan", "elbo", "objective = elbo trains a LatentVariableModel, and model = dcgan is a Dcgan"),
        ("vae", "cross_entropy", "objective = cross_entropy trains a Classifier, and model = vae is a Vae"),
        ("dncnn", "cross_entropy", "objective = cross_entropy trains networks for images of one size, and dncnn has no size"),
        ("dcgan", "restoration", "model = dcgan|must be set"),
    ],
)
def test_a_network_of_another_role_is_refused(model, objective, message, bars):
    settings = TrainSettings(model=MODELS[model](), objective=OBJECTIVES[objective]())
    with pytest.raises(SettingError, match=message):
        sf.fit(settings, data=bars, device="cpu")


def test_another_process_trains_lists_and_loads_them(folder):
    """The commands of a person, in a fresh process that is told the plug-ins by the environment alone."""
    script = """
import sys
from sfumato.cli import main
import sfumato as sf
for name, data in (("toy-codec", "images"), ("toy-translator", "kinds")):
    main(["train", name, "--data", data, "--images", "32", "--out", name, "--device", "cpu"])
    print(type(sf.load(name).network).__name__)
main(["models", "--runs", "."])
"""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": os.pathsep.join([str(Path(sf.__file__).parents[1]), str(HERE)]),
        VARIABLE: "toy_codec,toy_translator",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"ToyCodec", "ToyTranslator"} <= set(done.stdout.split())
    assert "passed over" not in done.stdout
