"""No function has more than 40 lines of code and no file more than 400 lines: a reader holds one idea at a time."""

import ast
from pathlib import Path

import pytest

import sfumato

ROOT = Path(sfumato.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MOST_LINES_OF_FILE, MOST_LINES_OF_FUNCTION = 400, 40

THE_LOOP = "train/loop.py::_train"
"""The one function that tells the whole story of a training, from top to bottom."""

STILL_LONGER = set[str]()
"""Functions that wait to be split. The list only shrinks: a function that became short enough must leave it."""


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
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
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lengths[node.name] = max(lengths.get(node.name, 0), code_lines(node, source.splitlines()))
    return lengths


def test_lines_are_counted_without_docstring_comments_and_empty_lines():
    source = 'def f(\n    x,\n):\n    """One.\n\n    Two.\n    """\n    # why\n\n    def g():\n        return x\n\n    return g\n'
    assert functions(source) == {"f": 6, "g": 2}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_length(path):
    source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
    assert len(source.splitlines()) <= MOST_LINES_OF_FILE, "split the file by idea"
    allowed = STILL_LONGER | {THE_LOOP}
    longer = {f"{name}::{function}": length for function, length in functions(source).items() if length > MOST_LINES_OF_FUNCTION}
    assert set(longer) <= allowed, f"split the function, or make it say less: {longer}"
    assert {each for each in allowed if each.startswith(f"{name}::")} <= set(longer), "is short enough by now: take it off the list"
