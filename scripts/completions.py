"""Writes the table from which the shells complete, sfumato/cli/shell/options.json, out of the help of every command.

python -m scripts.completions

    verbs      verb: its options, and its positionals as the help names them
    recipes    recipe: one line about it, and where its options stand among the settings
    settings   the options of recipes; recipes with the same options share them
    networks   names of networks that others published
    data       names of data sets

The values of an option are nothing for a switch, `a|b` for a choice, else a word in capitals; ` ...` is behind values that may repeat.
"""

import contextlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any
from unittest import mock

from sfumato.cli import main as sfumato
from sfumato.cli.completion import SEVERAL, SHELL
from sfumato.cli.verbs import verbs
from sfumato.data import scenes
from sfumato.recipes import RECIPES, summary
from sfumato.store import public

PAGE = SHELL / "options.json"


def help_of(*command: str, columns: int = 1000) -> str:
    """The help of a command, in a terminal of so many columns; by default in lines so long that none is broken."""
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # boxes are drawn in UTF-8 alone
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit), mock.patch.dict(os.environ, COLUMNS=str(columns)):
        sfumato([*command, "--help"])
    said.seek(0)
    return said.read()


def options(text: str) -> dict[str, str]:
    """The options that a help names, with the values of each.

    An option stands one letter behind the border of its box; its description follows after two spaces, or in lines that stand further in.
    """
    cells = [cell.strip() for line in text.splitlines() for cell in line.split("│") if re.match(" -{1,2}[a-z]", cell)]
    found: dict[str, str] = {}
    for cell in cells:
        for option in re.split(r", (?=-)", cell.split("  ")[0]):
            name, _, metavar = option.partition(" ")
            found[name] = values(metavar)
    return dict(sorted(found.items()))  # the boxes stand in columns, as many as there is room for


def values(metavar: str) -> str:
    """The values of an option out of what its help writes behind its name.

    >>> values("{None}|PATH"), values("INT ..."), values("[{noise,observed} [{noise,observed} ...]]"), values("1 to 8 pixels"), values("")
    ('PATH', 'INT ...', 'noise|observed ...', 'NUMBER', '')
    """
    several = SEVERAL if "..." in metavar else ""
    choices = [group for group in re.findall(r"\{([^{}]*)\}", metavar) if group != "None"]
    if choices:
        return choices[0].replace(",", "|") + several
    plain = metavar.replace("{None}|", "").removesuffix(SEVERAL)
    if re.fullmatch(r"[a-z]+(\|[a-z]+)+", plain) or plain in ("", "PATH", "STR", "INT", "FLOAT"):
        return plain + several
    return ("STR" if "STR" in plain else "NUMBER") + several


def positionals(text: str) -> list[str]:
    """The positionals that the usage of a help names."""
    usage = re.sub(r"usage: sfumato \S+|\[[^\[\]]*\]", "", " ".join(text.partition("\n\n")[0].split()))
    return [values(name) if name.startswith("{") else name for name in re.findall(r"\S+(?: \.\.\.)?", usage)]


def table() -> dict[str, Any]:
    """The whole table."""
    by_recipe = {name: options(help_of("train", name)) for name in RECIPES}
    settings = [each for i, each in enumerate(by_recipe.values()) if each not in list(by_recipe.values())[:i]]
    helps = {verb: help_of(verb) for verb in verbs}
    return {
        "verbs": {verb: {"options": options(text), "positionals": positionals(text)} for verb, text in helps.items()},
        "recipes": {name: {"about": summary(name), "settings": settings.index(each)} for name, each in by_recipe.items()},
        "settings": settings,
        "networks": list(public.NAMES),
        "data": list(scenes.SCENE_NAMES),
    }


def text() -> str:
    """The page that holds the table, with a line for each option."""
    return json.dumps(table(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    Path(PAGE).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
