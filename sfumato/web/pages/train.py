"""The page Train: starts trainings as processes of their own, and shows those that run or have run."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from sfumato.core.errors import SettingError, SfumatoError
from sfumato.core.progress import clock
from sfumato.web.pages.desk import Desk, Request, error_line, listener, sentence, visitor_of
from sfumato.web.trainings import Progress
from sfumato.web.words import both, escaped

_TICK = 2.0
"""Seconds between two looks at a run folder."""
BUILT_IN = "glyphs"
"""A data set that needs no file."""
_FIRST = ("dcgan", "vae", "stylegan", "classifier", "denoise-colour", "upscale-x2", "codec")
"""Recipes that are offered first."""


def add(desk: Desk) -> None:
    """Builds the page."""
    gr = desk.gr
    desk.note("train_hint")
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            recipe = gr.Dropdown([], label=desk.label("recipe"), elem_id="train-recipe")
            names = desk.studio.folders.names()
            choices = [*[(name, name) for name in names], (desk.label("d_glyphs"), BUILT_IN)]
            data = gr.Dropdown(choices, value=choices[0][1], label=desk.label("data"), elem_id="train-data")
            if not names:
                desk.note("no_folders")
            budget = gr.Textbox("10min", label=desk.label("budget"), max_lines=1, elem_id="train-budget")
            name = gr.Textbox("pictures", label=desk.label("run_name"), max_lines=1, max_length=100, elem_id="train-name")
            go = gr.Button(desk.label("go_train"), variant="primary", elem_id="train-go")
        with gr.Column(scale=3, min_width=300):
            message = gr.HTML(sentence(""), elem_id="train-message")
            run = gr.Dropdown(desk.studio.trainings.names(), label=desk.label("runs"), elem_id="train-run")
            state = gr.HTML("", elem_id="train-state")
            stop = gr.Button(desk.label("stop"), size="sm", variant="stop", visible=False, elem_id="train-stop")
            sample = desk.picture("sample", "train-sample")
            curves = gr.HTML("", elem_id="train-curves")
    desk.when_listed(lambda: [_recipes(desk)], [recipe])
    outputs = [state, stop, curves, sample]
    _connect_start(desk, go, [recipe, data, budget, name], [message, run])
    _connect_watch(desk, run, stop, message, outputs)


def _recipes(desk: Desk) -> object:
    recipes = desk.studio.catalogue.recipes
    ordered = [*[each for each in _FIRST if each in recipes], *[each for each in recipes if each not in _FIRST]]
    return desk.gr.update(choices=ordered, value=ordered[0] if ordered else None)


def _connect_start(desk: Desk, go: object, inputs: Sequence[object], outputs: Sequence[object]) -> None:
    """The button that starts or continues a training."""

    def start(recipe: str | None, data: str | None, budget: str, name: str) -> tuple[object, object]:
        try:
            begin(desk, recipe or "", data or "", budget.strip(), name.strip())
        except SfumatoError as error:
            return error_line(error), desk.gr.skip()
        return sentence(both("t_begun", name=name.strip())), desk.gr.update(choices=desk.studio.trainings.names(), value=name.strip())

    listener(go, "click")(start, list(inputs), list(outputs), show_progress="hidden", api_visibility="private")


def begin(desk: Desk, recipe: str, data: str, budget: str, name: str) -> None:
    """Starts a training after its values were checked. Raises SfumatoError."""
    studio = desk.studio
    if recipe not in studio.catalogue.recipes:
        raise SettingError("choose a recipe")
    place = data if data == BUILT_IN else str(studio.folders.resolved(data))
    studio.trainings.start(name, recipe, place, budget=budget, threads=studio.settings.threads)


def _connect_watch(desk: Desk, run: object, stop: object, message: object, outputs: Sequence[object]) -> None:
    """The state of the chosen run, looked at again and again, and the button that stops it."""
    gr = desk.gr
    quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    shown = gr.State("")

    def look(request: Request, name: str | None, last: str) -> tuple[object, ...]:
        if not name:
            return sentence(both("t_none")), gr.update(visible=False), "", None, ""
        progress = desk.studio.trainings.progress(name)
        now = f"{name}|{progress.images}|{progress.running}|{progress.sample}|{progress.seconds}|{progress.words}"
        if now == last:
            return (gr.skip(),) * 5
        sample = None if progress.sample is None else copied(progress.sample, desk.studio.shelter.folder(visitor_of(request)), name)
        return state_of(progress), gr.update(visible=progress.running), curves_of(progress), sample, now

    everything = [*outputs, shown]
    watch = desk.handler(look)
    timer = gr.Timer(_TICK)
    listener(timer, "tick")(watch, [run, shown], everything, **quiet)
    listener(run, "change")(watch, [run, shown], everything, **quiet)

    def opened() -> object:
        names = desk.studio.trainings.names()
        return gr.update(choices=names, value=names[0] if names else None)

    gr.on(None, opened, None, run, **quiet)

    def end(name: str | None) -> object:
        try:
            stopped = bool(name) and desk.studio.trainings.stop(name or "")
        except SfumatoError as error:
            return error_line(error)
        return sentence(both("t_stopping")) if stopped else gr.skip()

    listener(stop, "click")(end, run, message, **quiet)


def copied(sample: Path, folder: Path, run: str) -> str:
    """A copy of a sheet of samples in the folder of a visitor, who sees no other files of the machine."""
    target = folder / f"{run}-{sample.name}"
    if not target.exists():
        shutil.copyfile(sample, target)
    return str(target)


def state_of(progress: Progress) -> str:
    """How far a training is, in both languages, as HTML; the last words of one that has failed."""
    images, passed = f"{progress.images:,}", clock(progress.seconds)
    if progress.running:
        left = both("t_left", left=clock(progress.seconds_left)) if progress.seconds_left is not None else ""
        line = both("t_running", images=images, total=f"{progress.total:,}" if progress.total else "?", seconds=passed, left=left)
        share = (
            f'<progress max="{max(1, progress.total)}" value="{progress.images}"></progress>' if progress.total else "<progress></progress>"
        )
        return sentence(f"{line}{share}")
    if progress.complete:
        return sentence(both("t_complete", images=images, seconds=passed, folder=progress.name))
    words = f"<pre>{escaped(progress.words)}</pre>" if progress.words else ""
    return sentence(f"{both('t_stopped', images=images)}{words}")


def curves_of(progress: Progress) -> str:
    """The figures of the log as small curves, as HTML with drawings inside."""
    return f'<div class="curves">{"".join(_curve(name, points) for name, points in progress.curves.items() if len(points) > 1)}</div>'


def _curve(name: str, points: Sequence[tuple[float, float]]) -> str:
    """One figure: its curve, its name and its last value."""
    step = max(1, len(points) // 300)
    kept = [*points[::step], points[-1]]
    (left, right), values = (kept[0][0], kept[-1][0]), [value for _, value in kept]
    low, high = min(values), max(values)
    wide, tall = (right - left) or 1.0, (high - low) or 1.0
    line = " ".join(f"{300 * (x - left) / wide:.1f},{100 - 96 * (y - low) / tall:.1f}" for x, y in kept)
    words = f"{escaped(name)}: {values[-1]:.4g}"
    drawing = f'<svg viewBox="0 0 300 104" preserveAspectRatio="none" role="img" aria-label="{words}"><polyline points="{line}"/></svg>'
    return f"<figure>{drawing}<figcaption>{words} <span>({low:.3g} – {high:.3g})</span></figcaption></figure>"
