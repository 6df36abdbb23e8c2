"""What verbs left in files, read again: found where it was moved to, and refused with the reason where it was changed."""

import json

import pytest
import torch

import sfumato as sf
from sfumato.batch.manifest import Manifest
from sfumato.core.errors import CheckpointError, SettingError
from sfumato.dreaming import files
from sfumato.editing import directions as finding
from sfumato.editing import edit as editing
from sfumato.editing import latent_image as subjects
from sfumato.metrics.features import weights_hash
from sfumato.restoration.request import RestorationRequest, request_facts
from sfumato.store import checkpoint, weights
from sfumato.store.cards import ModelCard
from sfumato.store.zoo import list_models


@pytest.fixture
def network(untrained):
    return untrained("dcgan", classes=2, size=(8, 8))


def test_an_edit_finds_its_styles_beside_it_here_or_where_it_is_told(network, tmp_path, monkeypatch):
    there, here = tmp_path / "there", tmp_path / "here"
    styles = subjects.save(there / "it.safetensors", subjects.drawn(network, 3), network)
    start = {"styles": str(styles)}
    moves = [editing.Move(vector=(1.0,) * network.style_dim, strength=0.5, layers=(0, 0))]
    done = editing.edit(network, editing.begun(network, start), moves)
    _, told = editing.save(done, there / "edit.png", network, start=start)
    assert torch.equal(editing.replay(network, told)[0].images, done.images)
    moved = here / "edit.json"
    here.mkdir()
    moved.write_bytes(told.read_bytes())
    with pytest.raises(SettingError, match="neither beside it nor here; name it with --styles"):
        editing.replay(network, moved)
    assert torch.equal(editing.replay(network, moved, styles=styles)[0].images, done.images)
    monkeypatch.chdir(there)
    assert torch.equal(editing.replay(network, moved)[0].images, done.images)
    seeded = json.loads(told.read_text()) | {"start": {"seed": 1}}
    moved.write_text(json.dumps(seeded))
    with pytest.raises(SettingError, match="leave --styles out"):
        editing.replay(network, moved, styles=styles)


@pytest.mark.parametrize("name", ["squeezenet", "runs/cats", "./runs/cats/model.safetensors"])
def test_a_recipe_may_name_a_network_that_is_known_or_lies_below(name):
    assert files.near(name, "--network") == name


@pytest.mark.parametrize("name", ["/dev/zero", "../cats", "\\\\host\\share\\cats", "C:cats", "a\x00"])
def test_a_recipe_names_no_place_elsewhere(name):
    with pytest.raises(SettingError, match="does not lie below this folder; name it with --through"):
        files.near(name, "--through")


WAYS = {"names": ["a", "b"], "strengths": [0.5, 0.25], "how": "principal", "layers": [0, 0], "origin": {}}


@pytest.mark.parametrize(
    ("change", "vectors", "why"),
    [
        ({"names": ["a"]}, (2, 16), "with 1 names"),
        ({"strengths": []}, (2, 16), "0 strengths"),
        ({}, (3, 16), "with 2 names"),
        ({}, (2, 15), "styles of 16"),
        ({}, (32,), "no directions"),
        ({"layers": [0, 4]}, (2, 16), "not among"),
        ({"layers": [0]}, (2, 16), "must be a list of 2"),
        ({"origin": None}, (2, 16), "origin = None"),
    ],
)
def test_directions_that_do_not_hang_together_are_refused(change, vectors, why, network, tmp_path):
    about = WAYS | change | {"weights": weights_hash(network)}
    checkpoint.write_tensors(tmp_path / "d.safetensors", {"vectors": torch.ones(vectors)}, {finding.ENTRY: about})
    with pytest.raises((CheckpointError, SettingError), match=why):
        finding.load(tmp_path / "d.safetensors", network)


@pytest.mark.parametrize(
    ("label", "styles", "more", "why"),
    [
        (None, torch.ones(1, 1, 16), {}, "label None is no class"),
        (2, torch.ones(1, 1, 16), {}, "label 2 is no class"),
        ("1", torch.ones(1, 1, 16), {}, "label = '1'"),
        (1, torch.ones(2, 1, 16), {}, "not the styles and the noise of one image"),
        (1, torch.ones(1, 1, 16), {"noise.0": torch.ones(1)}, "not the styles and the noise of one image"),
        (1, torch.full((1, 1, 16), torch.nan), {}, "16 values that are not finite"),
        (1, torch.ones(1, 1, 16, dtype=torch.int64), {}, "something else than finite numbers"),
    ],
)
def test_styles_that_are_none_of_the_network_are_refused(label, styles, more, why, network, tmp_path):
    about = {"label": label, "origin": {}, "weights": weights_hash(network)}
    checkpoint.write_tensors(tmp_path / "s.safetensors", {"styles": styles, **more}, {subjects.ENTRY: about})
    with pytest.raises(CheckpointError, match=why):
        subjects.load(tmp_path / "s.safetensors", network)


def test_a_row_of_a_manifest_that_is_not_ours_is_passed_over_and_told(tmp_path):
    good = {"place": "b.png", "status": "done", "source": "/b.png", "made": "0"}
    rows = [good, {"place": ["x"], "status": "done", "source": "a"}, good | {"made": 7}, [1]]
    text = "\n".join(map(json.dumps, rows)) + '\n{"place": "c.p'
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.warns(UserWarning, match=r"line 2: place = \['x'\] must be of type str, and 1 more: damaged lines are ignored"):
        manifest = Manifest(tmp_path / "manifest.jsonl", request_facts(RestorationRequest(task="denoise", method="median")))
    assert set(manifest._last) == {"b.png"}


@pytest.mark.parametrize(
    ("card", "place"),
    [
        ([], "card = "),
        ({"data": {"classes": [["cat"]]}}, r"card.data.classes\[0\]"),
        ({"data": {"classes": "cats"}}, "card.data.classes = 'cats' must be a list"),
        ({"metrics": [{"name": "psnr", "value": "x", "protocol": {}}]}, r"card.metrics\[0\].value = 'x'"),
        ({"metrics": [{"name": "psnr"}]}, r"card.metrics\[0\] has no "),
        ({"minutes": "long"}, "card.minutes = 'long'"),
        ({"started_from": {"images_seen": -1}}, "card.started_from.images_seen = -1"),
    ],
)
def test_a_card_of_wrong_types_is_refused_and_hides_no_other(card, place, network, tmp_path):
    for name, each in (("good", {}), ("bad", card)):
        checkpoint.save(tmp_path / name / "model.safetensors", network, network.config, {})
        tensors, header = checkpoint.read_tensors(tmp_path / name / "model.safetensors")
        checkpoint.write_tensors(tmp_path / name / "model.safetensors", tensors, header | {"card": each})
    with pytest.raises(CheckpointError, match=place):
        sf.load(tmp_path / "bad")
    bad, good = list_models(tmp_path)[len(weights.bundled()) :]
    assert (bad.card, bad.headline, good.problem) == (ModelCard(), "", "")
    assert "card" in bad.problem
