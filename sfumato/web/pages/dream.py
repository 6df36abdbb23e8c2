"""The page Dream: a network's features in a picture or in noise, with a gallery of what its layers see."""

from sfumato.core.json_value import Json, JsonObject
from sfumato.web.jobs import Job
from sfumato.web.limits import checked_pictures
from sfumato.web.pages.desk import Desk, Runner, listener, rows_of
from sfumato.web.pages.edit import Selection
from sfumato.web.words import both

_STEPS = 64
"""Steps for an image of the gallery: fewer than for one that is kept."""


def add(desk: Desk) -> None:
    """Builds the page."""
    gr = desk.gr
    desk.note("dream_hint")
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            picture = desk.upload("picture", "dream-picture")
            model = gr.Dropdown([(desk.label("dream_default"), "")], value="", label=desk.label("dream_model"), elem_id="dream-model")
            layers = gr.Textbox("", label=desk.label("layers"), max_lines=1, elem_id="dream-layers")
            numbers = _numbers(desk)
            go = gr.Button(desk.label("go_dream"), variant="primary", elem_id="dream-go")
        with gr.Column(scale=3, min_width=300):
            runner = Runner(desk, "dream")
            image = desk.picture("image", "dream-image")
            files = desk.downloads("dream_files", "dream-files")
    _gallery(desk, model, layers)
    desk.when_listed(lambda: [_models(desk)], [model])

    def prepare(path: str | None, name: str | None, text: str, *values: float) -> JsonObject:
        pictures: list[Json] = [str(each) for each in checked_pictures([path], desk.studio.limits)] if path else []
        return {"pictures": pictures, "model": name or "", "label": "", **_options(text, *values)}

    def finish(result: JsonObject, *_: object) -> tuple[object, object]:
        return result["image"], gr.update(value=result["files"], visible=True)

    def preview(job: Job) -> tuple[object, object] | None:
        return (job.preview, gr.skip()) if job.preview else None

    inputs = [picture, model, layers, *numbers]
    runner.connect(listener(go, "click"), "dream", prepare, finish, inputs, [image, files], preview=preview, end=_end)


def _options(text: str, strength: float, steps: float, octaves: float, side: float, seed: float | None) -> JsonObject:
    """The settings of the dream, with the layers that `text` names."""
    layers: list[Json] = [*text.replace(";", " ").split()]
    sizes = {"steps": int(steps), "octaves": int(octaves), "side": int(side), "seed": int(seed or 0)}
    return {"layers": layers, "strength": float(strength), **sizes}


def _numbers(desk: Desk) -> list[object]:
    """Strength, steps, sizes, side and seed."""
    gr = desk.gr
    return [
        gr.Slider(0.1, 5, 1, step=0.1, label=desk.label("dream_strength"), elem_id="dream-strength"),
        gr.Slider(1, 100, 10, step=1, label=desk.label("dream_steps"), elem_id="dream-steps"),
        gr.Slider(1, 8, 4, step=1, label=desk.label("octaves"), elem_id="dream-octaves"),
        gr.Slider(64, 512, 224, step=32, label=desk.label("side"), elem_id="dream-side"),
        desk.whole("one_seed", "dream-seed"),
    ]


def _models(desk: Desk) -> object:
    """The networks that can dream: the usual one, and the classifiers."""
    names = desk.studio.catalogue.names("classifier")
    return desk.gr.update(choices=[(desk.label("dream_default"), ""), *[(name, name) for name in names]], value="")


def _gallery(desk: Desk, model: object, layers: object) -> None:
    """What the channels of a layer see; a click on one makes it the aim of the dream."""
    gr = desk.gr
    with gr.Accordion(desk.label("gallery"), open=False, elem_id="dream-gallery-part"):
        desk.note("gallery_hint")
        count = gr.Slider(1, 24, 6, step=1, label=desk.label("channels"), elem_id="dream-channels")
        go = gr.Button(desk.label("go_gallery"), elem_id="dream-gallery-go")
        runner = Runner(desk, "layers")
        names = gr.HTML("", elem_id="dream-layer-names")
        gallery = desk.gallery("gallery", "dream-gallery")
    items = gr.State([])

    def prepare(name: str | None, text: str, channels: float) -> JsonObject:
        layer = (text.replace(";", " ").split() or [""])[0].partition(":")[0].partition("=")[0]
        return {"model": name or "", "layer": layer, "count": int(channels), "steps": _STEPS}

    def finish(result: JsonObject, *_: object) -> tuple[object, object, object]:
        rows, all_layers = rows_of(result), result["layers"]
        assert isinstance(all_layers, list)
        listed = " ".join(f"<code>{name}</code>" for name in all_layers)
        return [(row["path"], row["name"]) for row in rows], rows, f'<div class="note">{listed}</div>'

    runner.connect(listener(go, "click"), "layers", prepare, finish, [model, layers, count], [gallery, items, names])

    def chosen(event: Selection, rows: list[JsonObject]) -> object:
        return rows[event.index]["name"] if isinstance(event.index, int) and event.index < len(rows) else gr.skip()

    options = {"show_progress": "hidden", "api_visibility": "private"}
    listener(gallery, "select")(desk.handler(chosen, request=False, event=True), items, layers, **options)


def _end(job: Job) -> str:
    """How much the activation has grown."""
    return both("dreamt", before=job.result["before"], after=job.result["after"])
