"""The help: every flag says its default and its range, and every line fits the terminal."""

import contextlib
import dataclasses
import inspect
import re
from typing import get_args, get_type_hints

import pytest

from sfumato.cli import dreaming, main
from sfumato.cli.dream_flags import DreamFlags
from sfumato.cli.verbs import verbs
from sfumato.core.config import Range
from sfumato.dreaming.dream import Dream


def help_text(monkeypatch, capsys, *command):
    monkeypatch.setenv("COLUMNS", "80")
    with contextlib.suppress(SystemExit):
        main([*command, "--help"])
    return capsys.readouterr().out


def ranges(hint):
    return [extra for extra in get_args(hint)[1:] if isinstance(extra, Range)]


@pytest.mark.parametrize("command", [(), *((name,) for name in verbs), ("train", "dcgan"), ("train", "restore")], ids=" ".join)
def test_every_line_fits_a_terminal_of_80_columns(command, monkeypatch, capsys):
    lines = help_text(monkeypatch, capsys, *command).splitlines()
    assert [line for line in lines if len(line.rstrip()) > 80 and not line.startswith("usage: ")] == []


def test_the_overview_has_every_verb_once(monkeypatch, capsys):
    rows = help_text(monkeypatch, capsys).splitlines()
    assert sorted(word for row in rows for word in row.split()[:1] if word in verbs and not row.startswith(" ")) == sorted(verbs)


@pytest.mark.parametrize("name", verbs)
def test_a_flag_without_a_default_value_names_its_default(name):
    verb = verbs[name]
    for flag, parameter in inspect.signature(verb).parameters.items():
        if parameter.default in (None, (), ""):
            described = [extra.help for extra in get_args(parameter.annotation) if getattr(extra, "help", None)]
            described += re.findall(rf"\n +{flag}: (.*)", verb.__doc__)
            assert "Default: " in described[0], f"--{flag} of {name}"


@pytest.mark.parametrize("name", [name for name in verbs if name != "completion"])
def test_every_argument_is_described_in_a_sentence(name):
    verb = verbs[name]
    for flag, parameter in inspect.signature(verb).parameters.items():
        described = [extra.help for extra in get_args(parameter.annotation) if getattr(extra, "help", None)]
        described += re.findall(rf"\n +{flag}: (.*)", verb.__doc__)
        assert described, f"--{flag} of {name}"
        assert described[0].endswith("."), f"--{flag} of {name}"


def test_the_flags_of_a_dream_have_the_ranges_of_its_settings():
    hints = get_type_hints(dreaming.dream, include_extras=True) | get_type_hints(DreamFlags, include_extras=True)
    settings = {field.name: ranges(field.type) for field in dataclasses.fields(Dream) if field.name != "layers"}
    assert {name: ranges(hints[name]) for name in settings} == settings


@pytest.mark.parametrize("word", ["seen", "found", "known", "made", "told", "given", "what", "how"])
def test_no_flag_has_a_name_that_says_nothing(word):
    assert [name for name, verb in verbs.items() if word in inspect.signature(verb).parameters] == []
