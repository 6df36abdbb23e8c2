"""`-` on the command line: a picture from standard input, and the resulting picture to standard output.

    cat x.jpg | sfumato restore - --out - > y.jpg

Standard input becomes a file in a temporary folder, the verb works with files as ever, and the bytes of its result go to standard output.
Everything else that the verb says goes to standard error.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from sfumato.cli.terminal import call
from sfumato.core.errors import ImageError, SettingError
from sfumato.core.pillow_format import ENDING, MAGIC


@runtime_checkable
class BinaryOutput(Protocol):
    """A stream that takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Takes the next bytes."""
        ...

    def flush(self) -> None:
        """Hands on what was written."""
        ...


class Verb(NamedTuple):
    """Where a verb takes `-`."""

    reads: tuple[str, ...] = ()
    """Flags that name a picture; the empty one is a picture without flag."""
    noun: str = "picture"
    """The kind of file that the verb reads: a picture, or a compressed file."""
    writes: tuple[str, ...] = ()
    """Formats of `--out -`, the usual one first."""
    keeps_format: bool = False
    """Whether the usual format is that of the picture, where the verb writes it."""


_PICTURES = ("png", "jpg", "webp", "bmp", "tif")
VERBS: Mapping[str, Verb] = {
    "restore": Verb(reads=("", "--mask"), writes=_PICTURES, keeps_format=True),
    "dream": Verb(reads=("", "--guide", "--mask"), writes=_PICTURES, keeps_format=True),
    "project": Verb(reads=("",)),
    "compress": Verb(reads=("",), writes=(ENDING[1:],)),
    "decompress": Verb(reads=("",), noun="compressed file", writes=_PICTURES),
    "search": Verb(reads=("", "--minus"), writes=_PICTURES),
    "drag": Verb(reads=("--mask",), writes=_PICTURES),
    "generate": Verb(writes=_PICTURES),
    "mix": Verb(writes=_PICTURES),
    "edit": Verb(writes=_PICTURES),
    "features": Verb(writes=_PICTURES),
    "interpolate": Verb(writes=("gif", "webp", "mp4")),
}
_SWITCHES = ("overwrite", "even", "loop", "layers", "noise", "invert-mask", "pack", "keep-metadata")
"""Flags that take no value and may stand, negated too, before a picture."""
_ENDINGS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif"}
_LONGEST = 1 << 30
"""Bytes of standard input at most."""


def explain(verbs: Mapping[str, Callable[..., object]]) -> None:
    """Adds a sentence about `-` to the help of each verb that takes it."""
    for name, verb in VERBS.items():
        reads = f"`-` reads a {verb.noun} from standard input. " if "" in verb.reads else ""
        writes = "`--out -` writes to standard output." if verb.writes else ""
        if len(verb.writes) > 1:
            usual = f"in the format of the picture, else as {verb.writes[0]}" if verb.keeps_format else f"as {verb.writes[0]}"
            writes = f"{writes[:-1]}, {usual} (--format {'|'.join(verb.writes)})."
        first, _, rest = (verbs[name].__doc__ or "").partition("\n")
        verbs[name].__doc__ = f"{first}\n{reads}{writes}\n{rest}"


@contextlib.contextmanager
def replaced(arguments: Sequence[str]) -> Iterator[list[str]]:
    """The arguments with files in the place of `-`; at the end of the `with` the result is written to standard output.

    Raises SettingError for `-` where a verb takes none, for a terminal, and for a format that is not possible; ImageError for standard
    input that is no picture.
    """
    words = _split(arguments)
    verb = VERBS.get(words[0], Verb()) if words else Verb()
    inputs, output = _inputs(words, verb), _output(words)
    if output is None and "--format" in words and verb.writes:
        raise SettingError("--format has no effect without --out -; the name of the file tells the format")
    if not inputs and output is None:
        yield list(arguments)
        return
    with tempfile.TemporaryDirectory(prefix="sfumato-") as folder, contextlib.ExitStack() as stack:
        stdout = None if output is None else _binary_output()
        if inputs:
            spooled = _spooled(Path(folder), verb)
            call(spooled, "standard input")
            words[inputs[0]] = str(spooled)
        if output is None or stdout is None:
            yield words
            return
        ending = _take_format(words, verb) or _usual_format(words, verb)
        result = Path(folder) / f"out.{ending}"
        call(result, "standard output")
        words[_output(words) or output] = str(result)  # --format, which may have stood before it, is gone
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        try:
            yield words
        except SystemExit:  # a compressed file that is damaged gives a picture and an error
            if result.is_file():
                _copy(result, stdout)
            raise
        _copy(result, stdout)


def _copy(result: Path, stdout: BinaryOutput) -> None:
    """Writes the bytes of a file to standard output."""
    with result.open("rb") as file:
        shutil.copyfileobj(file, stdout)
    stdout.flush()


def _split(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `--out=-` and the like as two words."""
    words: list[str] = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        words += [flag, value] if equals and flag.startswith("--") and (value == "-" or flag == "--format") else [argument]
    return words


def _inputs(words: list[str], verb: Verb) -> list[int]:
    """The places of `-` that stand for standard input. Raises SettingError for more than one."""
    places = [i for i in range(1, len(words)) if words[i] == "-" and _flag_before(words, i) in verb.reads]
    if len(places) > 1:
        raise SettingError("standard input is one picture, and `-` stands for it twice; give a file for the other")
    return places


def _output(words: list[str]) -> int | None:
    """The place of the `-` behind `--out`. Raises SettingError for a verb that writes no picture."""
    place = next((i for i in range(1, len(words)) if words[i] == "-" and words[i - 1] == "--out"), None)
    if place is not None and not VERBS.get(words[0], Verb()).writes:
        raise SettingError(f"{words[0]} writes no single picture to standard output; give a name with --out")
    return place


def _flag_before(words: list[str], place: int) -> str:
    """The flag whose value stands at `place`; empty for a word without flag."""
    before = words[place - 1]
    return before if before.startswith("--") and before[2:].removeprefix("no-") not in _SWITCHES else ""


def _take_format(words: list[str], verb: Verb) -> str | None:
    """The value of `--format`, which is taken out of `words`. Raises SettingError for a format that the verb does not write."""
    if "--format" not in words:
        return None
    place = words.index("--format")
    value = words[place + 1].lower().lstrip(".") if place + 1 < len(words) else ""
    del words[place : place + 2]
    if value not in verb.writes:
        raise SettingError(f"format = {value!r} is none of {', '.join(verb.writes)}")
    return value


def _usual_format(words: list[str], verb: Verb) -> str:
    """The format of the first picture that is read, if the verb writes it, else the verb's first one."""
    if not verb.keeps_format:
        return verb.writes[0]
    names = [words[i] for i in range(1, len(words)) if not words[i].startswith("-") and _flag_before(words, i) == ""]
    endings = [{"jpeg": "jpg", "tiff": "tif"}.get(ending, ending) for name in names if (ending := Path(name).suffix.lower().lstrip("."))]
    return next((ending for ending in endings if ending in verb.writes), verb.writes[0])


def _spooled(folder: Path, verb: Verb) -> Path:
    """Standard input as a file whose name ends as its content says.

    Raises SettingError for a terminal, ImageError for a file of another kind than the verb reads.
    """
    from sfumato.io import formats

    if sys.stdin is None or sys.stdin.isatty():
        raise SettingError(f"standard input is a terminal; pipe a {verb.noun} into the command, or name a file instead of `-`")
    source = sys.stdin.buffer
    start = source.read(formats.START)
    ending = _ending(start, verb)
    if ending is None:
        wanted = "an image of a known kind" if verb.noun == "picture" else f"a {verb.noun}"
        raise ImageError(f"standard input: is not {wanted}" if start else "standard input: is empty")
    path, length = folder / f"stdin{ending}", len(start)
    with path.open("wb") as file:
        file.write(start)
        while block := source.read(1 << 20):
            file.write(block)
            length += len(block)
            if length > _LONGEST:
                raise ImageError(f"standard input: is longer than {_LONGEST >> 30} GiB; name the file instead")
    return path


def _ending(start: bytes, verb: Verb) -> str | None:
    """The ending of a file that begins with `start`; None for a kind that the verb does not read.

    It is empty where the format cannot be written: no name may claim another format than the content has.
    """
    from sfumato.io import formats

    if verb.noun != "picture":
        return ENDING if start.startswith(MAGIC) else None
    kind = formats.by_content(start, "")
    return None if kind is None else _ENDINGS.get(kind.format, "")


def _binary_output() -> BinaryOutput:
    """Standard output for bytes. Raises SettingError for a terminal."""
    if sys.stdout.isatty():
        raise SettingError("standard output is a terminal; write `--out - > picture.png`, or a name with --out")
    return sys.stdout.buffer
