"""`Any` switches the type checker off, so it stands only at the borders that CONTRIBUTING.md names; elsewhere are types."""

import re
from pathlib import Path

import sfumato

PACKAGE = Path(sfumato.__file__).parent
BORDERS: dict[str, int] = {
    "core/config.py": 2,
    "degradations/chain.py": 2,
    "nn/autograd.py": 2,
    "objectives/base.py": 2,
    "store/loaded.py": 2,
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
