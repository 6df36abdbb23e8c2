"""The figures of a codec for the verb `evaluate`: a table of each format, and what the codec saves. Comes with all of torch."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from sfumato.cli.terminal import say
from sfumato.cli.verbs import progress
from sfumato.core import outputs
from sfumato.core.errors import SettingError
from sfumato.data.scenes import existing_data
from sfumato.evaluation import report as reports
from sfumato.evaluation.codec_plot import save_plot
from sfumato.evaluation.codecs import CodecComparison, evaluate_codec
from sfumato.store.weights import existing_model


def codec_figures(model: str, data: str | None, out: Path | None, console: Console, *, count: int | None, overwrite: bool) -> None:
    """Measures a codec on the first `count` pictures, prints its tables, and writes figures to `out` and a plot beside it.

    Raises SettingError without data.
    """
    if data is None:
        raise SettingError("--compress measures on pictures: name them with --data, such as a folder, cbsd68 or photos")
    files = reports.output_files(out)
    files += [path.with_suffix(".png") for path in files]
    with outputs.reserved(files, by="evaluate", overwrite=overwrite, reads=(existing_model(model), existing_data(data))):
        with progress():
            comparison = evaluate_codec(model, data, count=count)
        show_curves(comparison, console)
        if out is not None:
            console.print(
                f"figures in {reports.save(comparison.report(), out)}, plot in {save_plot(comparison, files[1])}", highlight=False
            )


def show_curves(comparison: CodecComparison, console: Console) -> None:
    """Prints a table of each codec, and the mean differences of rates."""
    for curve in (comparison.own, *comparison.anchors):
        table = Table("quality", "bits per pixel", "PSNR", "MS-SSIM", "encode s", "decode s", title=f"{curve.name}: {curve.settings}")
        table.title_justify = "left"
        for point in curve.points:
            similarity = "-" if point.ms_ssim is None else f"{point.ms_ssim:.4f}"
            times = f"{point.encode_seconds:.3f}", f"{point.decode_seconds:.3f}"
            table.add_row(str(point.setting), f"{point.bits_per_pixel:.3f}", f"{point.psnr:.2f}", similarity, *times)
        console.print(table)
    for figure, label in (("psnr", "PSNR"), ("ms_ssim", "MS-SSIM")):
        rates = [f"{value:+.1f} % of {name}" for name, value in comparison.bd_rates(figure).items()]
        if rates:
            say(f"size at equal {label} (BD-rate): {', '.join(rates)}")
    say(f"{comparison.count} pictures of {comparison.pictures}; files with their headers; processor seconds a picture")
    if comparison.missing:
        say(f"not measured, because this Pillow cannot write them: {', '.join(comparison.missing)}")
