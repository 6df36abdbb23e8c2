"""The plug-ins of CONTRIBUTING.md in a folder of a person, with a fresh installation: trained, killed, continued, loaded and used.

    python -m scripts.fresh_plugins
    python -m scripts.fresh_plugins --torch torch==2.13.0 --keep /tmp/fresh

The environment has no packages of the system. The first lines of the README install PyTorch and Sfumato; `--torch` gives other words to
the first `pip install`, for machines that do not reach PyTorch's own index. Every command runs in a process of its own, as a person types
it; the first that does not end as it should ends the program with its output.
"""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRAIN = "sfumato train linear-letters --data images --images 8000 --batch 8 --save-every 400 --device cpu --out"
RESTORER = "--model.width 8 --model.encoder 1 --model.middle 0 --model.decoder 1 --patch 8 --precision fp32"
IMAGES = """
import numpy, pathlib, PIL.Image
pathlib.Path("images").mkdir()
for i in range(16):
    pixels = numpy.random.default_rng(i).integers(256, size=(8, 8), dtype=numpy.uint8)
    PIL.Image.fromarray(pixels).save(f"images/{i}.png")
"""
EQUAL = """
import torch, safetensors.torch
one, other = (safetensors.torch.load_file(f"{run}/model.safetensors") for run in ("run", "whole"))
assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in other)
"""
SECONDS = 600
"""Longest wait for the first model of a training."""


def modules(page: Path, folder: Path) -> list[str]:
    """Writes the Python blocks of a page that register something as the modules that the page calls them, and returns their names."""
    text = page.read_text(encoding="utf-8")
    examples = re.findall(r"`(\w+)\.py`[^`]*(?:`[^`\n]+`[^`]*)*```python\n(.*?)^```", text, re.M | re.S)
    for name, code in examples:
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    assert examples, f"{page} has no example"
    return [name for name, _ in examples]


class Person:
    """Somebody at a terminal in `folder`, whose `place` has the environment."""

    def __init__(self, folder: Path, place: Path) -> None:
        self.folder, self._bin = folder, place / ("Scripts" if os.name == "nt" else "bin")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SFUMATO", "PYTHON", "VIRTUAL"))}
        self.environment = {**kept, "HOME": str(folder), "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}"}

    def start(self, command: str) -> subprocess.Popen[str]:
        """The process of a command, whose output is kept."""
        print(f"$ {command if len(command) < 200 else command.split(maxsplit=1)[0]}", flush=True)
        words = shlex.split(command)
        program = str(self._bin / words[0])
        return subprocess.Popen(
            [program, *words[1:]], cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, command: str) -> str:
        """The output of a command. Exits if the command fails."""
        process = self.start(command)
        output, _ = process.communicate()
        if process.returncode:
            sys.exit(f"{output}\nended with {process.returncode}")
        return output

    def kill_training(self, command: str, model: Path) -> None:
        """Starts a training, and kills its process without a warning as soon as the file `model` is there."""
        process, began = self.start(command), time.monotonic()
        while not model.exists() and process.poll() is None and time.monotonic() - began < SECONDS:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        if process.returncode != -signal.SIGKILL:
            sys.exit(f"{output}\nended with {process.returncode} before it could be killed")
        print("  killed", flush=True)


def install(person: Person, torch: str) -> None:
    """Installs PyTorch by the words `torch`, and this checkout, as the README says."""
    person.run(f"python -m pip install -q {torch}")
    person.run(f"python -m pip install -q -c {shlex.quote(str(ROOT / 'constraints.txt'))} -e {shlex.quote(str(ROOT))}")


def use(person: Person) -> None:
    """Trains with the examples, kills and continues the training, and uses the models."""
    names = modules(ROOT / "CONTRIBUTING.md", person.folder)
    person.environment |= {"SFUMATO_PLUGINS": ",".join(names), "PYTHONPATH": str(person.folder)}
    print(f"SFUMATO_PLUGINS={','.join(names)}")
    person.run(f"python -c {shlex.quote(IMAGES)}")
    person.kill_training(f"{TRAIN} run", person.folder / "run" / "model.safetensors")
    person.run(f"{TRAIN} run")
    person.run(f"{TRAIN} whole")
    person.run(f"python -c {shlex.quote(EQUAL)}")
    print("  the continued run has the weights of an uninterrupted one")
    person.run("sfumato generate run -n 4 --out letters")
    assert len(list((person.folder / "letters").glob("*.png"))) == 5, "four images and a sheet"
    listed = person.run("sfumato models --runs .")
    assert "linear" in listed, listed
    assert "passed over" not in listed, listed
    person.run(f"sfumato train faded --data images --images 64 --batch 8 --device cpu {RESTORER} --out faded")
    person.run("sfumato restore images/0.png --model faded --out restored.png")


def main() -> None:
    """Installs, trains and uses, in a folder that is removed unless `--keep` names it."""
    (line,) = re.findall(r"^pip install (torch==.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", default=line, help=f"words behind the first `pip install` (default: {line})")
    parser.add_argument("--keep", type=Path, help="folder for the environment and the files, which then stay")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = (options.keep or Path(temporary)).resolve()
        (place / "folder").mkdir(parents=True)
        venv.create(place / "venv", with_pip=True)
        person = Person(place / "folder", place / "venv")
        install(person, options.torch)
        use(person)
    print("the examples of CONTRIBUTING.md train, continue, load and are used in a fresh environment")


if __name__ == "__main__":
    main()
