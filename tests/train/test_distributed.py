"""Several processes train as one would. Run as a program, this file is what `torchrun` starts: it trains what it is told to."""

import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sfumato.cli import main
from sfumato.core.config import dump, override, parse
from sfumato.core.errors import ProcessError, SettingError, StorageError
from sfumato.models import stylegan
from sfumato.store import checkpoint
from sfumato.train.distributed import World
from sfumato.train.log import Callback
from sfumato.train.loop import fit

pytestmark = pytest.mark.timeout(1000)  # torch is imported by five processes: on a busy machine that alone takes minutes


class Stop(Callback):
    """Interrupts this process, and only this one, at the first line of the log."""

    def row(self, row, settings):
        if row["images"] == settings.log_every:
            signal.raise_signal(signal.SIGINT)


def work(plan):
    """Trains each run of the plan, and writes down what this process came to, after each: the end of another process may end it."""
    said, results = [], plan.with_suffix(f".{os.environ['RANK']}")
    for job in json.loads(plan.read_text()):
        watch = Stop() if job["stop"] else None
        try:
            model = fit(parse(job["settings"]), run=Path(job["run"]), device="cpu", watch=watch)
        except StorageError as error:
            results.write_text(json.dumps([*said, {"error": str(error)}]))
            sys.exit(1)
        weights = b"".join(w.contiguous().numpy().tobytes() for w in model.network.state_dict().values())
        said.append({"interrupted": model.interrupted, "seen": model.card.images_seen, "weights": hashlib.sha256(weights).hexdigest()})
        results.write_text(json.dumps(said))


def launch(folder, jobs, processes=2):
    """Starts torchrun; returns its exit code, what each process wrote down, and what they printed."""
    plan = folder / "plan"
    plan.write_text(json.dumps([{"settings": dump(settings), "run": str(run), "stop": stop} for settings, run, stop in jobs]))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), __file__, str(plan)]
    ended = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", "SFUMATO_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    results = [json.loads(path.read_text()) for i in range(processes) if (path := plan.with_suffix(f".{i}")).exists()]
    return ended.returncode, results, ended.stderr


@pytest.fixture(scope="module")
def runs(tiny, bars_file):
    """Settings whose course does not depend on how many processes share a batch: no dropout, and no chaos from a large step."""
    shared = {"data": bars_file, "images": 96, "lr": 3e-4, "save_every": 32}
    classifier = tiny("classifier", **shared, validation=0.3)
    plain = override(classifier, "model.dropout=0.0")
    styles = stylegan.Config(latent_dim=4, style_dim=4, mapping=1, width=4, discriminator_width=4, max_width=8, group=2)
    styled_gan = dataclasses.replace(tiny("gan", **shared), model=styles)
    return {"gan": tiny("gan", **shared), "classifier": plain, "budget": override(plain, "budget=1s"), "styles": styled_gan}


@pytest.fixture(scope="module")
def together(runs, tmp_path_factory):
    """All of it in one start of two processes: four runs of two processes, one that is stopped and goes on, and one that cannot be.

    Each run joins the processes anew.
    """
    folder = tmp_path_factory.mktemp("together")
    (folder / "file").write_text("in the way")
    jobs = [(settings, folder / name, False) for name, settings in runs.items()]
    jobs += [(runs["gan"], folder / "stopped", True), (runs["gan"], folder / "stopped", False)]
    jobs.append((runs["gan"], folder / "file" / "run", False))
    code, results, printed = launch(folder, jobs)
    assert code != 0, printed
    assert len(results) == 2, printed
    return folder, results


@pytest.fixture(scope="module")
def alone(runs, tmp_path_factory):
    """The folder of the same runs in one process."""
    folder = tmp_path_factory.mktemp("alone")
    for name in ("gan", "classifier", "styles"):
        fit(runs[name], run=folder / name, device="cpu")
    return folder


def rows(run):
    return [row for row in map(json.loads, (run / "log.jsonl").read_text().splitlines()) if "note" not in row]


@pytest.mark.slow
def test_all_processes_end_well_and_with_the_same_weights(together):
    _, (first, second) = together
    assert len(second) == 6
    assert first[:6] == second


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gan", "classifier"])
def test_two_processes_report_the_losses_of_one(kind, together, alone):
    """The GAN has a minibatch deviation, a lazy penalty and augmentation; the classifier batch normalisation and held-out images."""
    single, shared = rows(alone / kind), rows(together[0] / kind)
    assert [row["images"] for row in shared] == [row["images"] for row in single] == [32, 64, 96]
    assert "validation/accuracy" in shared[-1] or kind == "gan"
    for one, two in zip(single, shared, strict=True):
        assert one.keys() == two.keys()
        for name in one.keys() - {"seconds", "images_per_second", "seconds_left", "generator/diversity"}:
            assert two[name] == pytest.approx(one[name], rel=2e-3, abs=2e-4), f"{name} after {one['images']} images"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gan", "classifier"])
def test_two_processes_reach_the_weights_of_one(kind, together, alone):
    single, shared = (checkpoint.load(folder / kind / "model.safetensors").network.state_dict() for folder in (alone, together[0]))
    for name, weight in single.items():
        moved = 96 / 8 * 3e-4  # as far as twelve steps of Adam carry
        torch.testing.assert_close(shared[name], weight, rtol=1e-2, atol=0.2 * moved, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.slow
def test_every_class_has_its_mean_style_whichever_process_saw_it(together, alone):
    """Batches lie in the order of their classes, so that a process sees few of them."""
    single, shared = (checkpoint.load(folder / "styles" / "model.safetensors").network.generator.means for folder in (alone, together[0]))
    assert (single.norm(dim=1) > 0).all()
    torch.testing.assert_close(shared, single, rtol=0.1, atol=0.01)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_after_the_same_step(together):
    _, results = together
    assert [result[4]["interrupted"] for result in results] == [True, True]
    assert [result[4]["seen"] for result in results] == [40, 40]


@pytest.mark.slow
def test_all_processes_plan_the_same_length(together):
    folder, results = together
    planned = json.loads((folder / "budget" / "settings.json").read_text())["images"]
    assert [result[2]["seen"] for result in results] == [planned, planned]
    assert planned >= 8


@pytest.mark.slow
def test_going_on_is_exact_and_an_error_in_one_process_ends_all(together):
    _, (first, _) = together
    assert first[5] == first[0], "stopped and gone on, the run ends where the other did"
    assert "file/run: cannot be written" in first[6]["error"]


def begun(run, processes):
    """Waits for the first row of the log."""
    while not ((run / "log.jsonl").exists() and '"images_per_second"' in (run / "log.jsonl").read_text()):
        assert all(process.is_alive() for process in processes)
        time.sleep(0.05)


def command(words, environment, said):
    """What a process of its own does: a command of the line, whose errors go to the file `said`."""
    os.environ.update(environment)
    with said.open("w") as errors, contextlib.redirect_stderr(errors), contextlib.redirect_stdout(None):
        os.dup2(errors.fileno(), 2)
        main(words)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_one_killed_process_ends_the_other_with_one_line(victim, bars_file, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    words = ["train", "dcgan", "--data", bars_file, "--images", "10000000", "--log-every", "8", "--save-every", "10000000"]
    words += ["--model.width", "4", "--model.size", "8", "8", "--batch", "8", "--threads", "1", "--out", str(tmp_path / "run")]
    # Forked, so that nobody waits for torch to be imported twice more.
    forks, jobs = (
        multiprocessing.get_context("fork"),
        [(words, {**shared, "RANK": str(rank)}, tmp_path / f"said.{rank}") for rank in range(2)],
    )
    processes = [forks.Process(target=command, args=job) for job in jobs]
    with contextlib.ExitStack() as held:
        for process in processes:
            process.start()
            held.callback(process.join)
            held.callback(process.kill)
        begun(tmp_path / "run", processes)
        processes[victim].kill()
        processes[1 - victim].join()
        code = processes[1 - victim].exitcode
    (line,) = (tmp_path / f"said.{1 - victim}").read_text().splitlines()
    assert code == 2
    assert f"process {1 - victim} of 2: another process of this run has ended" in line


def test_an_error_that_is_not_about_the_connection_is_left_as_it_is(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    world = World()
    world._explain(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    world._explain(ValueError("connection"))
    with pytest.raises(ProcessError, match=r"\(Connection closed by peer \[127.0.0.1\]:9\)"):
        world._explain(RuntimeError("[/gloo/pair.cc:553] Connection closed by peer [127.0.0.1]:9. This is typically caused by a crash."))


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "1")
    world = World()
    assert world.share(9) == slice(3, 6)
    assert not world.leads
    with pytest.raises(SettingError, match="batch = 8 cannot be shared by 3 processes; make it a multiple of 3"):
        world.share(8)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
