"""Values that JSON has, as Python reads them."""

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
else:
    Json = object  # an alias that names itself is more than a check at run time can follow

JsonObject: TypeAlias = dict[str, Json]
"""An object of JSON: values by name."""
Facts: TypeAlias = dict[str, object]
"""Values by name for a file: what `json.dumps` takes, which includes tuples and typed dictionaries."""
