"""With which settings `train` begins: those of the recipe, of the model that `--start` names, or of the run that is in the folder."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from sfumato.core import outputs
from sfumato.core.errors import SfumatoError
from sfumato.core.settings import parse
from sfumato.data.scenes import KNOWN
from sfumato.store import checkpoint, weights
from sfumato.train.folder import read_settings
from sfumato.train.settings import TrainSettings


def run_folder(recipe: str, default: TrainSettings, arguments: Sequence[str]) -> Path:
    """Where the run of these arguments lies: --out, or runs/NAME, after the data or the recipe. Raises SettingError for a file's name."""
    if out := flag(arguments, "--out"):
        outputs.check_folder_name(Path(out))
        return Path(out)
    source = flag(arguments, "--data") or default.data
    path = Path(source).expanduser().resolve()
    called = path.name.removesuffix(path.suffix) or "images"
    return Path("runs") / (recipe if source == default.data else f"{source}-{recipe}" if source in KNOWN else called)


def continued(default: TrainSettings, folder: Path) -> TrainSettings:
    """The settings of the run in `folder`, if there is one of this network and objective; `default` if there is none.

    So a run goes on with what it was begun with, whatever the recipe says today; flags change that.
    """
    path = folder / "settings.json"
    if not path.is_file():
        return default
    try:
        begun = read_settings(path)
    except SfumatoError:
        return default  # training says what is wrong
    if any(type(getattr(begun, name)) is not type(getattr(default, name)) for name in PARTS):
        return default
    # Where the images lie the folder does not say.
    return dataclasses.replace(begun, data=default.data, keep_paths=default.keep_paths)


PARTS = ("model", "objective")


def differing(begun: TrainSettings, default: TrainSettings) -> list[str]:
    """Names of settings that a run was begun with and the recipe has otherwise; what the data and the clock decide is left out."""
    decided = {"images", "budget", "data", "start", "size", "channels", "classes", "r1", "r2"}
    found = []
    for one, other, prefix in ((begun, default, ""), *((getattr(begun, p), getattr(default, p), f"{p}.") for p in PARTS)):
        pairs = ((f.name, getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
        found += [f"{prefix}{name}" for name, a, b in pairs if a != b and name not in decided and name not in PARTS]
    return found


def started(default: TrainSettings, arguments: Sequence[str]) -> TrainSettings:
    """`default` with the network of what --start names, if it is of the same family: other flags then change that one.

    Weights say nothing of what a network does with them, so that those of one would fit another which does something else.
    """
    start = flag(arguments, "--start")
    if not start:
        return default
    try:
        model = parse(checkpoint.read_header(weights.find(start))["model"])
    except (SfumatoError, KeyError):
        return default  # training says what is wrong
    if type(model) is not type(default.model) or len({model.channels, default.model.channels} - {None}) > 1:
        return default
    lacking = getattr(model, "discriminator_width", None) == 0
    names = [field.name for field in dataclasses.fields(model) if lacking and field.name.startswith("discriminator")]
    own = {each: getattr(default.model, each) for each in names}
    # The data says which classes there are, not the weights: tables of other classes are made anew.
    own |= {"classes": None} if hasattr(model, "classes") else {}
    return dataclasses.replace(default, model=dataclasses.replace(model, **own))


def again(recipe: str, arguments: Sequence[str], changes: Sequence[str], folder: Path) -> str:
    """The command that trains anew with `changes`, into a folder beside `folder`.

    >>> again("dcgan", ["--data", "my pets", "--no-by-class"], ["--by-class"], Path("runs/pets"))
    "sfumato train dcgan --data 'my pets' --by-class --out runs/pets-2"
    """
    named = {"--out"} | {name for change in changes for name in _both(change.split()[0])}
    kept: list[str] = []
    dropping = False
    for word in arguments:
        if word.startswith("--"):
            dropping = word.partition("=")[0] in named
        if not dropping:
            kept.append(word)
    words = shlex.join(["sfumato", "train", recipe, *kept])
    return f"{words} {' '.join(changes)} --out {shlex.quote(str(folder))}-2"


def flag(arguments: Sequence[str], name: str) -> str:
    """What follows `name`; nothing if it is not there."""
    for i, word in enumerate(arguments):
        if word == name and i + 1 < len(arguments):
            return arguments[i + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""


def given(arguments: Sequence[str], setting: str) -> bool:
    """Whether the arguments say anything of the setting `path.to.field`."""
    names = _both(f"--{setting.replace('_', '-')}")
    return any(word.partition("=")[0] in names for word in arguments)


def _both(flag: str) -> tuple[str, str]:
    """A flag, and the one that says the opposite."""
    head, dot, last = flag.removeprefix("--").rpartition(".")
    return flag, f"--{head}{dot}{last.removeprefix('no-')}" if last.startswith("no-") else f"--{head}{dot}no-{last}"
