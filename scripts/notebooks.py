"""Writes a notebook of each program in examples/ into examples/notebooks/, with jupytext.

python -m scripts.notebooks

The first cell is the docstring of the program, the second its arguments, since a notebook has no command line; then follow the paragraphs
of the program. The code of the cells is that of the program, so that the tests of the programs are tests of the notebooks.
"""

import ast
import json
import re
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "examples"
PLACE = FOLDER / "notebooks"
WITHOUT = {"restore_onnx"}
"""Programs that are called as commands alone."""


def programs() -> list[Path]:
    """The programs that have a notebook."""
    return [path for path in sorted(FOLDER.glob("*.py")) if path.stem not in WITHOUT]


def cells(source: str) -> list[str]:
    """The paragraphs of a program: its imports, each function and class, and all between blank lines.

    >>> cells("'''Text.'''\\n\\nimport a\\nimport b\\n\\n\\ndef f():\\n    return 1\\n\\n\\ny = f()\\nz = y\\n\\nprint(z)\\n")
    ['import a\\nimport b', 'def f():\\n    return 1', 'y = f()\\nz = y', 'print(z)']
    """
    lines, nodes = source.splitlines(), ast.parse(source).body[1:]
    groups: list[list[int]] = []
    for node in nodes:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
        while first > 1 and lines[first - 2].startswith("#"):
            first -= 1
        imports = isinstance(node, ast.Import | ast.ImportFrom) and groups and lines[groups[-1][0] - 1].startswith(("import ", "from "))
        if groups and (imports or not any(not line.strip() for line in lines[groups[-1][1] : first - 1])):
            groups[-1][1] = node.end_lineno or first
        else:
            groups.append([first, node.end_lineno or first])
    return ["\n".join(lines[first - 1 : last]) for first, last in groups]


def percent(path: Path) -> str:
    """The notebook of a program in jupytext's percent format."""
    source = path.read_text(encoding="utf-8")
    text = ast.get_docstring(ast.parse(source)) or ""
    call = re.search(rf"^    python {path.name}(.*?)(?:\s+#.*)?$", text, re.M)
    words = call[1].split() if call else []
    title = f"# {path.stem.replace('_', ' ').capitalize()}\n\n" + re.sub(r"(?m)^    (.*)$", r"    \1", text)
    marked = "\n".join(f"# {line}".rstrip() for line in title.splitlines())
    call_cell = f"import sys\n\nsys.argv = {json.dumps([path.name, *words])}  # the arguments of the program: change them"
    return "\n\n".join([f"# %% [markdown]\n{marked}", *(f"# %%\n{cell}" for cell in [call_cell, *cells(source)])]) + "\n"


def notebook(path: Path) -> str:
    """The notebook of a program, as the text of its file: without outputs, and with numbered cells, so that it is always the same."""
    import jupytext

    content = jupytext.reads(percent(path), fmt="py:percent")
    for i, cell in enumerate(content.cells):
        cell["id"] = f"cell-{i}"
        cell["metadata"] = {}
    content.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    content.nbformat, content.nbformat_minor = 4, 5
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    PLACE.mkdir(exist_ok=True)
    for path in programs():
        (PLACE / f"{path.stem}.ipynb").write_text(notebook(path), encoding="utf-8")


if __name__ == "__main__":
    main()
