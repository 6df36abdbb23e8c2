"""Settings as flags of the command line: their ranges in the help, and one line for a mistake."""

import contextlib
import dataclasses
import difflib
import io
import re
from collections.abc import Callable, Sequence
from typing import Annotated, get_args, get_origin

import tyro

from sfumato.core.config import Range, fields_of
from sfumato.core.errors import SettingError


def tell_ranges(config: object) -> None:
    """Puts each setting's range into the help, where it is read: the one place where the limits are stated stays the setting's own type."""
    for field in fields_of(config):
        if dataclasses.is_dataclass(value := getattr(config, field.name)):
            tell_ranges(value)
        hint = field.type
        limits = [a for a in get_args(hint)[1:] if isinstance(a, Range)] if get_origin(hint) is Annotated else []
        if limits:
            type(config).__annotations__[field.name] = Annotated[hint, tyro.conf.arg(metavar=str(limits[0]))]
            field.type = type(config).__annotations__[field.name]


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
    """What `parse` gives. What the parser says of a mistake becomes one line, a SettingError; `flags` are those that there are."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return parse()
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise SettingError(_condensed(said.getvalue(), flags)) from None


def _condensed(message: str, flags: Sequence[str]) -> str:
    """The mistake, and what would be right, out of what the parser said: a box of sections, the first of them a title or a frame."""
    lines = [line.strip("│ ") for line in message.splitlines() if not re.match("[╭╰]", line)]
    rule = [bool(re.fullmatch("[─-]{3,}", line)) for line in lines]
    if "╭" not in message:  # no frame to hold the title: it stands alone
        lines, rule = lines[2:], rule[2:]
    sections = " ".join("\0" if ruled else line for line, ruled in zip(lines, rule, strict=True)).split("\0")
    mistake, *more = [" ".join(section.split()) for section in sections]
    mistake = re.sub(r"^Error parsing (settings\S*: )?", "", mistake)
    mistake = re.sub(r"invalid literal for int\(\) with base 10: (.*?)(?= \(|$)", r"\1 is no whole number", mistake)
    mistake = re.sub(r"could not convert string to float: (.*?)(?= \(|$)", r"\1 is no number", mistake)
    mistake = re.sub(r"Could not find valid parse for arguments: \[(.*?)\]", r"\1 cannot be read", mistake)
    mistake = re.sub(r"no type matching (.*) could be instantiated from \[(.*?)\]\. .*", r"\2 is not one of \1", mistake)
    if unknown := re.match(r"Unrecognized options: (--\S+?),? ", f"{mistake} "):
        leaves = {re.split(r"--|\.", flag)[-1]: flag for flag in reversed(flags)}
        near = [leaves[leaf] for leaf in difflib.get_close_matches(re.split(r"--|\.", unknown[1])[-1], leaves, n=1)]
        near = near or re.findall(r"Perhaps you meant: (--\S+)", " ".join(more))
        return f"no option {unknown[1]}{f' (did you mean {near[0]}?)' if near else ''}; --help lists them all"
    allowed = re.search(r"Argument helptext: (.*?)(?= [A-Z]|$)", " ".join(more))
    listed = re.search(r"Available subcommands: (.*?)$", more[0]) if more else None
    return mistake + (f" ({allowed[1]})" if allowed else "") + (f"; there are {listed[1]}" if listed else "")
