"""A name is a file, and nothing else is."""

import subprocess
import sys

import pytest

from sfumato.core.catalog import Catalog, from_file
from sfumato.core.errors import UnknownNameError


def test_a_room_lists_its_files_without_base():
    names = list(Catalog("sfumato.models"))
    assert {"classifier", "dcgan", "vae"} <= set(names)
    assert "base" not in names
    assert names == sorted(names)


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all():
    with pytest.raises(UnknownNameError, match=r"no 'dcgun' \(did you mean 'dcgan'\?\); it has .*classifier, .*dcgan, "):
        Catalog("sfumato.models")["dcgun"]


@pytest.mark.parametrize("name", ["base", "__init__", "", ".", "os", "../core/settings"])
def test_what_is_no_file_of_the_room_is_no_entry(name):
    with pytest.raises(UnknownNameError):
        Catalog("sfumato.models")[name]


def test_a_file_without_an_entry_is_no_choice():
    with pytest.raises(UnknownNameError, match="has no Config"):
        Catalog("sfumato.io")["files"]


def test_listing_a_room_imports_none_of_its_files():
    code = (
        "import sys; from sfumato.core.catalog import Catalog; list(Catalog('sfumato.core')); print('sfumato.core.tensors' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_a_users_own_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("Config = 7\n")
    assert from_file(path) == 7
    with pytest.raises(UnknownNameError, match="defines no 'Other'"):
        from_file(path, "Other")


@pytest.mark.parametrize("name", ["absent.py", "folder.py", "text.txt"])
def test_a_path_that_is_no_python_file_is_refused(tmp_path, name):
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "text.txt").write_text("Config = 7\n")
    with pytest.raises(UnknownNameError, match="no Python file"):
        from_file(tmp_path / name)
