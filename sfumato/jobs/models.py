"""What models there are: bundled ones, and those of one's own runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfumato.core.errors import CheckpointError
from sfumato.store import checkpoint, weights

HEADLINES = {
    "accuracy": "test accuracy {:.2%}",
    "negative_log_likelihood": "{:.2f} nats on {:,} test images",
    "shows_asked_class": "shows the class asked for: {:.2%}",
    "frechet": "Fréchet distance {:.3g}",
    "floor_frechet": "(real images: {:.3g})",
    "accuracy_score": "a classifier trained on its images alone: {:.2%} on real ones",
    "psnr noise:25 set12": "noise 25/255: {:.2f} dB on Set12",
    "psnr noise:25 bsd68": "{:.2f} dB on BSD68",
    "psnr missing:50 set12": "half the pixels missing: {:.2f} dB on Set12",
    "psnr text set12": "text: {:.2f} dB on Set12",
    "psnr blur:1.6 bsd68": "blur of 1.6 pixels, told: {:.2f} dB on BSD68",
    "psnr motion:9 bsd68": "motion of 9 pixels, told: {:.2f} dB on BSD68",
    "psnr x2 set5": "twice as large: {:.2f} dB on Set5 (luma)",
    "psnr x4 set5": "four times as large: {:.2f} dB on Set5 (luma)",
}
"""The figures of a card that are told first, and how they read. The card has them all, with their protocols."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model on disk."""

    name: str
    path: Path
    megabytes: float
    family: str
    card: dict[str, Any]

    @property
    def headline(self) -> str:
        """What was measured, in one line; nothing if nothing was."""
        figures = {m["name"]: (m["value"], m["protocol"]["real"]) for m in self.card.get("metrics", [])}
        shown = [text.format(*figures[name]) for name, text in HEADLINES.items() if name in figures]
        return ", ".join(shown).replace(", (", " (")


def list_models(folder: Path | None = None) -> list[Entry]:
    """The bundled models, then those in the run folders below `folder`. What cannot be read is left out."""
    found = dict(weights.bundled())
    if folder is not None and folder.is_dir():
        found |= {str(path.parent): path for path in sorted(folder.glob("*/model.safetensors"))}
    entries = []
    for name, path in found.items():
        try:
            header = checkpoint.read_header(path)
        except CheckpointError:
            continue
        family = str(header["model"].get("is", "?")).split("/")[-1]
        entries.append(Entry(name=name, path=path, megabytes=path.stat().st_size / 1e6, family=family, card=header.get("card", {})))
    return entries
