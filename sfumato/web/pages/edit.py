"""The page Edit: one image of a generator, moved along directions, mixed, dragged, projected."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sfumato.core.errors import SettingError
from sfumato.core.json_value import Json, JsonObject
from sfumato.web.jobs import Job
from sfumato.web.limits import checked_pictures
from sfumato.web.pages.desk import Desk, Runner, listener, named, rows_of
from sfumato.web.pages.generate import connect_model
from sfumato.web.words import both, escaped

AXES = 6
_MOST_UNDO = 50
History = list[JsonObject]
"""The states of the image, the present one last."""


@runtime_checkable
class Selection(Protocol):
    """Where somebody clicked, as gradio gives it."""

    index: Sequence[int] | int


@dataclass
class _Parts:
    """The parts of the page that several functions connect."""

    image: object
    files: object
    names: object
    sliders: list[object]
    history: object
    runner: Runner


def add(desk: Desk) -> None:
    """Builds the page."""
    gr = desk.gr
    desk.note("edit_hint")
    history = gr.State([])
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            start = _start(desk)
            with gr.Accordion(desk.label("directions"), open=True, elem_id="edit-directions"):
                names = gr.HTML("", elem_id="edit-names")
                sliders = [
                    gr.Slider(-4, 4, 0, step=0.1, label=desk.label(f"axis_{i + 1}"), elem_id=f"edit-axis-{i + 1}") for i in range(AXES)
                ]
            mixing = _mixing(desk)
            dragging = _dragging(desk)
        with gr.Column(scale=3, min_width=300):
            runner = Runner(desk, "edit")
            image = desk.picture("image", "edit-image")
            undo = gr.Button(desk.label("undo"), size="sm", elem_id="edit-undo")
            files = desk.downloads("edit_files", "edit-files")
    parts = _Parts(image, files, names, sliders, history, runner)
    _connect_start(desk, parts, start)
    _connect_moves(desk, parts, mixing)
    _connect_drag(desk, parts, dragging)
    undo.click(lambda states: _shown(desk, undone(states)), history, _outputs(parts), show_progress="hidden", api_visibility="private")
    _connect_gallery(desk, parts, start)


def _start(desk: Desk) -> Mapping[str, object]:
    """Model, class, seed, or a picture to project."""
    gr = desk.gr
    model = gr.Dropdown([], label=desk.label("model"), elem_id="edit-model")
    label = gr.Dropdown([(desk.label("any_class"), "")], value="", label=desk.label("label"), elem_id="edit-label", visible=False)
    connect_model(desk, model, label)
    seed = desk.whole("one_seed", "edit-seed", 0)
    begin = gr.Button(desk.label("begin"), variant="primary", elem_id="edit-begin")
    with gr.Accordion(desk.label("own_picture"), open=False, elem_id="edit-own"):
        picture = desk.upload("picture", "edit-picture")
        steps = gr.Slider(10, 1000, 200, step=10, label=desk.label("project_steps"), elem_id="edit-project-steps")
        project = gr.Button(desk.label("go_project"), elem_id="edit-project")
    return {"model": model, "label": label, "seed": seed, "begin": begin, "picture": picture, "steps": steps, "project": project}


def _mixing(desk: Desk) -> Sequence[object]:
    """The other seed, the layers, and the button that mixes."""
    gr = desk.gr
    with gr.Accordion(desk.label("mixing"), open=False, elem_id="edit-mixing"):
        seed = desk.whole("mix_seed", "edit-mix-seed", 1)
        with gr.Row():
            first = desk.whole("mix_first", "edit-mix-first", 0)
            last = desk.whole("mix_last", "edit-mix-last", 0)
        return [gr.Button(desk.label("mix"), elem_id="edit-mix"), seed, first, last]


def _dragging(desk: Desk) -> Sequence[object]:
    """The point, its target, the number of steps, and the button that drags."""
    gr = desk.gr
    with gr.Accordion(desk.label("dragging"), open=False, elem_id="edit-dragging"):
        desk.note("drag_hint")
        numbers = []
        for end in ("from", "to"):
            with gr.Row():
                for axis in ("x", "y"):
                    key = f"{end}_{axis}"
                    numbers.append(gr.Number(0, minimum=0, label=desk.label(key), elem_id=f"edit-{key}", min_width=90))
        steps = gr.Slider(5, 300, 60, step=5, label=desk.label("drag_steps"), elem_id="edit-drag-steps")
        return [gr.Button(desk.label("go_drag"), elem_id="edit-drag"), *numbers, steps]


def _outputs(parts: _Parts) -> list[object]:
    return [parts.image, parts.files, parts.names, *parts.sliders, parts.history]


def _shown(desk: Desk, states: History, *, reset: bool = True) -> tuple[object, ...]:
    """The values of the outputs for the last state; with `reset`, the sliders go back to 0."""
    gr, last = desk.gr, states[-1] if states else {}
    files = last.get("files") or []
    names = last.get("names")
    words = "<br>".join(f"{i + 1}: {escaped(name)}" for i, name in enumerate(names)) if isinstance(names, list) else ""
    sliders = [gr.update(value=0) if reset else gr.skip()] * AXES
    return (last.get("moved_image") or last.get("image"), gr.update(value=files or None, visible=bool(files)), words, *sliders, states)


_UNMOVED: JsonObject = {"moved": "", "moved_image": "", "files": []}


def undone(states: History) -> History:
    """The history without its last step: the moves of the sliders, or else the last state; the first state stays."""
    if states and states[-1].get("moved"):
        return [*states[:-1], {**states[-1], **_UNMOVED}]
    return states[:-1] if len(states) > 1 else states


def _connect_start(desk: Desk, parts: _Parts, start: Mapping[str, object]) -> None:
    """The buttons that begin: with a seed, or with a projection of a picture."""

    def prepare(model: str | None, label: str | None, seed: float | None) -> JsonObject:
        return {"model": named(model), "label": label or "", "seed": int(seed or 0), "truncation": 1.0}

    def finish(result: JsonObject, job: Job, *_: object) -> tuple[object, ...]:
        return _shown(desk, [{"model": job.arguments["model"], **result}])

    inputs = [start["model"], start["label"], start["seed"]]
    parts.runner.connect(listener(start["begin"], "click"), "begin", prepare, finish, inputs, _outputs(parts))

    def prepare_projection(picture: str | None, steps: float, states: History) -> JsonObject:
        if not states:
            raise SettingError("show the image of a seed of the model first; then its nearest image to your picture is searched")
        (path,) = checked_pictures([picture] if picture else [], desk.studio.limits)
        return {"model": states[-1]["model"], "picture": str(path), "steps": int(steps)}

    inputs = [start["picture"], start["steps"], parts.history]
    event = listener(start["project"], "click")
    parts.runner.connect(event, "project", prepare_projection, _appended(desk), inputs, _outputs(parts), end=_psnr)


def _psnr(job: Job) -> str:
    return both("projected", psnr=job.result["psnr"])


def _grown(states: History, result: JsonObject) -> History:
    """The history with one more state, without the oldest if there are too many."""
    return [*states, {**states[-1], **result}][-_MOST_UNDO:]


def _connect_moves(desk: Desk, parts: _Parts, mixing: Sequence[object]) -> None:
    """The sliders, which move from the last applied state, and the mixture."""
    button, *numbers = mixing

    def prepare(*values: object) -> JsonObject:
        *strengths, states = values
        base = _base(states)
        moves: list[Json] = [float(each) if isinstance(each, int | float) else 0.0 for each in strengths]
        options = {"strengths": moves, "mix": False, "mix_seed": 0, "mix_first": 0, "mix_last": 0}
        return {"model": base["model"], "latents": base["latents"], "directions": base["directions"], **options}

    def finish(result: JsonObject, job: Job, *values: object) -> tuple[object, ...]:
        states = values[-1]
        assert isinstance(states, list)
        moved = {**states[-1], "moved_image": result["image"], "files": result["files"], "moved": result["latents"]}
        return _shown(desk, [*states[:-1], moved], reset=False)

    def prepare_mix(seed: float | None, first: float | None, last: float | None, states: History) -> JsonObject:
        base = _base(states)
        mix: JsonObject = {"mix": True, "mix_seed": int(seed or 0), "mix_first": int(first or 0), "mix_last": int(last or 0)}
        latents = base.get("moved") or base["latents"]
        return {"model": base["model"], "latents": latents, "directions": base["directions"], "strengths": [], **mix}

    inputs = [*parts.sliders, parts.history]
    for slider in parts.sliders:  # of a movement by mouse or keys, the last place counts
        parts.runner.connect(listener(slider, "input"), "move", prepare, finish, inputs, _outputs(parts), last_only=True)
    parts.runner.connect(listener(button, "click"), "move", prepare_mix, _appended(desk), [*numbers, parts.history], _outputs(parts))


def _appended(desk: Desk) -> Callable[..., tuple[object, ...]]:
    """What finishes a step that becomes a state of its own: the next moves begin there."""

    def finish(result: JsonObject, job: Job, *values: object) -> tuple[object, ...]:
        states = values[-1]
        assert isinstance(states, list)
        return _shown(desk, _grown(states, {**_UNMOVED, **result}))

    return finish


def _base(states: object) -> JsonObject:
    """The present state. Raises SettingError if there is none."""
    if not isinstance(states, list) or not states:
        raise SettingError("there is no image yet; show that of a seed first")
    return states[-1]


def _connect_drag(desk: Desk, parts: _Parts, dragging: Sequence[object]) -> None:
    """Clicks on the image, which fill in the points in turn, and the button that drags."""
    button, *numbers = dragging
    turn = desk.gr.State(0)

    def clicked(event: Selection, states: History, count: int) -> tuple[object, ...]:
        skip = desk.gr.skip()
        index, scale = event.index, states[-1]["scale"] if states else 1
        if not isinstance(index, Sequence) or not isinstance(scale, int):
            return (skip,) * 5
        place = [float(index[0] // scale), float(index[1] // scale)]
        return (*place, skip, skip, 1) if count % 2 == 0 else (skip, skip, *place, 0)

    select = listener(parts.image, "select")
    options = {"show_progress": "hidden", "api_visibility": "private"}
    select(desk.handler(clicked, request=False, event=True), [parts.history, turn], [*numbers[:4], turn], **options)

    def prepare(from_x: float, from_y: float, to_x: float, to_y: float, steps: float, states: History) -> JsonObject:
        base = _base(states)
        points = {"from_x": float(from_x), "from_y": float(from_y), "to_x": float(to_x), "to_y": float(to_y)}
        return {"model": base["model"], "latents": base.get("moved") or base["latents"], "steps": int(steps), **points}

    parts.runner.connect(listener(button, "click"), "drag", prepare, _appended(desk), [*numbers, parts.history], _outputs(parts))


def _connect_gallery(desk: Desk, parts: _Parts, start: Mapping[str, object]) -> None:
    """A click on a generated picture, which opens it here."""
    if desk.generated is None:
        return
    gr, (gallery, items) = desk.gr, desk.generated

    def prepare(event: Selection, rows: JsonObject) -> JsonObject:
        assert isinstance(event.index, int)
        row = rows_of(rows)[event.index]
        return {"model": rows["model"], "label": rows["label"], "seed": row["seed"], "truncation": rows["truncation"]}

    def finish(result: JsonObject, job: Job, *_: object) -> tuple[object, ...]:
        arguments = job.arguments
        shown = _shown(desk, [{"model": arguments["model"], **result}])
        classes = desk.studio.catalogue.classes(str(arguments["model"]))
        choices = [(desk.label("any_class"), ""), *[(each, each) for each in classes]]
        chosen = gr.update(choices=choices, value=arguments["label"], visible=bool(classes))
        return (gr.update(selected="edit"), arguments["model"], chosen, arguments["seed"], *shown)

    outputs = [desk.tabs, start["model"], start["label"], start["seed"], *_outputs(parts)]
    parts.runner.connect(listener(gallery, "select"), "begin", prepare, finish, [items], outputs, event=True)
