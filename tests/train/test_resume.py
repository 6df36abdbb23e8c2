"""Resume is the same call again, and it is exact: killed, interrupted or stopped at any moment, a run ends with the same weights."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import time

import pytest
import torch

from sfumato.core import atomic_io
from sfumato.core.errors import CheckpointError, StorageError
from sfumato.store import checkpoint
from sfumato.train import deadline
from sfumato.train.log import Callback
from sfumato.train.loop import fit

pytestmark = pytest.mark.usefixtures("unchecked")


def weights(run):
    tensors, header = checkpoint.read_tensors(run / "model.safetensors")
    return tensors, header["card"]["images_seen"]


def assert_same_run(one, other):
    (mine, seen), (theirs, also_seen) = weights(one), weights(other)
    assert seen == also_seen
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == [], "not bit for bit the same"


def logged(run):
    rows = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [row["images"] for row in rows if "note" not in row]


def written(run):
    """When the state was last saved."""
    path = run / "state" / "state.safetensors"
    return path.stat().st_mtime_ns if path.exists() else None


@pytest.fixture(scope="module")
def processes():
    """Fresh processes, forked from one that has already imported what a run needs; each computes with one thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sfumato.train.loop", "torch.utils.tensorboard", "torch._dynamo"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield context


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gan", "classifier"])
def test_killed_at_random_moments_it_ends_with_the_same_weights(kind, processes, tiny, bars_file, tmp_path):
    held = 0.3 if kind == "classifier" else 0.0
    settings = tiny(kind, data=bars_file, images=240, save_every=16, log_every=32, sample_every=96, validation=held)

    def start(run):
        process = processes.Process(target=fit, args=(settings,), kwargs={"run": run, "device": "cpu"})
        process.start()
        return process

    straight, killed = tmp_path / "straight", tmp_path / "killed"
    process = start(straight)
    process.join()
    assert process.exitcode == 0
    duration = [row["seconds"] for row in map(json.loads, (straight / "log.jsonl").read_text().splitlines()) if "note" not in row][-1]

    dice, kills = random.Random(0), 0
    while kills < 2:
        process, before = start(killed), written(killed)
        while process.is_alive() and written(killed) == before:
            time.sleep(0.001)
        process.join(duration * dice.uniform(0, 0.2))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        kills += 1
        if process.exitcode == 0:  # over before it could be killed: once more, from the beginning
            shutil.rmtree(killed)
            kills = 0

    process = start(killed)
    process.join()
    assert process.exitcode == 0
    assert_same_run(straight, killed)
    assert logged(killed) == [*range(32, 240, 32), 240], "each logged count of images comes exactly once"
    assert list(killed.rglob("*.sfumato-part")) == [], "a killed writer left its file behind"


def send(*numbers):
    """Signals to this very thread, one after another: each has been caught when the next one is sent."""
    for number in numbers:
        signal.raise_signal(number)


class Sender(Callback):
    """Sends `signals` to this process at the first line of the log."""

    def __init__(self, *signals):
        self.signals, self.seen = signals, None

    def row(self, row, settings):
        send(*(self.signals if self.seen is None else ()))
        self.seen = row["images"]

    def finish(self, seen, settings, run, *, interrupted):
        self.seen = seen


@pytest.fixture(scope="module")
def straight(tiny, bars, tmp_path_factory):
    """A run that nothing disturbed; to look at only."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    fit(tiny("gan"), data=bars, run=run, device="cpu")
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_saves_and_stops(number, tiny, bars, straight, tmp_path):
    run, sender = tmp_path / "stopped", Sender(number)
    model = fit(tiny("gan"), data=bars, run=run, device="cpu", watch=sender)
    assert model.interrupted
    assert sender.seen == weights(run)[1] == 40, "it stops after the step under way"
    again = fit(tiny("gan"), data=bars, run=run, device="cpu")
    assert not again.interrupted
    assert_same_run(straight, run)


class Crash(Callback):
    """Raises what nothing catches, once so many images have been seen."""

    def __init__(self, after):
        self.after = after

    def step(self, seen, settings):
        if seen == self.after:
            raise MemoryError


def test_a_slow_run_is_saved_by_the_clock_as_well_and_ends_the_same(tiny, bars, straight, tmp_path, monkeypatch):
    run = tmp_path / "slow"
    with pytest.raises(MemoryError):
        fit(tiny("gan"), data=bars, run=run, device="cpu", watch=Crash(after=32))
    assert written(run) is None, "the clock has not struck, and the settings save later"
    monkeypatch.setattr(deadline, "AT_MOST_LOST_S", 0.0)
    with pytest.raises(MemoryError):
        fit(tiny("gan"), data=bars, run=run, device="cpu", watch=Crash(after=32))
    assert weights(run)[1] == 24, "each step is saved but the one that did not end"
    monkeypatch.undo()
    fit(tiny("gan"), data=bars, run=run, device="cpu")
    assert_same_run(straight, run)


def test_without_a_folder_a_signal_hands_over_what_there_is(tiny, bars):
    model = fit(tiny("gan"), data=bars, device="cpu", watch=Sender(signal.SIGINT))
    assert model.interrupted
    assert model.card.images_seen == 40


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once_and_loses_nothing(second, tiny, bars, straight, tmp_path):
    settings, run = tiny("gan", save_every=16, log_every=56), tmp_path / "stopped"
    mine = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(settings, data=bars, run=run, device="cpu", watch=Sender(signal.SIGINT, second))
    assert signal.getsignal(signal.SIGINT) == mine
    assert weights(run)[1] == 48, "the last state stands"
    fit(settings, data=bars, run=run, device="cpu")
    assert_same_run(straight, run)


@pytest.mark.parametrize("victim", ["state.safetensors", "model.safetensors", "log.jsonl"])
def test_two_signals_in_the_middle_of_a_write_leave_the_old_file_whole(victim, tiny, bars, straight, tmp_path, monkeypatch):
    run, replace, writes = tmp_path / "stopped", os.replace, []

    def interrupted(partial, path):
        if path.name == victim:
            writes.append(path)
            if len(writes) == (1 if victim == "log.jsonl" else 2):
                send(signal.SIGINT, signal.SIGINT)
        replace(partial, path)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(tiny("gan"), data=bars, run=run, device="cpu")
    assert list(run.rglob("*.sfumato-part")) == []
    fit(tiny("gan"), data=bars, run=run, device="cpu")
    assert_same_run(straight, run)


def test_half_a_line_at_the_end_of_the_log_is_cut_off(tiny, bars, straight, tmp_path):
    run = tmp_path / "stopped"
    fit(tiny("gan"), data=bars, run=run, device="cpu", watch=Sender(signal.SIGINT))
    with (run / "log.jsonl").open("ab") as file:
        file.write(b'{"images": 64, "generator/to\xff')
    fit(tiny("gan"), data=bars, run=run, device="cpu")
    assert logged(run) == [32, 40, 64, 96, 128, 160]
    assert_same_run(straight, run)


def test_a_model_without_its_state_is_not_trained_over(tiny, bars, straight, tmp_path):
    run = shutil.copytree(straight, tmp_path / "run")
    (run / "state" / "state.safetensors").unlink()
    before = (run / "model.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match="no longer the state to go on from"):
        fit(tiny("gan"), data=bars, run=run, device="cpu")
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", ["model.safetensors", "log.jsonl"])
def test_what_is_no_runs_is_not_trained_over(tiny, bars, tmp_path, name):
    (tmp_path / name).write_text("precious")
    with pytest.raises(CheckpointError, match=f"holds {name} of something that is no run"):
        fit(tiny("gan"), data=bars, run=tmp_path, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_a_folder_in_which_another_process_trains_is_left_alone(tiny, bars, tmp_path):
    run = tmp_path / "run"
    with atomic_io.alone(run), pytest.raises(StorageError, match="another process is at work there"):
        fit(tiny("gan"), data=bars, run=run, device="cpu")
    assert not run.exists(), "nothing was put in it"
    fit(tiny("gan"), data=bars, run=run, device="cpu")


def test_the_callers_random_numbers_do_not_matter(tiny, bars, straight, tmp_path):
    run = tmp_path / "stopped"
    fit(tiny("gan"), data=bars, run=run, device="cpu", watch=Sender(signal.SIGINT))
    torch.manual_seed(99)
    fit(tiny("gan"), data=bars, run=run, device="cpu")
    assert_same_run(straight, run)


def test_the_clock_goes_on_where_it_stopped(tiny, bars, tmp_path):
    fit(tiny("gan"), data=bars, run=tmp_path, device="cpu", watch=Sender(signal.SIGINT))
    path = tmp_path / "state" / "state.safetensors"
    tensors, info = checkpoint.read_tensors(path)
    checkpoint.write_tensors(path, tensors, {**info, "elapsed": 1000.0})
    model = fit(tiny("gan"), data=bars, run=tmp_path, device="cpu")
    assert model.card.minutes >= 1000 / 60 - 0.01
