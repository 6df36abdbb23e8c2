"""The verb `train`: a recipe's settings as flags, and a run of it. Only imported by that verb, for all of torch comes with it."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from sfumato.core import flags, runtime
from sfumato.core.errors import SettingError
from sfumato.data.scenes import KNOWN
from sfumato.recipes import RECIPES, recipe, summary
from sfumato.train.loop import fit
from sfumato.train.progress import ProgressLine

Device = Annotated[str, tyro.conf.arg(metavar="auto|cpu|cuda|mps")]


def train_recipe(arguments: list[str], console: Console) -> None:
    """Trains the recipe that the first argument names, with the settings that the others change."""
    if not arguments or arguments[0].startswith("-"):
        lines = "\n".join(f"  {name:20} {summary(name)}" for name in RECIPES)
        raise SettingError(f"train needs a recipe first: sfumato train RECIPE [--data IMAGES] [--budget 30min]\n{lines}")
    name, *rest = arguments
    default = recipe(name)
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
            threads: Threads to compute with; all cores if not given.

        """
        return functools.partial(_fit, name, default, settings, out=out, device=device, threads=threads, console=console)

    flags.parsed(lambda: tyro.cli(run, prog=f"sfumato train {name}", description=summary(name), args=rest), flags.names(default))()


def _fit(name: str, default: Any, settings: Any, *, out: Path | None, device: str, threads: int | None, console: Console) -> None:
    runtime.set_threads(threads)
    source = settings.data
    path = Path(source).expanduser().resolve()
    called = name if source == default.data else f"{source}-{name}" if source in KNOWN else path.name.removesuffix(path.suffix) or "images"
    folder = out or Path("runs") / called
    line = ProgressLine(console)
    try:
        model: Any = fit(settings, run=folder, watch=line, device=device)
    finally:
        line.close()
    if model.interrupted:
        sys.exit(130)
    seen, minutes = model.card["images_seen"], model.card["minutes"]
    console.print(f"model: {folder / 'model.safetensors'} ({seen:,} images, {minutes:.1f} min)", highlight=False)
