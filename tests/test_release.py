"""The wheel and the sdist: what is in them, how large they are, and that each works in a fresh environment of every Python at hand.

Run by scripts/release_check alone: building and installing take minutes and need a package index.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif("SFUMATO_RELEASE" not in os.environ, reason="takes minutes: scripts/release_check"),
    pytest.mark.timeout(1800),
]

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LARGEST = 60e6
"""Bytes of the wheel, with all weights in it."""
CPU = "https://download.pytorch.org/whl/cpu"
SMOKE = """
import importlib.metadata, sfumato as sf
assert importlib.metadata.version("sfumato") == sf.__version__, sf.__version__
assert len(sf.bundled()) >= 14, sf.bundled()
images = sf.generate("digits", n=2, seed=0)
assert images.shape == (2, 1, 28, 28)
assert sf.restore(images, task="denoise").shape == images.shape
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, without this checkout on the path of Python."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(list(map(str, command)), cwd=cwd, env=clean | environment, capture_output=True, text=True, check=False)


def pythons() -> list[str]:
    """The Pythons of the versions in the classifiers that start."""
    versions = re.findall(r":: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    found = []
    for version in versions:
        places = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
        if here := next((str(place) for place in places if place and run(place, "-c", "import venv, ssl", cwd=ROOT).returncode == 0), None):
            found.append(here)
    return found


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> dict[str, Path]:
    """The wheel and the sdist of this tree: the sdist is built from the tree, and the wheel from the sdist."""
    place = tmp_path_factory.mktemp("dist")
    assert run(sys.executable, "-m", "venv", place / "venv", cwd=place).returncode == 0
    python = place / "venv" / "bin" / "python"
    builder = run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", "hatchling", cwd=place)
    if builder.returncode:
        pytest.skip(f"no hatchling, with which the package is built: {builder.stderr.strip().splitlines()[-1]}")
    made = run(python, "-m", "hatchling", "build", "-t", "sdist", "-d", place, cwd=ROOT)
    assert made.returncode == 0, made.stderr
    (sdist,) = place.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(place / "tree", filter="data")
    (tree,) = (place / "tree").iterdir()
    made = run(python, "-m", "hatchling", "build", "-t", "wheel", "-d", place, cwd=tree)
    assert made.returncode == 0, made.stderr
    (wheel,) = place.glob("*.whl")
    return {"sdist": sdist, "wheel": wheel}


def test_the_wheel_has_all_weights_and_is_small(built):
    size = built["wheel"].stat().st_size
    with zipfile.ZipFile(built["wheel"]) as archive:
        names = set(archive.namelist())
    sys.stdout.write(f"\nwheel {size / 1e6:.1f} MB, sdist {built['sdist'].stat().st_size / 1e6:.1f} MB\n")
    assert size < LARGEST
    tracked = run("git", "ls-files", "sfumato", cwd=ROOT).stdout.splitlines()
    assert {name for name in tracked if name} <= names
    assert sum(name.endswith(".safetensors") for name in names) >= 14
    assert not {name for name in names if name.startswith(("tests/", "docs/", "benchmarks/", "scripts/"))}
    assert f"sfumato-{PROJECT['version']}.dist-info/licenses/LICENSE" in names


def test_the_sdist_has_what_a_reader_needs(built):
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CITATION.cff", "SECURITY.md", "constraints.txt", "pyproject.toml"} <= names


@pytest.mark.parametrize("python", pythons() if "SFUMATO_RELEASE" in os.environ else [])
def test_the_wheel_works_in_a_fresh_environment(python, built, tmp_path):
    assert run(python, "-m", "venv", tmp_path / "venv", cwd=tmp_path).returncode == 0
    here = tmp_path / "venv" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    torch = run(
        here,
        "-m",
        "pip",
        "install",
        "-q",
        "--index-url",
        CPU,
        "--extra-index-url",
        "https://pypi.org/simple",
        "-c",
        constraints,
        "torch",
        cwd=tmp_path,
    )
    if torch.returncode:
        pytest.skip(f"no PyTorch for {python}: {torch.stderr.strip().splitlines()[-1]}")
    show = ("-c", "import torch; print(torch.__version__)")
    version = run(here, *show, cwd=tmp_path).stdout  # of the index for the processor, if it has a build for this Python
    installed = run(here, "-m", "pip", "install", "-q", "-c", constraints, built["wheel"], cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    assert run(here, *show, cwd=tmp_path).stdout == version, "the wheel brings no other PyTorch"
    for command in (["-c", SMOKE], ["-m", "sfumato", "--help"], ["-m", "sfumato", "models"]):
        done = run(here, *command, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
