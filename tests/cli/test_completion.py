"""Completion: every verb and option of the help, the names of models, recipes and runs, and what real shells make of it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sfumato.cli.completion import SHELL, completions, models, table
from sfumato.cli.verbs import verbs
from sfumato.core import flags
from sfumato.data import scenes
from sfumato.recipes import RECIPES, recipe, summary
from sfumato.store import public, weights

ROOT = Path(__file__).parents[2]
ONE_OF_EACH_FILE = {file: name for name, file in RECIPES.items()}.values()


@pytest.fixture(scope="module")
def scripts():
    sys.path.insert(0, str(ROOT))
    try:
        from scripts import completions as script
    finally:
        sys.path.remove(str(ROOT))
    return script


def words(*line: str) -> set[str]:
    return set(completions(line).words)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    for name in ("my pets", "photos", "begun"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    for name in ("my pets", "photos"):
        (tmp_path / "runs" / name / "model.safetensors").touch()
    (tmp_path / "scan.png").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", [(name,) for name in verbs] + [("train", name) for name in ONE_OF_EACH_FILE], ids=" ".join)
def test_the_table_is_what_the_help_says(command, scripts):
    text = scripts.help_of(*command)
    shown = re.findall(r"(?:│ |, )(--?[a-z][\w.-]*)", re.sub(r"  +[^│]*", "  ", text))
    assert {"--help", *shown} == words(*command, "-"), "run python -m scripts.completions"
    assert all(option in words(*command, option[: len(option) // 2 + 1]) for option in shown)
    if len(command) == 1:
        assert table()["verbs"][command[0]] == {"options": scripts.options(text), "positionals": scripts.positionals(text)}
    else:
        assert table()["settings"][table()["recipes"][command[1]]["settings"]] == scripts.options(text)


@pytest.mark.parametrize("name", RECIPES)
def test_every_setting_of_every_recipe_is_completed(name):
    settings = set(flags.names(recipe(name)))
    completed = {re.sub(r"(--|\.)no-(?=[^.]*$)", r"\1", option) for option in words("train", name, "-")}
    completed = {re.sub(r"\.\d+\..*", "", option) for option in completed}  # the links of a chain are one setting
    assert settings | {"--out", "--device", "--threads", "--help", "-h"} == completed, "run python -m scripts.completions"
    assert table()["recipes"][name]["about"] == summary(name)


def test_the_table_has_nothing_else():
    assert (table()["verbs"].keys(), table()["recipes"].keys()) == (verbs.keys(), RECIPES.keys())
    assert (table()["networks"], table()["data"]) == (list(public.NAMES), list(scenes.SCENE_NAMES))


def test_the_help_names_the_values_that_are_completed(scripts):
    box = "│ -n INT, --n INT  How many. ││ --kind {a,b+c}│\n│ --no-such, --x │\n│     - no option │"
    assert scripts.options(box) == {"-n": "INT", "--n": "INT", "--kind": "a|b+c", "--no-such": "", "--x": ""}
    assert scripts.positionals("usage: sfumato join [-h] MODEL PICTURE ... [--out PATH]\n\nJoins.") == ["MODEL", "PICTURE ..."]


def test_verbs_and_recipes():
    assert words() == words("") == set(verbs)
    assert words("e") == {"edit", "embed", "evaluate", "export"}
    assert words("--v") == {"--version"}
    assert words("train", "") == set(RECIPES)
    assert completions(["nonsense", ""]) == completions(["train", "nonsense", "--"]) == completions(["nonsense", "--"])
    assert not words("nonsense", "")


def test_models_are_the_bundled_ones_and_those_of_runs(runs):
    assert set(models()) == set(weights.bundled()) | {"runs/my pets", "runs/photos"}
    for line in (("generate", ""), ("generate", "-n", "4", ""), ("restore", "scan.png", "--model", ""), ("train", "dcgan", "--start", "")):
        assert completions(line).words == models(), line
        assert completions(line).files, line
    assert words("generate", "runs/m") == {"runs/my pets"}
    assert "squeezenet" in words("features", "")


def test_a_name_that_would_steer_the_terminal_is_left_out(runs):
    for name in ("\x1b[2J", "a\nb", "a\tb", "\u202egnp"):
        (runs / "runs" / name).mkdir()
        (runs / "runs" / name / "model.safetensors").touch()
    assert words("generate", "runs/") == {"runs/my pets", "runs/photos"}


@pytest.mark.parametrize(
    ("line", "expected", "files"),
    [
        ("restore scan.png --task de", {"denoise", "deblur"}, False),
        ("restore scan.png --task=de", {"--task=denoise", "--task=deblur"}, False),
        ("restore scan.png --task = de", {"denoise", "deblur"}, False),
        ("restore --find scratches ", {"scratches", "dead-pixels", "dust"}, True),
        ("restore --find scratches --task de", {"denoise", "deblur"}, False),
        ("restore scan.png ", set(), True),
        ("restore scan.png --mask ", set(), True),
        ("restore scan.png --noise ", set(), False),
        ("train dcgan --optimiser ", {"adam", "muon"}, False),
        ("train dcgan --data mn", {"mnist"}, True),
        ("generate digits --device c", {"cpu", "cuda"}, False),
        ("generate digits --overwrite --device c", {"cpu", "cuda"}, False),
        ("project digits ", set(), True),
        ("completion ", {"bash", "zsh", "fish"}, False),
        ("models ", {"-h", "--help", "--runs"}, False),
        ("generate digits other", set(), False),
    ],
)
def test_values(line, expected, files):
    answer = completions(line.split(" "))
    assert (set(answer.words), answer.files) == (expected, files)


def test_an_answer_needs_no_torch():
    code = "import sys; from sfumato.cli import main; main(['complete', 'train', 'dcgan', '--model.w']); print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    first, second, modules = out.splitlines()
    assert (first, second) == ("words", "--model.width\t")
    assert not {"torch", "numpy", "PIL", "typeguard"} & set(eval(modules))


LINES = {
    "generate runs/": {"runs/my pets", "runs/photos"},
    "restore sc": {"scan.png"},
    "train dcgan --optimiser ": {"adam", "muon"},
}


def said(name: str, folder: Path, *script: str) -> set[str]:
    """The lines that a real shell prints in `folder` for `script`, with a command `sfumato` at hand."""
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    command = folder / "sfumato"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m sfumato "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    plain = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}[name]
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    words = [name, plain, "-c", "\n".join(script)]
    ran = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert not ran.stderr
    return set(ran.stdout.splitlines())


@pytest.mark.parametrize("line", LINES)
def test_bash_completes(line, runs):
    last, empty = line.rpartition(" ")[2], "''"
    script = (
        f'source "{SHELL / "sfumato.bash"}"',
        f"COMP_WORDS=(sfumato {line if last else line + empty})",
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))",
        '_sfumato sfumato "${COMP_WORDS[COMP_CWORD]}" ""',
        "printf '%s\\n' \"${COMPREPLY[@]}\"",
    )
    assert LINES[line] == said("bash", runs, *script) - {"runs/begun"}


@pytest.mark.parametrize("line", LINES)
def test_zsh_completes(line, runs):
    script = (
        "_describe() { print -rl -- ${(P)2} }; _files() { print -rl -- $PREFIX*(N) }; compdef() { }",  # what its editor would give
        f'source "{SHELL / "sfumato.zsh"}"',
        f'words=("${{(@s: :):-sfumato {line}}}"); CURRENT=$#words; PREFIX=$words[-1]; _sfumato',
    )
    assert LINES[line] == {row.partition(":")[0] for row in said("zsh", runs, *script)} - {"runs/begun"}


@pytest.mark.parametrize("line", LINES)
def test_fish_completes(line, runs):
    script = (f'source "{SHELL / "sfumato.fish"}"', f'complete -C "sfumato {line}"')
    assert LINES[line] == {row.partition("\t")[0].rstrip("/") for row in said("fish", runs, *script)} - {"runs/begun"}


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(name, capsys):
    from sfumato.cli import main

    main(["completion", name])
    assert capsys.readouterr().out == (SHELL / f"sfumato.{name}").read_text(encoding="utf-8")
