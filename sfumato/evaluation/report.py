"""A list of measurements that can be saved."""

import json
from collections.abc import Sequence
from pathlib import Path

from sfumato.core import atomic_io, outputs
from sfumato.core.errors import SettingError
from sfumato.io.results import save_files
from sfumato.metrics.base import Measurement


class Report(list[Measurement]):
    """The measurements of one model, each with its interval and its protocol."""

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the measurements as JSON; returns the path. `Measurement.from_dict` reads an entry.

        Raises SettingError for the ending of another kind of file, and for a file that is not to be replaced.
        """
        return save_files(output_files(Path(path)), lambda: save(self, Path(path)), by="evaluate", overwrite=overwrite)


def output_files(out: Path | None) -> list[Path]:
    """The file that `save` will write, if any. Raises SettingError for the ending of another kind of file."""
    if out is not None and out.suffix.lower() in outputs.FILE_ENDINGS - {".json"}:
        raise SettingError(f"{out}: figures are written as .json; choose another --out")
    return [] if out is None else [out]


def save(report: Sequence[Measurement], out: Path) -> Path:
    """Writes the measurements as JSON. Returns the path."""
    atomic_io.write(out, json.dumps([m.as_dict() for m in report], indent=2) + "\n")
    return out
