"""Settings as flags of the command line: their ranges in the help, and one line for a mistake."""

import ast
import contextlib
import dataclasses
import difflib
import functools
import inspect
import io
import itertools
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, get_args, get_origin

import tyro

from sfumato.core.config import Range, fields_of
from sfumato.core.errors import SettingError


def describe(config: object) -> None:
    """Gives the help of a tree of settings the range, the text and the default of each one, from the type that states them."""
    for field in fields_of(config):
        if dataclasses.is_dataclass(value := getattr(config, field.name)):
            describe(value)
    if type(config) in _DESCRIBED:
        return
    _DESCRIBED.add(type(config))
    texts = field_texts(type(config))
    for field in fields_of(config):
        hint = field.type
        limits = [a for a in get_args(hint)[1:] if isinstance(a, Range)] if get_origin(hint) is Annotated else []
        help_ = tyro.conf.arg(metavar=str(limits[0]) if limits else None, help=texts.get(field.name), help_behavior_hint=_default)
        type(config).__annotations__[field.name] = field.type = Annotated[hint, help_]


_DESCRIBED = set[type]()
"""The types of settings that the help describes already."""


def _default(value: str) -> str:
    """How the help names a default that the parser writes as `value`.

    >>> _default("True"), _default("''"), _default("0.5")
    ('(default: on)', '(default: not set)', '(default: 0.5)')
    """
    words = {"True": "on", "False": "off", "None": "not set", "''": "not set", "": "none"}
    return f"(default: {words.get(value, value)})"


@functools.cache
def field_texts(kind: type) -> Mapping[str, str]:
    """The docstring of each field of a class, in one line; nothing if its source is not at hand."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError, SyntaxError):
        return {}
    texts = {}
    for field, text in itertools.pairwise(getattr(tree, "body", [])):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            texts[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return texts


def size(text: str) -> float:
    """`2GB`, `800MB` or `1.5 GiB` in bytes. Raises SettingError for anything else.

    >>> size("1.5GB")
    1500000000.0
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])(i?)B?\s*", text, re.IGNORECASE)
    if not match:
        raise SettingError(f"memory = {text!r} is not a size; write 2GB, 800MB or auto")
    return float(match[1]) * (1024 if match[3] else 1000) ** (1 + "KMGT".index(match[2].upper()))


def span(text: str) -> tuple[int, int]:
    """`2-5` as first and last; a number alone is both. Raises SettingError for anything else.

    >>> span("2-5"), span("3")
    ((2, 5), (3, 3))
    """
    match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", text)
    if not match:
        raise SettingError(f"layers = {text!r} is no range; write 0-3, or 5 for one of them")
    return int(match[1]), int(match[2] or match[1])


def names(config: object, prefix: str = "--") -> list[str]:
    """Every flag of a tree of settings."""
    flags = []
    for field in fields_of(config):
        flag, value = prefix + field.name.replace("_", "-"), getattr(config, field.name)
        flags += names(value, f"{flag}.") if dataclasses.is_dataclass(value) else [flag]
    return flags


def parsed(parse: Callable[[], Callable[[], None]], flags: Sequence[str]) -> Callable[[], None]:
    """The result of `parse`. The report of the parser about a mistake becomes one line, a SettingError; `flags` are those that exist."""
    report = io.StringIO()
    try:
        with contextlib.redirect_stderr(report):
            return parse()
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise SettingError(_mistake(_sections(report.getvalue()), flags)) from None


_KINDS = {
    "INT": "a whole number",
    "INT ...": "whole numbers",
    "[INT [INT ...]]": "whole numbers",
    "INT INT": "two whole numbers",
    "FLOAT": "a number",
    "FLOAT FLOAT": "two numbers",
    "STR STR": "two texts",
}
"""How an error names the value that an option takes, where the help has a word in capitals."""


def _sections(report: str) -> list[list[str]]:
    """The lines of each section of the report of the parser: a box of sections, with a title or in a frame."""
    lines = [line.strip("│ ") for line in report.splitlines() if not re.match("[╭╰]", line)]
    if "╭" not in report:  # no frame to hold the title: it stands alone
        lines = lines[2:]
    sections: list[list[str]] = [[]]
    for line in lines:
        if re.fullmatch("[─-]{3,}", line):
            sections.append([])
        else:
            sections[-1].append(line)
    return sections


def _mistake(sections: Sequence[Sequence[str]], flags: Sequence[str]) -> str:
    """The mistake and what is right, in one line, from the sections of the report of the parser."""
    first, *more = (" ".join(" ".join(section).split()) for section in sections)
    advice = " ".join(more)
    usage = next(iter(re.findall(r"sfumato[\w -]* --help", advice)), "--help")
    if match := re.match(r"Unrecognized options: ([^\s,]+)", first):
        return _unknown(match[1], flags, advice, usage)
    if match := re.match(r"Missing from (sfumato.*?): (.*)", first):
        names = re.findall(r"(?:^|\(required\) )(\{\S+\}|[^\s{]+)", match[2])
        return f"{match[1].removeprefix('sfumato ')} needs {' and '.join(names)}; `{usage}` tells more"
    if match := re.match(r"Missing value for argument '(?:-\w/)?(\S+)'", first):
        return f"{match[1]} needs a value; `{usage}` tells which"
    if match := re.match(r"invalid choice (.*) for argument '(\S+)'\. Expected one of \((.*?),?\)", first):
        return f"{match[2]} = {match[1]} is not allowed; give one of " + match[3].replace("'", "")
    if match := re.match(r"Error parsing (?:settings\S*: )?(?:-\w/)?(\S+): (.*?)(?: Got errors|$)", first):
        values = re.search(r"\[([^\[]*?)\]\.?$", match[2]) or re.search(r"('[^']*')$", match[2])
        if values:
            return f"{match[1]} = {values[1]} cannot be read; give {_allowed(sections) or 'what --help names'}"
    listed = re.search(r"Available subcommands: (.*?)$", more[0]) if more else None
    return first + (f"; there are {listed[1]}" if listed else "")


def _unknown(option: str, flags: Sequence[str], advice: str, usage: str) -> str:
    """The mistake of an option that does not exist, with the nearest one, or of a word where none is expected."""
    if not option.startswith("-"):
        if "--data" in flags:
            return f"the word {option!r} is one too many; if it is your images, write --data {option} (`{usage}` lists the options)"
        return f"the word {option!r} is one too many; leave it out, or put a pattern with spaces in quotes (`{usage}` lists the options)"
    leaves = {re.split(r"--|\.", flag)[-1]: flag for flag in reversed(flags)}
    near = [leaves[leaf] for leaf in difflib.get_close_matches(re.split(r"--|\.", option)[-1], leaves, n=1)]
    near = near or re.findall(r"Perhaps you meant: (?:-\w [\w ]*, )?(--\S+)", advice)
    return f"no option {option}{f' (did you mean {near[0]}?)' if near else ''}; --help lists them all"


def _allowed(sections: Sequence[Sequence[str]]) -> str:
    """The values of an option, from the section of the report that describes it; empty if there is none."""
    for title, *lines in sections[1:]:
        if title == "Argument helptext:" and lines:
            value = re.sub(r"^(?:-\w [^-]*, )?--\S+ ?", "", lines[0])
            pair = "two numbers, " if value not in _KINDS and re.search("INT INT|FLOAT FLOAT", " ".join(sections[0])) else ""
            return pair + _KINDS.get(value, value)
    return ""
