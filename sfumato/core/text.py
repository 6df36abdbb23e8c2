"""Text that came out of a file, such as the name of a class: made fit to be printed, to name a file, or to say where one lies.

Whoever writes a model file, a zip or a recipe may put any characters there: escape sequences that a terminal obeys, letters that run
backwards, separators that lead out of a folder. No such text becomes part of a path, or is printed, but through this file.
"""

import itertools
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

_MARK = "\N{REPLACEMENT CHARACTER}"
_UNSEEN = "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0001-\U000e007f"
"""Soft hyphen, marks of direction, separators of lines, what has no width, lone surrogates, tags. Joiners stay: some scripts need them."""
_CONTROLS = re.compile(f"[\x00-\x1f\x7f-\x9f{_UNSEEN}]")
_CONTROLS_IN_A_LINE = re.compile(f"[\x00-\x09\x0b-\x1f\x7f-\x9f{_UNSEEN}]")
_FORBIDDEN = re.compile(rf'[<>:"/\\|?*\x00-\x08\x0e-\x1f\x7f-\x9f{_UNSEEN}]')
"""What no file name may hold on one system or another."""
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"}
"""Names that stand for a device on Windows, with any ending."""
LONGEST = 100
"""Bytes of a name; file systems take 255, and something may be put before and behind it."""
_LONGEST_PART, _LONGEST_PATH = 255, 1000
"""Most bytes of a part of a path, and characters of a path, that are looked for: of longer ones systems raise an error."""
MOST_QUOTED = 200
"""Characters of a value in an error."""


def printable(text: str, *, lines: bool = False) -> str:
    """`text` with a mark in the place of each control character, mark of direction and half character; with `lines`, newlines stay.

    >>> printable("cat" + chr(27) + "[2J" + chr(10) + "dog")
    'cat�[2J�dog'
    """
    return (_CONTROLS_IN_A_LINE if lines else _CONTROLS).sub(_MARK, text)


def quoted(value: object) -> str:
    """The value as Python writes it, for an error: without control characters, and cut where it is long.

    >>> quoted("x" * 1000)[-10:]
    'xxxxxxx...'
    """
    return cut(repr(value))


def cut(text: str, most: int = MOST_QUOTED) -> str:
    """`text`, with dots for the end where it has more characters than `most`.

    >>> cut("a long story", 9)
    'a long...'
    """
    return text if len(text) <= most else f"{text[: most - 3]}..."


def file_name(text: str) -> str:
    """`text` as one part of a path that every system takes, of at most `LONGEST` bytes, without spaces; names need not stay distinct.

    >>> file_name("x/../../victim"), file_name("Herring Gull"), file_name("nul.txt"), file_name("..")
    ('x_.._.._victim', 'Herring-Gull', '_nul.txt', '_')
    """
    name = re.sub(r"\s", "-", _FORBIDDEN.sub("_", unicodedata.normalize("NFC", text)).strip())
    name = name.encode()[:LONGEST].decode(errors="ignore").strip(".")
    return f"_{name}" if name.partition(".")[0].casefold() in _DEVICES or not name else name


def file_names(texts: Sequence[str]) -> list[str]:
    """A file name for each of `texts`, no two alike even where systems do not tell capitals apart.

    A text that is a file name already keeps it, unless an earlier one has it; others get a number where they need one.

    >>> file_names(["a/b", "a_b", "A_B"])
    ['a_b-3', 'a_b', 'A_B-2']
    """
    wanted = [file_name(text) for text in texts]
    renamed: dict[int, str] = {}
    taken: set[str] = set()
    counts: dict[str, itertools.count[int]] = {}
    for i in sorted(range(len(texts)), key=lambda i: wanted[i] != texts[i]):
        name = wanted[i]
        while (key := _alike(name)) in taken:
            name = f"{wanted[i]}-{next(counts.setdefault(_alike(wanted[i]), itertools.count(2)))}"
        taken.add(key)
        renamed[i] = name
    return [renamed[i] for i in range(len(texts))]


def inner_path(text: str) -> Path | None:
    """The path that `text` names, if it is one below the folder where one is, on every system, and not too long; otherwise None.

    >>> inner_path("runs/cats"), inner_path("/etc/passwd"), inner_path("../cats"), inner_path(r"C:cats")
    (PosixPath('runs/cats'), None, None, None)
    """
    parts = [part for part in re.split(r"[/\\]", text) if part != "."]
    inside = all(part and part != ".." and not re.search(r'[<>:"|?*]', part) and not _CONTROLS.search(part) for part in parts)
    fits = len(text) <= _LONGEST_PATH and all(len(part.encode(errors="surrogatepass")) <= _LONGEST_PART for part in parts)
    return Path(*parts) if parts and inside and fits else None


def last_part(text: str) -> str:
    r"""The name of the file that a path of any system leads to, empty if it leads to none.

    >>> last_part("/home/me/shoe.safetensors"), last_part(r"a\b.json"), last_part("..")
    ('shoe.safetensors', 'b.json', '')
    """
    name = re.split(r"[/\\]", text)[-1]
    return "" if inner_path(name) is None else name


def _alike(name: str) -> str:
    """The same for names that some system takes for the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
