"""The verb `train`: a recipe's settings as flags, and a run of it. Only imported by that verb, for all of torch comes with it."""

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from sfumato.core import flags, runtime, schema
from sfumato.core.errors import SettingError, SfumatoError
from sfumato.core.settings import parse
from sfumato.data.scenes import KNOWN
from sfumato.recipes import RECIPES, recipe, summary
from sfumato.store import checkpoint, weights
from sfumato.train.loop import fit
from sfumato.train.progress import ProgressLine

Device = Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda|mps")]


def train_recipe(arguments: list[str], console: Console, began: float) -> None:
    """Trains the recipe that the first argument names, with the settings that the others change; a budget counts from `began`."""
    if not arguments or arguments[0].startswith("-"):
        lines = "\n".join(f"  {name:20} {summary(name)}" for name in RECIPES)
        raise SettingError(f"train needs a recipe first: sfumato train RECIPE [--data IMAGES] [--budget 30min]\n{lines}")
    name, *rest = arguments
    default = _started(recipe(name), rest)
    flags.tell_ranges(default)

    def run(
        settings: Annotated[Any, tyro.conf.arg(name="")] = default,
        *,
        out: Path | None = None,
        device: Device = "auto",
        threads: int | None = None,
    ) -> Callable[[], None]:
        """Trains.

        Args:
            settings: All settings of the recipe.
            out: Run folder; by default runs/NAME, after the data or the recipe. The same command goes on with the run in it.
            device: Where to compute.
            threads: Threads to compute with; if not given, OMP_NUM_THREADS, or all cores.

        """
        return functools.partial(_fit, name, default, settings, out=out, device=device, threads=threads, console=console, began=began)

    flags.parsed(lambda: tyro.cli(run, prog=f"sfumato train {name}", description=summary(name), args=rest), flags.names(default))()


def _started(default: Any, arguments: list[str]) -> Any:
    """`default` with the network of what --start names, if it is of the same family: other flags then change that one.

    Weights say nothing of what a network does with them, so that those of one would fit another which does something else.
    """
    start, out = (_flag(arguments, name) for name in ("--start", "--out"))
    begun = Path(out) / "settings.json" if out else None
    if not start:
        return default
    try:
        # A run that has begun needs the other no longer.
        told = schema.read(begun, dict[str, Any]) if begun is not None and begun.exists() else checkpoint.read_header(weights.find(start))
        model = parse(told["model"])
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


def _flag(arguments: list[str], name: str) -> str:
    """What follows `name`; nothing if it is not there."""
    for i, word in enumerate(arguments):
        if word == name and i + 1 < len(arguments):
            return arguments[i + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""


def _fit(
    name: str, default: Any, settings: Any, *, out: Path | None, device: str, threads: int | None, console: Console, began: float
) -> None:
    runtime.set_threads(threads)
    source = settings.data
    path = Path(source).expanduser().resolve()
    called = name if source == default.data else f"{source}-{name}" if source in KNOWN else path.name.removesuffix(path.suffix) or "images"
    folder = out or Path("runs") / called
    line = ProgressLine(console)
    try:
        model: Any = fit(settings, run=folder, watch=line, device=device, began=began)
    finally:
        line.close()
    if model.interrupted:
        sys.exit(130)
    seen, minutes = model.card["images_seen"], model.card["minutes"]
    console.print(f"model: {folder / 'model.safetensors'} ({seen:,} images, {minutes:.1f} min)", highlight=False)
