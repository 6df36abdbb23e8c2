"""The verbs that measure: `evaluate` and `audit`."""

from pathlib import Path
from typing import Annotated

from sfumato.cli.tables import show
from sfumato.cli.terminal import console
from sfumato.cli.verbs import Device, Ensemble, Model, Overwrite, Precision, Threads, machine, progress
from sfumato.core.config import Range


def evaluate(
    model: Model,
    *,
    data: str | None = None,
    restore: str | None = None,
    compress: bool = False,
    reference: Path | None = None,
    border: Annotated[int, Range(0, 1000, "pixels")] = 0,
    features: str | None = None,
    compare: str | None = None,
    count: Annotated[int | None, Range(1, 1e9, "images")] = None,
    whole: bool = False,
    samples: Annotated[int | None, Range(1, 1e9, "samples")] = None,
    images: Annotated[int | None, Range(1, 1e9, "images")] = None,
    seed: int = 0,
    accuracy_score: bool = False,
    out: Path | None = None,
    overwrite: Overwrite = False,
    precision: Precision = "fp32",
    ensemble: Ensemble = 1,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Measure the quality of a model, with intervals and protocols.

    MODEL may also be `real`: the images of --data alone, one half compared with the other. With --restore, MODEL is a restorer, a classical
    method such as median, or `auto`, which does what `sfumato restore` does. A folder of pictures, which any program may have made, is
    compared with the real ones of --data, or each picture with its --reference.

    Args:
        data: Images to compare with: a folder, an archive or the name of a data set. Default: the images that the model was trained on.
        restore: Degradation that a restorer has to undo: noise:25, poisson:30, salt-and-pepper:30, missing:50, text, blur:1.6, motion:9,
            jpeg:10, x2 or x4. Default: none; the model is measured as a generator or a classifier.
        compress: Compare a codec with JPEG, WebP and AVIF on the pictures of --data, by real files.
        reference: The true pictures, of the same names, for PSNR and SSIM: a folder, a zip or one picture. MODEL is pictures too. Default:
            none.
        border: Pixels of each side that do not count with --reference; papers on enlarging leave out as many as they enlarge times.
        features: Network whose features are compared: squeezenet, alexnet, vgg16, googlenet, inception, inception-clean, or a classifier
            of yours. Default: a bundled classifier of the same data.
        compare: Perceptual metric that compares two images: lpips-squeeze, lpips-alex or lpips-vgg. Default: none.
        count: Number of images to generate. Default: 10,000.
        whole: Compare with training and test images together; the floor is then one half of them against the other half.
        samples: Number of importance samples for the likelihood of each image. Default: 1,000.
        images: Number of test images for likelihoods, or of pictures to compress: the first of them. Default: all.
        seed: Seed of the first generated image.
        accuracy_score: Also train a classifier on 60,000 generated images and test it on real images. This takes some minutes.
        out: A .json file for the figures and their protocols; with --compress also a plot beside it, a .png. Default: the figures are
            printed only.

    """
    with machine(threads):
        from sfumato.cli import figures, rates
        from sfumato.core import outputs
        from sfumato.evaluation import evaluate as job

        options = figures.Options(compare=compare, precision=precision, device=device)
        sampling = figures.Sampling(features=features, count=count, whole=whole, samples=samples, images=images, seed=seed)
        kind = figures.Kind(restore=restore, compress=compress, reference=reference)
        others = figures.Others(ensemble=ensemble, accuracy_score=accuracy_score, border=border)
        reads = figures.check(model, kind, options, sampling, others, data)
        if compress:
            rates.codec_figures(model, data, out, console, count=images, overwrite=overwrite)
            return
        with outputs.reserved(job.output_files(out), by="evaluate", overwrite=overwrite, reads=reads):
            report = figures.report(model, kind, data, options, sampling, others)
            show(console, report, title=f"{model}, {restore}" if restore else model)
            if out:
                console.print(f"figures in {job.save(report, out)}", highlight=False)


def audit(
    model: Model,
    *,
    data: str | None = None,
    features: str | None = None,
    count: Annotated[int, Range(1, 1e9, "images")] = 1000,
    seed: int = 0,
    out: Path | None = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Test whether a generator copies its training images or repeats itself.

    The result is figures, and contact sheets of the nearest pairs of images.

    Args:
        data: The training images of the model. Default: those that the model file names.
        features: Network whose features are compared, as for `sfumato evaluate`. Default: a bundled classifier of the same data.
        count: Number of images to generate; at least 20.
        seed: Seed of the first generated image.
        out: Folder for the sheets and audit.json. Default: the name of the model with -audit behind it, such as digits-audit.

    """
    with machine(threads):
        from sfumato.core import outputs
        from sfumato.data.scenes import existing_data
        from sfumato.evaluation import audit as job
        from sfumato.store.weights import existing_model, short_name

        target = out or Path(f"{short_name(model)}-audit")
        reads = (existing_model(model), existing_model(features), existing_data(data))
        with outputs.reserved(job.output_files(target), by="audit", overwrite=overwrite, reads=reads):
            with progress():
                result = job.audit(model, data, features=features, count=count, seed=seed, device=device)
            show(console, result.report, title=model)
            sheets = ", ".join(map(str, job.save(result, target)))
            console.print(f"{job.verdict_line(result)}\npairs to look at: {sheets}", highlight=False)


VERBS = (evaluate, audit)
