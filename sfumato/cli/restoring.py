"""The verb `restore`: progress of the pictures, and what is said at the end."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from sfumato.batch.manifest import NAME, Entry
from sfumato.batch.sources import passed_over
from sfumato.cli.terminal import complain, say
from sfumato.cli.verbs import progress
from sfumato.core import outputs
from sfumato.core.errors import SettingError
from sfumato.core.progress import job
from sfumato.io import formats
from sfumato.io.masks import is_alpha
from sfumato.restoration import film
from sfumato.restoration.pictures import restore_pictures as run
from sfumato.restoration.request import RestorationRequest
from sfumato.store import inputs


def restore_pictures(
    pictures: Sequence[str], out: Path, request: RestorationRequest, mask: Path | None, console: Console, *, overwrite: bool
) -> None:
    """Repairs the pictures, or the one film, and says a line about each. Exits with 2 if one failed."""
    mask = mask if is_alpha(mask) else inputs.place(mask)
    if film.is_film(pictures):
        if mask is not None:
            raise SettingError("a film takes no --mask; --find looks in every frame")
        _film(Path(pictures[0]), out, request, console, overwrite=overwrite)
        return

    def report(entry: Entry, number: int, count: int) -> None:
        if count == 1 and entry.status == "failed":
            return  # it is the error, and is told as one
        place = f"[{number}/{count}] " if count > 1 else ""
        arrow = f" -> {entry.out} ({entry.seconds:.1f} s)" if entry.status == "done" else ""
        text = blamed(entry) if entry.status == "failed" else f"{entry.source}: {entry.message}{arrow}"
        say(f"{place}{'failed: ' if entry.status == 'failed' else ''}{text}")

    with progress():
        entries = run(pictures, out, request, mask=mask, overwrite=overwrite, on_progress=report)
    if others := passed_over(pictures, taken={Path(entry.source) for entry in entries}):
        films = "; a film is given alone" if formats.FILM in others.values() else ""
        say(f"{formats.summary(others.values())}, such as {next(iter(others))}{films}")
    failed = [entry for entry in entries if entry.status == "failed"]
    if len(entries) == 1 and failed:
        complain(blamed(failed[0]))
    elif len(entries) > 1:
        done, skipped = (sum(entry.status == status for entry in entries) for status in ("done", "skipped"))
        left = sum(entry.nothing for entry in entries)
        counts = {"repaired": done - left, "left as they were": left, "done before": skipped, "failed": len(failed)}
        told = ", ".join(f"{count} {what}" for what, count in counts.items() if count or what == "repaired")
        say(f"{told}; see {out / NAME}" if (out / NAME).exists() else told)
    if failed:
        sys.exit(2)


def blamed(entry: Entry) -> str:
    """Why a picture failed, and which it was."""
    return entry.message if entry.source in entry.message else f"{entry.source}: {entry.message}"


def _film(path: Path, out: Path, request: RestorationRequest, console: Console, *, overwrite: bool) -> None:
    ending = ".mkv" if path.suffix.lower() == ".mkv" else ".mp4"
    target = out if outputs.is_file_name(out, film.SUFFIXES) else out / path.with_suffix(ending).name
    with progress(), job("frames") as frames:
        words = film.restore_film(path, target, request, overwrite=overwrite, on_progress=frames.reach)
    say(f"{path}: {words} -> {target}")
