"""`Any` switches the type checker off, so it stands only at the borders named here, as often as it must; elsewhere are types."""

import re
from pathlib import Path

import sfumato

PACKAGE = Path(sfumato.__file__).parent
BORDERS: dict[str, int] = {
    "__init__.py": 2,
    "batch/addresses.py": 2,
    "batch/manifest.py": 4,
    "batch/on_ray.py": 6,
    "cli/__init__.py": 2,
    "cli/completion.py": 2,
    "cli/dream_flags.py": 3,
    "cli/dreaming.py": 17,
    "cli/editing.py": 5,
    "cli/figures.py": 3,
    "cli/measuring.py": 3,
    "cli/streams.py": 3,
    "cli/tables.py": 4,
    "cli/training.py": 3,
    "cli/verbs.py": 3,
    "core/catalog.py": 3,
    "core/config.py": 3,
    "core/device.py": 2,
    "core/registry.py": 2,
    "data/scenes.py": 3,
    "degradations/chain.py": 2,
    "dreaming/dream.py": 3,
    "dreaming/files.py": 9,
    "dreaming/seeds.py": 2,
    "editing/edit.py": 6,
    "editing/inversion.py": 2,
    "evaluation/audit.py": 2,
    "evaluation/benchmark.py": 3,
    "evaluation/evaluate.py": 4,
    "evaluation/generators.py": 5,
    "io/channels.py": 3,
    "io/inputs.py": 10,
    "io/optional_formats.py": 3,
    "io/results.py": 7,
    "io/streaming.py": 6,
    "metrics/base.py": 2,
    "models/base.py": 2,
    "models/dcgan.py": 2,
    "models/deconvolving.py": 3,
    "models/paired.py": 4,
    "models/roles/base.py": 2,
    "models/srgan.py": 2,
    "models/vae.py": 2,
    "nn/autograd.py": 2,
    "objectives/_remedies.py": 3,
    "objectives/adversarial.py": 3,
    "objectives/base.py": 16,
    "restoration/batch.py": 5,
    "restoration/film.py": 7,
    "restoration/repair.py": 2,
    "restoration/repair_rows.py": 2,
    "restoration/restore.py": 4,
    "restoration/result.py": 2,
    "restoration/tiles.py": 5,
    "store/loaded.py": 3,
    "store/snapshots.py": 3,
    "train/class_tables.py": 4,
    "train/doctor.py": 3,
    "train/events.py": 3,
    "train/folder.py": 2,
    "train/loop.py": 3,
    "train/prepare.py": 3,
    "train/recovery.py": 3,
    "train/schedule.py": 5,
    "train/settings.py": 4,
    "train/speeds.py": 2,
    "train/transfer.py": 3,
}
"""The most lines with `Any` in each file, and in no other file at all. A number may only fall."""


def lines_with_any(path):
    return sum(bool(re.search(r"\bAny\b", line)) for line in path.read_text(encoding="utf-8").splitlines() if '"""' not in line)


def test_any_stands_at_the_named_borders_alone():
    counts = {path.relative_to(PACKAGE).as_posix(): lines_with_any(path) for path in sorted(PACKAGE.rglob("*.py"))}
    more = {name: (count, BORDERS.get(name, 0)) for name, count in counts.items() if count > BORDERS.get(name, 0)}
    assert not more, "a value from JSON is a `Json` (core/json_value.py), what a file defines an `object`; a border is named here"


def test_the_list_is_no_longer_than_it_must_be():
    counts = {name: lines_with_any(PACKAGE / name) if (PACKAGE / name).is_file() else 0 for name in BORDERS}
    assert counts == BORDERS, "fewer are there by now: lower the number"
