"""Headers of earlier formats become those of this one; those of later ones are refused in a line."""

import copy
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfumato.core.errors import CheckpointError, FormatError, SettingError
from sfumato.dreaming.files import replayed
from sfumato.editing.edit import replay
from sfumato.models import MODELS
from sfumato.store import checkpoint
from sfumato.store.migrate import FORMAT, upgraded, upgraded_tree
from sfumato.train.folder import earlier_settings, read_settings, write_settings

OLD = {
    "format": 1,
    "model": {"is": "models/paired", "grey": {"is": "models/gated", "width": 4}, "colour": {"is": "models/gated", "width": 8}},
    "card": {"grey": {"training": {"is": "train/settings", "degrade": {"is": "degrade/chain", "links": [{"is": "degrade/noise"}]}}}},
    "seen": 3,
}
NEW = {
    "format": 2,
    "model": {"is": "paired", "grey": {"is": "gated", "width": 4}, "colour": {"is": "gated", "width": 8}},
    "card": {"grey": {"training": {"is": "training", "degrade": {"is": "chain", "links": [{"is": "noise"}]}}}},
    "seen": 3,
}


def test_format_1_names_families_by_id_afterwards():
    before = copy.deepcopy(OLD)
    assert upgraded(OLD) == NEW
    assert before == OLD, "the header that was handed in stays"


def test_what_is_of_this_format_stays_as_it_is():
    assert upgraded(NEW) == NEW


def test_a_name_that_never_was_a_familys_stays_and_is_refused_later():
    assert upgraded({"format": 1, "model": {"is": "os/path"}})["model"] == {"is": "os/path"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("is"), inner)
)


@given(st.dictionaries(st.text(), json_values), st.integers(1, FORMAT))
def test_any_header_comes_through_and_twice_is_once(header, version):
    once = upgraded({**header, "format": version})
    assert once["format"] == FORMAT
    assert upgraded(once) == once


@pytest.mark.parametrize("version", [FORMAT + 1, 10**6])
def test_a_later_format_is_refused(version):
    with pytest.raises(FormatError, match=f"was written by a newer Sfumato \\(format {version}"):
        upgraded({"format": version})


@pytest.mark.parametrize("version", [None, 0, -1, True, 1.0, "1", [1]])
def test_what_is_no_format_is_refused(version):
    with pytest.raises(FormatError, match="has no format that can be read"):
        upgraded({"format": version})


def test_settings_of_format_1_had_no_number():
    tree = {"is": "train/settings", "lr": 0.1}
    assert upgraded_tree(tree) == upgraded_tree({"format": 1, **tree}) == {"is": "training", "lr": 0.1}


def test_a_model_of_format_1_is_loaded(tmp_path):
    config = MODELS["classifier"](size=(8, 8), channels=1, classes=2, widths=(4,), hidden=(4,))
    tensors = config.build().state_dict()
    new = {"is": "classifier", "size": [8, 8], "channels": 1, "classes": 2, "widths": [4], "hidden": [4]}
    for version, family in ((1, "models/classifier"), (2, "classifier")):
        header = {"format": version, "model": {**new, "is": family}, "card": {}}
        checkpoint.write_tensors(tmp_path / "model.safetensors", tensors, header)
        assert checkpoint.load(tmp_path / "model.safetensors").config == config
        assert checkpoint.read_header(tmp_path / "model.safetensors")["model"]["is"] == "classifier"


def test_a_file_of_a_later_version_is_refused_in_one_line(tmp_path):
    checkpoint.write_tensors(tmp_path / "model.safetensors", {"x": torch.zeros(1)}, {"format": FORMAT + 1, "model": {"is": "unheard-of"}})
    with pytest.raises(CheckpointError, match="was written by a newer Sfumato") as told:
        checkpoint.load(tmp_path / "model.safetensors")
    assert "\n" not in str(told.value)
    assert str(tmp_path / "model.safetensors") in str(told.value)


def test_the_settings_of_a_run_say_their_format_and_those_of_a_later_version_are_refused(tiny, tmp_path):
    path = tmp_path / "settings.json"
    write_settings(path, tiny("gan"))
    assert json.loads(path.read_text())["format"] == FORMAT
    assert read_settings(path) == tiny("gan")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": FORMAT + 1}))
    with pytest.raises(CheckpointError, match="was written by a newer Sfumato"):
        earlier_settings(tmp_path)


@pytest.mark.parametrize("read", ["edit", "dream"])
def test_an_edit_or_a_dream_of_a_later_version_is_refused_in_one_line(read, tmp_path, untrained):
    tree = {"is": "sfumato edit"} if read == "edit" else {"network": "squeezenet", "dream": {}}
    (tmp_path / "told.json").write_text(json.dumps({"format": FORMAT + 1, **tree}))
    with pytest.raises((SettingError, CheckpointError), match="was written by a newer Sfumato") as told:
        replay(untrained("dcgan"), tmp_path / "told.json") if read == "edit" else replayed(tmp_path / "told.json")
    assert "\n" not in str(told.value)
