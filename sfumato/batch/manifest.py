"""Manifest of a batch: a file with a line for each picture, by which a run continues after a stop and recognises its own results.

A line is written right before a result is moved to its place, and another when the move is done or the picture has failed; the last line of
a picture counts. A picture is identified by the path of its result relative to the manifest, so that the working directory does not
matter. A result is identified by the hash of its bytes, so that a file which a person has changed is not replaced. Lines contain the last
names of pictures and models only and not their folders, because folders of results are shared.
"""

import dataclasses
import enum
import functools
import hashlib
import io
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from sfumato.core import atomic_io, outputs, schema
from sfumato.core.atomic_io import digest
from sfumato.core.errors import FormatError
from sfumato.core.paths import last_name, without_places

NAME = "manifest.jsonl"
"""File name of the manifest in the output folder."""

DONE = "done before"
"""Message of an entry whose result an earlier run has written."""
_CHANGED = f"{DONE}, and changed since: kept; add --overwrite to replace the file"

Facts = dict[str, Any]


class Row(TypedDict):
    """The fields of a line that are read again; further fields are compared only."""

    place: str
    status: str
    source: str
    made: NotRequired[str]


class Status(enum.StrEnum):
    """What became of a picture; the manifest holds the value."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """An earlier run has done it."""
    WRITING = "writing"
    """The result is about to take its place."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The outcome for one picture."""

    source: str
    """Path of the picture."""
    out: str = ""
    """Path of the result; empty without one."""
    status: Status
    message: str
    """Diagnosis and treatment, or the reason of the failure."""
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

    def __init__(self, path: Path | None, request: Facts) -> None:
        """`request` holds everything beside the pictures that results depend on, as JSON values.

        Lines that are damaged are ignored with a warning. Raises SettingError if `path` is not a file, StorageError if the file cannot be
        read.
        """
        self.path, self.request = path, request
        self._last: dict[str, dict[str, Any]] = {}
        self._output_digests: dict[str, set[tuple[str, str]]] = {}
        if path is None:
            return
        outputs.check_place(path)
        if not path.is_file():
            return
        wrong = []
        with atomic_io.storing(path), path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(iter(functools.partial(file.readline, schema.LARGEST), ""), 1):
                try:
                    self._note(schema.parsed(line, Row, f"line {number}"))
                except FormatError as error:
                    wrong += [str(error)] if line.endswith("}\n") else []  # an incomplete line is the trace of a crash
        if wrong:
            more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            warnings.warn(f"{path}: {wrong[0]}{more}: damaged lines are ignored", stacklevel=2)

    def facts(self, picture: Path | io.BufferedReader, mask: Path | None) -> Facts:
        """The content hashes of a picture (a path or an open file) and its mask, and the request: equal facts give equal results."""
        return {"sha256": digest(picture), "mask": digest(mask) if mask else None, "asked": self.request}

    def earlier(self, path: Path, target: Path, facts: Facts) -> Entry | None:
        """A `skipped` entry if an earlier run has done the picture with equal `facts` and a file exists at `target`; None otherwise."""
        row = self._last.get(self._place(target))
        if row is None or row["status"] not in (Status.DONE, Status.WRITING) or not target.exists():
            return None
        if any(row.get(name) != value for name, value in facts.items()):
            return None
        same = row.get("made") == digest(target)
        if row["status"] == Status.WRITING and not same:  # the run was killed before the move
            return None
        words = DONE if same else _CHANGED
        before = str(row.get("words", ""))
        return Entry(source=str(path), out=str(target), status=Status.SKIPPED, message=words, changed=not same, earlier=before)

    def is_own(self, path: Path, target: Path) -> bool:
        """Whether an earlier run has written the file at `target` from the picture `path`, and nobody has changed the file since."""
        return (_identity(path), digest(target)) in self._output_digests.get(self._place(target), set())

    def add(self, entry: Entry, path: Path, target: Path, facts: Facts, *, output_digest: str = "") -> None:
        """Appends a line for `entry`, unless the picture was skipped; `output_digest` is the content hash of the result, if there is one.

        Every run tries a failed picture again; a line is appended only if the picture, the request or the reason has changed. Raises
        StorageError if the manifest cannot be written.
        """
        if self.path is None or entry.status == Status.SKIPPED:
            return
        place, fields = self._place(target), dataclasses.asdict(entry)
        # A message may hold whole paths; no picture that was skipped has a line.
        del fields["message"], fields["changed"], fields["earlier"]
        words = without_places(entry.message, path, target)
        row = {**fields, "source": path.name, "from": _identity(path), "out": place, "place": place, "words": words}
        row |= {**facts, "made": output_digest} if output_digest else facts if entry.status == Status.FAILED else {}
        if entry.status == Status.FAILED and _equal_rows(self._last.get(place, {}), row):
            return
        self._note(row)
        atomic_io.append_line(self.path, json.dumps(row))

    def _note(self, row: Any) -> None:
        # In manifests of earlier releases, `source` and the model are whole paths, and `from` is missing.
        request = row.get("asked")
        if isinstance(request, dict) and isinstance(request.get("model"), str):
            row["asked"] = request | {"model": last_name(request["model"])}
        self._last[row["place"]] = row
        if output_digest := row.get("made"):
            self._output_digests.setdefault(row["place"], set()).add((str(row.get("from") or _identity(row["source"])), output_digest))

    def _place(self, target: Path) -> str:
        return os.path.relpath(target, self.path.parent) if self.path else str(target)


def _identity(path: str | Path) -> str:
    """The hash of a picture's whole path: identifies the picture without revealing its folder."""
    return hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:32]


def _equal_rows(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two lines are equal in all fields except the time."""
    return one.keys() == other.keys() and all(value == other[name] for name, value in one.items() if name != "seconds")
