"""The type checker catches a misspelt setting, wherever settings are made or read."""

import ast
import dataclasses
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import sfumato

PACKAGE = Path(sfumato.__file__).parent
SNIPPET = """
from sfumato.core.config import settings
from sfumato.models import MODELS, dncnn
from sfumato.recipes import recipe
from sfumato.restoration.restore import restore
from sfumato.store.weights import load
from sfumato.train.settings import TrainSettings


@settings
class Own:
    id = "own"
    width: int = 3


own = Own(width=4)
Own(widht=4)  # misspelt
own.widht  # misspelt
own.width = 5  # frozen
dncnn.Config(depht=3)  # misspelt
run = recipe("vae")
run.imagse  # misspelt
run.model.build()
run.model.widht  # misspelt
run.objective.role()
run.objective.wieght  # misspelt
run.degrade.lniks  # misspelt
TrainSettings(model=run.model, objective=run.objective, imagse=10)  # misspelt
TrainSettings(model=3, objective=run.objective)  # no settings of a network
TrainSettings(model=dncnn.Config(), objective=dncnn.Config())  # no objective
MODELS["dncnn"](depth=3).build()
MODELS["dncnn"]().biuld()  # misspelt
restore("photo.png", strength=0.5).plans
restore("photo.png", strenght=0.5)  # misspelt
model = load("digits")
model.card.licence
model.card.license  # misspelt
model.latent_dim  # of the network
"""
WRONG = [number for number, line in enumerate(SNIPPET.splitlines()) if "#" in line]


@pytest.mark.slow
def test_the_type_checker_refuses_a_misspelt_setting(tmp_path):
    pytest.importorskip("basedpyright", reason="the type checker is not installed")
    (tmp_path / "snippet.py").write_text(SNIPPET)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "standard", "extraPaths": [str(PACKAGE.parent)]}))
    command = [sys.executable, "-m", "basedpyright", "--level", "error", "--outputjson", "snippet.py"]
    said = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout)
    assert sorted(each["range"]["start"]["line"] for each in said["generalDiagnostics"]) == WRONG


def fields():
    """The names of the fields of every dataclass in the package."""
    modules = [
        importlib.import_module(each.name) for each in pkgutil.walk_packages([str(PACKAGE)], "sfumato.") if "__main__" not in each.name
    ]
    kinds = [value for module in modules for value in vars(module).values() if isinstance(value, type) and dataclasses.is_dataclass(value)]
    return {field.name for kind in kinds for field in dataclasses.fields(kind)}


def test_what_is_replaced_is_a_field():
    """The type checker does not look into `dataclasses.replace`."""
    known, unknown = fields(), []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("dataclasses.replace", "replace"):
                names = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
                unknown += [f"{path.relative_to(PACKAGE)}:{node.lineno}: {name}" for name in names if name not in known]
    assert not unknown
