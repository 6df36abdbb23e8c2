"""The page Restore: photographs in, what is wrong with them in words, restored files out."""

from collections.abc import Mapping, Sequence

from sfumato.core.json_value import Json, JsonObject
from sfumato.web.jobs import Job
from sfumato.web.limits import checked_pictures
from sfumato.web.pages.desk import Desk, Runner, listener, rows_of
from sfumato.web.words import both, escaped, joined

TASKS = {name: f"task_{name}" for name in ("auto", "denoise", "deblur", "inpaint", "upscale", "jpeg")}
_FIND = {"scratches": "find_scratches", "dead-pixels": "find_dead", "dust": "find_dust"}


def add(desk: Desk) -> None:
    """Builds the page."""
    gr = desk.gr
    desk.note("restore_hint")
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            files = desk.upload("pictures", "restore-files", several=True)
            looking = Runner(desk, "diagnose")
            state = gr.HTML("", elem_id="restore-found")
            options = _options(desk)
            with gr.Accordion(desk.label("mask"), open=False, elem_id="restore-mask-part"):
                desk.note("mask_hint")
                mask = _mask(desk)
                options += [gr.Slider(0, 50, 0, step=1, label=desk.label("grow_mask"), elem_id="restore-grow")]
                options += [gr.Checkbox(False, label=desk.label("invert_mask"), elem_id="restore-invert")]
            go = gr.Button(desk.label("go_restore"), variant="primary", elem_id="restore-go")
        with gr.Column(scale=3, min_width=300):
            runner = Runner(desk, "restore")
            slider = desk.pair("restore-slider")
            which = gr.Radio([], label=desk.label("which"), visible=False, elem_id="restore-which")
            report = gr.HTML("", elem_id="restore-report")
            results = desk.downloads("results", "restore-results")
    pairs = gr.State([])
    _connect_upload(desk, looking, files, state, mask)
    _connect_work(desk, runner, go, [files, mask, *options], [slider, which, report, results, pairs])
    which.change(lambda name, all_pairs: tuple(all_pairs[name]), [which, pairs], slider, show_progress="hidden", api_visibility="private")


def _options(desk: Desk) -> list[object]:
    """Task, strength, enlargement, its quality and look, and searched damage."""
    gr = desk.gr
    task = gr.Dropdown(desk.choices(TASKS), value="auto", label=desk.label("task"), elem_id="restore-task")
    strength = gr.Slider(0, 2, 1, step=0.05, label=desk.label("strength"), info=desk.label("strength_info"), elem_id="restore-strength")
    with gr.Row(visible=False) as enlarging:
        scale = gr.Slider(1, 8, 2, step=0.5, label=desk.label("scale"), elem_id="restore-scale")
        qualities = desk.choices({"standard": "quality_standard", "best": "quality_best"})
        quality = gr.Radio(qualities, value="standard", label=desk.label("quality"), elem_id="restore-quality")
        looks = desk.choices({"faithful": "look_faithful", "sharp": "look_sharp"})
        look = gr.Radio(looks, value="faithful", label=desk.label("look"), elem_id="restore-look")
    find = gr.CheckboxGroup(desk.choices(_FIND), label=desk.label("find"), elem_id="restore-find")

    def shown(chosen: str) -> tuple[object, object, object]:
        """Shows the options that the task has."""
        upscale = chosen == "upscale"
        return gr.update(visible=not upscale), gr.update(visible=upscale), gr.update(visible=chosen in ("auto", "inpaint"))

    task.change(shown, task, [strength, enlarging, find], show_progress="hidden", api_visibility="private")
    return [task, strength, scale, quality, look, find]


def _mask(desk: Desk) -> object:
    """The editor in which holes are painted."""
    gr = desk.gr
    return gr.ImageEditor(
        type="filepath",
        format="png",
        sources=(),
        transforms=(),
        layers=False,
        show_label=False,
        canvas_size=(1024, 1024),
        brush=gr.Brush(default_size=24, colors=["#ff3b6b"], default_color="#ff3b6b", color_mode="fixed"),
        eraser=gr.Eraser(default_size=24),
        height=420,
        elem_id="restore-mask",
    )


def _connect_upload(desk: Desk, looking: Runner, files: object, state: object, mask: object) -> None:
    """A drop of pictures: the first one is judged, and put into the mask editor."""

    def prepare(paths: Sequence[str] | None) -> JsonObject:
        first = checked_pictures(list(paths or ()), desk.studio.limits)[0]
        return {"picture": str(first)}

    def finish(result: JsonObject, *_: object) -> tuple[object, object]:
        return found_words(result), result["preview"]

    looking.connect(listener(files, "upload"), "diagnose", prepare, finish, [files], [state, mask])
    listener(files, "clear")(lambda: ("", None), None, [state, mask], show_progress="hidden", api_visibility="private")


def _connect_work(desk: Desk, runner: Runner, go: object, inputs: Sequence[object], outputs: Sequence[object]) -> None:
    """The button that restores."""
    gr = desk.gr

    def prepare(*values: object) -> JsonObject:
        return arguments_of(values, desk)

    def finish(result: JsonObject, *_: object) -> tuple[object, ...]:
        pairs, files = result["pairs"], result["files"]
        assert isinstance(pairs, list)
        names = [(f"{i + 1}", i) for i in range(len(pairs))]
        first = tuple(pairs[0]) if pairs and isinstance(pairs[0], list) else None
        return (
            first,
            gr.update(choices=names, value=0 if names else None, visible=len(names) > 1),
            report_of(rows_of(result, "rows")),
            gr.update(value=files, visible=bool(files)),
            pairs,
        )

    runner.connect(listener(go, "click"), "restore", prepare, finish, inputs, outputs, end=_end)


def _end(job: Job) -> str:
    """How many pictures were restored."""
    good = [row["done"] is True for row in rows_of(job.result, "rows")]
    lines = [both("restored_counts", done=sum(good), failed=len(good) - sum(good)), *map(escaped, job.remarks)]
    return "<br>".join(lines)


def arguments_of(values: Sequence[object], desk: Desk) -> JsonObject:
    """The arguments of the task from the values of the page. Raises as `checked_pictures`."""
    files, mask, task, strength, scale, quality, look, find, grow, invert = values
    paths = checked_pictures([str(each) for each in files] if isinstance(files, list) else [], desk.studio.limits)
    layers = mask.get("layers") if isinstance(mask, Mapping) else None
    painted: list[Json] = [str(each) for each in layers if each] if isinstance(layers, list) else []
    return {
        "pictures": [str(path) for path in paths],
        "layers": painted,
        "task": str(task),
        "strength": strength if isinstance(strength, int | float) else 1.0,
        "scale": scale if isinstance(scale, int | float) else 2.0,
        "quality": str(quality),
        "look": str(look),
        "find": [str(each) for each in find] if isinstance(find, list) and task in ("auto", "inpaint") else [],
        "grow_mask": int(grow) if isinstance(grow, int | float) else 0,
        "invert_mask": invert is True,
    }


def found_words(facts: JsonObject) -> str:
    """What is wrong with a picture, in both languages, as HTML."""
    if not facts["judged"]:
        return f"<p>{both('d_none')}</p>"
    noise, salt, quality, blur, bands = facts["noise"], facts["salt"], facts["quality"], facts["blur"], facts["bands"]
    kind = {"untold": "d_untold", "none": "d_no_noise"}.get(str(facts["noise_kind"]), "d_no_white_noise")
    parts = [both(f"d_noise_{facts['noise_kind']}", noise=255 * noise) if isinstance(noise, float) else both(kind)]
    if isinstance(salt, float):
        parts.append(both("d_salt", share=salt))
    parts.append(both("d_jpeg", quality=quality) if isinstance(quality, int) else both("d_no_jpeg"))
    if isinstance(blur, dict):
        parts.append(both(f"d_{blur['kind']}", size=blur["size"], angle=blur["angle"]))
    else:
        parts.append(both("d_sharp"))
    if isinstance(bands, float):
        parts.append(both("d_bands", level=255 * bands))
    size = both("size", width=facts["width"], height=facts["height"])
    return f"<p><b>{both('found_title')}</b><br>{size}<br>{joined(parts)}<br>{both('d_advice_' + str(facts['task']))}</p>"


def report_of(rows: Sequence[JsonObject]) -> str:
    """The line of each picture, as HTML."""
    lines = [
        f"<tr><td>{'✓' if row['done'] else '✗'}</td><td>{escaped(row['name'])}</td><td>{escaped(row['text'])}</td></tr>" for row in rows
    ]
    return f'<div class="scroll"><table class="facts">{"".join(lines)}</table></div>'
