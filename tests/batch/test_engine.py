"""The engine: the same results whoever works, nothing lost, doubled or half written when processes are killed, and the rules of files."""

import hashlib
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from sfumato.batch import units
from sfumato.batch.engine import held, run_batch
from sfumato.batch.items import Item
from sfumato.batch.manifest import NAME, Manifest, Status
from sfumato.batch.workers import Workers
from sfumato.core.errors import ProcessError, SettingError, StorageError
from tests.batch.tasks import Broken, Hashing

REQUEST = {"verb": "hash"}


@pytest.fixture
def folder(tmp_path):
    """Twenty files."""
    place = tmp_path / "in"
    place.mkdir()
    for i in range(20):
        (place / f"{i:02}.txt").write_text(f"file {i}")
    return place


def items_of(folder, out):
    return [Item(source=str(path), target=out / path.name) for path in sorted(folder.iterdir())]


def run(folder, out, workers=None, task=None, **how):
    workers = workers or Workers()
    with held(out, REQUEST, workers) as manifest:
        mine = [item for item in items_of(folder, out) if workers.has(item.target.relative_to(out))]
        return run_batch(task or Hashing(request=REQUEST), mine, manifest, workers=workers, **how)


def results(out):
    return {path.name: path.read_bytes() for path in out.glob("*.txt")}


def wanted(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest().encode() for path in folder.iterdir()}


def rows(out, name=NAME):
    return [json.loads(line) for line in (out / name).read_text().splitlines()]


def done(out):
    return [row["place"] for path in out.glob("manifest*.jsonl") for row in rows(out, path.name) if row["status"] == "done"]


def test_two_processes_make_what_one_makes_and_a_second_run_makes_nothing(folder, tmp_path):
    (folder / "07.txt").write_text("bad")
    calls = []
    alone, shared = run(folder, tmp_path / "a"), run(folder, tmp_path / "b", Workers(jobs=2), on_progress=lambda *each: calls.append(each))
    assert results(tmp_path / "a") == results(tmp_path / "b") == {n: r for n, r in wanted(folder).items() if n != "07.txt"}
    assert [(e.source, e.status, e.message) for e in alone] == [(e.source, e.status, e.message) for e in shared]
    assert [(number, count) for _, number, count in calls] == [(i, 20) for i in range(1, 21)]
    assert sorted(done(tmp_path / "a")) == sorted(done(tmp_path / "b")) == sorted(results(tmp_path / "a"))
    assert [path.name for path in (tmp_path / "b").iterdir() if path.name.startswith(".")] == []
    again = run(folder, tmp_path / "b", Workers(jobs=2))
    assert [entry.status for entry in again].count(Status.SKIPPED) == 19
    assert len(done(tmp_path / "b")) == 19, "nothing was done twice"


def test_shards_share_the_pictures_out_whatever_else_is_there(folder, tmp_path):
    out, parts = tmp_path / "out", []
    for i in (1, 2, 3):
        parts.append({Path(entry.source).name for entry in run(folder, out, Workers(shard=f"{i}/3"))})
        (folder / f"late-{i}.md").write_text("added meanwhile")
    names = sorted(wanted(folder))
    assert sorted(name for part in parts for name in part if name.endswith(".txt")) == [name for name in names if name.endswith(".txt")]
    assert sum(len(part) for part in parts) == len(set().union(*parts))
    assert {path.name for path in out.glob("manifest*")} == {f"manifest-{i}-of-3.jsonl" for i in (1, 2, 3)}
    for path in folder.glob("*.md"):
        path.unlink()
    assert all(entry.status == Status.SKIPPED for entry in run(folder, out)), "a run without shards knows what the shards have done"


def test_shards_work_at_the_same_time_and_other_runs_do_not(folder, tmp_path):
    with held(tmp_path, REQUEST, Workers(shard="1/2")), held(tmp_path, REQUEST, Workers(shard="2/2")):
        for other in (Workers(), Workers(shard="1/2")):
            with pytest.raises(StorageError, match="another process"), held(tmp_path, REQUEST, other):
                pass
    assert list(tmp_path.glob("manifest*")) == [], "nothing was done, nothing is left"


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_parts_that_are_none_are_refused(shard):
    with pytest.raises(SettingError):
        Workers(shard=shard).check()


@pytest.mark.parametrize("how", [{"jobs": 0}, {"jobs": 5000}, {"on": "spark"}])
def test_workers_that_cannot_be_are_refused(how):
    with pytest.raises(SettingError):
        Workers(**how).check()


def test_a_picture_that_ends_its_process_is_done_by_another_and_fails_if_it_does_so_again_and_again(folder, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (folder / "03.txt").write_text("kill")
    task = Hashing(request=REQUEST, kills=1, notes=str(notes))
    entries = run(folder, tmp_path / "out", Workers(jobs=2), task)
    assert results(tmp_path / "out") == wanted(folder)
    assert not list((tmp_path / "out").glob(".*")), "no half-written file is left"
    assert sorted(done(tmp_path / "out")) == sorted(results(tmp_path / "out"))
    assert {entry.status for entry in entries} <= {Status.DONE, Status.SKIPPED}
    entries = run(folder, tmp_path / "again", Workers(jobs=2), Hashing(request=REQUEST, kills=99, notes=str(notes)))
    (failed,) = [entry for entry in entries if entry.status == Status.FAILED]
    assert "SIGKILL" in failed.message
    assert failed.source.endswith("03.txt")
    assert results(tmp_path / "again") == {name: text for name, text in wanted(folder).items() if name != "03.txt"}


def test_processes_that_cannot_begin_end_the_run(folder, tmp_path):
    with pytest.raises(ProcessError, match="could begin"):
        run(folder, tmp_path / "out", Workers(jobs=2), Broken(request=REQUEST))


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_goes_on_where_it_was(folder, tmp_path, signal_):
    """The run is another process, which is killed in the middle; its processes end with it."""
    out, code = tmp_path / "out", os.fork()
    if code == 0:  # pragma: no cover
        try:
            run(folder, out, Workers(jobs=2), Hashing(request=REQUEST, seconds=0.05))
        finally:
            os._exit(0)

    def kill():
        while len(list(out.glob("*.txt"))) < 5:
            time.sleep(0.01)
        os.kill(code, signal_)

    killer = threading.Thread(target=kill)
    killer.start()
    os.waitpid(code, 0)
    killer.join()
    before = results(out)
    assert before.items() <= wanted(folder).items(), "no result is half written"
    waited = 0.0
    while True:
        try:
            entries = run(folder, out, Workers(jobs=2))
            break
        except StorageError:  # the system takes a moment to let go of the folder
            waited += 0.05
            assert waited < 60
            time.sleep(0.05)
    assert results(out) == wanted(folder)
    assert sorted(set(done(out))) == sorted(results(out))
    known = {Path(entry.source).name for entry in entries if entry.status == Status.SKIPPED}
    assert known >= before.keys() - {name for name in before if name not in done(out)}
    assert not list(out.glob(".sfumato-units*"))


def test_a_unit_has_one_owner_and_its_lines_survive_him(folder, tmp_path):
    manifest = Manifest(tmp_path / NAME, REQUEST)
    some = items_of(folder, tmp_path / "out")[:3]
    place = tmp_path / "units"
    place.mkdir()
    units.write(place / "000000.todo", some, manifest)
    mine = units.claim(place, "p1")
    assert mine is not None
    assert units.claim(place, "p2") is None
    assert units.take(place / "000000.todo", "p2") is None
    assert units.read(mine) == some
    units.free(mine)
    theirs = units.claim(place, "p2")
    assert theirs is not None
    Manifest(theirs, REQUEST, folder=tmp_path).add(
        Hashing_entry(some[0]), Path(some[0].source), some[0].target, {"sha256": "a", "mask": None, "asked": REQUEST}, output_digest="b"
    )
    with theirs.open("a") as file:
        file.write('{"place": "cut sh')  # killed in the middle of a line
    units.recover(place, manifest)
    assert not place.exists()
    assert [row["place"] for row in rows(tmp_path)] == ["out/00.txt"]


def Hashing_entry(item):  # noqa: N802
    from sfumato.batch.manifest import Entry

    return Entry(source=item.source, out=str(item.target), status=Status.DONE, message="")


def test_a_manifest_of_a_hundred_thousand_pictures_is_small(tmp_path):
    """In pieces, so that the test is quick: the memory of 800 lines with requests, by the allocator's count."""
    import tracemalloc

    request = {"task": "denoise", "weights": {str(i): "0" * 64 for i in range(8)}}
    row = {"source": "a.png", "from": "f" * 32, "out": "", "status": "done", "words": "denoise", "mask": None, "asked": request}
    with (tmp_path / NAME).open("w") as file:
        for i in range(800):
            name = f"folder/{i:08}.png"
            digest = hashlib.sha256(name.encode()).hexdigest()
            file.write(json.dumps({**row, "place": name, "out": name, "sha256": digest, "made": digest[::-1]}) + "\n")
    tracemalloc.start()
    manifest = Manifest(tmp_path / NAME, request)
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(manifest._last) == 800
    assert memory * 125 < 200e6


def test_a_manifest_may_name_files_that_are_no_utf_8(tmp_path):
    """As JSON they are halves of characters, which no encoding but Python's own takes."""
    row = {"place": "caf\udce9.png", "source": "caf\udce9.png", "from": "\udcff", "status": "done", "made": "\ud800"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    assert Manifest(tmp_path / "manifest.jsonl", {}).carried(tmp_path / "caf\udce9.png") is not None
