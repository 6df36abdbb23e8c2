"""A run, and whatever goes on from its weights, keeps to the images that were held out when it began; and says what it took for classes."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.data.load import load
from sfumato.evaluation.evaluate import compared
from sfumato.generation.generate import labels_of
from sfumato.store import checkpoint
from sfumato.store.cards import DataFacts, ModelCard
from sfumato.store.loaded import LoadedModel
from sfumato.train import prepare
from sfumato.train.held_out import split_rule
from sfumato.train.log import Callback
from sfumato.train.loop import fit

CAFE = "caf\u00e9"


class Notes(Callback):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty pictures in two classes, of which other ones are held out at 8 x 8 than at their own size."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(40):
        (folder / ("cat", "dog")[i % 2]).mkdir(exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / ("cat", "dog")[i % 2] / f"{i}.png")
    assert load(folder, size=(8, 8)).fingerprint != load(folder, size=(8, 8), split_by="resized").fingerprint
    return folder


@pytest.fixture
def settings(tiny, folder):
    asked = tiny("gan", data=str(folder), images=16)
    return dataclasses.replace(asked, model=dataclasses.replace(asked.model, size=(8, 8)))


@pytest.fixture
def old(settings, tmp_path, monkeypatch):
    """A run of a release that went by the pixels at the size trained at, and did not say so."""
    run = tmp_path / "old"
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "split_rule", lambda *_: "resized")
        fit(settings, run=run, device="cpu")
    for path in (run / "state" / "state.safetensors", run / "model.safetensors"):
        tensors, header = checkpoint.read_tensors(path)
        header.pop("split_by", None)
        header.get("card", {}).get("data", {}).pop("split_by", None)
        checkpoint.write_tensors(path, tensors, header)
    return run


def test_a_new_run_records_what_decides(settings, folder, tmp_path):
    fit(settings, run=tmp_path, device="cpu")
    card = checkpoint.read_header(tmp_path / "model.safetensors")["card"]
    assert card["data"]["split_by"] == "original"
    assert card["data"]["sha256"] == load(folder, size=(8, 8)).fingerprint
    assert split_rule(settings, tmp_path / "state" / "state.safetensors") == "original"


def test_an_old_run_goes_on_with_the_images_that_it_began_with(settings, folder, old):
    before = checkpoint.read_header(old / "model.safetensors")["card"]["data"]["sha256"]
    model = fit(settings, run=old, device="cpu")
    assert model.card.data.sha256 == before == load(folder, size=(8, 8), split_by="resized").fingerprint
    by_hand = load(folder, size=(8, 8), split_by="resized")
    assert fit(settings, run=old, data=by_hand, device="cpu").card.data.split_by == "resized"


def test_an_old_model_is_measured_on_images_that_it_never_saw(folder, old, monkeypatch):
    monkeypatch.chdir(folder.parent)  # the model tells the folder's name alone
    training, test = compared(checkpoint.load(old / "model.safetensors"), None)
    assert training.fingerprint == load(folder, size=(8, 8), split_by="resized").fingerprint
    assert test.fingerprint == load(folder, size=(8, 8), part="test", split_by="resized").fingerprint


def test_what_goes_on_from_an_old_model_on_the_same_data_holds_out_the_same(settings, old):
    assert split_rule(dataclasses.replace(settings, start=str(old)), None) == "resized"
    assert split_rule(dataclasses.replace(settings, start=str(old), data="elsewhere"), None) == "original"
    assert split_rule(dataclasses.replace(settings, start="no such model"), None) == "original"
    assert split_rule(settings, None) == "original"


def test_a_run_says_what_it_took_for_classes(settings, folder):
    counts = torch.bincount(load(folder).labels).tolist()
    told = f"2 classes from the names of folders: cat ({counts[0]}), dog ({counts[1]})"
    for classes, line in ((None, told), (0, f"{told}; not used: model.classes = 0")):
        notes = Notes()
        fit(dataclasses.replace(settings, model=dataclasses.replace(settings.model, classes=classes)), watch=notes, device="cpu")
        assert notes.said[0] == line


def test_a_run_says_why_there_are_no_classes_and_what_it_passed_over(settings, folder):
    (folder / "cat" / "notes.txt").write_text("hello")
    notes = Notes()
    fit(dataclasses.replace(settings, data=str(folder / "cat")), watch=notes, device="cpu")
    (folder / "cat" / "notes.txt").unlink()
    assert notes.said[:2] == ["passed over 1 file with no picture in: 1 .txt", "no classes: the pictures lie in one folder"]


@pytest.mark.parametrize("kept", [CAFE, "cafe\u0301"])
@pytest.mark.parametrize("asked", [CAFE, "cafe\u0301"])
def test_a_label_is_found_however_its_letters_are_composed(kept, asked, untrained):
    card = ModelCard(data=DataFacts(classes=("bar", kept, "inn")))
    model = LoadedModel(network=untrained("stylegan", classes=3), card=card)
    assert labels_of(model, [0], asked).tolist() == [1]
