"""The verb `train`: the settings of a recipe as flags, and a run. Only imported by that verb: all of torch comes with it."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from sfumato.cli import defaults
from sfumato.cli.verbs import Device, Threads, wrapped
from sfumato.core import flags
from sfumato.core.device import set_threads
from sfumato.core.errors import SettingError
from sfumato.recipes import recipe, recipes, summary
from sfumato.train.loop import fit
from sfumato.train.progress import ProgressLine
from sfumato.train.settings import TrainSettings

Out = Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
Processors = Annotated[Threads, tyro.conf.arg(metavar="INT", help_behavior_hint="")]


def train_recipe(arguments: list[str], console: Console, began: float) -> None:
    """Trains the recipe that the first argument names, with the settings that the others change; a budget counts from `began`."""
    if not arguments or arguments[0].startswith("-"):
        lines = "\n".join(f"  {name:20} {summary(name)}" for name in recipes())
        raise SettingError(f"train needs a recipe first: sfumato train RECIPE [--data IMAGES] [--budget 30min]\n{lines}")
    name, *rest = arguments
    usual = recipe(name)
    folder = defaults.run_folder(name, usual, rest)
    begun = defaults.continued(usual, folder)
    default = defaults.started(usual, rest) if begun is usual else begun
    flags.describe(default)

    def run(
        settings: Annotated[TrainSettings, tyro.conf.arg(name="")] = default,
        *,
        out: Out = None,
        device: Device = "auto",
        threads: Processors = None,
    ) -> Callable[[], None]:
        """Trains.

        Args:
            settings: All settings of the recipe.
            out: Run folder. The same command continues the run in it. Default: runs/NAME, after the data or the recipe.

        """
        inherited = _checked(settings, begun, usual, rest, folder, console)
        line = ProgressLine(console, again=functools.partial(defaults.again, name, rest, folder=folder, inherited=inherited))
        return functools.partial(_fit, settings, line, folder=folder, device=device, threads=threads, began=began)

    flags.parsed(lambda: tyro.cli(run, prog=f"sfumato train {name}", description=wrapped(summary(name)), args=rest), flags.names(default))()


def _checked(
    settings: TrainSettings, begun: TrainSettings, usual: TrainSettings, arguments: list[str], folder: Path, console: Console
) -> list[str]:
    """The flags that would give `settings` without the run folder; prints the settings in which the run differs from the recipe.

    Raises SettingError for a number of images beside a budget.
    """
    if settings.budget and defaults.sets_flag(arguments, "images"):
        raise SettingError(
            f"images = {settings.images:,} has no effect: the run has a budget of {settings.budget}, which decides how long it is; "
            "leave out --images, or give no --budget and a new folder"
        )
    others = [name for name in defaults.differing(begun, usual) if not defaults.sets_flag(arguments, name)]
    if others:
        names = f"{', '.join(others[:4])}{' and others' if len(others) > 4 else ''}"
        console.print(f"{folder} continues with its own settings, which differ from the recipe in {names}", highlight=False)
    return defaults.inherited(settings, defaults.started(usual, arguments), arguments)


def _fit(settings: TrainSettings, line: ProgressLine, *, folder: Path, device: str, threads: int | None, began: float) -> None:
    set_threads(threads)
    try:
        model = fit(settings, run=folder, watch=line, device=device, began=began)
    finally:
        line.close()
    if model.interrupted:
        sys.exit(130)
    card = model.card
    length = f"{card.images_seen or 0:,} images, {card.minutes or 0:.1f} min"
    line.console.print(f"model: {folder / 'model.safetensors'} ({length})", highlight=False)
