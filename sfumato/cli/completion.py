"""Completion of the command line in bash, zsh and fish.

    the shell, at each press of Tab ─> sfumato complete WORD ... LAST ─> completions(words) ─> a line for each, which the shell shows

`sfumato completion SHELL` prints the script that a shell needs for this. Options come from `shell/options.json`, which
`python -m scripts.completions` writes from the help of every command: an answer needs no PyTorch. Models and run folders are looked up
when they are asked for.
"""

import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, TypedDict

import tyro

from sfumato.cli.verbs import about, verbs
from sfumato.core.text import printable

SHELL = Path(str(resources.files("sfumato.cli"))) / "shell"
"""The scripts for the shells, and the table of options."""
SEVERAL = " ..."
"""The end of an option's values if several may follow one another."""
_WITHOUT_VERB = dict.fromkeys(("--help", "-h", "--version", "-V"), "")


@dataclass(frozen=True)
class Completions:
    """The words that may stand in the place of the last one."""

    words: dict[str, str]
    """Each word, with a description, which may be empty."""
    files: bool = False
    """Whether names of files may stand there too; the shell completes those itself."""

    def __or__(self, other: "Completions") -> "Completions":
        return Completions(self.words | other.words, self.files or other.files)


NOTHING, FILES = Completions({}), Completions({}, files=True)


def completion(shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]) -> None:
    """Print the script for completion at Tab: eval "$(sfumato completion bash)".

    The shell then completes verbs, options, models, recipes and files.

    Args:
        shell: The shell that reads the script.

    """
    sys.stdout.write((SHELL / f"sfumato.{shell}").read_text(encoding="utf-8"))


def complete(words: Sequence[str]) -> None:
    """Prints the completions of the last of `words`, which follow `sfumato` on a command line.

    The first line is `files` or `words`: whether names of files may stand there too. Each other line is a word, a tab and a description.
    """
    answer = completions(words)
    lines = ["files" if answer.files else "words", *(f"{word}\t{text}" for word, text in answer.words.items())]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def completions(words: Sequence[str]) -> Completions:
    """The completions of the last of `words`, which follow `sfumato` on a command line; none for a command line that makes no sense.

    >>> list(completions(["inter"]).words), list(completions(["restore", "photo.png", "--task", "de"]).words)
    (['interpolate'], ['denoise', 'deblur'])
    """
    *before, last = words or [""]
    # Bash gives --task=jpeg as three words.
    before, last = [word for word in before if word != "="], "" if last == "=" else last
    if not before:
        return _starting(last, {name: about(name) for name in verbs} | (_WITHOUT_VERB if last.startswith("-") else {}))
    options, positionals, before = _command(*before)
    flag, equals, value = last.partition("=")
    if equals and flag in options:
        answer = _values(flag, options[flag], value)
        return Completions({f"{flag}={word}": text for word, text in answer.words.items()}, answer.files)
    if last.startswith("-"):
        return _starting(last, dict.fromkeys(options, ""))
    asking = _asking(before, options)
    answer = _values(asking, options[asking], last) if asking else NOTHING
    if asking and asking == before[-1]:
        return answer
    return answer | _positional(before, options, positionals, last)


def models() -> dict[str, str]:
    """The bundled models, and the runs in the folder `runs`, by the names under which commands take them, with what each is."""
    bundled = sorted(path.stem for path in (Path(str(resources.files("sfumato"))) / "weights").glob("*.safetensors"))
    runs = sorted(path.parent.as_posix() for path in Path("runs").glob("*/model.safetensors"))
    return dict.fromkeys(runs, "run folder") | dict.fromkeys(bundled, "bundled model")


class _Command(TypedDict):
    """The options of a verb with the values of each, and the values of its positionals."""

    options: dict[str, str]
    positionals: list[str]


class _Recipe(TypedDict):
    """A recipe in one line, and the place of its options in `settings`."""

    about: str
    settings: int


class Table(TypedDict):
    """The content of `options.json`."""

    verbs: dict[str, _Command]
    recipes: dict[str, _Recipe]
    settings: list[dict[str, str]]
    networks: list[str]
    data: list[str]


@functools.cache
def table() -> Table:
    """The options of every command, and names that commands take, as `scripts/completions.py` describes them."""
    return json.loads((SHELL / "options.json").read_text(encoding="utf-8"))


def options(verb: str) -> list[str]:
    """The options of a verb."""
    return list(table()["verbs"][verb]["options"]) if verb in table()["verbs"] else []


def _command(verb: str, *words: str) -> tuple[dict[str, str], list[str], list[str]]:
    """The options of a command with the values of each, its positionals, and those of its words that are one or the other."""
    if verb == "train" and words:
        recipe = table()["recipes"].get(words[0])
        return (table()["settings"][recipe["settings"]] if recipe else {}), [], list(words[1:])
    command = table()["verbs"].get(verb, {"options": {}, "positionals": []})
    return command["options"], command["positionals"], list(words)


def _asking(before: Sequence[str], options: Mapping[str, str]) -> str:
    """The option of which the next word may be a value; empty if there is none."""
    for i, word in enumerate(reversed(before)):
        if word in options:
            return word if options[word] and (i == 0 or options[word].endswith(SEVERAL)) else ""
    return ""


def _positional(before: Sequence[str], options: Mapping[str, str], positionals: Sequence[str], last: str) -> Completions:
    """The values of the positional that comes next; options if none does."""
    count = sum(not word.startswith("-") and not _asking(before[:i], options) for i, word in enumerate(before))
    repeated = positionals[-1:] if positionals and positionals[-1].endswith(SEVERAL) else []
    following = positionals[count : count + 1] or repeated
    return _values(following[0], following[0], last) if following else _starting(last, dict.fromkeys(options, ""))


def _values(name: str, values: str, last: str) -> Completions:
    """The values that begin with `last` of an option or a positional called `name`."""
    values = values.removesuffix(SEVERAL)
    if "|" in values:
        return _starting(last, dict.fromkeys(values.split("|"), ""))
    if name in _NAMES:
        return _starting(last, _NAMES[name]()) | (NOTHING if name == "RECIPE" else FILES)
    return FILES if values in ("PATH", "PICTURE", "FILE") else NOTHING


def _starting(last: str, words: Mapping[str, str]) -> Completions:
    """Those of `words` that begin with `last`. A folder may have any name: one that would steer the terminal is left out."""
    return Completions({word: text for word, text in words.items() if word.startswith(last) and printable(word) == word})


def _recipes() -> dict[str, str]:
    return {name: recipe["about"] for name, recipe in table()["recipes"].items()}


def _networks() -> dict[str, str]:
    return models() | dict.fromkeys(table()["networks"], "published network")


def _data() -> dict[str, str]:
    return dict.fromkeys(table()["data"], "data set")


_NAMES: dict[str, Callable[[], dict[str, str]]] = {
    "RECIPE": _recipes,
    "MODEL": models,
    "NETWORK": _networks,
    "--model": models,
    "--start": models,
    "--through": models,
    "--network": _networks,
    "--features": _networks,
    "--compare": _networks,
    "--data": _data,
}
"""The names that an option or a positional takes beside those of files."""
