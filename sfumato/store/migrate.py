"""What stands in files of earlier versions, brought to the form of this one: headers, settings of runs, edits and dreams.

| format | written by | what it has |
|---|---|---|
| 1 | 0.1.0 | a branch of settings names its source file: `"is": "models/dncnn"` |
| 2 | later versions | it names its family by an id that never changes: `"is": "dncnn"`; settings, edits and dreams say their format |

A new format is a row here, a step below, and files that the version before wrote, in `tests/released`. Steps are never changed again.
"""

from collections.abc import Callable
from typing import cast

from sfumato.core.errors import FormatError
from sfumato.core.json_value import Json, JsonObject
from sfumato.core.registry import FORMAT_1
from sfumato.core.text import quoted

FORMAT = 2
"""What this version writes."""


def upgraded(header: JsonObject) -> JsonObject:
    """A header, or a tree of settings, of any format until now, as this version writes it. `header` itself stays as it is.

    Raises FormatError if it has no format, or one of a later version.
    """
    version = header.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise FormatError(f"has no format that can be read ({quoted(version)})")
    if version > FORMAT:
        raise FormatError(f"was written by a newer Sfumato (format {quoted(version)}; this version reads up to {FORMAT}): update Sfumato")
    for step in range(version, FORMAT):
        header = cast(JsonObject, _STEPS[step](header))
    return {**header, "format": FORMAT}


def upgraded_tree(tree: JsonObject) -> JsonObject:
    """As `upgraded`, for JSON that did not say its format in format 1: settings of runs, edits, dreams. The result has no `format`."""
    return {name: value for name, value in upgraded({"format": 1, **tree}).items() if name != "format"}


def _by_id(value: Json) -> Json:
    """From 1 to 2: ids instead of places of source files, however deep.

    Discriminators of `dcgan` had strides, and did not say so. The plane of observed pixels was called `known`.
    """
    if isinstance(value, list | tuple):
        return [_by_id(each) for each in value]
    if not isinstance(value, dict):
        return value
    tree: JsonObject = {name: _by_id(each) for name, each in value.items()}
    family = tree.get("is")
    if not isinstance(family, str) or family not in FORMAT_1:
        return tree
    if FORMAT_1[family] == "dcgan":
        tree = {"downsample": "strided", **tree}
    if isinstance(planes := tree.get("planes"), list):
        tree["planes"] = ["observed" if name == "known" else name for name in planes]
    return {**tree, "is": FORMAT_1[family]}


_STEPS: dict[int, Callable[[Json], Json]] = {1: _by_id}
"""From each format to the next."""
