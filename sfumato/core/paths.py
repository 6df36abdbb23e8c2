"""What is written down of places on this machine: names and not paths, for files are shared, and a path tells who and where one is."""

import os
import re
from pathlib import Path, PurePath

_IS_PATH = re.compile(r"[/\\]|^~|^\.\.?$")
_ABSOLUTE = re.compile(r"(?<![\w.~:/-])(?:[A-Za-z]:)?[/\\](?:[^\s/\\:;,'\"()]+[/\\])+([^\s/\\:;,'\"()]*)")
"""A path from the root in a sentence, as far as it has no spaces."""


def cache_folder() -> Path:
    """The folder for what can be made or fetched again: SFUMATO_CACHE, or ~/.cache/sfumato."""
    return Path(os.environ.get("SFUMATO_CACHE") or "~/.cache/sfumato").expanduser()


def last_name(place: str | Path) -> str:
    """The last name of a path, or of each of several that `+` joins; what is no path, such as a known name, stays as it is.

    >>> last_name("/home/me/photos/"), last_name("bsds500+drawings"), last_name("fashion")
    ('photos', 'bsds500+drawings', 'fashion')
    """
    text = str(place)
    if not _IS_PATH.search(text):
        return text
    whole = os.path.abspath(os.path.expanduser(text))
    if "+" in text and not os.path.exists(whole):
        return "+".join(last_name(piece) for piece in text.split("+"))
    return PurePath(whole.replace("\\", "/")).name or text


def inside(place: str | Path) -> str:
    """A path as it is if it leads down from the working folder, as most that are typed; of any other its last name.

    >>> inside("runs/photos"), inside("/home/me/runs/photos"), inside("../photos")
    ('runs/photos', 'photos', 'photos')
    """
    text = str(place)
    outside = PurePath(text).is_absolute() or text.startswith("~") or ".." in PurePath(text).parts
    return last_name(text) if outside else text


def without_places(sentence: str, *places: str | Path) -> str:
    """`sentence` with the last names alone of the `known` paths, and of all others that begin at the root and have no spaces.

    >>> without_places("/home/me/a b/x.png: not what /home/me/model says", "/home/me/a b/x.png")
    'x.png: not what model says'
    """
    for place in sorted({form for each in places for form in (os.path.abspath(each), str(each))}, key=len, reverse=True):
        if _IS_PATH.search(place):
            sentence = sentence.replace(place, last_name(place))
    return _ABSOLUTE.sub(r"\1", sentence)
