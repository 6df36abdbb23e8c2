"""The examples of the pages as plug-ins, in processes of their own: trained, killed, continued, loaded; missed where they are not named."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import sfumato
from sfumato.cli import main
from sfumato.core.errors import SettingError
from sfumato.core.tensors import to_pixels
from sfumato.io.files import save_image

ROOT = Path(sfumato.__file__).parents[1]
RUNS = """
import sys
from sfumato.cli import main
for words in sys.argv[1:]:
    main(words.split())
"""
DIES = """
import os, signal
from sfumato.store import checkpoint

save = checkpoint.save

def last(*args, **named):
    save(*args, **named)
    os.kill(os.getpid(), signal.SIGKILL)

checkpoint.save = last
"""
"""A plug-in that kills the process when the first model is written."""


@pytest.fixture
def folder(tmp_path):
    """A folder of a person, with a few images in it."""
    for i in range(16):
        save_image(tmp_path / f"images/{i}.png", to_pixels(torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(i))))
    return tmp_path


def sfumato_runs(folder, *commands, plugins="", path=()):
    """The commands, one after another in a fresh process that is told nothing but where modules lie and which are plug-ins."""
    return subprocess.run(
        [sys.executable, "-c", RUNS, *commands],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *path))),
            "SFUMATO_PLUGINS": plugins,
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def modules(page, folder):
    """Writes the Python blocks of a page that register something as the modules that the page calls them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"`(\w+)\.py`[^`]*(?:`[^`\n]+`[^`]*)*```python\n(.*?)^```", text, re.M | re.S)
    names = [name for name, code in found if (folder / f"{name}.py").write_text(code, encoding="utf-8")]
    assert names
    return names


TRAIN = "train letter-patterns --data images --images 64 --batch 8 --save-every 16 --device cpu --out "


def test_the_example_trains_is_killed_goes_on_and_loads_in_other_processes(folder, monkeypatch, capsys):
    assert modules("docs/plugins.md", folder) == ["patterns"]
    (folder / "dies.py").write_text(DIES)
    killed = sfumato_runs(folder, f"{TRAIN}run", plugins="patterns,dies", path=[folder])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (json.loads((folder / "run/settings.json").read_text())["model"].keys() & {"module", "file"})

    went_on = sfumato_runs(folder, f"{TRAIN}run", f"{TRAIN}whole", plugins="patterns", path=[folder])
    assert went_on.returncode == 0, went_on.stderr
    one, other = (load_file(folder / run / "model.safetensors") for run in ("run", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in other)

    used = sfumato_runs(folder, "generate run -n 2 --out out", "models --runs .", plugins="patterns", path=[folder])
    assert used.returncode == 0, used.stderr
    assert len(list((folder / "out").glob("*.png"))) == 3  # a sheet, and two images
    assert "patterns, " in used.stdout
    assert "passed over" not in used.stdout

    monkeypatch.chdir(folder)  # in this process nothing has it
    main(["models", "--runs", "."])
    assert "passed over: run/model.safetensors: 'patterns' is no family of this version of sfumato" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["generate", "run", "--out", "none"])
    assert "'patterns' is no family" in (said := capsys.readouterr().err)
    assert "SFUMATO_PLUGINS=MODULE" in said


def test_the_examples_of_contributing_train_as_an_installed_package(folder):
    names = modules("CONTRIBUTING.md", folder)
    assert names == ["linear", "reconstruct", "fade", "recipes_of_mine"]
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sfumato.plugins]\n" + "".join(f"{name} = {name}\n" for name in names))
    sizes = "--images 64 --batch 8 --device cpu"
    restorer = "--model.width 8 --model.encoder 1 --model.middle 0 --model.decoder 1 --patch 8 --precision fp32"
    trained = sfumato_runs(
        folder,
        f"train linear-letters --data images {sizes} --out linear",
        f"train faded --data images {sizes} {restorer} --out faded",
        path=[folder],
    )
    assert trained.returncode == 0, trained.stderr
    assert json.loads((folder / "faded/settings.json").read_text())["degrade"] == {"is": "fade", "strength": [0.2, 0.6]}
    used = sfumato_runs(folder, "generate linear -n 2 --out out", "restore images/0.png --model faded --out restored.png", path=[folder])
    assert used.returncode == 0, used.stderr
    assert (folder / "restored.png").is_file()


@pytest.mark.usefixtures("apart")
def test_a_network_of_a_script_is_refused_before_anything_is_written(folder):
    modules("docs/plugins.md", folder)
    script = {"__name__": "__main__"}
    exec((folder / "patterns.py").read_text(), script)
    with pytest.raises(
        SettingError, match=r"settings\.model is a __main__\.Patterns, which only this script registers: move it to a module"
    ):
        sfumato.fit(script["letter_patterns"](), run=folder / "run", device="cpu")
    assert not (folder / "run").exists()
