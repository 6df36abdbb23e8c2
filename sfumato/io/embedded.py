"""The recipe in a PNG that Sfumato wrote: a comment with the settings of the image."""

from pathlib import Path

from sfumato.core.errors import FormatError
from sfumato.io import metadata

KEY = "sfumato"
"""Keyword of the comment."""


def recipe_text(path: Path) -> str:
    """The recipe as JSON text. Pixels are not decoded, so that pictures of any size are read.

    Raises ImageError if the file at `path` is no picture, FormatError if the picture contains no recipe.
    """
    text = metadata.read(path)[0].text.get(KEY)
    if text is None:
        raise FormatError(f"{path}: contains no recipe; give a PNG that sfumato generate wrote")
    return text
