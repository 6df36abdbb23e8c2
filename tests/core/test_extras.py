"""Optional packages: the commands that install them are right beside a checkout and beside a wheel."""

import re
import tomllib
from pathlib import Path

from sfumato.core.extras import PACKAGES, install

ROOT = Path(__file__).parents[2]


LARGE = {"faiss-cpu", "gradio", "openvino", "ray[data]"}
"""Packages that are too large to be installed for tests alone; their tests are skipped without them."""


def wanted(requirement: str) -> str:
    return re.split("[<>=]", requirement)[0]


def test_each_package_is_in_an_extra_and_each_extra_is_named():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    packages = {package.strip('"') for packages in PACKAGES.values() for package in packages.split()}
    assert packages == {wanted(each) for name, requirements in extras.items() if name not in ("dev", "docs") for each in requirements}
    assert packages - LARGE <= {wanted(each) for each in extras["dev"]}


def test_no_other_file_says_how_a_package_is_installed():
    assert install("pyvips") == 'pip install "pyvips[binary]"'
    saying = {path.name for path in (ROOT / "sfumato").rglob("*.py") if "pip install" in path.read_text(encoding="utf-8")}
    assert saying == {"extras.py"}
