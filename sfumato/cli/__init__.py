"""The command line: flags to calls. Torch and all that needs it are imported by the verb that runs, so that help is quick."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.table import Column, Table
from rich.text import Text

from sfumato import __version__
from sfumato.cli import completion, dreaming, editing
from sfumato.cli.tables import show
from sfumato.cli.terminal import complain, console, say
from sfumato.cli.verbs import Device, File, Model, Pictures, Recipe, machine, overview, progress, verb, verbs
from sfumato.core import flags
from sfumato.core.catalog import suggest
from sfumato.core.errors import SettingError, SfumatoError
from sfumato.core.text import printable


@verb
def demo(*, out: Path = Path("sfumato-demo"), budget: str = "75s", overwrite: bool = False, threads: int | None = None) -> None:
    """Two minutes on a CPU: draw letters, train a generator on them, look at it and at the bundled models.

    Args:
        out: Folder for the picture, the page and the trained model.
        budget: Time for the training, such as 75s or 10min.
        overwrite: Replace files that are there, even if no earlier `demo` wrote them.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    with machine(threads):
        from sfumato.demonstration.demo import demo as run
        from sfumato.train.progress import ProgressLine

        paths = run(out, budget=budget, overwrite=overwrite, watch=ProgressLine(console))
        console.print(f"picture: {paths['picture']}\npage:    {paths['page']}\nmodel:   {paths['model']}", highlight=False)


@verb
def train(recipe: Recipe) -> None:
    """Train a network: sfumato train RECIPE [--data IMAGES] [--budget 30min] ... (sfumato train RECIPE --help lists every setting).

    Args:
        recipe: What to train; `sfumato train` alone lists the recipes.

    """
    raise AssertionError(f"the recipe {recipe} has settings of its own; see cli/training.py")


@verb
def generate(
    model: Model,
    *,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 16,
    seed: int = 0,
    seeds: tuple[int, ...] | None = None,
    label: str | None = None,
    truncation: float = 1.0,
    columns: int | None = None,
    overwrite: bool = False,
    out: Path = Path("out"),
    device: Device = "auto",
    threads: int | None = None,
) -> None:
    """Make images from seeds: the same seed is the same picture, however many are made.

    Args:
        model: A bundled model, a run folder or a model file.
        n: How many images.
        seed: Seed of the first; the others follow.
        seeds: These seeds and no others.
        label: Class to show, by name; without it each seed shows its own.
        truncation: How far from the mean image: 0 is that image, 1 as trained; between them images are better and less various.
        columns: Images per row of the sheet.
        overwrite: Replace files that are there, even if no earlier `generate` wrote them.
        out: A folder for a sheet and single files, or a picture file for the sheet alone. Files that are done are not made again.
        device: Where to compute.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.generation import generate as job
        from sfumato.generation.files import generate_files
        from sfumato.store import inputs

        if columns is not None and columns < 1:
            raise SettingError(f"columns = {columns} must be at least 1")
        chosen = list(seeds) if seeds is not None else list(range(seed, seed + n))
        options: Any = {"label": label, "truncation": truncation, "device": device}
        with outputs.reserved(job.output_files(out), by="generate", overwrite=overwrite, reads=(inputs.model(model),)), progress():
            source, before = job.sampler(model), 0
            if job.output_files(out) == [out]:
                job.save(job.generate(source, n, seeds=chosen, **options), out, names=(), columns=columns)
            else:
                before = generate_files(source, chosen, out, columns=columns, overwrite=overwrite, reads=(model,), **options).done_before
        console.print(f"{len(chosen)} images in {out}{f', {before} of them done before' if before else ''}", highlight=False)


for each in (*editing.VERBS, *dreaming.VERBS):
    verb(each)


@verb
def evaluate(
    model: Model,
    *,
    data: str | None = None,
    features: str | None = None,
    compare: str | None = None,
    count: int = 10_000,
    whole: bool = False,
    samples: int = 1000,
    images: int | None = None,
    seed: int = 0,
    restore: str | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    ensemble: Literal[1, 4, 8] = 1,
    accuracy_score: bool = False,
    overwrite: bool = False,
    out: Path | None = None,
    device: Device = "auto",
    threads: int | None = None,
) -> None:
    """Measure a model; every figure comes with its interval and its protocol.

    Args:
        model: A bundled model, a run folder or a model file; or `real`, for the images of --data alone, one half against the other.
        data: Images to compare with; by default those it was trained on.
        features: The network in whose features images are compared: squeezenet, alexnet, vgg16, googlenet, inception, inception-clean, or a
            classifier; by default a bundled one of the same data.
        compare: A network that says how different two images look, for path lengths, variety and the likeness of repairs: lpips-squeeze,
            lpips-alex or lpips-vgg.
        count: Images to generate.
        whole: Compare with all images, training and test together; the floor is then one half of them against the other.
        samples: Importance samples per image, for likelihoods.
        images: Test images for likelihoods; all if not given.
        seed: Seed of the first generated image.
        restore: For networks that repair, for classical methods by name, and for `auto`, which is what restore does: the damage, one of
            noise:25, poisson:30, salt-and-pepper:30, missing:50, text, blur:1.6, motion:9, jpeg:10, x2, x4.
        precision: Number format in which likelihoods and repairs are computed; bf16 takes about half the time where the hardware has it.
        ensemble: For networks that repair: mean over so many ways to see a picture, mirrored (4) and turned as well (8).
        accuracy_score: Also train a classifier on 60,000 generated images and test it on real ones (takes minutes).
        overwrite: Replace files that are there, even if no earlier `evaluate` wrote them.
        out: A JSON file for the figures and their protocols.
        device: Where to compute.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.evaluation import evaluate as job
        from sfumato.store import inputs

        if accuracy_score and restore is not None:
            raise SettingError("--accuracy-score is for generators; it has no effect with --restore")
        if ensemble != 1 and restore is None:
            raise SettingError(f"ensemble = {ensemble} is for networks that repair; it has no effect without --restore")
        measured: Any = {"compare": compare, "precision": precision, "device": device}
        drawn: Any = {"features": features, "count": count, "whole": whole, "samples": samples, "images": images, "seed": seed}
        named = restore is not None or model == job.REAL  # of methods and of the images themselves there is no file
        models = (model if named else inputs.model(model), inputs.model(features), inputs.model(compare))
        reads = (*models, inputs.data(data))
        with outputs.reserved(job.output_files(out), by="evaluate", overwrite=overwrite, reads=reads):
            if restore is not None:
                from sfumato.evaluation.benchmark import judge

                with progress():
                    report = judge(model, restore, data or "set12", ensemble=ensemble, **measured)
            else:
                if accuracy_score:
                    from sfumato.evaluation.score import check

                    check(model, data)
                with progress():
                    report = job.evaluate(model, data, **measured, **drawn)
            if accuracy_score:
                from sfumato.evaluation.score import accuracy_score as score
                from sfumato.train.progress import ProgressLine

                report.append(score(model, data, seed=seed, watch=ProgressLine(console), device=device))
            show(console, report, title=f"{model}, {restore}" if restore else model)
            if out:
                console.print(f"figures in {job.save(report, out)}", highlight=False)


@verb
def audit(
    model: Model,
    *,
    data: str | None = None,
    features: str | None = None,
    count: int = 1000,
    seed: int = 0,
    overwrite: bool = False,
    out: Path | None = None,
    device: Device = "auto",
    threads: int | None = None,
) -> None:
    """Does a generator copy what it was trained on, or repeat itself? Figures, and sheets of the nearest pairs to look at.

    Args:
        model: A bundled model, a run folder or a model file.
        data: The images it was trained on; by default those that it says.
        features: The network in whose features images are near, as for evaluate.
        count: Images to generate.
        seed: Seed of the first.
        overwrite: Replace files that are there, even if no earlier `audit` wrote them.
        out: Folder for the sheets and audit.json; by default named after the model, here: digits-audit.
        device: Where to compute.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.evaluation import audit as job
        from sfumato.store import inputs
        from sfumato.store.weights import short_name

        target = out or Path(f"{short_name(model)}-audit")
        reads = (inputs.model(model), inputs.model(features), inputs.data(data))
        with outputs.reserved(job.output_files(target), by="audit", overwrite=overwrite, reads=reads):
            with progress():
                found = job.audit(model, data, features=features, count=count, seed=seed, device=device)
            show(console, found.report, title=model)
            console.print(f"{job.verdict_line(found)}\npairs to look at: {', '.join(map(str, job.save(found, target)))}", highlight=False)


@verb
def restore(
    pictures: Pictures,
    *,
    task: Literal["auto", "denoise", "deblur", "inpaint", "upscale", "jpeg"] = "auto",
    out: Path = Path("restored"),
    model: str | None = None,
    method: str | None = None,
    scale: int | None = None,
    strength: float = 1.0,
    overwrite: bool = False,
    mask: Path | None = None,
    find: tuple[Literal["scratches", "dead-pixels"], ...] = (),
    noise: float | None = None,
    blur: str | None = None,
    memory: str = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "fp32",
    ensemble: Literal[1, 4, 8] = 1,
    device: Device = "auto",
    threads: int | None = None,
) -> None:
    """Repair pictures: noise, blur, JPEG, holes, too few pixels. Originals are never touched; the same command goes on where it stopped.

    Args:
        pictures: Picture files, folders, globs, or one film (.mp4, .mov, .mkv, .webm).
        task: What to do; auto looks at each picture and says what it found.
        out: A folder, or the name of the one picture.
        model: A bundled model, a run folder or a model file instead of the bundled one for the task.
        method: A classical method instead of a network: median, non-local-means, wiener, richardson-lucy, laplace, biharmonic, telea,
            bicubic; or deep-image-prior.
        scale: How many times longer the sides become with the task upscale: 2, 4, or the model's own.
        strength: 0 leaves the picture as it is, 1 is what the network thinks right, up to 2.
        overwrite: Replace files that are there already; originals stay in any case.
        mask: For inpaint: a picture of the same size, white where to fill in, or a folder of such under the pictures' names.
        find: For inpaint: what to look for and fill in.
        noise: Standard deviation of the noise, of 255, for whoever wants to know; estimated if not given.
        blur: The blur, if what is found is not it: gaussian:1.6, motion:9@30 or defocus:3, in pixels and degrees.
        memory: What may be used, such as 2GB, or a third of the machine's; larger pictures are repaired strip by strip.
        precision: Number format of the network; bf16 takes about half the time where the hardware has it.
        ensemble: Let the network see the picture in so many ways, mirrored (4) and turned as well (8), and take the mean: a little better,
            for so many times the work.
        device: Where to compute.
        threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

    """
    with machine(threads):
        from sfumato.cli.restoring import restore_pictures
        from sfumato.core.device import default_memory
        from sfumato.restoration.request import RestorationRequest
        from sfumato.store import inputs

        share = None if noise is None else noise / 255
        request = RestorationRequest(
            task=task,
            model=model,
            method=method,
            scale=scale,
            strength=strength,
            noise=share,
            blur=blur,
            find=find,
            memory=default_memory() if memory == "auto" else flags.size(memory),
            precision=precision,
            ensemble=ensemble,
            device=device,
        )
        restore_pictures(pictures, out, request, inputs.place(mask), console, overwrite=overwrite)


@verb
def import_(file: File, *, overwrite: bool = False, out: Path | None = None) -> None:
    """Take over somebody's weights (.pth, .pt, .pkl, .safetensors): recognised by names and shapes, nothing in the file is run.

    Args:
        file: DnCNN, FDnCNN, FFDNet, DRUNet, IMDN, RRDBNet, SRVGGNetCompact or NAFNet, in their authors' layouts; StyleGAN2-ADA's
            pickles and rosinality's files; StyleGAN3's and R3GAN's pickles, of which the tensors are taken.
        overwrite: Replace a file that is there.
        out: Where to write our file; by default beside the other, under the same name.

    """
    with machine(1):
        from sfumato.store.importing import import_weights

        for line in import_weights(Path(file), out, overwrite=overwrite):
            console.print(line, highlight=False)


@verb
def models(*, runs: Path = Path("runs")) -> None:
    """List the models at hand: how good, trained on what, under which terms.

    Args:
        runs: Folder with runs of one's own.

    """
    with machine(1):
        from sfumato.store.zoo import list_models as job

        table = Table.grid(Column(no_wrap=True), Column(), padding=(0, 2, 0, 0))
        entries = job(runs)
        for entry in entries:
            if entry.problem:
                continue
            data = entry.card.data
            made = f"{entry.family}, {entry.megabytes:.1f} MB, trained on {data.name or '?'} ({data.terms or 'terms unknown'})"
            table.add_row(Text(printable(entry.name), "bold"), Text(entry.headline or "nothing measured yet"))
            table.add_row("", Text(printable(made), "dim"))
        console.print(table)
        for entry in entries:
            if entry.problem:
                say(printable(f"passed over: {entry.problem}"))


verb(completion.completion)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the `sfumato` command. Exits with 2 after one clear line for a mistake of the user's, 130 after an interruption."""
    # The time of a command includes what Python took to load this file: at least the time of the processor so far.
    began, arguments = time.perf_counter() - (time.process_time() if argv is None else 0.0), list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] in (["--version"], ["-V"]):
            console.print(f"sfumato {__version__}", highlight=False)
        elif arguments[:1] == ["complete"]:  # no verb: the script of a shell says it at each press of Tab
            completion.complete(arguments[1:])
        elif arguments[:1] == ["train"] and arguments[1:2] not in (["-h"], ["--help"]):
            with machine(None):
                from sfumato.cli.training import train_recipe

                train_recipe(arguments[1:], console, began)
        else:
            _call(*arguments)
    except SfumatoError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted; what was saved before is whole", 130)
    except (MemoryError, RuntimeError) as error:
        # Torch says it in words.
        if not isinstance(error, MemoryError) and not any(said in str(error) for said in ("allocate memory", "out of memory")):
            raise
        _fail("not enough memory; use smaller images, a smaller batch, or fewer at once", 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


DESCRIPTION = "Generate, edit and restore images with neural networks you can train on a laptop."


def _call(first: str = "--help", *others: str) -> None:
    """Runs a verb. Its parser alone is built: those of all the verbs take half a second."""
    if first in ("--help", "-h"):
        say(f"usage: sfumato VERB [OPTIONS]\n\n{DESCRIPTION} `sfumato VERB --help` lists the options of a verb.\n")
        console.print(overview())
    elif first in verbs:
        flags.parsed(lambda: tyro.cli(verbs[first], prog=f"sfumato {first}", args=others, use_underscores=False), [])()
    elif first.startswith("-"):
        raise SettingError(f"no option {first}; --help lists them all")
    else:
        raise SettingError(f"no verb {first!r}{suggest(first, verbs)}; there are {', '.join(verbs)}")


def _fail(message: str, code: int) -> None:
    complain(message)
    sys.exit(code)
