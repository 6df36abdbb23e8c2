"""Plug-ins: named by whoever runs the program, imported once and only when needed, and none of them can break what does not need it."""

import subprocess
import sys

import pytest

import sfumato as sf
from sfumato.core.config import settings, unregistered
from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.core.registry import FAMILIES
from sfumato.degradations import DEGRADATIONS
from sfumato.models import MODELS
from sfumato.objectives import OBJECTIVES
from sfumato.recipes import recipes, summary

MODULE = """
import sfumato as sf
from sfumato.core.config import settings

@sf.register
@settings
class Network:
    id = "{name}_network"
    def build(self): ...

@sf.register
@settings
class Objective:
    id = "{name}_objective"
    def phases(self, model): ...

@sf.register
@settings
class Damage:
    id = "{name}_damage"
    def __call__(self, degraded, draws): ...

@sf.register_recipe
def {name}_recipe():
    '''Does nothing.'''
    return {returned}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, apart):
    """A folder where modules are found; what is imported from it is forgotten."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("SFUMATO_PLUGINS", raising=False)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def module(folder, monkeypatch):
    """Writes a module that registers one of each kind, and names it in the environment."""

    def write(name, *, named=True, text=MODULE, returned="sf.recipe('vae')"):
        (folder / f"{name}.py").write_text(text.format(name=name, returned=returned))
        if named:
            monkeypatch.setenv("SFUMATO_PLUGINS", name)

    return write


def install(folder, name, *entries):
    """An installed package with entry points, as pip leaves one."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[sfumato.plugins]", *entries]) + "\n")


def test_what_the_environment_names_is_in_every_list(module):
    module("first")
    assert FAMILIES.find("first_network") is MODELS["first_network"]
    for room, name in ((MODELS, "first_network"), (OBJECTIVES, "first_objective"), (DEGRADATIONS, "first_damage")):
        assert [each for each in room if each.startswith("first")] == [name]
        assert room[name].id == name
    assert "first_damage" in set(FAMILIES)
    assert recipes()[-1] == "first-recipe"
    assert sf.recipe("first-recipe") == sf.recipe("vae")
    assert summary("first-recipe") == "Does nothing."


def test_an_entry_point_names_a_module_or_a_class(module, folder):
    module("second", named=False)
    (folder / "third.py").write_text(
        "from sfumato.core.config import settings\n@settings\nclass Config:\n    id = 'third'\n    def build(self): ...\n"
    )
    install(folder, "one", "a = second", "b = third:Config")
    assert [name for name in MODELS if name in ("second_network", "third")] == ["second_network", "third"]
    assert unregistered(FAMILIES.find("third")()) == ""


def test_several_are_named_with_commas(module, monkeypatch):
    module("fourth")
    module("fifth")
    monkeypatch.setenv("SFUMATO_PLUGINS", " fourth, ,fifth,")
    assert {"fourth-recipe", "fifth-recipe"} <= set(recipes())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise KeyError('a\\nb')", "KeyError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def", "SyntaxError"),
        ("import a_module_that_is_not_there", "No module named 'a_module_that_is_not_there'"),
        (
            "import sfumato as sf\nfrom sfumato.core.config import settings\n@sf.register\n@settings\nclass C:\n    id = 'vae'",
            "is taken by",
        ),
        ("import sfumato as sf\ndef vae(): ...\nsf.register_recipe(vae)", "the recipe vae is taken"),
    ],
)
def test_a_broken_one_costs_one_line_with_its_name(module, text, reason):
    module("broken", text=text)
    with pytest.warns(UserWarning, match=r"plug-in broken \(SFUMATO_PLUGINS\)") as lines:
        assert "vae" in recipes()
    assert len(lines) == 1
    assert reason in str(lines[0].message)
    assert "\n" not in str(lines[0].message)
    with pytest.raises(UnknownNameError):  # a second warning would be an error
        FAMILIES.find("broken_network")


@pytest.mark.parametrize("name", ["not_there", "not_there.part", "patterns.py", ".here"])
def test_one_that_is_not_there_says_where_modules_are_looked_for(folder, monkeypatch, name):
    monkeypatch.setenv("SFUMATO_PLUGINS", name)
    with pytest.warns(UserWarning, match="could not be loaded") as lines:
        recipes()
    assert ("PYTHONPATH=." in str(lines[0].message)) == (name != ".here")


def test_a_broken_entry_point_leaves_the_others(module, folder):
    module("sixth", named=False)
    install(folder, "two", "a = not_there", "b = sixth", "c = sixth:Nothing")
    with pytest.warns(UserWarning, match="entry point") as lines:
        assert "sixth-recipe" in recipes()
    assert len(lines) == 2


def test_none_is_imported_before_it_is_needed(module, monkeypatch):
    module("seventh")
    assert MODELS["vae"].id == FAMILIES.find("vae").id == "vae"
    assert sf.recipe("vae").model.id == "vae"
    assert "seventh" not in sys.modules
    assert MODELS["seventh_network"].id == "seventh_network"


def test_help_imports_none(folder):
    (folder / "eighth.py").write_text("raise AssertionError('imported')")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "sfumato", "--help"],
        env={"PATH": "", "PYTHONPATH": ":".join([str(folder), *sys.path]), "SFUMATO_PLUGINS": "eighth"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, "eighth" in run.stderr) == (0, False), run.stderr


def test_what_a_module_registers_is_lost_until_the_module_is_named(module, monkeypatch):
    module("ninth", named=False)
    import ninth  # as a script does

    assert FAMILIES.find("ninth_network") is ninth.Network
    assert "set SFUMATO_PLUGINS=ninth" in unregistered(ninth.Network())


def test_it_is_not_lost_if_a_script_imports_it_before_it_is_loaded(module):
    module("tenth")
    import tenth

    assert unregistered(tenth.Network()) == ""
    assert FAMILIES.find("tenth_network") is tenth.Network


def test_what_a_script_registers_is_lost_even_if_its_module_is_a_plug_in(folder, monkeypatch):
    (folder / "eleventh.py").write_text("from sfumato.core.config import settings\n@settings\nclass Config:\n    id = 'eleventh'\n")
    monkeypatch.setenv("SFUMATO_PLUGINS", "eleventh")
    script = {"__name__": "__main__"}
    exec("import sfumato as sf, eleventh; sf.register(eleventh.Config)", script)
    assert "only this script registers" in unregistered(script["eleventh"].Config())


def test_a_class_that_nobody_registers_is_lost():
    @settings
    class Config:
        id = "nobodys"

    assert "register it in a module" in unregistered(Config())


def _hidden(): ...


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("function", [lambda: None, _hidden])
def test_a_recipe_has_a_name(function):
    with pytest.raises(SettingError, match="a function with a name"):
        sf.register_recipe(function)


def test_a_recipe_that_returns_no_settings_is_told(module):
    module("twelfth", returned="7")
    with pytest.raises(SettingError, match="the recipe twelfth-recipe returns a int"):
        sf.recipe("twelfth-recipe")


def test_an_unknown_recipe_says_that_plug_ins_have_others(folder):
    with pytest.raises(UnknownNameError, match=r"no recipe 'portraits'.*docs/plugins\.md"):
        sf.recipe("portraits")
