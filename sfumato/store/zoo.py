"""What models there are: bundled ones, and those of one's own runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from sfumato.core import schema
from sfumato.core.errors import CheckpointError, FormatError, UnknownNameError
from sfumato.core.registry import FAMILIES
from sfumato.store import checkpoint, weights
from sfumato.store.cards import ModelCard

HEADLINES = {
    "accuracy": "test accuracy {:.2%}",
    "negative_log_likelihood": "{:.2f} nats on {:,} test images",
    "shows_asked_class": "shows the class asked for: {:.2%}",
    "frechet": "Fréchet distance {:.3g}",
    "floor_frechet": "(real images: {:.3g})",
    "accuracy_score": "a classifier trained on its images alone: {:.2%} on real ones",
    "psnr noise:25 set12": "noise 25/255: {:.2f} dB on Set12",
    "psnr noise:25 bsd68": "{:.2f} dB on BSD68",
    "psnr noise:25 bsds500": "noise 25/255 in colour: {:.2f} dB on BSDS500",
    "psnr jpeg:10 bsds500": "JPEG of quality 10, luma: {:.2f} dB on BSDS500",
    "psnr missing:50 set12": "half the pixels missing: {:.2f} dB on Set12",
    "psnr text set12": "text: {:.2f} dB on Set12",
    "psnr blur:1.6 bsd68": "blur of 1.6 pixels, given: {:.2f} dB on BSD68",
    "psnr motion:9 bsd68": "motion of 9 pixels, given: {:.2f} dB on BSD68",
    "psnr x2 set5": "twice as large: {:.2f} dB on Set5 (luma)",
    "psnr x3 set5": "three times as large: {:.2f} dB on Set5 (luma)",
    "psnr x4 set5": "four times as large: {:.2f} dB on Set5 (luma)",
    "psnr x2-jpeg:70 bsds500": "JPEGs of quality 70, twice as large: {:.2f} dB on BSDS500 (luma)",
    "psnr x4-jpeg:70 bsds500": "JPEGs of quality 70, four times as large: {:.2f} dB on BSDS500 (luma)",
    "psnr x2 set5 8 views": "{:.2f} dB over eight views",
    "psnr x4 set5 8 views": "{:.2f} dB over eight views",
    "BD-rate PSNR vs WebP": "files {:+.1f} % beside WebP",
    "BD-rate PSNR vs AVIF 4:2:0": "{:+.1f} % beside AVIF, at equal PSNR",
    "overlap dust bsds500": "finds drawn dust and scratches with a Dice coefficient of {:.2f}",
}
"""The figures of a card that its headline shows, and their text. The card has all figures, with their protocols."""


Kind = TypedDict("Kind", {"is": str})
"""Settings, as far as they say whose they are."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model on disk."""

    name: str
    path: Path
    megabytes: float
    family: str
    card: ModelCard
    problem: str = ""
    """Why the file cannot be read, or its network not built; the family and the card are then empty."""

    @property
    def headline(self) -> str:
        """What was measured, in one line; nothing if nothing was."""
        figures = {figure.name: (figure.value, figure.real_images) for figure in self.card.metrics}
        shown = [text.format(*figures[name]) for name, text in HEADLINES.items() if name in figures]
        return ", ".join(shown).replace(", (", " (")


def list_models(folder: str | Path | None = None) -> list[Entry]:
    """The bundled models, then those in the run folders below `folder`. One that cannot be read has a `problem` and nothing else."""
    files = dict(weights.bundled())
    if folder is not None and Path(folder).is_dir():
        files |= {str(path.parent): path for path in sorted(Path(folder).glob("*/model.safetensors"))}
    return [listed(name, path) for name, path in files.items()]


def listed(name: str, path: Path) -> Entry:
    """The entry of the model file at `path`, or of why it is none."""
    megabytes = path.stat().st_size / 1e6 if path.is_file() else 0.0
    try:
        header = checkpoint.read_header(path)
        family = schema.checked(header.get("model"), Kind, f"{path}: its settings")["is"]
        FAMILIES.find(family)
    except UnknownNameError as error:
        return Entry(name=name, path=path, megabytes=megabytes, family="", card=ModelCard(), problem=f"{path}: {error}")
    except (CheckpointError, FormatError) as error:
        return Entry(name=name, path=path, megabytes=megabytes, family="", card=ModelCard(), problem=str(error))
    return Entry(name=name, path=path, megabytes=megabytes, family=family, card=checkpoint.card_of(header))
