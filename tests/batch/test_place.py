"""Which files of results are replaced, what the entry of an item that failed says, and whether the next item is tried."""

import errno
import json

import pytest
import torch

from sfumato.batch.items import Item
from sfumato.batch.manifest import Manifest, Status
from sfumato.batch.place import Place
from sfumato.core.errors import ImageError, SettingError, StorageError


@pytest.fixture
def claimed(tmp_path):
    """A function that returns the place of `a.png`, opened and claimed; its result goes to `out/a.png`."""

    def place(**changes):
        (tmp_path / "a.png").write_bytes(b"content")
        (tmp_path / "out").mkdir(exist_ok=True)
        item = Item(source=str(tmp_path / "a.png"), target=tmp_path / "out" / "a.png")
        one = Place(item=item, manifest=Manifest(tmp_path / "out" / "manifest.jsonl", {"verb": "test"}), **{"overwrite": False} | changes)
        with one.opened():
            assert one.earlier() is None
            one.claim()
        return one

    return place


def storing(number):
    error = StorageError("cannot be written")
    error.__cause__ = OSError(number, "no")
    return error


def lines(place):
    return [json.loads(line) for line in place.manifest.path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("error", "reason", "ends"),
    [
        (ImageError("no picture"), "a.png: no picture", False),
        (ValueError("two\n  lines"), "a.png: ValueError: two lines", False),
        (MemoryError(), "a.png: not enough memory; make the picture smaller", False),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), "a.png: not enough memory; make the picture smaller", False),
        (RuntimeError("shape"), "a.png: RuntimeError: shape", False),
        (KeyboardInterrupt(), "a.png: interrupted", True),
        (torch.AcceleratorError("gone"), "a.png: AcceleratorError: gone", True),
        (storing(errno.ENOSPC), "a.png: cannot be written", True),
        (storing(errno.ENAMETOOLONG), "a.png: cannot be written", False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_failure_is_noted_with_its_reason_and_some_end_the_run(claimed, monkeypatch, tmp_path, error, reason, ends):
    place = claimed()
    if ends:
        with pytest.raises(type(error)):
            place.failed(error)
    else:
        entry = place.failed(error)
        assert (entry.status, entry.source) == (Status.FAILED, place.item.source)
        assert entry.message.removeprefix(f"{tmp_path}/") == reason
    assert [(line["status"], line["words"]) for line in lines(place)] == [("failed", reason)]


def test_an_item_with_a_problem_is_not_opened(claimed):
    item = Item(source="absent.png", target=claimed().item.target, problem="absent.png: has no mask")
    with pytest.raises(ImageError, match="has no mask"), Place(item=item, manifest=Manifest(None, {}), overwrite=False).opened():
        pass


def test_a_file_that_has_come_since_the_claim_stays(claimed, tmp_path):
    place, result = claimed(), tmp_path / "result"
    place.item.target.write_bytes(b"of somebody else")
    result.write_bytes(b"ours")
    with pytest.raises(SettingError, match="has come to be there meanwhile"):
        place.settle(place.item.target, result)
    claimed(overwrite=True).settle(place.item.target, result)


def test_a_file_of_somebody_else_is_not_claimed_and_a_result_of_ours_is(claimed):
    place = claimed()
    place.item.target.write_bytes(b"ours")
    assert place.done("repaired").status is Status.DONE
    assert place.earlier().status is Status.SKIPPED
    place.claim()
    place.item.target.write_bytes(b"changed by hand")
    with pytest.raises(SettingError, match="is there already"):
        place.claim()


def test_each_file_of_a_result_is_claimed(claimed):
    place = claimed()
    beside = place.item.target.with_suffix(".json")
    beside.write_text("{}")
    with pytest.raises(SettingError, match=r"a\.json is there already"):
        place.claim([place.item.target, beside])
