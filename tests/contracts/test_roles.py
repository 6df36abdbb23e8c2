"""Roles are asked, not guessed: the kind of a network decides in two places, and nowhere else by its class."""

import ast
from pathlib import Path

import sfumato

ROOT = Path(sfumato.__file__).parent
DISPATCH = {"models/roles/base.py", "evaluation/features.py", "evaluation/roles.py"}
"""The layers of a network or of any module; how each kind of network is measured."""


def lines_of_tests(path):
    """The lines of a file in which an object is tested for being of a role."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sfumato.models.roles")
    ]
    roles = {each.name for node in imports for each in node.names if each.name[0].isupper()}
    if path.parent.name == "roles":
        roles |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    tests = [call for call in calls if call.func.id in ("isinstance", "issubclass")]
    return [call.lineno for call in tests if roles & {name.id for name in ast.walk(call.args[1]) if isinstance(name, ast.Name)}]


def test_the_class_of_a_network_decides_in_the_listed_files_alone():
    lines = {str(path.relative_to(ROOT)): lines_of_tests(path) for path in ROOT.rglob("*.py")}
    assert {path for path, each in lines.items() if each} == DISPATCH, {path: each for path, each in lines.items() if each}


def test_objectives_are_not_asked_for_what_they_may_lack():
    """Every hook has a default, so that training never looks whether an objective has it."""
    for path in [*(ROOT / "train").glob("*.py"), *(ROOT / "objectives").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
                owner = ast.unparse(node.args[0])
                assert not owner.endswith("objective"), f"{path.name}:{node.lineno}: {ast.unparse(node)}"
