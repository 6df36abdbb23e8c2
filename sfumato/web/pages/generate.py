"""The page Generate: images from a model, and from there to the page Edit."""

from sfumato.core.json_value import JsonObject
from sfumato.web.jobs import Job
from sfumato.web.pages.desk import Desk, Runner, listener, named, rows_of

MOST = 64
"""Images at once."""


def add(desk: Desk) -> None:
    """Builds the page."""
    gr = desk.gr
    desk.note("generate_hint")
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            model = gr.Dropdown([], label=desk.label("model"), elem_id="generate-model")
            label = gr.Dropdown(
                [(desk.label("any_class"), "")], value="", label=desk.label("label"), elem_id="generate-label", visible=False
            )
            seed = desk.whole("seed", "generate-seed")
            count = gr.Slider(1, MOST, 12, step=1, label=desk.label("count"), elem_id="generate-count")
            info = desk.label("truncation_info")
            truncation = gr.Slider(0, 1.5, 1, step=0.05, label=desk.label("truncation"), info=info, elem_id="generate-truncation")
            go = gr.Button(desk.label("go_generate"), variant="primary", elem_id="generate-go")
        with gr.Column(scale=3, min_width=300):
            runner = Runner(desk, "generate")
            gallery = desk.gallery("images", "generate-gallery")
            files = desk.downloads("sheet", "generate-files")
    items = gr.State({})
    connect_model(desk, model, label)

    def prepare(name: str | None, of_class: str | None, first: float | None, many: float, psi: float) -> JsonObject:
        return {
            "model": named(name),
            "label": of_class or "",
            "seed": int(first or 0),
            "count": min(MOST, int(many)),
            "truncation": float(psi),
        }

    def finish(result: JsonObject, job: Job, *_: object) -> tuple[object, object, object]:
        rows = rows_of(result)
        pictures = [(row["path"], row["name"]) for row in rows]
        return pictures, gr.update(value=result["files"], visible=True), {**job.arguments, "items": rows}

    inputs = [model, label, seed, count, truncation]
    runner.connect(listener(go, "click"), "generate", prepare, finish, inputs, [gallery, files, items])
    desk.generated = gallery, items


def connect_model(desk: Desk, model: object, label: object) -> None:
    """Fills the list of models once they are listed; the classes follow the model."""
    gr, catalogue = desk.gr, desk.studio.catalogue

    def classes(name: str | None) -> object:
        names = catalogue.classes(name or "")
        return gr.update(choices=[(desk.label("any_class"), ""), *[(each, each) for each in names]], value="", visible=bool(names))

    def listed() -> tuple[object, object]:
        names = catalogue.names("generator")
        first = names[0] if names else None
        return gr.update(choices=names, value=first), classes(first)

    desk.when_listed(listed, [model, label])
    listener(model, "input")(classes, model, label, show_progress="hidden", api_visibility="private")
