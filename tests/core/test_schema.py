"""JSON is of the shape that is asked for, or is refused with the place and the value."""

import json
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from sfumato.core import schema
from sfumato.core.config import Range
from sfumato.core.errors import FormatError


class Inner(TypedDict):
    name: str
    share: NotRequired[Annotated[float, Range(0, 1)]]


class Outer(TypedDict, total=False):
    kind: Literal["a", "b"]
    pair: tuple[int, int]
    members: list[Inner]
    table: dict[str, schema.Finite]
    maybe: int | None
    free: Any


GOOD = {
    "kind": "a",
    "pair": [1, 2],
    "members": [{"name": "x"}, {"name": "y", "share": 1}],
    "table": {"u": 1.5},
    "maybe": None,
    "free": [{}],
}


def test_what_fits_comes_out_as_it_went_in():
    assert schema.parsed(json.dumps(GOOD), Outer, "it") == GOOD
    assert schema.parsed(json.dumps({"unknown": [1]}), Outer, "it") == {"unknown": [1]}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"kind": "c"}, "kind = 'c'"),
        ({"kind": []}, r"kind = \[\]"),
        ({"pair": [1]}, r"pair = \[1\] must be a list of 2"),
        ({"pair": [1, True]}, r"pair\[1\] = True"),
        ({"pair": "12"}, "pair = '12'"),
        ({"members": {}}, "members = {} must be a list"),
        ({"members": [{"name": "x"}, {}]}, r"members\[1\] has no 'name'"),
        ({"members": [7]}, r"members\[0\] = 7 must be an object"),
        ({"members": [{"name": None}]}, r"members\[0\].name = None"),
        ({"members": [{"name": "", "share": 1.5}]}, r"members\[0\].share = 1.5 is outside \[0, 1\]"),
        ({"table": {"u": float("nan")}}, "table.u = nan"),
        ({"table": {"u": float("inf")}}, "table.u = inf"),
        ({"table": [1]}, "table = "),
        ({"maybe": "7"}, "maybe = '7'"),
        ({"maybe": 1.5}, "maybe = 1.5"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change, place):
    with pytest.raises(FormatError, match=f"^it: {place}"):
        schema.parsed(json.dumps(GOOD | change), Outer, "it")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        (b"\xff\xfe\xfa", "no JSON"),
        ("9" * 5000, "digits"),
        (str(2**63), "digits"),
        ("[" * 100_000, "nested"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested"),
        ("[]", "must be an object"),
        (f'"{"x" * 100_000}"', "must be an object"),
    ],
)
def test_a_text_is_refused_in_one_short_line(text, why):
    with pytest.raises(FormatError, match=why) as told:
        schema.parsed(text, Outer, "it")
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400


def test_a_file_is_read_if_it_is_one_and_no_larger_than_it_may_be(tmp_path, monkeypatch):
    path = tmp_path / "it.json"
    with pytest.raises(FormatError, match="no such file"):
        schema.read(path, Outer)
    with pytest.raises(FormatError, match="no such file"):
        schema.read(tmp_path, Outer)
    path.write_text(json.dumps(GOOD))
    assert schema.read(path, Outer) == GOOD
    monkeypatch.setattr(schema, "LARGEST", 8)
    with pytest.raises(FormatError, match="larger than"):
        schema.read(path, Outer)
