"""The pages of reference of the site, written out of the code: verbs, recipes, settings with their ranges, public names.

`pages()` returns them; nothing is written into the repository, so that no page can be out of step. `scripts/documentation.py` adds them to
the site.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import sfumato as sf
from scripts.completions import help_of
from sfumato.cli.verbs import about, verbs
from sfumato.core.config import Range, fields_of
from sfumato.core.registry import FAMILIES
from sfumato.recipes import RECIPES, recipe, summary

WIDTH = 80
"""Columns of the terminal whose help is shown."""

KINDS = {
    "models": "Networks",
    "objectives": "Objectives",
    "degradations": "Degradations",
    "train": "A training",
    "data": "Augmentation",
}
"""Headings of the settings by the room of their source file."""

ROOMS = {
    "generation": "Generate",
    "editing": "Edit",
    "editing.directions": "Directions",
    "dreaming": "Dream",
    "restoration": "Restore",
    "analysis": "Examine pictures",
    "compression": "Compress",
    "embeddings": "Search and group",
    "evaluation": "Measure",
    "evaluation.augmentation": "Augmentation with a verdict",
    "tuning": "Tune",
    "metrics": "Figures and protocols",
    "train": "Train",
    "recipes": "Recipes",
    "objectives": "Objectives",
    "degradations": "Degradations",
    "models": "Networks",
    "store": "Models",
    "data": "Data",
    "io": "Pictures",
    "batch": "Many pictures",
    "core": "Settings and errors",
    "demonstration": "Demonstration",
    "service": "Service",
}
"""Titles of the pages of public names by the room, or the file, in which the names are defined."""


def pages() -> dict[str, str]:
    """Every page, as Markdown, by its path inside the documentation."""
    return {**_commands(), **_recipes(), **_settings(), **_names()}


def _commands() -> dict[str, str]:
    rows = "\n".join(f"| [`{name}`](commands/{name}.md) | {_cell(about(name))} |" for name in verbs)
    index = f"# Command line\n\nThe help of each verb, as `sfumato VERB --help` prints it.\n\n| verb | use |\n|---|---|\n{rows}\n"
    return {"reference/commands.md": index} | {f"reference/commands/{name}.md": _command(name) for name in verbs}


def _command(name: str) -> str:
    return f"# sfumato {name}\n\n{about(name)}\n\n```text\n{help_of(name, columns=WIDTH).strip()}\n```\n"


def _recipes() -> dict[str, str]:
    rows = "\n".join(f"| `{name}` | {_cell(summary(name))} | {_parts(name)} |" for name in RECIPES)
    return {
        "reference/recipes.md": "# Recipes\n\nA recipe is a complete training by name: `sfumato train RECIPE`. "
        "`sfumato train RECIPE --help` lists its settings with their values.\n\n"
        f"| recipe | what it trains | network, objective |\n|---|---|---|\n{rows}\n"
    }


def _parts(name: str) -> str:
    parts = recipe(name)
    return ", ".join(f"[`{type(part).id}`](settings/{type(part).id}.md)" for part in (parts.model, parts.objective))


def _settings() -> dict[str, str]:
    """A page of the settings of each family, and a list of them."""
    families = {name: FAMILIES.find(name) for name in FAMILIES if FAMILIES.find(name).__module__.startswith("sfumato.")}
    pages, lists = {}, dict[str, list[str]]()
    for name, family in sorted(families.items()):
        pages[f"reference/settings/{name}.md"] = settings_page(family)
        room = family.__module__.split(".")[1]
        lists.setdefault(room, []).append(f"| [`{name}`](settings/{name}.md) | {_cell(_summary(family))} |")
    parts = [f"## {title}\n\n| id | what it is |\n|---|---|\n" + "\n".join(lists[room]) + "\n" for room, title in KINDS.items()]
    about_all = "Every setting of every family, with its range and its default value. On the command line a setting of the network is\n"
    about_all += "`--model.NAME`, of the objective `--objective.NAME`, of the degradation `--degrade.NAME`, of the training `--NAME`."
    return {"reference/settings.md": f"# Settings\n\n{about_all}\n\n" + "\n".join(parts)} | pages


def settings_page(family: type) -> str:
    """The settings of one family, as Markdown: a line for each, with type or choices, range, default value and meaning."""
    hints, texts = get_type_hints(family, include_extras=True), field_texts(family)
    rows = [
        f"| `{field.name}` | {_cell(allowed(hints[field.name]))} | {_cell(_default(field))} | {_cell(texts.get(field.name, ''))} |"
        for field in fields_of(family)
    ]
    table = "| setting | values | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) if rows else "There are no settings."
    return f"# `{family.id}`\n\n{_summary(family)}\n\nSource file: `{family.__module__.replace('.', '/')}.py`.\n\n{table}\n"


def _summary(family: type) -> str:
    """The first sentence of the module of a family."""
    module = inspect.getdoc(inspect.getmodule(family)) or ""
    return " ".join(module.partition("\n\n")[0].split())


def field_texts(family: type) -> dict[str, str]:
    """The text below each field of a class and of its bases, by the field's name."""
    texts: dict[str, str] = {}
    for base in reversed(family.__mro__):
        if base.__module__.startswith("sfumato."):
            texts |= dict(_texts_below(ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]))
    return texts


def _texts_below(tree: ast.stmt) -> Iterator[tuple[str, str]]:
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    for field, below in pairwise(body):
        named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if named and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield field.target.id, " ".join(str(below.value.value).split())


def allowed(hint: object) -> str:
    """The values of a setting for people, out of its type.

    >>> allowed(Annotated[int, Range(1, 8, "pixels")] | None), allowed(Literal["max", "average"]), allowed(bool)
    ('1 to 8 pixels, or None', '`max`, `average`', 'true or false')
    """
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        limits = [str(extra) for extra in extras if isinstance(extra, Range)]
        several = _count(inner)
        optional = ", or None" if type(None) in get_args(inner) else ""
        return (several + limits[0] if limits else allowed(inner)) + optional if limits else allowed(inner)
    if get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(hint))
    if get_origin(hint) in (Union, type(int | str)):
        return ", or ".join(allowed(each) for each in get_args(hint))
    if get_origin(hint) is tuple:
        return _count(hint) + allowed(get_args(hint)[0])
    plain = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "None"}
    return plain.get(hint, "settings of their own") if isinstance(hint, type) else "settings of their own"


def _count(hint: object) -> str:
    """How many values a tuple has, as words before what they are; nothing for one value."""
    tuples = [each for each in (hint, *get_args(hint)) if get_origin(each) is tuple]
    inner = get_args(tuples[0]) if tuples else ()
    return "" if not inner else "any number of: " if Ellipsis in inner else f"{len(inner)} values: "


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is dataclasses.MISSING:
        return "given by the recipe" if field.default_factory is dataclasses.MISSING else "as below"
    if dataclasses.is_dataclass(field.default):
        name = getattr(type(field.default), "id", "")
        return f"[`{name}`]({name}.md)" if name else "settings of their own"
    return f"`{field.default!r}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _names() -> dict[str, str]:
    """A page of public names for each room, and a list of all names."""
    rooms: dict[str, list[str]] = {}
    for name in sorted(sf.__all__, key=str.lower):
        home = sf._HOMES[name].partition(":")[0]
        rooms.setdefault(home if home in ROOMS else home.partition(".")[0], []).append(name)
    pages, rows = {}, []
    for room, title in ROOMS.items():
        pages[f"reference/python/{room}.md"] = f"# {title}\n\n" + "\n".join(map(name_entry, rooms[room]))
        links = ", ".join(f"[`{name}`](python/{room}.md#sf{name.lower()})" for name in rooms[room])
        rows.append(f"| [{title}](python/{room}.md) | {links} |")
    index = (
        "# Every name in Python\n\nEvery name of `import sfumato as sf`, from its docstring. [The Python API](../python-api.md) has an\n"
    )
    index += "example of each.\n\n| task | names |\n|---|---|\n" + "\n".join(rows) + "\n"
    return {"reference/python.md": index} | pages


def name_entry(name: str) -> str:
    """One public name: its signature and its docstring, as Markdown; of a class also its fields and methods."""
    value = getattr(sf, name)
    parts = [f"## sf.{name}\n"]
    if inspect.isroutine(inspect.unwrap(value)):
        parts += [f"```python\n{signature(value, name)}\n```\n", docstring(value)]
    elif inspect.isclass(value):
        parts += [docstring(value) or _summary(value) + "\n", *_members(value)]
    else:
        parts.append(_constant(name))
    return "\n".join(part for part in parts if part)


def _constant(name: str) -> str:
    plain = {"MODELS": "networks", "OBJECTIVES": "objectives", "DEGRADATIONS": "degradations"}
    if name in plain:
        return f"The {plain[name]} by their ids; each is a class of [settings](../settings.md).\n"
    return "A name for annotations: see [pictures in](../../python-pictures.md#pictures-in).\n"


def signature(function: Callable[..., object], name: str) -> str:
    """The signature of a function as its source writes it, a parameter a line where it is long."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    back = f" -> {ast.unparse(tree.returns)}" if tree.returns else ""
    parts = _arguments(tree.args)
    line = f"sf.{name}({', '.join(parts)}){back}"
    return line if len(line) <= 100 else f"sf.{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){back}"


def _arguments(arguments: ast.arguments) -> list[str]:
    """Each parameter as the source writes it, without `self`."""
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    parts = [_argument(each, default) for each, default in zip(plain, defaults, strict=True) if each.arg not in ("self", "cls")]
    if arguments.vararg:
        parts.append(f"*{_argument(arguments.vararg, None)}")
    elif arguments.kwonlyargs:
        parts.append("*")
    parts += [_argument(each, default) for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return parts + ([f"**{_argument(arguments.kwarg, None)}"] if arguments.kwarg else [])


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    return argument.arg + kind + (f" = {ast.unparse(default)}" if default is not None else "")


def docstring(value: object) -> str:
    """The docstring of a function or class as Markdown, with examples in blocks; empty if it has none of its own."""
    text = inspect.getdoc(inspect.unwrap(value)) if callable(value) else ""
    if not text or (inspect.isclass(value) and text.startswith(f"{value.__name__}(")):
        return ""
    text = re.sub(r"(?m)^(Args|Returns|Raises):\n", r"**\1**\n\n", text)
    text = re.sub(r"(?m)^    (\w+): ", r"* `\1`: ", text)
    return re.sub(r"(?m)((?:^>>> .*\n?(?:^(?!\n|$).*\n?)*)+)", lambda m: f"```pycon\n{m[1].rstrip()}\n```\n", text + "\n")


def _members(kind: type) -> Iterator[str]:
    """The fields and the methods of a class that are for callers."""
    texts = field_texts(kind)
    if dataclasses.is_dataclass(kind) and texts:
        hints = {field.name: field.type if isinstance(field.type, str) else _plain(field.type) for field in dataclasses.fields(kind)}
        rows = [f"| `{name}` | {_cell(f'`{hints[name]}`')} | {_cell(text)} |" for name, text in texts.items() if name in hints]
        yield "| field | type | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    for name, method in vars(kind).items():
        function = method.fget if isinstance(method, property) else getattr(method, "__func__", method)
        if name.startswith("_") or not inspect.isfunction(function) or not inspect.getdoc(function):
            continue
        shown = name if isinstance(method, property) else signature(function, name).removeprefix("sf.")
        text = textwrap.indent(docstring(function), "    ").strip()
        yield f"`{' '.join(shown.split())}`\n:   {text}\n"


def _plain(hint: object) -> str:
    """A type for people: without its module, and without the range in it."""
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) in (Union, type(int | str)):
        return " | ".join(_plain(each) for each in get_args(hint))
    if hint is type(None):
        return "None"
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else re.sub(r"\b(?:\w+\.)+", "", str(hint))
