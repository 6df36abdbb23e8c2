"""No catch-all word names a value, and in some rooms no function is longer than a page, its docstring counted (else see test_length.py)."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent.parent / "sfumato"
CATCH_ALL = {"seen", "found", "known", "made", "told", "what", "how"}
LONGEST = 40
FILES = sorted(PACKAGE.rglob("*.py"))
SHORT = [
    PACKAGE / "__init__.py",
    *(PACKAGE / name for name in ("io/fitting.py", "io/inputs.py", "io/results.py", "restoration/result.py", "cli/streams.py")),
    *sorted((PACKAGE / "generation").glob("*.py")),
    *sorted((PACKAGE / "editing").glob("*.py")),
    PACKAGE / "evaluation/report.py",
]
"""Files in which functions are at most LONGEST lines long with their docstrings."""
EARLIER = {
    ("editing/directions.py", "how"),
    ("batch/manifest.py", "made"),
    ("train/schedule.py", "seen"),
    ("train/stored.py", "seen"),
}
"""Attributes of earlier versions, which warn, and keys of files, which keep their names."""


def bound(tree):
    """Every name that a file gives to an argument, a variable, an attribute, a field or a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_names_say_what_they_hold(path):
    names = set(bound(ast.parse(path.read_text(encoding="utf-8")))) & CATCH_ALL
    allowed = {name for file, name in EARLIER if file == path.relative_to(PACKAGE).as_posix()}
    assert names <= allowed


@pytest.mark.parametrize("path", SHORT, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_fit_on_a_page(path):
    functions = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)]
    assert {node.name: length for node in functions if (length := node.end_lineno - node.lineno + 1) > LONGEST} == {}
