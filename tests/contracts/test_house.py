"""The measures of `python -m scripts.house` are within their bars, and its search for circles of imports finds them."""

from pathlib import Path

import pytest

from scripts import house


def test_the_house_is_within_its_bars(capsys):
    with pytest.raises(SystemExit) as end:
        house.main()
    assert end.value.code == 0, capsys.readouterr().out


def test_every_room_has_its_tests_in_a_folder_of_its_name():
    rooms = {path.parent.name for path in house.ROOT.glob("*/__init__.py")}
    assert rooms <= {path.parent.name for path in Path(__file__).parent.parent.glob("*/test_*.py")}


def test_files_on_a_circle_are_found_and_others_are_not():
    a, b, c, below, above = map(Path, ("a", "b", "c", "below", "above"))
    assert house.circles({a: {b}, b: {c}, c: {a, below}, below: set(), above: {a}}) == {a, b, c}
    assert house.circles({a: {b}, b: {c}, c: set()}) == set()


def test_imports_inside_of_functions_and_for_the_type_checker_do_not_count():
    source = """
from typing import TYPE_CHECKING
import sfumato.core.config
from sfumato.core import atomic_io, schema
if TYPE_CHECKING:
    from sfumato.core.device import select_device
def f():
    from sfumato.core.rng import Draws
"""
    files = house.imported(house.ROOT / "x.py", house.ast.parse(source))
    assert {file.name for file in files} == {"config.py", "atomic_io.py", "schema.py"}
