"""The verb `restore`: progress of the pictures, and what is said at the end."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sfumato.cli.verbs import progress
from sfumato.core.errors import SettingError
from sfumato.core.pace import job
from sfumato.jobs import film
from sfumato.jobs.manifest import NAME, Entry
from sfumato.jobs.pictures import passed_over
from sfumato.jobs.pictures import restore_pictures as run
from sfumato.jobs.remedy import Request


def restore_pictures(pictures: Sequence[str], out: Path, request: Request, mask: Path | None, console: Console, *, overwrite: bool) -> None:
    """Repairs the pictures, or the one film, and says a line about each. Exits with 2 if one failed."""
    if film.is_film(pictures):
        if mask is not None:
            raise SettingError("a film takes no --mask; --find looks in every frame")
        _film(Path(pictures[0]), out, request, console, overwrite=overwrite)
        return

    def tell(entry: Entry, number: int, count: int) -> None:
        if count == 1 and entry.status == "failed":
            return  # it is the error, and is told as one
        place = f"[{number}/{count}] " if count > 1 else ""
        arrow = f" -> {entry.out} ({entry.seconds:.1f} s)" if entry.status == "done" else ""
        text = blamed(entry) if entry.status == "failed" else f"{entry.source}: {entry.words}{arrow}"
        _say(console, f"{place}{'failed: ' if entry.status == 'failed' else ''}{text}")

    with progress():
        entries = run(pictures, out, request, mask=mask, overwrite=overwrite, tell=tell)
    if others := passed_over(pictures):
        kinds = ", ".join(sorted({path.suffix.lower() for path in others}))
        _say(console, f"passed over {len(others)} that cannot be read or are films ({kinds}), such as {others[0]}")
    failed = [entry for entry in entries if entry.status == "failed"]
    if len(entries) == 1 and failed:
        print(f"sfumato: {blamed(failed[0])}", file=sys.stderr)
    elif len(entries) > 1:
        done, skipped = (sum(entry.status == status for entry in entries) for status in ("done", "skipped"))
        left = sum(entry.nothing for entry in entries)
        counts = {"repaired": done - left, "left as they were": left, "done before": skipped, "failed": len(failed)}
        told = ", ".join(f"{count} {what}" for what, count in counts.items() if count or what == "repaired")
        _say(console, f"{told}; see {out / NAME}" if (out / NAME).exists() else told)
    if failed:
        sys.exit(2)


def blamed(entry: Entry) -> str:
    """Why a picture failed, and which it was."""
    return entry.words if entry.source in entry.words else f"{entry.source}: {entry.words}"


def _say(console: Console, line: str) -> None:
    """A line to the letter, and not in markup."""
    console.print(_printable(line), markup=False, emoji=False, highlight=False, soft_wrap=True)


def _printable(line: str) -> str:
    """With marks in the place of what is no text: a file's name need not be."""
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _film(path: Path, out: Path, request: Request, console: Console, *, overwrite: bool) -> None:
    target = (
        out if out.suffix.lower() in film.SUFFIXES else out / path.with_suffix(".mkv" if path.suffix.lower() == ".mkv" else ".mp4").name
    )
    with progress(), job("frames") as frames:
        words = film.restore_film(path, target, request, overwrite=overwrite, tell=frames.reach)
    _say(console, f"{path}: {words} -> {target}")
