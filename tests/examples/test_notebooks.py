"""The notebooks are the programs of examples/: the same code in the same order, and as the generator writes them."""

import ast
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted((FOLDER / "notebooks").glob("*.ipynb"))


@pytest.fixture
def generator(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER.parent))
    from scripts import notebooks

    return notebooks


def code(notebook: Path) -> list[str]:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def test_every_program_has_a_notebook(generator):
    assert {path.stem for path in NOTEBOOKS} == {path.stem for path in generator.programs()}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_the_code_of_its_program_and_arguments(path):
    call, *cells = code(path)
    program = ast.parse((FOLDER / f"{path.stem}.py").read_text(encoding="utf-8"))
    del program.body[0]  # the docstring, which is the first cell
    assert ast.unparse(ast.parse("\n".join(cells))) == ast.unparse(program)
    assert ast.literal_eval(call.partition("sys.argv = ")[2].partition("  #")[0])[0] == f"{path.stem}.py"


def test_the_notebooks_are_as_they_would_be_written_now(generator):
    pytest.importorskip("jupytext", reason="notebooks are written by jupytext: the extra docs")
    for path in generator.programs():
        assert generator.notebook(path) == (generator.PLACE / f"{path.stem}.ipynb").read_text(encoding="utf-8"), (
            "run python -m scripts.notebooks"
        )


@pytest.mark.usefixtures("apart", "unchecked")
def test_a_notebook_runs_cell_by_cell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [])
    space = {"__name__": "__main__"}
    for cell in code(FOLDER / "notebooks" / "edit_and_drag.ipynb"):
        exec(compile(cell, "cell", "exec"), space)  # the notebooks are ours
    assert Path("dragged.png").stat().st_size > 0
