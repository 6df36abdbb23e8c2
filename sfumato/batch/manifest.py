"""Manifest of a batch: a file with a line for each picture, by which a run continues after a stop and recognises its own results.

A line is written right before a result is moved to its place, and another when the move is done or the picture has failed; the last line of
a picture counts. A picture is identified by the path of its result relative to the manifest, so that the working directory does not
matter. A result is identified by the hash of its bytes, so that a file which a person has changed is not replaced. Lines contain the last
names of pictures and models only and not their folders, because folders of results are shared.

A run of several processes or machines has several files: each process appends to the file of its unit (`units.py`), each shard has a
manifest of its own (`manifest-2-of-8.jsonl`), and all manifests of a folder are read.
"""

import contextlib
import dataclasses
import enum
import functools
import hashlib
import io
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

from sfumato.core import atomic_io, outputs, schema
from sfumato.core.atomic_io import digest
from sfumato.core.errors import FormatError
from sfumato.core.paths import last_name, without_places

NAME = "manifest.jsonl"
"""File name of the manifest in the output folder."""
_ALL = "manifest*.jsonl"

DONE = "done before"
"""Message of an entry whose result an earlier run has written."""
_CHANGED = f"{DONE}, and changed since: kept; add --overwrite to replace the file"

Facts = dict[str, object]


class Row(TypedDict):
    """The fields of a line that are read again; further fields are compared only."""

    place: str
    status: str
    source: str
    made: NotRequired[str]
    own: NotRequired[list[str]]


class _Last(NamedTuple):
    """The fields of the last line of a picture that later runs need."""

    status: str
    sha256: object
    mask: object
    request: object
    """One object for all lines with equal requests."""
    output_digest: str | None
    failure: str
    """Hash of the line of a picture that failed, without its time."""
    message: str
    damage: str


class Status(enum.StrEnum):
    """The outcome for a picture; the manifest holds the value."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """An earlier run has done it."""
    WRITING = "writing"
    """The result is about to take its place."""
    TODO = "todo"
    """A process is to work on it; only in the files of units."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The outcome for one picture."""

    source: str
    """Path of the picture."""
    out: str = ""
    """Path of the result; empty without one."""
    status: Status
    message: str
    """Damage and repair, or the reason of the failure."""
    damage: str = ""
    """The damage, with which the message begins, or that of the earlier run; empty if it is unknown."""
    nothing: bool = False
    """Whether the picture needed no change and was copied."""
    changed: bool = False
    """Whether somebody changed the result of the earlier run, for which the picture was skipped."""
    seconds: float = 0.0
    """Time of the work in seconds."""
    earlier: str = ""
    """Message of the earlier run for which the picture was skipped; empty if it is unknown."""


class Manifest:
    """The lines of the manifest of one output folder; without a path, nothing is read or written."""

    def __init__(self, path: Path | None, request: Mapping[str, object], *, folder: Path | None = None) -> None:
        """`request` holds everything beside the pictures that results depend on, as JSON values.

        Results lie in or below `folder`, by default the folder of `path`. The other manifests of that folder are read too. Lines that are
        damaged are ignored with a warning. Raises SettingError if `path` is not a file, StorageError if a file cannot be read.
        """
        self.path, self.request = path, request
        self.folder = folder if folder is not None or path is None else path.parent
        self._last: dict[str, _Last] = {}
        self._marks: dict[str, tuple[str, ...]] = {}
        self._requests: dict[str, object] = {_canonical(request): request}
        self._addresses: dict[Path, str] = {}
        if path is None:
            return
        outputs.check_place(path)
        if folder is None:
            for other in sorted(path.parent.glob(_ALL)):
                if other != path and other.is_file():
                    self._read(other)
        if path.is_file():
            self._read(path)

    def _read(self, path: Path) -> None:
        wrong = []
        with atomic_io.storing(path), path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(iter(functools.partial(file.readline, schema.LARGEST), ""), 1):
                try:
                    self._note({**schema.parsed(line, Row, f"line {number}")})
                except FormatError as error:
                    wrong += [str(error)] if line.endswith("}\n") else []  # an incomplete line is the trace of a crash
        if wrong:
            more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            warnings.warn(f"{path}: {wrong[0]}{more}: damaged lines are ignored", stacklevel=4)

    def address(self, path: Path, address: str) -> None:
        """Says that the file at `path` is a copy of the picture at `address`, by which the manifest identifies the picture."""
        self._addresses[path] = address

    def facts(self, picture: Path | io.BufferedReader, mask: Path | None) -> Facts:
        """The content hashes of a picture (a path or an open file) and its mask, and the request: equal facts give equal results."""
        return {"sha256": digest(picture), "mask": digest(mask) if mask else None, "asked": self.request}

    def earlier(self, path: Path, target: Path, facts: Facts) -> Entry | None:
        """A `skipped` entry if an earlier run has done the picture with equal `facts` and a file exists at `target`; None otherwise."""
        last = self._last.get(self.place(target))
        if last is None or last.status not in (Status.DONE, Status.WRITING) or not target.exists():
            return None
        stored = {"sha256": last.sha256, "mask": last.mask, "asked": last.request}
        if any(stored.get(name) != value for name, value in facts.items()):
            return None
        same = last.output_digest == digest(target)
        if last.status == Status.WRITING and not same:  # the run was killed before the move
            return None
        words = DONE if same else _CHANGED
        return Entry(
            source=str(path),
            out=str(target),
            status=Status.SKIPPED,
            message=words,
            changed=not same,
            earlier=last.message,
            damage=last.damage,
        )

    def is_own(self, path: Path, target: Path) -> bool:
        """Whether an earlier run has written the file at `target` from the picture `path`, and nobody has changed the file since."""
        marks = self._marks.get(self.place(target), ())
        return bool(marks) and _mark(self._identity(path), digest(target)) in marks

    def add(self, entry: Entry, path: Path, target: Path, facts: Facts, *, output_digest: str = "") -> None:
        """Appends a line for `entry`, unless the picture was skipped; `output_digest` is the content hash of the result, if there is one.

        Every run tries a failed picture again; a line is appended only if the picture, the request or the reason has changed. Raises
        StorageError if the manifest cannot be written.
        """
        if self.path is None or entry.status == Status.SKIPPED:
            return
        place, fields = self.place(target), dataclasses.asdict(entry)
        # A message may hold whole paths; no picture that was skipped has a line.
        del fields["message"], fields["changed"], fields["earlier"]
        if not entry.damage:
            del fields["damage"]
        words = without_places(entry.message, path, target)
        row = {**fields, "source": path.name, "from": self._identity(path), "out": place, "place": place, "words": words}
        row |= {**facts, "made": output_digest} if output_digest else facts if entry.status == Status.FAILED else {}
        last = self._last.get(place)
        if entry.status == Status.FAILED and last is not None and last.failure == _failure(row):
            return
        atomic_io.append_line(self.path, json.dumps(row))
        self._note(row)

    def carried(self, target: Path) -> Facts | None:
        """The line on the picture with the result `target` for another manifest with the same request; None without a line here."""
        place = self.place(target)
        last = self._last.get(place)
        if last is None:
            return None
        row: Facts = {"place": place, "source": "", "status": last.status, "carried": True, "own": list(self._marks.get(place, ()))}
        # A line of another request does not make the work unnecessary, and needs no more than its status.
        same = (
            {"sha256": last.sha256, "mask": last.mask, "same": True, "made": last.output_digest or ""}
            if last.request == self.request
            else {}
        )
        return row | same

    def merge(self, unit: Path) -> None:
        """Appends the lines that a process has added to the file of a unit. Raises StorageError as `add` does."""
        assert self.path is not None
        with atomic_io.storing(unit), unit.open(encoding="utf-8", errors="replace") as file:
            for line in iter(functools.partial(file.readline, schema.LARGEST), ""):
                with contextlib.suppress(FormatError):  # the trace of a process that was killed
                    row = schema.parsed(line, Row, str(unit))
                    if row["status"] != Status.TODO and not row.get("carried"):
                        atomic_io.append_line(self.path, line.rstrip("\n"))
                        self._note(row)

    def place(self, target: Path) -> str:
        """The name of a result in the lines: its path relative to the output folder."""
        if self.folder is None:
            return str(target)
        below, path = f"{self.folder}{os.sep}", str(target)
        if path.startswith(below) and ".." not in target.parts:  # without the working directory, which takes most of the time
            return path[len(below) :]
        return os.path.relpath(target, self.folder)

    def _note(self, row: Mapping[str, object]) -> None:
        # In manifests of earlier releases, `source` and the model are whole paths, and `from` is missing.
        if (status := str(row["status"])) == Status.TODO:
            return
        place, request = str(row["place"]), self.request if row.get("same") else row.get("asked")
        output_digest = str(row["made"]) if row.get("made") else None
        if isinstance(request, dict) and not row.get("same"):
            if isinstance(model := request.get("model"), str):
                request = request | {"model": last_name(model)}
            # Most lines have the request of this run, and comparing is quicker than writing.
            request = self.request if request == self.request else self._requests.setdefault(_canonical(request), request)
        failure = _failure({**row, "asked": request} if "asked" in row else {**row}) if status == Status.FAILED else ""
        words, damage = str(row.get("words", "")), str(row.get("damage", ""))
        self._last[place] = _Last(status, row.get("sha256"), row.get("mask"), request, output_digest, failure, words, damage)
        marks = row.get("own")
        if not isinstance(marks, list):
            marks = [_mark(str(row.get("from") or _path_hash(str(row["source"]))), output_digest)] if output_digest else []
        if new := [str(mark) for mark in marks if mark not in self._marks.get(place, ())]:
            self._marks[place] = (*self._marks.get(place, ()), *new)

    def _identity(self, path: Path) -> str:
        address = self._addresses.get(path)
        return _path_hash(path) if address is None else hashlib.sha256(address.encode()).hexdigest()[:32]


def manifest_name(shard: tuple[int, int] | None = None) -> str:
    """File name of the manifest in the output folder, or of the manifest of one shard.

    >>> manifest_name(), manifest_name((2, 8))
    ('manifest.jsonl', 'manifest-2-of-8.jsonl')
    """
    return NAME if shard is None else NAME.replace(".", f"-{shard[0]}-of-{shard[1]}.")


def _path_hash(path: str | Path) -> str:
    """The hash of a picture's whole path: identifies the picture without revealing its folder."""
    return hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:32]


def _mark(identity: str, output_digest: str) -> str:
    """A short hash of a picture's identity and of its result, by which results of our own are recognised."""
    return hashlib.sha256(f"{identity} {output_digest}".encode(errors="surrogatepass")).hexdigest()[:24]


def _canonical(facts: object) -> str:
    return json.dumps(facts, sort_keys=True)


def _failure(row: Facts) -> str:
    """The hash of a line without its time: two lines of a failed picture with equal hashes say the same."""
    return hashlib.sha256(_canonical({name: value for name, value in row.items() if name != "seconds"}).encode()).hexdigest()[:24]
