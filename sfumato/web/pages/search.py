"""The page Search: an index of pictures, pictures like one, groups."""

from collections.abc import Sequence

from sfumato.core.json_value import Json, JsonObject
from sfumato.web.jobs import Job
from sfumato.web.limits import checked_pictures
from sfumato.web.pages.desk import Desk, Finish, Runner, listener, named, rows_of
from sfumato.web.words import both

_ABLE = ("codec", "classifier")
"""Kinds of models that turn pictures into vectors, in the order of the list."""


def add(desk: Desk) -> None:
    """Builds the page."""
    gr = desk.gr
    desk.note("search_hint")
    index = gr.State({})
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            making = _making(desk)
            with gr.Column():
                query = desk.upload("query", "search-query")
                count = gr.Slider(1, 60, 12, step=1, label=desk.label("matches"), elem_id="search-count")
                go_search = gr.Button(desk.label("go_search"), elem_id="search-go")
            with gr.Column():
                groups = gr.Slider(0, 20, 0, step=1, label=desk.label("group_count"), elem_id="search-groups")
                go_groups = gr.Button(desk.label("go_groups"), elem_id="search-group")
        with gr.Column(scale=3, min_width=300):
            runner = Runner(desk, "search")
            gallery = desk.gallery("images", "search-gallery", preview=True)
            files = desk.downloads("search_files", "search-files")
    _connect_index(desk, runner, making, [index, files])
    _connect_search(desk, runner, go_search, [query, count, index], [gallery, files])
    _connect_groups(desk, runner, go_groups, [groups, index], [gallery, files])


def _making(desk: Desk) -> Sequence[object]:
    """Folder or dropped pictures, the model, and the button that makes the index."""
    gr, names = desk.gr, desk.studio.folders.names()
    with gr.Column():
        pictures = desk.upload("pictures", "search-pictures", several=True)
        choices = [(desk.label("no_folder"), ""), *[(name, name) for name in names]]
        folder = gr.Dropdown(choices, value="", label=desk.label("folder"), visible=bool(names), elem_id="search-folder")
        if not names:
            desk.note("no_folders")
        model = gr.Dropdown([], label=desk.label("embedder"), elem_id="search-model")
        go = gr.Button(desk.label("go_index"), variant="primary", elem_id="search-index")

    def listed() -> list[object]:
        names = embedders(desk.studio.catalogue.models)
        return [gr.update(choices=names, value=names[0] if names else None)]

    desk.when_listed(listed, [model])
    return [go, pictures, folder, model]


def embedders(models: Sequence[JsonObject]) -> list[str]:
    """Names of the models that turn pictures into vectors: codecs for any photograph first, then classifiers, then encoders."""
    able = [each for each in models if not each["problem"] and (each["kind"] in _ABLE or each.get("encodes") is True)]
    return [str(each["name"]) for each in sorted(able, key=lambda each: (*_ABLE, each["kind"]).index(each["kind"]))]


def _connect_index(desk: Desk, runner: Runner, making: Sequence[object], outputs: Sequence[object]) -> None:
    """The button that makes the index."""
    go, *inputs = making

    def prepare(pictures: list[str] | None, folder: str | None, model: str | None) -> JsonObject:
        if folder:
            return {"folder": str(desk.studio.folders.resolved(folder)), "pictures": [], "model": named(model)}
        paths: list[Json] = [str(each) for each in checked_pictures(pictures or [], desk.studio.limits)]
        return {"folder": "", "pictures": paths, "model": named(model)}

    def finish(result: JsonObject, job: Job, *_: object) -> tuple[object, object]:
        state = {"index": result["index"], "place": result["place"], "model": job.arguments["model"]}
        return state, desk.gr.update(value=result["files"], visible=True)

    runner.connect(listener(go, "click"), "index", prepare, finish, inputs, outputs, end=_indexed)


def _indexed(job: Job) -> str:
    skipped = job.result["skipped"]
    return both("indexed", count=job.result["count"], skipped=len(skipped) if isinstance(skipped, list) else 0)


def _connect_search(desk: Desk, runner: Runner, go: object, inputs: Sequence[object], outputs: Sequence[object]) -> None:
    """The button that looks for pictures like one."""

    def prepare(picture: str | None, count: float, index: JsonObject) -> JsonObject:
        (path,) = checked_pictures([picture] if picture else [], desk.studio.limits)
        return {**index, "picture": str(path), "count": int(count)}

    runner.connect(listener(go, "click"), "search", prepare, _shown(desk), inputs, outputs)


def _connect_groups(desk: Desk, runner: Runner, go: object, inputs: Sequence[object], outputs: Sequence[object]) -> None:
    """The button that groups."""

    def prepare(count: float, index: JsonObject) -> JsonObject:
        return {**index, "count": int(count)}

    runner.connect(listener(go, "click"), "groups", prepare, _shown(desk), inputs, outputs, end=_grouped)


def _grouped(job: Job) -> str:
    sizes = job.result["sizes"]
    assert isinstance(sizes, list)
    return both("grouped", count=len(sizes), sizes=", ".join(map(str, sizes)))


def _shown(desk: Desk) -> Finish:
    """What shows the pictures of a result and its files."""

    def finish(result: JsonObject, *_: object) -> tuple[object, object]:
        items = [(row["path"], row["name"]) for row in rows_of(result)]
        return items, desk.gr.update(value=result["files"], visible=True)

    return finish
