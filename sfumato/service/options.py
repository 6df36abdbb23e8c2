"""The options of each verb of the service, which stand in the query of an address: `/restore?task=upscale&scale=3`.

Ranges are checked before the body of a request is read. The fields have the names and the units of the command line's flags.
"""

import dataclasses
import math
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sfumato.core.catalog import suggest
from sfumato.core.config import Range, problem
from sfumato.core.errors import SettingError
from sfumato.core.flags import field_texts
from sfumato.core.text import quoted

PictureFormat = Literal["png", "jpeg", "webp", "tiff"]
Options = TypeVar("Options")
_SWITCHES = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
_LONGEST = 200
"""Characters of a value."""


@dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """Options of `/restore`, whose body is a picture."""

    task: Literal["auto", "denoise", "deblur", "inpaint", "upscale", "jpeg"] = "auto"
    """The repair; auto looks for the damage."""
    method: str | None = None
    """Classical method instead of a network: median, wiener, bicubic, ..."""
    scale: Annotated[float | None, Range(1, 16)] = None
    """Factor by which the task upscale lengthens the sides."""
    quality: Literal["standard", "best"] = "standard"
    """best repairs and enlarges better, and takes many times longer."""
    look: Literal["faithful", "sharp"] = "faithful"
    """sharp invents fine texture when it enlarges."""
    strength: Annotated[float, Range(0, 2)] = 1.0
    """0 keeps the picture, 1 is the result of the network."""
    mask: Literal["alpha"] | None = None
    """alpha fills in all pixels that are not opaque."""
    find: tuple[Literal["scratches", "dead-pixels", "dust"], ...] = ()
    """Damage to look for and to fill in, separated by commas."""
    noise: Annotated[float | None, Range(0, 255, "grey levels")] = None
    """Standard deviation of the noise."""
    blur: str | None = None
    """The blur in pixels: gaussian:1.6, defocus:3 or motion:9@30."""
    ensemble: Literal[1, 4, 8] = 1
    """Mean over so many mirrored and turned versions."""
    format: PictureFormat = "png"
    """Format of the result."""


@dataclass(frozen=True, kw_only=True)
class GenerateOptions:
    """Options of `/generate`, which takes no body."""

    n: Annotated[int, Range(1, 256, "images")] = 1
    """Number of images; several come as one contact sheet."""
    seed: Annotated[int, Range(0, 2**53)] = 0
    """Seed of the first image; the next images have the next seeds."""
    label: str | None = None
    """Class of the images, by name."""
    truncation: Annotated[float, Range(-2, 2)] = 1.0
    """0 is the mean image, 1 the image as trained."""
    columns: Annotated[int | None, Range(1, 256, "images")] = None
    """Images in a row of the sheet."""
    format: PictureFormat = "png"
    """Format of the result."""


@dataclass(frozen=True, kw_only=True)
class CompressOptions:
    """Options of `/compress`, whose body is a picture and whose answer is a file of `sfumato compress`."""

    quality: Annotated[int | None, Range(1, 100)] = None
    """1 is the smallest file, 100 the best picture."""
    bpp: Annotated[float | None, Range(0.01, 24, "bits per pixel")] = None
    """Largest size of the file, instead of a quality."""
    max_kb: Annotated[float | None, Range(0.01, 1_000_000, "kilobytes")] = None
    """Largest size of the file, instead of a quality."""
    keep_metadata: bool = False
    """Keep the colour profile and the EXIF."""


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """Options of `/embed`, whose body is a picture and whose answer holds its vector."""

    crop: Literal["centre", "stretch"] = "centre"
    """Way to give the picture the shape that the model takes."""


KINDS: dict[str, type] = {
    "restore": RestoreOptions,
    "generate": GenerateOptions,
    "compress": CompressOptions,
    "embed": EmbedOptions,
}
"""The options of each verb."""


def from_query(kind: type[Options], pairs: Iterable[tuple[str, str]]) -> Options:
    """The options in the pairs of a query. Raises SettingError, naming the option, its value and what is allowed."""
    hints = _hints(kind)
    values = dict[str, object]()
    for name, text in pairs:
        if name not in hints:
            raise SettingError(f"no option {quoted(name)}{suggest(name, hints)}; there are {', '.join(hints)}")
        if name in values:
            raise SettingError(f"{name} is given twice; give it once")
        if len(text) > _LONGEST:
            raise SettingError(f"{name} has {len(text)} characters; at most {_LONGEST} are allowed")
        values[name] = _value(text, hints[name])
        if wrong := problem(values[name], hints[name]):
            raise SettingError(f"{name} = {quoted(text)} {wrong}")
    return kind(**values)


def described(kind: type) -> dict[str, dict[str, str]]:
    """For each option its default, what is allowed and its meaning, as texts."""
    texts = field_texts(kind)
    return {
        name: {"default": _shown(getattr(kind, name)), "allowed": _allowed(hint), "about": texts.get(name, "")}
        for name, hint in _hints(kind).items()
    }


def _hints(kind: type) -> dict[str, object]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _plain(hint: object) -> object:
    """The type of a value that is given: without its range, and without None."""
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return next(_plain(each) for each in get_args(hint) if each is not type(None))
    return hint


def _value(text: str, hint: object) -> object:
    """The value that a text stands for; the text itself if it stands for none, for the check to say so."""
    plain = _plain(hint)
    if get_origin(plain) is Literal:
        return next((choice for choice in get_args(plain) if str(choice) == text), text)
    if get_origin(plain) is tuple:
        return tuple(_value(part, get_args(plain)[0]) for part in text.split(",") if part)
    if plain is bool:
        return _SWITCHES.get(text.lower(), text)
    if plain is int or plain is float:
        try:
            number = int(text) if plain is int else float(text)
        except ValueError:
            return text
        return number if math.isfinite(number) else text
    return text


def _allowed(hint: object) -> str:
    """What is allowed for a value, for people."""
    ranges = [each for each in get_args(hint) if isinstance(each, Range)] if get_origin(hint) is Annotated else []
    plain = _plain(hint)
    if ranges:
        return str(ranges[0])
    if get_origin(plain) is tuple:
        return ", ".join(map(str, get_args(get_args(plain)[0])))
    if get_origin(plain) is Literal:
        return ", ".join(map(str, get_args(plain)))
    return "true, false" if plain is bool else "text"


def _shown(value: object) -> str:
    return "" if value in (None, ()) else str(value).lower() if isinstance(value, bool) else str(value)
