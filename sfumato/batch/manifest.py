"""What was done to which picture, a line each in a file that grows: by it a run goes on where it stopped, and knows its own files.

A line is written right before a result takes its place and another when it has or when a picture has failed; the last one of a picture
counts. A picture is known by where it is written, seen from the manifest, so that it does not matter from where the command is given; and
what was written there by its bytes, so that a file that somebody changed since is theirs. Of where pictures and models lie it tells no
more than the last names: a folder of results is shared as it is.
"""

import dataclasses
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

DONE = "done before"
_CHANGED = f"{DONE}, and changed since: left as it is; --overwrite makes it anew"

Facts = dict[str, Any]


class Row(TypedDict):
    """A line, as far as it is read again; what else stands there is compared and nothing more."""

    place: str
    status: str
    source: str
    made: NotRequired[str]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What became of one picture."""

    source: str
    out: str = ""
    status: str
    """`done`, `failed`, `skipped` because it was done before, or `writing`."""
    message: str
    """What was found and done, or why it failed."""
    nothing: bool = False
    """Whether it was done by leaving the picture as it was."""
    seconds: float = 0.0


class Manifest:
    """The lines of one output folder; without a path, of none."""

    def __init__(self, path: Path | None, request: Facts) -> None:
        """`request` is all that the results depend on beside the pictures, as it comes back from JSON.

        Raises SettingError if something other than a file stands at `path`, StorageError if the file cannot be read.
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
                    wrong += [str(error)] if line.endswith("}\n") else []  # others were cut short by a crash
        if wrong:
            more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            warnings.warn(f"{path}: {wrong[0]}{more}: passed over, as if they were not there", stacklevel=2)

    def facts(self, picture: Path | io.BufferedReader, mask: Path | None) -> Facts:
        """What a picture, a file or an open one, its mask and the request are now, by which it is known again."""
        return {"sha256": digest(picture), "mask": digest(mask) if mask else None, "asked": self.request}

    def earlier(self, path: Path, target: Path, facts: Facts) -> Entry | None:
        """The entry of this picture if it was done before, from the same bytes and in the same way, and something is still there."""
        row = self._last.get(self._place(target))
        if row is None or row["status"] not in ("done", "writing") or not target.exists():
            return None
        if any(row.get(name) != value for name, value in facts.items()):
            return None
        same = row.get("made") == digest(target)
        if row["status"] == "writing" and not same:  # a run was killed before it was there
            return None
        return Entry(source=str(path), out=str(target), status="skipped", message=DONE if same else _CHANGED)

    def is_own(self, path: Path, target: Path) -> bool:
        """Whether the file at `target` was made from `path` by an earlier run, and is as that run left it."""
        return (_identity(path), digest(target)) in self._output_digests.get(self._place(target), set())

    def add(self, entry: Entry, path: Path, target: Path, facts: Facts, *, output_digest: str = "") -> None:
        """One more line, unless nothing was done; `output_digest` is the digest of the result, if there is one.

        A picture that failed is tried again by every run: it has one more line only if it, the request or the reason is another.
        """
        if self.path is None or entry.status == "skipped":
            return
        place, fields = self._place(target), dataclasses.asdict(entry)
        del fields["message"]  # which may hold whole paths
        words = without_places(entry.message, path, target)
        row = {**fields, "source": path.name, "from": _identity(path), "out": place, "place": place, "words": words}
        row |= {**facts, "made": output_digest} if output_digest else facts if entry.status == "failed" else {}
        if entry.status == "failed" and _equal_rows(self._last.get(place, {}), row):
            return
        self._note(row)
        atomic_io.append_line(self.path, json.dumps(row))

    def _note(self, row: Any) -> None:
        # Before there was `from`, `source` was the whole path; and the model was named with its own.
        request = row.get("asked")
        if isinstance(request, dict) and isinstance(request.get("model"), str):
            row["asked"] = request | {"model": last_name(request["model"])}
        self._last[row["place"]] = row
        if output_digest := row.get("made"):
            self._output_digests.setdefault(row["place"], set()).add((str(row.get("from") or _identity(row["source"])), output_digest))

    def _place(self, target: Path) -> str:
        return os.path.relpath(target, self.path.parent) if self.path else str(target)


def _identity(path: str | Path) -> str:
    """What a picture is known by without telling where it lies: a hash of its whole path."""
    return hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:32]


def _equal_rows(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two lines say the same, however long it took."""
    return one.keys() == other.keys() and all(value == other[name] for name, value in one.items() if name != "seconds")
