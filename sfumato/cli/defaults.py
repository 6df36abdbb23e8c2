"""The settings that `train` begins with: those of the recipe, of the model that `--start` names, or of the run in the folder."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from sfumato.core import outputs
from sfumato.core.config import changed, fields_of, parse_as
from sfumato.core.errors import SfumatoError
from sfumato.data.scenes import SCENE_NAMES
from sfumato.models.base import NetworkSettings
from sfumato.recipes import is_file
from sfumato.store import checkpoint, weights
from sfumato.train.folder import read_settings
from sfumato.train.settings import TrainSettings


def run_folder(recipe: str, default: TrainSettings, arguments: Sequence[str]) -> Path:
    """The folder of the run of these arguments: --out, or runs/NAME after the data or the recipe. Raises SettingError for a file's name."""
    if out := flag(arguments, "--out"):
        outputs.check_folder_name(Path(out))
        return Path(out)
    recipe = Path(recipe).stem if is_file(recipe) else recipe
    source = flag(arguments, "--data") or default.data
    path = Path(source).expanduser().resolve()
    called = path.name.removesuffix(path.suffix) or "images"
    return Path("runs") / (recipe if source == default.data else f"{source}-{recipe}" if source in SCENE_NAMES else called)


def continued(default: TrainSettings, folder: Path) -> TrainSettings:
    """The settings of the run in `folder`, if there is one of this network and objective; `default` if there is none.

    A run continues with its own settings, even if the recipe has changed since; flags change them.
    """
    path = folder / "settings.json"
    if not path.is_file():
        return default
    try:
        begun = read_settings(path)
    except SfumatoError:
        return default  # the training raises the error
    if any(type(getattr(begun, name)) is not type(getattr(default, name)) for name in PARTS):
        return default
    # The folder does not say where the images lie.
    return dataclasses.replace(begun, data=default.data, keep_paths=default.keep_paths)


PARTS = ("model", "objective")


def differing(begun: TrainSettings, default: TrainSettings) -> list[str]:
    """Names of the settings in which a run differs from its recipe, except those that the data and the clock decide."""
    decided = {"images", "budget", "data", "start", "size", "channels", "classes", "r1", "r2"}
    names = []
    for one, other, prefix in ((begun, default, ""), *((getattr(begun, p), getattr(default, p), f"{p}.") for p in PARTS)):
        pairs = ((f.name, getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
        names += [f"{prefix}{name}" for name, a, b in pairs if a != b and name not in decided and name not in PARTS]
    return names


def started(default: TrainSettings, arguments: Sequence[str]) -> TrainSettings:
    """`default` with the network of the model that --start names, if both are of one family; other flags then change that network.

    The weights of one network could fit another network that computes something else, so the settings come with the weights.
    """
    start = flag(arguments, "--start")
    if not start:
        return default
    try:
        model = parse_as(NetworkSettings, checkpoint.read_header(weights.find(start))["model"])
    except (SfumatoError, KeyError):
        return default  # the training raises the error
    if type(model) is not type(default.model) or len({getattr(each, "channels", None) for each in (model, default.model)} - {None}) > 1:
        return default
    lacking = getattr(model, "discriminator_width", None) == 0
    names = [field.name for field in fields_of(model) if lacking and field.name.startswith("discriminator")]
    kept = {name: getattr(default.model, name) for name in names}
    # The data decides the classes, not the weights: tables of other classes are made anew.
    kept |= {"classes": None} if hasattr(model, "classes") else {}
    # The damage that the recipe makes decides the factor.
    kept |= {"scale": getattr(default.model, "scale")} if hasattr(model, "scale") else {}  # noqa: B009 - families differ
    return dataclasses.replace(default, model=changed(model, **kept))


def again(recipe: str, arguments: Sequence[str], changes: Sequence[str], folder: Path, *, inherited: Sequence[str] = ()) -> str:
    """The command that trains anew with `changes`, into a folder beside `folder`.

    `inherited` are flags for settings that this call took from the run folder, where the next finds none.

    >>> again("dcgan", ["--data", "my pets", "--no-by-class"], ["--by-class"], Path("runs/pets"))
    "sfumato train dcgan --data 'my pets' --by-class --out runs/pets-2"
    """
    named = {"--out"} | {name for change in changes for name in _both(change.split()[0])}
    kept: list[str] = []
    dropping = False
    for word in (*arguments, *inherited):
        if word.startswith("--"):
            dropping = _flag_name(word) in named
        if not dropping:
            kept.append(word)
    words = shlex.join(["sfumato", "train", recipe, *kept])
    return f"{words} {' '.join(changes)} --out {shlex.quote(str(folder))}-2"


def inherited(settings: TrainSettings, default: TrainSettings, arguments: Sequence[str]) -> list[str]:
    """The flags that the `arguments` lack to make `settings` of `default`: those of settings that came from a run folder.

    The folder does not say where the images lie, and with a budget the number of images is planned anew. A part of another family than
    that of the default has no flag and is left out.
    """
    decided = {"--data", "--keep-paths"} | ({"--images"} if settings.budget else set())
    flags = {name: words for name, words in _changed(settings, default).items() if name not in decided}
    return [word for name, words in flags.items() if not sets_flag(arguments, name.removeprefix("--")) for word in words]


def _changed(settings: object, default: object, prefix: str = "--") -> dict[str, list[str]]:
    """The name and the words of each flag that makes `settings` of `default`."""
    flags: dict[str, list[str]] = {}
    for field in fields_of(settings):
        name, value, usual = prefix + field.name.replace("_", "-"), getattr(settings, field.name), getattr(default, field.name)
        parts = _parts(value)
        if value == usual:
            continue
        if parts or _parts(usual):
            if [(key, type(part)) for key, part in parts] == [(key, type(part)) for key, part in _parts(usual)]:
                for (key, part), (_, other) in zip(parts, _parts(usual), strict=True):
                    flags |= _changed(part, other, f"{name}{key}.")
        elif isinstance(value, bool):
            flags[name] = [name if value else _both(name)[1]]
        else:
            flags[name] = [name, *map(str, value if isinstance(value, tuple) else (value,))]
    return flags


def _parts(value: object) -> list[tuple[str, object]]:
    """The settings in the place of one setting, each with the end of its name: one of them, several, or none."""
    if isinstance(value, tuple):
        return [(f".{i}", part) for i, part in enumerate(value) if dataclasses.is_dataclass(part)]
    return [("", value)] if dataclasses.is_dataclass(value) else []


def flag(arguments: Sequence[str], name: str) -> str:
    """The word behind the flag `name`; empty if the flag is not there."""
    for i, word in enumerate(arguments):
        if word == name and i + 1 < len(arguments):
            return arguments[i + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""


def sets_flag(arguments: Sequence[str], setting: str) -> bool:
    """Whether the arguments set the setting `path.to.field`."""
    names = _both(f"--{setting.replace('_', '-')}")
    return any(_flag_name(word) in names for word in arguments)


def _flag_name(word: str) -> str:
    """The name of a flag as help spells it: the parser takes underscores too."""
    return word.partition("=")[0].replace("_", "-")


def _both(flag: str) -> tuple[str, str]:
    """A flag, and its opposite."""
    head, dot, last = flag.removeprefix("--").rpartition(".")
    return flag, f"--{head}{dot}{last.removeprefix('no-')}" if last.startswith("no-") else f"--{head}{dot}no-{last}"
