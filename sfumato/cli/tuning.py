"""The verb `tune`: a search for settings within a budget."""

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.cli.terminal import console, say
from sfumato.cli.verbs import Device, Recipe, Threads, machine

if TYPE_CHECKING:
    from sfumato.tuning.result import TuningResult


def tune(
    recipe: Recipe,
    *,
    data: str | None = None,
    budget: str = "1h",
    search: str = "",
    maximise: str = "",
    minimise: str = "",
    worker: str = "main",
    out: Path | None = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Search for better settings of a recipe within a budget of time: sfumato tune RECIPE --data IMAGES --budget 2h.

    Many short trainings, then the best settings against those of the recipe over fresh seeds. The same command again continues an
    interrupted search.

    Args:
        recipe: The name of a recipe, or a recipe file (.json).
        data: Images, as for `sfumato train`. Default: those of the recipe.
        budget: Time for everything, such as 20min or 2h.
        search: Settings to search, with commas: lr,model.width or with values, lr=1e-4:1e-2,batch=16,32. Default: lr, batch, model.width
            and weight_decay, where the recipe has them.
        maximise: Figure of held-out images to make larger. Default: the PSNR or accuracy, if the objective measures it.
        minimise: Figure of held-out images to make smaller. Default: the cross-entropy or bits, if the objective measures them.
        worker: Name of this process, if several share the folder --out; each has its own budget, and main makes the comparison.
        out: Folder for the journal of the search, the recipe file, the table and the plot. Default: runs/RECIPE-tuned.

    """
    began = time.perf_counter() - time.process_time()
    with machine(threads):
        from sfumato.recipes import recipe as settings_of
        from sfumato.tuning import space
        from sfumato.tuning.tune import tune as job

        settings = settings_of(recipe)
        if data is not None:
            settings = dataclasses.replace(settings, data=data)
        folder = out or Path("runs") / f"{Path(recipe).stem}-tuned"
        result = job(
            settings,
            out=folder,
            budget=budget,
            search=space.parts(search),
            maximise=maximise,
            minimise=minimise,
            worker=worker,
            device=device,
            note=say,
            began=began,
        )
        _show(result, folder, worker)


def _show(result: "TuningResult", folder: Path, worker: str) -> None:
    """Prints the trials, the importance of each setting, and the sentence of the comparison."""
    from sfumato.tuning.result import RECIPE
    from sfumato.tuning.tune import MAIN

    console.print(result.table())
    for name, share in result.importance.items():
        say(f"{share:4.0%}  {name}")
    if worker != MAIN:
        say(f"the worker {worker} is done; main compares the winner with the default")
        return
    say(result.sentence)
    say(f"recipe: {folder / RECIPE}; train with: sfumato train {folder / RECIPE} --data {result.settings.data}")


VERBS = (tune,)
