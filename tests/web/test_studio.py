"""How a studio is started: what is refused in one line, and what runs without gradio."""

import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import io
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import sfumato as sf
from sfumato.core.errors import MissingExtraError, SettingError, StorageError
from sfumato.web import server, worker
from sfumato.web import studio as studios
from sfumato.web.jobs import Job, State
from sfumato.web.studio import Catalogue, StudioSettings
from sfumato.web.tasks import TASKS, task
from sfumato.web.trainings import Trainings


def test_without_gradio_one_line_names_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"needs gradio; install it with: pip install gradio"):
        StudioSettings().check()


@pytest.mark.parametrize(("version", "fine"), [("3.18.0", False), ("6.9.9", False), ("6.10.0", True), ("6.31.0", True), ("7.0.0rc1", True)])
def test_an_older_gradio_than_the_pages_need_is_one_line(version, fine, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    if fine:
        StudioSettings().check()
        return
    words = rf'needs gradio 6\.10 or later, and {version} is installed; replace it with: pip install "gradio>=6\.10"'
    with pytest.raises(MissingExtraError, match=words):
        StudioSettings().check()


def test_others_reach_a_studio_with_a_password_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(studios, "check_gradio", lambda: None)
    monkeypatch.delenv(studios.PASSWORD, raising=False)
    with pytest.raises(SettingError, match="a password is needed"):
        StudioSettings(host="0.0.0.0").check()
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    path.chmod(0o644)
    with pytest.raises(SettingError, match="chmod 600"):
        StudioSettings(host="0.0.0.0", password_file=path).check()
    path.chmod(0o600)
    assert StudioSettings(host="0.0.0.0", password_file=path).password() == "correct horse"
    path.write_text("short")
    with pytest.raises(SettingError, match="5 characters"):
        StudioSettings(password_file=path).check()
    with pytest.raises(StorageError):
        StudioSettings(password_file=tmp_path / "none").check()
    monkeypatch.setenv(studios.PASSWORD, "from the environment")
    assert StudioSettings(host="0.0.0.0").password() == "from the environment"


@pytest.mark.parametrize("options", [{"port": 70_000}, {"port": -1}, {"workers": 0}, {"folders": ("nowhere",)}])
def test_settings_out_of_range_are_refused(options, tmp_path, monkeypatch):
    monkeypatch.setattr(studios, "check_gradio", lambda: None)
    monkeypatch.delenv(studios.PASSWORD, raising=False)
    if "folders" in options:
        options = {"folders": (tmp_path / "nowhere",)}
    with pytest.raises(SettingError):
        StudioSettings(**options).check()


def test_sharing_over_the_internet_is_no_option():
    from sfumato.cli.verbs import verbs

    assert not {"share", "public", "tunnel"} & set(verbs["studio"].__annotations__)


def test_every_task_exists_and_takes_only_plain_values():
    assert all(callable(task(name)) for name in TASKS)


def test_a_worker_whose_server_has_ended_ends_without_a_word():
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [sys.executable, "-m", "sfumato.web.worker"], stdin=subprocess.PIPE, stdout=writer, stderr=subprocess.PIPE
    ) as process:
        os.close(writer)
        words = process.stderr.read()  # its input stays open meanwhile
    assert (process.returncode, words) == (0, b"")


def test_the_worker_answers_with_a_result_or_one_line(tmp_path):
    def find(name):
        def good(arguments, folder):
            return {"twice": arguments["x"] * 2}

        def mistaken(arguments, folder):
            raise SettingError("two\nlines")

        def faulty(arguments, folder):
            return 1 / 0

        def greedy(arguments, folder):
            raise RuntimeError("CUDA out of memory. Tried")

        return {"good": good, "mistaken": mistaken, "faulty": faulty, "greedy": greedy}[name]

    def answer(name):
        return worker.done({"task": name, "arguments": {"x": 4}, "folder": str(tmp_path)}, worker.Reporter(io.StringIO()), find)

    assert answer("good") == {"result": {"twice": 8}}
    assert answer("mistaken") == {"error": "two lines"}
    assert answer("faulty")["error"].startswith("internal error: ZeroDivisionError")
    assert "memory" in answer("greedy")["error"]


def test_the_tasks_of_the_page_restore_give_what_the_public_api_gives(tmp_path):
    start = Image.effect_noise((64, 48), 60).convert("RGB")
    start.save(tmp_path / "a*b[1].png")
    Image.new("RGBA", (32, 24)).save(tmp_path / "layer.png")
    judged, restored = tmp_path / "1", tmp_path / "2"
    for folder in (judged, restored):
        folder.mkdir()
    facts = task("diagnose")({"picture": str(tmp_path / "a*b[1].png")}, judged)
    assert (facts["width"], facts["height"]) == (64, 48)
    with Image.open(facts["preview"]) as image:
        assert image.size == (64, 48)
    options = {
        "task": "denoise",
        "strength": 0.5,
        "find": [],
        "layers": [str(tmp_path / "layer.png")],
        "grow_mask": 0,
        "invert_mask": False,
    }
    result = task("restore")({"pictures": [str(tmp_path / "a*b[1].png")], **options}, restored)
    assert [row["done"] for row in result["rows"]] == [True]
    (path,) = result["files"]
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), np.asarray(sf.restore(start, task="denoise", strength=0.5)))
    json.dumps([facts, result])


def test_a_listing_that_failed_leaves_an_empty_catalogue(tmp_path):
    catalogue, job = Catalogue(), Job("catalogue", {}, tmp_path, "a", "b", "c")
    job.state, job.error = State.FAILED, "no"
    catalogue.take(job)
    assert catalogue.ready
    assert catalogue.names("generator") == []


def test_a_training_is_a_process_that_the_next_studio_finds_and_stops(tmp_path, monkeypatch):
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('begun', flush=True); time.sleep(1000)"
    start = subprocess.Popen
    folder = tmp_path / "letters"

    def imitation(command, **options):
        assert command[1:4] == ["-m", "sfumato", "train"]
        return start([sys.executable, "-c", code, "train", str(folder)], **options)

    monkeypatch.setattr(subprocess, "Popen", imitation)
    first = Trainings(tmp_path)
    assert first.start("letters", "dcgan", "glyphs", budget="10min") == folder
    while "begun" not in (folder / "studio.log").read_text():
        pass
    second = Trainings(tmp_path)
    assert second.names() == ["letters"]
    assert second.progress("letters").running
    with pytest.raises(SettingError, match="runs already"):
        second.start("letters", "dcgan", "glyphs")
    for budget in ("--out", "10", "1min; rm", "-5min"):
        with pytest.raises(SettingError, match="is no time"):
            second.start("other", "dcgan", "glyphs", budget=budget)
    assert second.stop("letters")
    first._children["letters"].wait()
    assert not second.progress("letters").running
    assert not second.stop("letters")


def test_another_process_with_the_number_of_a_training_is_not_ended(tmp_path):
    folder = tmp_path / "letters"
    folder.mkdir()
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    (folder / "studio.json").write_text(json.dumps({"process": other.pid, "command": []}))
    assert not Trainings(tmp_path).stop("letters")
    assert other.poll() is None
    os.kill(other.pid, signal.SIGKILL)
    other.wait()


def test_the_state_of_a_run_is_read_from_its_folder(tmp_path):
    folder = tmp_path / "run"
    (folder / "samples").mkdir(parents=True)
    (folder / "settings.json").write_text('{"images": 100}')
    rows = [
        {"images": 10, "seconds": 1.0, "seconds_left": 9, "loss/total": 2.0},
        {"images": 20, "note": "x"},
        {"images": 100, "seconds": 5},
    ]
    (folder / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows) + '{"images": 3')
    (folder / "samples" / "000000010.png").write_bytes(b"x")
    (folder / "studio.log").write_text("a\nb")
    progress = Trainings(tmp_path).progress("run")
    assert (progress.images, progress.total, progress.running, progress.complete) == (100, 100, False, False)
    assert progress.curves == {"loss/total": [(10.0, 2.0)]}
    assert progress.sample == folder / "samples" / "000000010.png"
    assert progress.words == "a\nb"
    (folder / "model.safetensors").write_bytes(b"x")
    assert Trainings(tmp_path).progress("run").complete
    assert Trainings(tmp_path).progress("none").images == 0


def test_gradio_finds_no_files_of_its_classes_while_it_is_imported():
    """It would write stubs for editors into its own folder, which take a second of each start."""
    component = type("Button", (), {"__module__": "gradio.components.button"})
    before = inspect.getfile
    with server._without_stubs():
        with pytest.raises(OSError, match="not wanted"):
            inspect.getfile(component)
        assert inspect.getfile(StudioSettings) == before(StudioSettings)
    assert inspect.getfile is before
