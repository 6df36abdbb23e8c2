"""The command line: flags to calls. Torch, and every module that needs it, is imported by the verb that runs, so that help is quick."""

import functools
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Column, Table
from rich.text import Text

from sfumato import __version__
from sfumato.cli import (
    augmenting,
    completion,
    compressing,
    dreaming,
    editing,
    embedding,
    measuring,
    serving,
    shipping,
    streams,
    studio,
    tuning,
)
from sfumato.cli.batches import Jobs, On, Pack, Shard
from sfumato.cli.repair_flags import RepairFlags
from sfumato.cli.terminal import complain, console, say
from sfumato.cli.verbs import (
    Backend,
    Device,
    Ensemble,
    File,
    Label,
    Model,
    Overwrite,
    Pictures,
    Precision,
    Recipe,
    Threads,
    Truncation,
    description,
    machine,
    overview,
    progress,
    renamed,
    verb,
    verbs,
)
from sfumato.core import flags
from sfumato.core.catalog import suggest
from sfumato.core.config import Range
from sfumato.core.errors import SettingError, SfumatoError
from sfumato.core.text import printable


@verb("Training")
def demo(*, out: Path = Path("sfumato-demo"), budget: str = "75s", overwrite: Overwrite = False, threads: Threads = None) -> None:
    """Train on drawn letters for about a minute, and show the results on a page.

    The page also shows the bundled models. No files and no internet are needed; all takes about two minutes on a processor.

    Args:
        out: Folder for the picture, the page and the trained model.
        budget: Time for the training, such as 75s or 10min.

    """
    with machine(threads):
        from sfumato.demonstration.demo import demo as run
        from sfumato.train.progress import ProgressLine

        paths = run(out, budget=budget, overwrite=overwrite, watch=ProgressLine(console))
        console.print(f"picture: {paths['picture']}\npage:    {paths['page']}\nmodel:   {paths['model']}", highlight=False)


@verb("Training")
def train(recipe: Recipe) -> None:
    """Train a network on your images: sfumato train RECIPE --data IMAGES.

    The settings of a recipe are listed by `sfumato train RECIPE --help`. The same command again continues an interrupted training.

    Args:
        recipe: The name of a recipe. `sfumato train` alone lists the recipes.

    """
    raise AssertionError(f"the recipe {recipe} has settings of its own; see cli/training.py")


for function in tuning.VERBS:
    verb("Training")(function)


@verb("Generating and editing")
def generate(
    model: Model,
    *,
    n: Annotated[int, Range(1, 1e9, "images"), tyro.conf.arg(aliases=["-n"])] = 16,
    seed: int = 0,
    seeds: tuple[int, ...] | None = None,
    label: Label = None,
    truncation: Truncation = 1.0,
    like: Path | None = None,
    columns: Annotated[int | None, Range(1, 1e9, "images")] = None,
    out: Path = Path("out"),
    overwrite: Overwrite = False,
    backend: Backend = "torch",
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Generate images from seeds; one seed always gives the same image.

    Args:
        n: Number of images.
        seed: Seed of the first image; the next images have the next seeds.
        seeds: Seeds of the images. Default: --n seeds, from --seed on.
        like: Index of pictures that the images should be like, such as of a group that `sfumato cluster --sort-into` made. 16 seeds are
            tried for each image, and the nearest are kept. Default: none.
        columns: Number of images in a row of the contact sheet. Default: the sheet is nearly square.
        out: A folder for the contact sheet and one file for each image, or a picture file for the sheet alone. Images that are in the
            folder already are not generated again.

    """
    with machine(threads):
        from sfumato.core import inputs, outputs
        from sfumato.generation import generate as job
        from sfumato.generation.files import generate_files
        from sfumato.store.export.backend import with_backend
        from sfumato.store.weights import existing_model

        if like is not None and seeds is not None:
            raise SettingError("--like chooses the seeds, so that --seeds has no effect; leave one of them out")
        every = list(seeds) if seeds is not None else list(range(seed, seed + n))
        reads = (existing_model(model), inputs.file(like, made_by="embed"))
        with outputs.reserved(job.output_files(out), by="generate", overwrite=overwrite, reads=reads), progress():
            network, before = job.opened_generator(with_backend(job.opened_generator(model), backend)), 0
            if like is not None:
                from sfumato.embeddings.like import seeds_like

                every = seeds_like(like, network, n, seed=seed, label=label, truncation=truncation, device=device)
            if job.output_files(out) == [out]:
                images = job.generate(network, n, seeds=every, label=label, truncation=truncation, device=device)
                job.save(images, out, names=(), columns=columns)
            else:
                write = functools.partial(generate_files, network, every, out, columns=columns, overwrite=overwrite, reads=(model,))
                before = write(label=label, truncation=truncation, device=device).done_before
        console.print(f"{len(every)} images in {out}{f', {before} of them done before' if before else ''}", highlight=False)


for function in editing.VERBS:
    verb("Generating and editing")(function)
for function in dreaming.VERBS:
    verb("Dreaming")(function)


@verb("Restoring")
def restore(
    pictures: Pictures,
    *,
    repair: RepairFlags,
    out: Path = Path("restored"),
    report: Path | None = None,
    overwrite: bool = False,
    memory: str = "auto",
    precision: Precision = "fp32",
    ensemble: Ensemble = 1,
    backend: Backend = "torch",
    jobs: Jobs = None,
    shard: Shard = "",
    on: On = "",
    pack: Pack = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Repair pictures: noise, blur, JPEG artifacts, holes, low resolution.

    The originals are never changed. The same command again continues an interrupted run.

    Args:
        pictures: Picture files, folders, glob patterns, lists (@list.txt), tar shards, addresses (s3://bucket/folder), or one film (.mp4,
            .mov, .mkv, .webm).
        out: A folder, or the file name of a single picture.
        report: Name of a web page (.html) to write: each picture before and after with a slider, the damage and the repair. It holds
            reduced copies of the pictures and opens without internet. Default: no page.
        overwrite: Replace files that stand at --out already. The originals are never replaced.
        memory: Limit of the memory, such as 2GB; larger pictures are repaired in strips. auto is a third of the machine's memory, from 2
            to 8 GB.

    """
    with machine(threads):
        from sfumato.batch.workers import Workers
        from sfumato.cli.restoring import restore_pictures
        from sfumato.core.device import default_memory

        limit = default_memory() if memory == "auto" else flags.size(memory)
        request = repair.request(memory=limit, precision=precision, ensemble=ensemble, backend=backend, device=device)
        workers = Workers(jobs=jobs, shard=shard, on=on)
        pages = {"report": report, "preview": repair.preview}
        restore_pictures(pictures, out, request, repair.mask, console, overwrite=overwrite, workers=workers, packs=pack, **pages)


for function in compressing.VERBS:
    verb("Compressing")(function)
for function in embedding.VERBS:
    verb("Searching and grouping")(function)
for function in measuring.VERBS:
    verb("Measuring")(function)
for function in augmenting.VERBS:
    verb("Measuring")(function)


@verb("Models, pages and the shell")
def models(*, runs: Path = Path("runs")) -> None:
    """List the models at hand: quality, training data, licence.

    Args:
        runs: Folder with your own runs.

    """
    with machine(1):
        from sfumato.store.zoo import list_models

        table = Table.grid(Column(no_wrap=True), Column(), padding=(0, 2, 0, 0))
        entries = list_models(runs)
        for entry in entries:
            if entry.problem:
                continue
            data = entry.card.data
            origin = f"{entry.family}, {entry.megabytes:.1f} MB, trained on {data.name or '?'} ({data.terms or 'terms unknown'})"
            table.add_row(Text(printable(entry.name), "bold"), Text(entry.headline or "nothing measured yet"))
            table.add_row("", Text(printable(origin), "dim"))
        console.print(table)
        for entry in entries:
            if entry.problem:
                say(printable(f"passed over: {entry.problem}"))


@verb("Models, pages and the shell")
def import_(
    file: File, *, out: Path | None = None, scale: Annotated[int | None, Range(1, 8, "times")] = None, overwrite: bool = False
) -> None:
    """Convert weights of other projects (.pth, .pt, .pkl, .safetensors, .mat).

    The architecture is recognised by the names and shapes of the tensors. Code in the file is never run.

    Args:
        file: Weights in the layout of their authors. Denoising: DnCNN, FDnCNN and FFDNet (.mat too), DRUNet, NAFNet, SCUNet, SwinIR,
            Restormer. Enlarging: FSRCNN, CARN-M, IMDN, RFDN, RLFN, PAN, SAFMN, SwinIR, RRDBNet, SRVGGNetCompact. Holes: LaMa.
            Generators: StyleGAN2 as a pickle of NVIDIA or a file of rosinality; of pickles of StyleGAN3 and R3GAN only the tensors.
        out: The new model file. Default: the name of FILE with .safetensors, beside FILE.
        scale: Which enlargement to take from a file that fits several (CARN-M, FSRCNN, PAN). Default: the best guess.
        overwrite: Replace a file that stands at --out already.

    """
    with machine(1):
        from sfumato.store.importing import import_weights

        for line in import_weights(Path(file), out, scale=scale, overwrite=overwrite):
            console.print(line, highlight=False)


for function in studio.VERBS:
    verb("Models, pages and the shell")(function)
for function in (*shipping.VERBS, *serving.VERBS):
    verb("Models, pages and the shell")(function)
verb("Models, pages and the shell")(completion.completion)
streams.explain(verbs)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the `sfumato` command. Exits with 2 after one line for a mistake of the user, with 130 after an interruption."""
    # The time of a command includes the loading of this file: at least the processor time so far.
    began, arguments = time.perf_counter() - (time.process_time() if argv is None else 0.0), list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] in (["--version"], ["-V"]):
            console.print(f"sfumato {__version__}", highlight=False)
        elif arguments[:1] == ["complete"]:  # no verb: the script of a shell calls it at each press of Tab
            completion.complete(arguments[1:])
        elif arguments[:1] == ["train"] and arguments[1:2] not in (["-h"], ["--help"]):
            with machine(None):
                from sfumato.cli.training import train_recipe

                train_recipe(arguments[1:], console, began)
        else:
            with streams.replaced(arguments) as words:
                _call(*words)
    except SfumatoError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted; files that are saved already are complete; the same command continues", 130)
    except (MemoryError, RuntimeError) as error:
        # Torch names the reason in its message alone.
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in ("allocate memory", "out of memory")):
            raise
        _fail("not enough memory; use smaller images, a smaller batch, or fewer at once", 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


COMMANDS_OF_WORDS = {
    **{word: f"restore PICTURES --task {word}" for word in ("denoise", "deblur", "upscale")},
    **dict.fromkeys(("enlarge", "resize", "superres"), "restore PICTURES --task upscale --scale 2"),
    **dict.fromkeys(("repair", "fix", "clean"), "restore PICTURES"),
    "inpaint": "restore PICTURE --mask MASK",
    **dict.fromkeys(("psnr", "ssim", "lpips"), "evaluate RESULTS --reference ORIGINALS"),
    **dict.fromkeys(("fid", "kid"), "evaluate PICTURES --data REAL --features inception"),
    **dict.fromkeys(("sample", "create"), "generate MODEL --out FOLDER"),
    **dict.fromkeys(("fit", "finetune"), "train RECIPE --data PICTURES"),
    **dict.fromkeys(("web", "gui", "app"), "studio"),
    **dict.fromkeys(("decode", "uncompress"), "decompress FILES"),
    **dict.fromkeys(("download", "fetch"), "get NAME"),
}
"""Word that somebody may take for a verb to the command that does it."""

DESCRIPTION = "Generate, edit and restore images with neural networks trained on a laptop."


def _call(first: str = "--help", *others: str) -> None:
    """Runs a verb. Its parser alone is built: those of all the verbs take half a second."""
    if first in ("--help", "-h"):
        say(f"usage: sfumato VERB [OPTIONS]\n\n{DESCRIPTION}\n`sfumato VERB --help` lists the options of a verb.")
        console.print(overview())
    elif first in verbs:
        words = renamed(first, others)
        parse = functools.partial(tyro.cli, verbs[first], prog=f"sfumato {first}", args=words, use_underscores=False)
        flags.parsed(lambda: parse(description=description(first)), completion.options(first))()
    elif first.startswith("-"):
        raise SettingError(f"no option {first}; --help lists them all")
    elif first in COMMANDS_OF_WORDS:
        raise SettingError(f"no verb {first!r}; the command is: sfumato {COMMANDS_OF_WORDS[first]}")
    else:
        raise SettingError(f"no verb {first!r}{suggest(first, verbs)}; there are {', '.join(verbs)}")


def _fail(message: str, code: int) -> None:
    complain(message)
    sys.exit(code)
