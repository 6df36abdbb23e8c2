"""A report of restored pictures: one web page with each picture before and after, the damage, the repair, times and failures.

    Entry ─ add ─> previews of its two files ─ page ─> one HTML file

The page opens without internet. Its size is bounded: pictures are embedded reduced, smaller the more there are, and none once they
take `MOST_BYTES` together; of more than `MOST_ENTRIES` pictures only the failures are listed.
"""

import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from sfumato import __version__
from sfumato.batch.manifest import Entry, Status
from sfumato.core import atomic_io, outputs
from sfumato.core.errors import SfumatoError, StorageError
from sfumato.core.paths import last_name, without_places
from sfumato.core.progress import clock
from sfumato.core.tensors import size_text
from sfumato.io import previews
from sfumato.io.previews import PixelSource, Preview
from sfumato.io.web_page import document, escaped, picture_address
from sfumato.restoration.memory import BASE
from sfumato.restoration.report_style import SCRIPT, STYLE
from sfumato.restoration.request import RestorationRequest

ENDINGS = (".html", ".htm")
OPTION = "--report"
EARLIER = "done by an earlier run"
MOST_BYTES = 48_000_000
"""Bytes of all embedded pictures together."""
MOST_ENTRIES = 2_000
"""Pictures that a page lists; failures are listed in any number."""
_SIDES = ((24, 1280), (200, 640))
"""Number of pictures up to which the longer side of an embedded picture has so many pixels."""
_LEAST_SIDE = 320
_DETAIL = 480
"""Side in pixels of the part that is shown at full size, if the picture is shown reduced."""

Tell = Callable[[Entry, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A picture, or a part of it, before and after; without `after` if nothing changed."""

    caption: str
    before: Preview
    after: Preview | None

    @property
    def length(self) -> int:
        """Bytes of its pictures."""
        return len(self.before.content) + (len(self.after.content) if self.after else 0)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One picture on the page."""

    name: str
    entry: Entry
    sizes: str = ""
    """Size of the picture, and of the result if that is another."""
    comparisons: tuple[Comparison, ...] = ()
    missing: str = ""
    """The reason why no picture is shown; empty if one is."""


@contextlib.contextmanager
def reporting(
    name: str | Path | None, request: RestorationRequest, folder: Path, *, reads: Collection[Path], overwrite: bool, on_progress: Tell
) -> Iterator[Tell]:
    """Yields a function to call with each entry, which calls `on_progress`; at the end the report is written to the file `name`, if any.

    Names on the page are relative to `folder`. A run that is stopped leaves a report of the pictures so far. Before the work, raises
    SettingError if `name` does not end in .html, is one of the files that the run `reads`, or exists and was not written by this
    command (unless `overwrite`); StorageError if it cannot be written.
    """
    if name is None:
        yield on_progress
        return
    path = Path(name)
    outputs.check_ending(path, ENDINGS, "reports", option=OPTION)
    with outputs.reserved([path], by="restore", overwrite=overwrite, reads=reads, option=OPTION):
        report = Report(request, folder)

        def notice(entry: Entry, number: int, count: int) -> None:
            on_progress(entry, number, count)
            report.add(entry, count)

        try:
            yield notice
        except BaseException:
            with contextlib.suppress(StorageError):  # the first error says more
                atomic_io.write(path, report.page())
            raise
        atomic_io.write(path, report.page())


class Report:
    """The report of one run."""

    def __init__(self, request: RestorationRequest, folder: Path) -> None:
        self._request, self._folder, self._began = request, folder, time.perf_counter()
        self._items: list[Item] = []
        self._counts: Counter[str] = Counter()
        self._bytes, self._count = 0, 0

    def add(self, entry: Entry, count: int) -> None:
        """Adds the picture of `entry`, one of `count`. Files that cannot be read are named on the page; nothing is raised for them."""
        self._count = max(self._count, count)
        self._counts[_outcome(entry)] += 1
        if entry.status is not Status.FAILED and len(self._items) >= MOST_ENTRIES:
            return
        item = Item(name=self._name(entry), entry=entry)
        if entry.status is not Status.FAILED:
            item = self._with_pictures(item)
        self._bytes += sum(comparison.length for comparison in item.comparisons)
        self._items.append(item)

    def _with_pictures(self, item: Item) -> Item:
        if self._bytes >= MOST_BYTES:
            return dataclasses.replace(item, missing=_FULL)
        side = next((pixels for most, pixels in _SIDES if self._count <= most), _LEAST_SIDE)
        try:
            sizes, comparisons = _compared(Path(item.entry.source), Path(item.entry.out), side, memory=self._request.memory - BASE)
        except (SfumatoError, OSError, MemoryError) as error:
            return dataclasses.replace(
                item, missing=f"The picture cannot be shown: {without_places(str(error), item.entry.source, item.entry.out)}"
            )
        if self._bytes + sum(comparison.length for comparison in comparisons) > MOST_BYTES:
            return dataclasses.replace(item, sizes=sizes, missing=_FULL)
        return dataclasses.replace(item, sizes=sizes, comparisons=comparisons)

    def _name(self, entry: Entry) -> str:
        """The name of a picture: the path of its result below the output folder, or the last name of its file."""
        out = Path(entry.out)
        return str(out.relative_to(self._folder)) if entry.out and out.is_relative_to(self._folder) else last_name(entry.source)

    def page(self) -> str:
        """The page as HTML."""
        done = sum(self._counts.values())
        body = [f"<h1>Restored pictures</h1>\n<p class=lead>{escaped(_counted(self._counts))}</p>"]
        if done < self._count:
            body.append(f"<p class=note>The run was stopped after {done} of {self._count} pictures.</p>")
        body.append(_table({**_settings(self._request), "Time": f"{clock(time.perf_counter() - self._began)} for the whole run"}))
        if failed := [item for item in self._items if item.entry.status is Status.FAILED]:
            rows = "".join(f"<li><b>{escaped(item.name)}</b>: {escaped(_reason(item))}</li>" for item in failed)
            body.append(f"<h2>Failed</h2>\n<ul class=failed>{rows}</ul>")
        body += [_section(item) for item in self._items if item.entry.status is not Status.FAILED]
        if left := done - len(self._items):
            body.append(f"<p class=note>{left} more pictures were processed; a report lists {MOST_ENTRIES:,} at most.</p>")
        body.append(f"<footer>{escaped(_explanation(self._items))}</footer>")
        return document("Restored pictures", "\n".join(body), style=STYLE, script=SCRIPT)


_FULL = f"Not shown: the pictures of a report take {MOST_BYTES // 1_000_000} MB at most."


def _compared(source: Path, result: Path, side: int, *, memory: float) -> tuple[str, tuple[Comparison, ...]]:
    """The sizes in words; both pictures reduced to `side` pixels, and one part of both at full size if they had to be reduced."""
    with previews.open_pixels(source, memory=memory / 2) as before, previews.open_pixels(result, memory=memory / 2) as after:
        sizes = " to ".join(dict.fromkeys(f"{size_text(each.size)} pixels" for each in (before, after)))
        whole = _comparison("The whole picture", *(previews.reduced(each, side=side) for each in (before, after)))
        shown = whole.before if whole.after is None else whole.after
        if shown.size == after.size:
            return sizes, (whole,)
        reduced = _comparison(f"The whole picture, reduced to {size_text(shown.size)} pixels", whole.before, whole.after or whole.before)
        detail = _detail(before, after)
        return sizes, (reduced,) if detail.after is None else (reduced, detail)


def _detail(before: PixelSource, after: PixelSource) -> Comparison:
    """The part of both pictures, at full size, where they differ most."""
    row, column = previews.difference_at(before, after)
    (h, w), times = after.size, after.size[0] / before.size[0]
    middle = (row / h, column / w)
    parts = [previews.square(each, middle, side=round(_DETAIL / scale)) for each, scale in ((before, times), (after, 1.0))]
    words = "where the two differ most" if before.size == after.size else "where the result has most contrast"
    return _comparison(f"{size_text(parts[1].size)} pixels at full size, {words}", *parts)


def _comparison(caption: str, before: Preview, after: Preview) -> Comparison:
    return Comparison(caption=caption, before=before, after=None if before.content == after.content else after)


def _outcome(entry: Entry) -> str:
    """The group that an entry is counted in."""
    if entry.status is Status.DONE:
        return "left as they were" if entry.nothing else "repaired"
    return EARLIER if entry.status is Status.SKIPPED else "failed"


def _counted(counts: Counter[str]) -> str:
    groups = ("repaired", "left as they were", EARLIER, "failed")
    return ", ".join(f"{counts[name]} {name}" for name in groups if counts[name] or (name == "repaired" and not counts[EARLIER]))


def _settings(request: RestorationRequest) -> dict[str, str]:
    """The settings that a person gave or would look for, by name."""
    values = {
        "Task": request.task,
        "Model": "" if request.model is None else last_name(str(request.model)),
        "Method": request.method or "",
        "Scale": "" if request.scale is None else f"{request.scale:g} times",
        "Quality": request.quality if request.quality != "standard" else "",
        "Look": request.look if request.look != "faithful" else "",
        "Noise": "" if request.noise is None else f"{request.noise * 255:g}/255",
        "Blur": request.blur or "",
        "Damage to look for": ", ".join(request.find),
        "Strength": f"{request.strength:g}" if request.task != "upscale" else "",
        "Views": f"mean of {request.views}" if request.views > 1 else "",
        "Version": f"Sfumato {__version__}",
    }
    return {name: value for name, value in values.items() if value}


def _message(item: Item) -> str:
    return without_places(item.entry.message, item.entry.source, item.entry.out)


def _reason(item: Item) -> str:
    """Why a picture failed, without its name."""
    return _message(item).removeprefix(f"{last_name(item.entry.source)}: ")


def _section(item: Item) -> str:
    """The HTML of a picture that did not fail."""
    entry = item.entry
    message = entry.earlier if entry.status is Status.SKIPPED and entry.earlier else _message(item)
    repair = message.removeprefix(f"{entry.damage}: ") if entry.damage else message
    earlier = "by an earlier run" + (", and changed since" if entry.changed else "")
    seconds = earlier if entry.status is Status.SKIPPED else f"{entry.seconds:.1f} seconds"
    rows = {"Found": entry.damage, "Done": repair, "Size": item.sizes, "Time": seconds}
    pictures = "".join(_figure(item.name, comparison) for comparison in item.comparisons)
    missing = f"<p class=note>{escaped(item.missing)}</p>" if item.missing else ""
    return f"<section><h2>{escaped(item.name)}</h2>\n{_table(rows)}\n{pictures}{missing}</section>"


def _table(rows: dict[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>' for name, value in rows.items() if value)}</dl>"


def _figure(name: str, comparison: Comparison) -> str:
    """The HTML of a comparison: two pictures side by side, which the script turns into one with a slider."""
    shown = comparison.after or comparison.before
    parts = [("before", comparison.before), ("after", comparison.after)] if comparison.after else [("unchanged", comparison.before)]
    images = "".join(
        f'<div class="side {kind}"><img width="{shown.size[1]}" height="{shown.size[0]}" alt="{escaped(name)}, {kind}" '
        f'src="{picture_address(preview.content, previews.KIND)}"><span>{kind}</span></div>'
        for kind, preview in parts
        if preview is not None
    )
    pair = f' data-name="{escaped(name)}"' if comparison.after else ""
    return f'<figure><div class="pair"{pair}>{images}</div><figcaption>{escaped(comparison.caption)}</figcaption></figure>'


def _explanation(items: list[Item]) -> str:
    """A sentence about the pictures on the page."""
    if not any(item.comparisons for item in items):
        return "This page holds no pictures."
    return (
        "The pictures on this page are copies with a slight loss (WebP of quality 90), and large ones are reduced. "
        "The results themselves are in the output folder."
    )
