"""Shared by all verbs: their registration, the flags that many have, the machine they run on. Nothing slow is imported."""

import contextlib
import dataclasses
import functools
import inspect
import re
import shutil
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro
from rich.console import Group
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table
from rich.text import Text

from sfumato.cli.terminal import complain, console
from sfumato.core import flags
from sfumato.core.config import Range, problem
from sfumato.core.errors import SettingError
from sfumato.core.progress import LogLines, Moment, heard
from sfumato.core.text import quoted

Recipe = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE")]
Model = Annotated[
    tyro.conf.Positional[str],
    tyro.conf.arg(
        metavar="MODEL", help="A bundled model by its name, a run folder, a model file (.safetensors), or hf:OWNER/NAME[@REVISION]."
    ),
]
File = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE")]
Pictures = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="PICTURE ...", help_behavior_hint="")]
Label = Annotated[str | None, tyro.conf.arg(help="Class of the images, by name. Default: each seed has the class that it draws.")]
Truncation = Annotated[
    float,
    Range(-2, 2),
    tyro.conf.arg(help="Truncation: 0 is the mean image, 1 is the image as trained. Values between give better images that vary less."),
]
Overwrite = Annotated[
    bool,
    tyro.conf.arg(help="Replace every file that stands at --out. Without it, only unchanged results of the same verb are replaced."),
]
Device = Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda|mps", help="Device that computes. auto takes a GPU if there is one.")]
Threads = Annotated[
    int | None, tyro.conf.arg(help="Number of processor threads. Default: the value of OMP_NUM_THREADS, else one for each core.")
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    tyro.conf.arg(
        help="Number format of the network. bf16 takes about half the time on a processor or GPU that supports it; auto chooses it there."
    ),
]
Ensemble = Annotated[
    Literal[1, 4, 8],
    tyro.conf.arg(
        help="Self-ensemble of a restorer: the mean over 4 mirrored, or 8 mirrored and turned, versions of the picture. "
        "The result is a little better and takes 4 or 8 times as long."
    ),
]

Backend = Annotated[
    Literal["torch", "onnxruntime", "openvino"],
    tyro.conf.arg(
        help="Library that computes the networks. For a library other than torch, the network is converted once and kept; it then computes "
        "in float32 on the processor."
    ),
]

verbs = dict[str, Callable[..., Callable[[], None]]]()
"""The verbs by name; a call of one checks the ranges of its values and gives the work that is ready to be done."""
_HEADINGS: dict[str, list[str]] = {}
"""The verbs of each heading of the overview."""
_RENAMED = {"directions": {"how": "method"}}
"""For each verb the present names of options that were renamed."""
_WORDS = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH", tuple[int, ...]: "INT ...", tuple[str, str]: "STR STR"}
Verb = TypeVar("Verb", bound=Callable[..., None])


def verb(heading: str) -> Callable[[Verb], Verb]:
    """Decorator that adds a verb to the command line, under a `heading` of the overview.

    The parser's part ends with a call that is ready to be made. Its values are checked against the `Range` in the type of each
    argument: a SettingError names the flag.
    """

    def add(function: Verb) -> Verb:
        """Adds one verb and returns it unchanged."""
        signature, groups = _flat(function)
        hints = {name: parameter.annotation for name, parameter in signature.parameters.items()}

        def ready(*values: object, **named: object) -> Callable[[], None]:
            """The call of the verb, with checked values."""
            arguments = signature.bind(*values, **named).arguments
            for name, value in arguments.items():
                if wrong := problem(value, hints[name]):
                    raise SettingError(f"--{name.replace('_', '-')} = {quoted(value)} {wrong}")
            for name, kind in groups.items():
                arguments[name] = kind(**{flag: arguments.pop(flag) for flag in flags.field_texts(kind) if flag in arguments})
            return functools.partial(function, **arguments)

        # The help wraps lines itself, so a line that is broken in the docstring becomes one again. Python 3.13 removes the indentation.
        texts = [f"    {flag}: {text}\n" for kind in groups.values() for flag, text in flags.field_texts(kind).items()]
        doc = inspect.cleandoc(function.__doc__ or "").replace("Args:\n", f"Args:\n{''.join(texts)}")
        ready.__doc__ = re.sub(r"\n {5,}", " ", doc)
        kinds = {name: Annotated[(hint, _described(hint, signature.parameters[name].default))] for name, hint in hints.items()}
        ready.__annotations__ = kinds
        parameters = [parameter.replace(annotation=kinds[name]) for name, parameter in signature.parameters.items()]
        # The parser reads these, and not those of a function inside, which a type checker of the tests may have wrapped.
        vars(ready).pop("__wrapped__", None)
        vars(ready)["__signature__"] = signature.replace(parameters=parameters)
        name = function.__name__.rstrip("_")
        verbs[name] = ready
        _HEADINGS.setdefault(heading, []).append(name)
        return function

    return add


def _flat(function: Callable[..., None]) -> tuple[inspect.Signature, dict[str, type]]:
    """The signature of a verb on the command line, and the arguments that are a dataclass of flags, each with its class.

    Such an argument stands for the fields of its class: in the signature they take its place.
    """
    signature, hints = inspect.signature(function), get_type_hints(function, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind) and isinstance(kind, type)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        of_fields = get_type_hints(groups[name], include_extras=True)
        parameters += [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=of_fields[field.name])
            for field in dataclasses.fields(groups[name])
        ]
    return signature.replace(parameters=parameters), groups


def _described(kind: object, default: object) -> object:
    """How the help names the value and the default of a flag, where the parser's own words say less."""
    base, *extras = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    plain, *other = get_args(base) or (base,)
    ranges = [str(extra) for extra in extras if isinstance(extra, Range)]
    word = ranges[0] if ranges else _WORDS.get(plain) if other == [type(None)] else None
    hint = None
    if isinstance(default, bool):
        hint = f"(default: {'on' if default else 'off'})"
    elif default in (None, (), ""):
        hint = ""  # the text of the flag names the default
    return tyro.conf.arg(metavar=word, help_behavior_hint=hint)


def renamed(name: str, words: Sequence[str]) -> list[str]:
    """The words behind the verb called `name`, with the present names of its options; an earlier name brings a warning."""
    present = list(words)
    for i, word in enumerate(words):
        option, equals, value = word.partition("=")
        new = _RENAMED.get(name, {}).get(option.removeprefix("--")) if option.startswith("--") else None
        if new is not None:
            complain(f"the option {option} of {name} is now called --{new}; please write --{new}")
            present[i] = f"--{new}{equals}{value}"
    return present


def about(name: str) -> str:
    """The first line of the help of the verb called `name`."""
    return (verbs[name].__doc__ or "").partition("\n")[0]


def description(name: str) -> str:
    """The text above the options in the help of the verb called `name`, in lines that fit the terminal."""
    return wrapped((verbs[name].__doc__ or "").partition("Args:")[0])


def wrapped(text: str) -> str:
    """The paragraphs of a text in lines that fit the terminal; the parser would join lines that begin with a letter."""
    width = shutil.get_terminal_size().columns
    return "\n\n".join(textwrap.fill(" ".join(part.split()), width, subsequent_indent="  ") for part in text.strip().split("\n\n"))


def overview() -> Group:
    """Every verb and what it does, under headings."""
    width = max(map(len, verbs))
    parts: list[Text | Table] = []
    for heading, names in _HEADINGS.items():
        table = Table.grid(Column(no_wrap=True, style="bold", width=width), Column(), padding=(0, 2, 0, 0))
        for name in names:
            table.add_row(name, about(name))
        parts += [Text(f"\n{heading}", "dim"), table]
    return Group(*parts)


@contextlib.contextmanager
def machine(threads: int | None) -> Iterator[None]:
    """Sets torch up for this process: allocator first, then threads. A request to end (SIGTERM) ends the work inside tidily."""
    from sfumato.core.device import keep_memory, set_threads
    from sfumato.io.tiff import silence_libtiff

    keep_memory()
    silence_libtiff()
    set_threads(threads)
    before = signal.signal(signal.SIGTERM, _ended) if threading.current_thread() is threading.main_thread() else None
    try:
        with warnings.catch_warnings():
            # Pillow warns of a picture a little smaller than the largest that we take.
            warnings.filterwarnings("ignore", message=".*decompression bomb")
            warnings.showwarning = _warned
            yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def progress() -> Iterator[None]:
    """Shows the share of the work inside that is done, and the time left: a bar in a terminal, which disappears, or lines in a log.

    A remark about the work is a line of its own and appears once.
    """
    remarks = set[str]()

    def remark(text: str) -> None:
        """Shows a remark about the work, once."""
        if text not in remarks:
            remarks.add(text)
            console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)

    if not console.is_terminal:
        with heard(LogLines(lambda line: console.print(line, highlight=False, soft_wrap=True)), remark=remark):
            yield
        return
    columns = (BarColumn(bar_width=24), TextColumn("{task.percentage:3.0f}%"), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0, visible=False)

        def show(moment: Moment) -> None:
            """Moves the bar."""
            bar.update(task, completed=moment.share, description=str(moment), visible=moment.share < 1)

        with heard(show, remark=remark):
            yield


def _ended(number: int, frame: object) -> None:
    complain("the process was asked to end; files that are saved already are complete")
    sys.exit(128 + number)


def _warned(message: Warning | str, *_: object) -> None:
    """A warning as a line, and not with the source that it comes from."""
    complain(" ".join(str(message).split()))
