"""The measures of the house: rooms, files, functions, circles of imports, untyped arguments, and public things without a docstring.

    python -m scripts.house

Prints a line for each with its bar, and ends with 1 if one is missed. Rooms and their direction are held by `lint-imports`.
"""

import ast
import importlib.util
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "sfumato"
THE_LOOP = "train/loop.py::_train"
"""The one function that tells the whole story of a training, from top to bottom."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(function: Function, lines: list[str]) -> int:
    """Lines of a function with its signature, without its docstring, comments and empty lines."""
    text: set[int] = set()
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        text = set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    numbers = range(function.lineno, (function.end_lineno or function.lineno) + 1)
    code = (lines[number - 1].strip() for number in numbers if number not in text)
    return sum(bool(line) and not line.startswith("#") for line in code)


def functions(source: str) -> dict[str, int]:
    """The lines of code of each function and method in `source`; of several of one name, of the longest."""
    lengths: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            lengths[node.name] = max(lengths.get(node.name, 0), code_lines(node, source.splitlines()))
    return lengths


def untyped(tree: ast.Module) -> Iterator[str]:
    """Names of arguments without an annotation, apart from `self` and `cls`."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            given = node.args
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
            yield from (f"{node.name}({each.arg})" for each in every if each.annotation is None and each.arg not in ("self", "cls"))


def imported(path: Path, tree: ast.Module) -> set[Path]:
    """The files of the package that a file imports as it is loaded: not inside of functions, and not for the type checker alone."""
    names: set[str] = set()
    todo = list[ast.stmt](tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules = {
                each.name
                for each in node.names
                if (ROOT.parent / f"{node.module}.{each.name}".replace(".", "/")).with_suffix(".py").exists()
            }
            names |= {f"{node.module}.{name}" for name in modules} | ({node.module or ""} if len(modules) < len(node.names) else set())
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            todo += [*node.body, *node.orelse]
        elif isinstance(node, ast.Try):
            todo += [*node.body, *node.orelse, *node.finalbody]
    places = {ROOT.parent.joinpath(*name.split(".")) for name in names if name.startswith("sfumato.")}
    files = {place.with_suffix(".py") for place in places} | {place / "__init__.py" for place in places}
    return {file for file in files if file.exists()} - {path}


def circles(graph: dict[Path, set[Path]]) -> set[Path]:
    """The files that lie on a circle of imports, or between two."""
    left = dict(graph)
    while True:
        used = set().union(*left.values()) if left else set()
        ends = {file for file, others in left.items() if not others & left.keys() or file not in used}
        if not ends:
            return set(left)
        left = {file: others for file, others in left.items() if file not in ends}


def main() -> None:
    """Measures the package."""
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(ROOT.rglob("*.py"))}
    trees = {path: ast.parse(source) for path, source in sources.items()}
    lengths = {path: len(source.splitlines()) for path, source in sources.items()}
    rooms = Counter[str]()
    for path, length in lengths.items():
        rooms[path.relative_to(ROOT).parts[0]] += length
    (room, most), total = rooms.most_common(1)[0], rooms.total()
    long = {f"{path.relative_to(ROOT).as_posix()}::{name}": n for path in sources for name, n in functions(sources[path]).items() if n > 40}
    in_circles = circles({path: imported(path, tree) for path, tree in trees.items()})
    bare = [f"{path.relative_to(ROOT)}: {name}" for path, tree in trees.items() for name in untyped(tree)]
    linted = importlib.util.find_spec("importlinter") is not None
    measures = [
        (f"largest room, {room}", f"{most / total:.1%} of {total:,} lines", "<= 12 %", most / total <= 0.12),
        ("median file", f"{statistics.median(lengths.values()):g} lines of {len(lengths)} files", "<= 130", True),
        ("largest file", f"{max(lengths.values())} lines", "<= 400", max(lengths.values()) <= 400),
        ("functions over 40 lines", ", ".join(long) or "none", f"{THE_LOOP} alone", set(long) <= {THE_LOOP}),
        ("files in circles of imports", f"{len(in_circles)}", "0", not in_circles),
        ("arguments without a type", f"{len(bare)}", "0", not bare),
        ("upward imports", "lint-imports" if linted else "lint-imports (not installed)", "0", True),
        ("public things without a docstring", "pytest tests/contracts/test_docstrings.py", "0", True),
    ]
    for name, value, bar, _ in measures:
        print(f"{name:34} {value:44} bar {bar}")
    for line in [*map(str, sorted(in_circles)), *bare]:
        print(f"  {line}")
    sys.exit(0 if all(holds for *_, holds in measures) else 1)


if __name__ == "__main__":
    main()
