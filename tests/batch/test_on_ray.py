"""The adapter for Ray, with a stand-in for Ray Data that runs actors here, and with Ray itself where it is installed and asked for."""

import os
import sys
import types
from pathlib import Path

import pytest

from sfumato.batch import on_ray
from sfumato.batch.engine import held, run_batch
from sfumato.batch.items import Item
from sfumato.batch.manifest import Status
from sfumato.batch.workers import Workers
from sfumato.core.errors import MissingExtraError, ProcessError
from tests.batch.tasks import Hashing

REQUEST = {"verb": "hash"}


class Dataset:
    """Maps with actors as Ray Data does. With `loses`, every second unit is given to a second actor after it was done."""

    loses = False

    def __init__(self, rows):
        self.rows, self.make = rows, None

    def map_batches(self, kind, *, fn_constructor_args, **_):
        self.make = lambda: kind(*fn_constructor_args)
        return self

    def iter_rows(self):
        actor = self.make()
        for i, row in enumerate(self.rows):
            columns = actor({"unit": [row["unit"]]})
            if self.loses and i % 2:
                actor = self.make()  # the first one was lost with its records
                columns = actor({"unit": [row["unit"]]})
            yield from (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))


@pytest.fixture
def ray(monkeypatch):
    package, data = types.ModuleType("ray"), types.ModuleType("ray.data")
    context = types.SimpleNamespace(enable_progress_bars=True)
    data.DataContext = types.SimpleNamespace(get_current=lambda: context)
    data.from_items = lambda rows, **_: Dataset(rows)
    package.data, package.is_initialized, package.init, package.shutdown = data, lambda: True, None, None
    monkeypatch.setitem(sys.modules, "ray", package)
    monkeypatch.setitem(sys.modules, "ray.data", data)


def run(tmp_path, name, workers):
    folder, out = tmp_path / "in", tmp_path / name
    folder.mkdir(exist_ok=True)
    for i in range(20):
        (folder / f"{i:02}.txt").write_text("bad" if i == 7 else f"file {i}")
    with held(out, REQUEST, workers) as manifest:
        items = [Item(source=str(path), target=out / path.name) for path in sorted(folder.iterdir())]
        entries = run_batch(Hashing(request=REQUEST), items, manifest, workers=workers)
    return entries, {path.name: path.read_bytes() for path in out.glob("*.txt")}


@pytest.mark.parametrize("loses", [False, True])
def test_actors_make_what_this_process_makes_also_when_they_are_lost(tmp_path, ray, monkeypatch, loses):
    monkeypatch.setattr(Dataset, "loses", loses)
    alone, expected = run(tmp_path, "alone", Workers())
    entries, results = run(tmp_path, "ray", Workers(jobs=2, on="ray"))
    assert results == expected
    assert [entry.source for entry in entries] == [entry.source for entry in alone]
    assert [entry.status == Status.FAILED for entry in entries] == [entry.status == Status.FAILED for entry in alone]
    assert (tmp_path / "ray" / "manifest.jsonl").read_text().count('"status": "done"') == 19, "nothing was done twice"
    assert not list((tmp_path / "ray").glob(".sfumato*"))


def test_an_actor_without_the_folder_says_so(tmp_path):
    with pytest.raises(ProcessError, match="same path"):
        on_ray._Actor(Hashing(request=REQUEST), str(tmp_path))._taken(tmp_path / "000000.todo")


def test_without_ray_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install .ray\[data\]"):
        run(tmp_path, "out", Workers(on="ray"))


@pytest.mark.slow
@pytest.mark.skipif("SFUMATO_TEST_RAY" not in os.environ, reason="starts a Ray cluster; set SFUMATO_TEST_RAY")
def test_ray_itself_makes_what_this_process_makes(tmp_path):
    pytest.importorskip("ray")
    assert run(tmp_path, "ray", Workers(jobs=2, on="ray"))[1] == run(tmp_path, "alone", Workers())[1]
    assert Path(tmp_path, "ray").is_dir()
