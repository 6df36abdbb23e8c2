"""The verbs `compress` and `decompress`: a line for each file, and their counts at the end."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from sfumato.batch.workers import Workers
from sfumato.cli.batches import Jobs, On, Shard, show_failures
from sfumato.cli.terminal import complain, say
from sfumato.cli.verbs import Overwrite, Pictures, Threads, machine, progress
from sfumato.core.config import Range

if TYPE_CHECKING:
    from sfumato.batch.manifest import Entry

Codec = Annotated[str, tyro.conf.arg(metavar="MODEL", help="The codec: a bundled model by its name, a run folder or a model file.")]
Files = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="FILE ...", help_behavior_hint="")]


def compress(
    pictures: Pictures,
    *,
    quality: Annotated[int | None, Range(1, 100)] = None,
    bpp: Annotated[float | None, Range(0.01, 24, "bits per pixel")] = None,
    max_kb: Annotated[float | None, Range(0.001, 1e6, "kilobytes")] = None,
    effort: Literal["fast", "refine", "max"] = "fast",
    tune: Literal["psnr", "ms-ssim"] = "psnr",
    model: Codec = "codec",
    keep_metadata: bool = False,
    out: Path = Path("compressed"),
    overwrite: Overwrite = False,
    jobs: Jobs = None,
    shard: Shard = "",
    on: On = "",
    threads: Threads = None,
) -> None:
    """Compress pictures to .sfm files, with a codec that was learnt from pictures.

    A file holds colour, grey and opacity, and decodes to the same symbols on every machine. `sfumato decompress` reads it.

    Args:
        pictures: Picture files, folders, glob patterns, lists (@list.txt), tar shards, or addresses (s3://bucket/folder).
        quality: From 1, the smallest file, to 100, the best picture. Default: 50, or as high as --bpp or --max-kb allows.
        bpp: Largest size of the file in bits for each pixel. Default: no limit.
        max_kb: Largest size of the file in kilobytes of 1,000 bytes. Default: no limit.
        effort: fast takes under a second for a small photograph. refine takes minutes to find a better picture for the bytes of a file,
            which may have a few more of them (--bpp and --max-kb bound them) and decodes as fast as others. max trains a small
            network for each picture and puts it into the file, which takes some 20 minutes for each megapixel. Such a file needs no
            model, and decoding takes seconds.
        tune: What refine and max take for the error: psnr, the squared differences; ms-ssim, what the eye is more likely to see. Pictures
            with a side below 161 pixels are tuned for psnr.
        keep_metadata: Keep the colour profile and the EXIF in the file. Without it, colours are converted to sRGB.
        out: A folder, or the file name of a single picture, which ends in .sfm.

    """
    with machine(threads):
        from sfumato.compression.files import compress_pictures
        from sfumato.compression.request import CompressionRequest

        request = CompressionRequest(
            quality=quality, bpp=bpp, max_kb=max_kb, effort=effort, tune=tune, model=model, keep_metadata=keep_metadata
        )
        workers = Workers(jobs=jobs, shard=shard, on=on)
        with progress():
            entries = compress_pictures(pictures, out, request, overwrite=overwrite, workers=workers, on_progress=_report)
        _finish(entries, out, "compressed", workers=workers)


def decompress(
    files: Files,
    *,
    model: Codec = "codec",
    out: Path = Path("decompressed"),
    overwrite: Overwrite = False,
    jobs: Jobs = None,
    shard: Shard = "",
    on: On = "",
    threads: Threads = None,
) -> None:
    """Turn .sfm files back into pictures.

    A damaged or unfinished file gives a picture too: its missing parts are predicted, and the command ends with an error.

    Args:
        files: Files that `sfumato compress` wrote, folders or glob patterns.
        out: A folder for PNG files, or the file name of a single picture.

    """
    with machine(threads):
        from sfumato.compression.files import decompress_files

        workers = Workers(jobs=jobs, shard=shard, on=on)
        with progress():
            entries = decompress_files(files, out, model=model, overwrite=overwrite, workers=workers, on_progress=_report)
        _finish(entries, out, "decompressed", workers=workers)


def _report(entry: "Entry", number: int, count: int) -> None:
    """Prints the line of one file; a single file that failed is the error of the command."""
    from sfumato.batch.manifest import Status

    if count == 1 and entry.status == Status.FAILED:
        return
    place = f"[{number}/{count}] " if count > 1 else ""
    arrow = f" -> {entry.out} ({entry.seconds:.1f} s)" if entry.status == Status.DONE else ""
    words = f"failed: {entry.message}" if entry.status == Status.FAILED else f"{entry.source}: {entry.message}{arrow}"
    damaged = entry.status == Status.DONE and entry.damage
    (complain if damaged else say)(place + words)


def _finish(entries: "Sequence[Entry]", out: Path, done: str, *, workers: Workers) -> None:
    """Prints how many files there were of each outcome. Exits with 2 if one failed or was damaged."""
    from sfumato.batch.manifest import Status, manifest_name

    of = Counter(entry.status for entry in entries)
    damaged = sum(entry.status == Status.DONE and bool(entry.damage) for entry in entries)
    if len(entries) == 1 and of[Status.FAILED]:
        complain(entries[0].message)
    elif len(entries) > 1:
        counts = {done: of[Status.DONE], "done before": of[Status.SKIPPED], "damaged": damaged, "failed": of[Status.FAILED]}
        words = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word == done)
        show_failures([(entry.source, entry.message) for entry in entries if entry.status == Status.FAILED])
        words += _saving(entries) if done == "compressed" else ""
        manifest = out / manifest_name(workers.part)
        say(f"{words}; see {manifest}" if manifest.exists() else words)
    elif not entries:
        say("no picture belongs to this shard")
    if of[Status.FAILED] or damaged:
        sys.exit(2)


def _saving(entries: "Sequence[Entry]") -> str:
    """The bytes before and after, of the files that are on this machine; nothing if there are none."""
    pairs = [(Path(entry.source), Path(entry.out)) for entry in entries if entry.out]
    sizes = [(one.stat().st_size, other.stat().st_size) for one, other in pairs if one.is_file() and other.is_file()]
    before, after = (sum(each) for each in zip(*sizes, strict=True)) if sizes else (0, 0)
    return f", {_bytes(before)} to {_bytes(after)} ({100 * after / before:.0f} %)" if before else ""


def _bytes(count: int) -> str:
    return f"{count / 1e3:,.0f} kB" if count < 1e7 else f"{count / 1e6:,.1f} MB"


VERBS = (compress, decompress)
