"""The units of a run on the actors of Ray Data: actors get paths of units and return records; pictures never go through Ray.

    Dataset of unit paths ─ map_batches ─> actor: take ─ work ─ finish ─> records of the entries

Pictures, results and the units lie in folders that every machine of the cluster has at the same path. Ray starts an actor anew when its
process or machine is lost, and gives its unit to an actor once more: the lines in the unit's file say which results are whole.
"""

import dataclasses
import importlib
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfumato.batch import units
from sfumato.batch.items import Item
from sfumato.batch.manifest import Entry, Manifest, Status
from sfumato.batch.pool import OnItem, opened, work_on
from sfumato.batch.task import Task
from sfumato.core.config import changed
from sfumato.core.errors import ProcessError, SfumatoError
from sfumato.core.extras import missing


def run(task: Task, folder: Path, manifest: Manifest, on_item: OnItem, *, actors: int, address: str) -> None:
    """Works on every unit of `folder` with so many actors, on the cluster at `address` or, for `ray`, on the one that Ray finds or starts.

    Raises MissingExtraError without the package, ProcessError if the cluster cannot be reached or loses its work for good, and the error of
    an actor that ends the run, such as StorageError.
    """
    try:
        ray, data = importlib.import_module("ray"), importlib.import_module("ray.data")
    except ImportError as error:
        raise missing(f"--on {address} needs", "ray") from error
    started = not ray.is_initialized()
    try:
        if started:
            ray.init(address=None if address == "ray" else address, log_to_driver=False, include_dashboard=False)
        data.DataContext.get_current().enable_progress_bars = False
        paths = [{"unit": str(path)} for path in sorted(folder.glob(f"*{units.TODO}"))]
        records = data.from_items(paths, override_num_blocks=len(paths)).map_batches(
            _Actor,
            fn_constructor_args=(task, str(manifest.folder)),
            batch_size=1,
            concurrency=min(actors, len(paths)),
            num_cpus=1,
            max_restarts=-1,
            max_task_retries=-1,
        )
        for record in records.iter_rows():
            _record(record, folder, manifest, on_item)
    except SfumatoError:
        raise
    except Exception as error:
        raise ProcessError(f"on {address}: {' '.join(str(error).split())[:300]}; the same command continues the run") from error
    finally:
        if started and ray.is_initialized():
            ray.shutdown()


def _record(record: Mapping[str, object], folder: Path, manifest: Manifest, on_item: OnItem) -> None:
    """Hands on the entry of one record; the last record of a unit is about the unit."""
    if record["kind"] == "error":
        raise ProcessError(f"an actor cannot work: {record['message']}")
    if record["kind"] == "done":
        units.settle(folder / str(record["message"]), manifest)
        return
    names = [field.name for field in dataclasses.fields(Entry)]
    blank = Entry(source="", status=Status(record["status"]), message="")
    entry = changed(blank, **{name: record[name] for name in names if name != "status"})
    on_item(Item(source=str(record["source"]), target=Path(str(record["target"]))), entry)


class _Actor:
    """One actor, with one thread and one copy of the network."""

    def __init__(self, task: Task, out: str) -> None:
        self._task, self._out, self._name, self._work = task, Path(out), f"ray-{secrets.token_hex(4)}", None

    def __call__(self, batch: Mapping[str, Sequence[object]]) -> dict[str, list[object]]:
        """The records of the units whose paths are in the batch."""
        records: list[dict[str, object]] = []
        for each in batch["unit"]:
            records += self._records(Path(str(each)))
        return {name: [record[name] for record in records] for name in records[0]}

    def _records(self, path: Path) -> list[dict[str, object]]:
        try:
            if self._work is None:
                self._work = opened(self._task)
            claimed = self._taken(path)
            entries: list[Entry] = []
            work_on(claimed, self._task, self._work, self._out, entries.append)
            items = units.read(claimed)
            done = units.finish(claimed).name
        except SfumatoError as error:
            return [_row("error", message=str(error))]
        rows = [
            {**_row("entry"), **vars(entry), "status": entry.status.value, "target": str(item.target)}
            for item, entry in zip(items, entries, strict=True)
        ]
        return [*rows, _row("done", message=done)]

    def _taken(self, path: Path) -> Path:
        """Takes the unit, also from an actor that was lost with it: Ray gives a unit to one actor at a time."""
        for place in [path, *sorted(path.parent.glob(f"{path.stem}.*"))]:
            if (claimed := units.take(place, self._name)) is not None:
                return claimed
        raise ProcessError(f"{path} is not there: actors need the output folder at the same path as the process that starts them")


def _row(kind: str, *, message: str = "") -> dict[str, object]:
    """A record with all columns."""
    blank = dataclasses.asdict(Entry(source="", status=Status.DONE, message=message))
    return {**blank, "status": Status.DONE.value, "kind": kind, "target": ""}
