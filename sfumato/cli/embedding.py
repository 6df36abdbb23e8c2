"""The verbs for images as vectors: `embed`, `search` and `cluster`, and for copies of pictures: `duplicates`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from sfumato.batch.workers import Workers
from sfumato.cli.batches import Jobs, On, Shard
from sfumato.cli.terminal import console, say
from sfumato.cli.verbs import Backend, Device, File, Overwrite, Threads, machine, progress
from sfumato.core.config import Range
from sfumato.core.errors import SettingError

if TYPE_CHECKING:
    from sfumato.embeddings.index import Index
    from sfumato.embeddings.search import Matches

Folder = Annotated[
    tyro.conf.Positional[str],
    tyro.conf.arg(
        metavar="PICTURES",
        help="A folder or a .zip of pictures, the name of a data set, a pattern in quotes such as 'photos/**/*.jpg', a list such as "
        "@list.txt, tar shards, or an address such as s3://bucket/photos.",
    ),
]
IndexFile = Annotated[File, tyro.conf.arg(metavar="INDEX", help="An index that `sfumato embed` made.")]
Queries = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="PICTURE ...", help_behavior_hint="")]
Where = Annotated[
    str | None,
    tyro.conf.arg(metavar="STR", help="Place of the pictures of the index. Default: the folder of its name beside the index."),
]
IndexModel = Annotated[
    str | None, tyro.conf.arg(help="Model of the index, if it is not found by its name. Default: the name in the index.")
]
Crop = Literal["centre", "stretch"]


def embed(
    pictures: Folder,
    *,
    model: str = "codec",
    crop: Crop = "centre",
    out: Path | None = None,
    overwrite: Overwrite = False,
    backend: Backend = "torch",
    jobs: Jobs = None,
    shard: Shard = "",
    on: On = "",
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Describe each picture of a folder by a vector, for search and groups.

    The same command again updates the index: only pictures that are new or changed are computed, and those that are gone are removed.
    `--shard 2/5` writes an index of its part, such as photos-2-of-5.index; the command without --shard then puts the parts together.

    Args:
        model: Model that turns pictures into vectors: a codec (texture and colour), a classifier, squeezenet or another backbone (their
            features), a VAE without classes (its latents), or a GAN that was saved with its discriminator.
        crop: Way to give pictures the shape that the model takes: cut to the middle, or stretched.
        out: The index, .index or .safetensors. Default: the name of the pictures with .index behind it, such as photos.index.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.embeddings import embed as job
        from sfumato.embeddings import index as indexes
        from sfumato.embeddings import workers as shares
        from sfumato.embeddings.gathered import index_name
        from sfumato.embeddings.sources import existing_source
        from sfumato.store.weights import existing_model

        workers = Workers(jobs=jobs, shard=shard, on=on)
        workers.check()
        whole = out or Path(f"{index_name(pictures)}.index")
        target, parts = shares.target_of(whole, workers.part), () if workers.part else shares.parts_of(whole)
        reads = (existing_source(pictures), existing_model(model))
        options = {"crop": crop, "backend": backend, "device": device, "workers": workers, "folder": shares.work_folder(target)}
        with outputs.reserved(indexes.output_files(target), by="embed", overwrite=overwrite, reads=reads), progress():
            of_parts = [index for path in parts if (index := job.reusable(path)) is not None]
            index = job.embed(pictures, model, earlier=job.reusable(target), parts=of_parts, **options)
            if len(index):
                index.write(target)
            shares.remove(shares.work_folder(target))
        _show_index(index, target)


def _show_index(index: "Index", target: Path) -> None:
    """Prints what an index has, what changed, and the first of the pictures that were skipped."""
    changes = index.changes
    assert changes is not None
    for line in changes.skipped[:10]:
        say(f"skipped: {line}")
    if not len(index):
        say("no picture belongs to this shard")
        return
    console.print(f"{len(index):,} vectors of {index.vectors.shape[1]} numbers in {target}: {changes}", highlight=False)


def search(
    index: IndexFile,
    pictures: Queries = (),
    *,
    minus: tuple[str, ...] = (),
    region: Annotated[tuple[int, int, int, int] | None, tyro.conf.arg(metavar="LEFT TOP WIDTH HEIGHT")] = None,
    generator: str | None = None,
    seed: int | None = None,
    k: Annotated[int, Range(1, 1e6, "pictures"), tyro.conf.arg(aliases=["-k"])] = 20,
    model: IndexModel = None,
    place: Where = None,
    out: Path | None = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Find the pictures of an index that are most like a picture.

    Several pictures are averaged. `--minus` subtracts: `sfumato search photos.index a.jpg c.jpg --minus b.jpg` looks for a - b + c.

    Args:
        pictures: Pictures to look for. They need not be in the index. Default: none; --generator and --seed name an image.
        minus: Pictures whose vectors are subtracted. Default: none.
        region: Part of the one picture to look for: left, top, width and height in pixels. Default: the whole picture.
        generator: Generator whose image of --seed is looked for: a bundled model, a run folder or a model file. Default: none.
        seed: Seed of the image of --generator. Default: none.
        k: Number of pictures to find; of a smaller index, all.
        out: A picture for a contact sheet (the query first), or .json for paths and similarities. Default: they are printed only.

    """
    with machine(threads):
        from sfumato.core import inputs, outputs
        from sfumato.embeddings import search as job
        from sfumato.embeddings.sources import existing_source
        from sfumato.store.weights import existing_model

        inputs.file(index, made_by="embed")
        queries = [inputs.file(each) for each in (*pictures, *minus)]
        if (generator is None) != (seed is None):
            raise SettingError("--generator and --seed name one generated image together; give both, or neither")
        if not pictures and generator is None:
            raise SettingError("there is nothing to look for; give a picture, or --generator and --seed")
        reads = (index, *queries, existing_model(generator), existing_model(model), existing_source(place))
        paths = job.output_files(out) if out else []
        with outputs.reserved(paths, by="search", overwrite=overwrite, reads=reads), progress():
            request = job.Request(
                pictures=pictures, minus=minus, region=region, k=k, generator=generator, seed=seed or 0, model=model, place=place
            )
            matches = job.search_file(index, request, device=device)
            if out:
                matches.write(out)
        _show_matches(matches, pictures, Path(place) if place else Path(index).parent / matches.index.source)
        if out:
            console.print(f"matches in {out}", highlight=False)


def _show_matches(matches: "Matches", queries: Sequence[str], folder: Path) -> None:
    """Prints the matches, which lie in `folder`, and what the model of the index compares."""
    from sfumato.embeddings.embedder import DEFAULT_MODEL

    asked = {Path(each).absolute() for each in queries}
    for path, similarity in zip(matches.paths, matches.similarities, strict=True):
        itself = folder.absolute() / path in asked
        say(f"{similarity:6.3f}  {path}{'  (the picture itself)' if itself else ''}")
    if matches.index.model == DEFAULT_MODEL:
        say(f"{DEFAULT_MODEL} compares texture and colour; an index of `embed --model squeezenet` compares what is shown")


def cluster(
    index: IndexFile,
    *,
    clusters: str = "auto",
    method: Literal["spectral", "kmeans", "mixture"] = "spectral",
    seed: int = 0,
    sort_into: Path | None = None,
    by: Literal["links", "copies"] = "links",
    model: IndexModel = None,
    place: Where = None,
    out: Path = Path("groups.html"),
    overwrite: Overwrite = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Group the pictures of an index by what they show, and draw a page of the groups.

    The page shows each group with its size, its medoid, its most and least typical pictures and, for a VAE, the image of its mean.

    Args:
        clusters: Number of groups. auto takes the number up to 20 for which groupings of random halves of the pictures agree best.
        method: spectral follows a graph of neighbours, so that groups may have any shape; kmeans; or mixture, a mixture of Gaussians.
        seed: Seed of the groups.
        sort_into: New folder for a folder of each group, and an index of each group for `sfumato generate --like`. Originals stay where
            they are. Default: none.
        by: Pictures in --sort-into: links to the originals, or copies.
        out: The page, .html.

    """
    with machine(threads):
        from sfumato.core import inputs, outputs
        from sfumato.embeddings import cluster as job
        from sfumato.embeddings import opening, page, sorting
        from sfumato.embeddings.sources import existing_source
        from sfumato.store.weights import existing_model

        reads = (inputs.file(index, made_by="embed"), existing_model(model), existing_source(place))
        count = job.number_of_groups(clusters)
        if sort_into is not None:
            sorting.check_folder(sort_into)
        with outputs.reserved(page.output_files(out), by="cluster", overwrite=overwrite, reads=reads), progress():
            groups = job.cluster(opening.opened_index(index, place), count, method=method, seed=seed)
            page.write_page(groups, out, opening.optional_embedder(groups.index, model, device=device))
            folders = [] if sort_into is None else sorting.sort_into(groups, sort_into, by=by)
        sizes = ", ".join(f"{size:,}" for size in groups.sizes)
        console.print(f"{groups.count} groups of {sizes} pictures; see {out}", highlight=False)
        if folders:
            console.print(f"folders of the groups in {sort_into}", highlight=False)


def duplicates(
    pictures: Folder,
    *,
    threshold: Annotated[float, Range(0.5, 1)] = 0.97,
    keep: Literal["best", "first"] = "best",
    out: Path = Path("duplicates.json"),
    overwrite: Overwrite = False,
    threads: Threads = None,
) -> None:
    """List pictures that show the same: exact, resized, compressed, mirrored, cropped.

    No file is deleted or moved: the list says which pictures could be dropped, and a contact sheet shows the groups.

    Args:
        threshold: Least correlation of the thumbnails of copies, after they are laid over one another. All of 132 planted copies had 0.97
            and more. Pairs between 0.9 and the threshold are listed as similar and never dropped.
        keep: Picture of each group that is not in the list to drop: the best (most pixels, then the largest file), or the first by name.
        out: The groups as .json, or as .csv with a line for each picture: keep or drop. The contact sheet lies beside it as .png.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.embeddings import duplicates as job
        from sfumato.embeddings.sources import existing_source

        reads = (existing_source(pictures),)
        with outputs.reserved(job.output_files(out), by="duplicates", overwrite=overwrite, reads=reads), progress():
            result = job.duplicates(pictures, threshold=threshold, keep=keep)
            result.write(out)
        for line in result.skipped[:10]:
            say(f"skipped: {line}")
        for group in result.groups[:20]:
            say(f"{group.kind:8} {group.correlation:.3f}{' mirrored' if group.mirrored else ''}  {'  '.join(group.paths[:4])}")
        console.print(f"{result.summary}; see {out} and {out.with_suffix('.png')}", highlight=False)


VERBS = (embed, search, cluster, duplicates)
