"""Units: what a process takes is whole, even if it takes it at the moment at which it appears."""

import multiprocessing
import time

from sfumato.batch import units
from sfumato.batch.items import Item
from sfumato.batch.manifest import Manifest
from tests.batch.tasks import take_units


def test_a_unit_that_is_taken_while_others_are_written_has_its_items(tmp_path):
    folder, manifest = tmp_path / "units", Manifest(tmp_path / "manifest.jsonl", {"verb": "hash"})
    folder.mkdir()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=take_units, args=(folder, 2.0, theirs))
    process.start()
    assert ours.recv() == "ready"
    end, count = time.monotonic() + 2.0, 0
    while time.monotonic() < end:
        units.write(folder / f"{count:06}{units.TODO}", [Item(source="a", target=tmp_path / f"{count}.txt")], manifest)
        count += 1
        time.sleep(0.0005)
    counts = ours.recv()
    process.join()
    assert len(counts) > 20
    assert set(counts) == {1}, f"{counts.count(0)} of {len(counts)} units were taken before their items were written"
