"""The verb `restore`: a line for each picture, and their counts at the end."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from sfumato.batch.manifest import Entry, Status, manifest_name
from sfumato.batch.sources import passed_over
from sfumato.batch.workers import Workers
from sfumato.cli.batches import pack, show_failures
from sfumato.cli.terminal import complain, say
from sfumato.cli.verbs import progress
from sfumato.core import inputs, outputs
from sfumato.core.errors import SettingError
from sfumato.core.progress import job
from sfumato.io import formats
from sfumato.io.masks import is_alpha
from sfumato.restoration import film
from sfumato.restoration.pictures import restore_pictures as run
from sfumato.restoration.request import RestorationRequest


def restore_pictures(
    pictures: Sequence[str],
    out: Path,
    request: RestorationRequest,
    mask: Path | None,
    console: Console,
    *,
    overwrite: bool,
    workers: Workers | None = None,
    packs: bool = False,
    report: Path | None = None,
    preview: Path | None = None,
) -> None:
    """Repairs the pictures, or the one film, and prints a line about each. Exits with 2 if one failed."""
    mask = mask if is_alpha(mask) else inputs.place(mask)
    if film.is_film(pictures):
        _check_film({"--report": report, "--preview": preview}, mask, shared=packs or workers not in (None, Workers()))
        _film(Path(pictures[0]), out, request, console, overwrite=overwrite)
        return

    if packs and workers is not None and workers.shard:
        raise SettingError("--pack needs all pictures of a tar, and --shard gives a part of them; leave one out")
    with progress():
        pages = {"report": report, "preview": preview}
        entries = run(pictures, out, request, mask=mask, overwrite=overwrite, workers=workers, **pages, on_progress=_report)
    if others := passed_over(pictures, taken={Path(entry.source) for entry in entries}):
        films = "; a film is given alone" if formats.FILM in others.values() else ""
        say(f"{formats.summary(others.values())}, such as {next(iter(others))}{films}")
    if packs:
        done = [(entry.source, Path(entry.out)) for entry in entries if entry.status != Status.FAILED]
        pack(done, out, by="restore", overwrite=overwrite)
    if report is not None:
        say(f"page: {report}")
    _finish(entries, out / manifest_name(None if workers is None else workers.part))


def _finish(entries: Sequence[Entry], manifest: Path) -> None:
    """Prints the counts of a run. Exits with 2 if a picture failed."""
    failed = [entry for entry in entries if entry.status == Status.FAILED]
    if len(entries) == 1 and failed:
        complain(failed[0].message)
    elif len(entries) > 1:
        show_failures([(entry.source, entry.message) for entry in failed])
        say(f"{_counts(entries)}; see {manifest}" if manifest.exists() else _counts(entries))
    elif not entries:
        say("no picture belongs to this shard")
    if failed:
        sys.exit(2)


def _check_film(pages: Mapping[str, Path | None], mask: Path | None, *, shared: bool) -> None:
    """Raises SettingError for a flag that has no effect on a film."""
    if shared:
        raise SettingError("--jobs, --shard, --on and --pack have no effect on a film; leave them out")
    if mask is not None:
        raise SettingError(f"--mask {mask} has no effect on a film; leave it out, or give --find, which looks in every frame")
    for option, value in pages.items():
        if value is not None:
            raise SettingError(f"{option} {value} has no effect on a film; leave it out")


def _report(entry: Entry, number: int, count: int) -> None:
    """Prints the line of one picture; a single picture that failed is the error of the command."""
    if count == 1 and entry.status == Status.FAILED:
        return
    place = f"[{number}/{count}] " if count > 1 else ""
    arrow = f" -> {entry.out} ({entry.seconds:.1f} s)" if entry.status == Status.DONE else ""
    say(place + (f"failed: {entry.message}" if entry.status == Status.FAILED else f"{entry.source}: {entry.message}{arrow}"))


def _counts(entries: Sequence[Entry]) -> str:
    """How many pictures were repaired, left as they were, done before, and failed."""
    of = Counter(entry.status for entry in entries)
    unchanged = sum(entry.nothing for entry in entries)
    counts = {
        "repaired": of[Status.DONE] - unchanged,
        "left as they were": unchanged,
        "done before": of[Status.SKIPPED],
        "failed": of[Status.FAILED],
    }
    return ", ".join(f"{count} {words}" for words, count in counts.items() if count or words == "repaired")


def _film(path: Path, out: Path, request: RestorationRequest, console: Console, *, overwrite: bool) -> None:
    """Repairs a film frame by frame."""
    ending = ".mkv" if path.suffix.lower() == ".mkv" else ".mp4"
    target = out if outputs.is_file_name(out, film.SUFFIXES) else out / path.with_suffix(ending).name
    with progress(), job("frames") as frames:
        words = film.restore_film(path, target, request, overwrite=overwrite, on_progress=frames.reach)
    say(f"{path}: {words} -> {target}")
