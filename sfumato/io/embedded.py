"""The recipe inside a PNG that we wrote: the comment that tells how the image was made."""

from pathlib import Path

from sfumato.core.errors import FormatError
from sfumato.io import metadata

KEY = "sfumato"
"""Keyword of the comment."""


def recipe_text(path: Path) -> str:
    """The recipe as JSON text, read from the header alone, however many pixels that promises.

    Raises ImageError if the file at `path` is no picture, FormatError if there is no recipe in it.
    """
    text = metadata.read(path)[0].text.get(KEY)
    if text is None:
        raise FormatError(f"{path}: there is no recipe in it")
    return text
