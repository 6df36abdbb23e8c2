"""The pages: each file builds one, with gradio, which is given as an argument so that nothing is imported without it."""

from collections.abc import Callable
from types import ModuleType

from sfumato.web.pages import compress, dream, edit, generate, models, restore, search, train
from sfumato.web.pages.desk import Desk, Request, session_of
from sfumato.web.pages.look import STYLE, SWITCH_DARK, switch_language
from sfumato.web.sentences import WORDS
from sfumato.web.studio import Studio
from sfumato.web.words import LANGUAGES, both, text

PAGES: dict[str, Callable[[Desk], None]] = {
    "restore": restore.add,
    "generate": generate.add,
    "edit": edit.add,
    "dream": dream.add,
    "compress": compress.add,
    "search": search.add,
    "train": train.add,
    "models": models.add,
}
"""Each page in its order, and the function that builds it."""


_PREFIX = "sfumato_"
"""What the keys of labels begin with: gradio has keys of its own."""


def build(gr: ModuleType, studio: Studio) -> tuple[object, dict[str, object]]:
    """The blocks with all pages, and the options with which they are served."""
    labels = gr.I18n(**{code: {_PREFIX + key: text(key, language) for key in WORDS} for language, code in LANGUAGES.items()})
    desk = Desk(gr, studio, lambda key: labels(_PREFIX + key))
    blocks = gr.Blocks(title=text("title", "en"), analytics_enabled=False)
    with blocks:
        _head(desk)
        with gr.Tabs(elem_id="pages") as tabs:
            desk.tabs = tabs
            for name, add in PAGES.items():
                with gr.Tab(desk.label(name), id=name, elem_id=f"page-{name}"):
                    add(desk)

        def leave(request: Request) -> None:
            studio.workshop.cancel_session(session_of(request))

        blocks.unload(desk.handler(leave))
    return blocks, {"i18n": labels, "theme": _theme(gr), "css": STYLE, "footer_links": []}


def _head(desk: Desk) -> None:
    """The title and the two switches."""
    gr = desk.gr
    with gr.Row(elem_id="head"):
        gr.HTML("<h1>Sfumato</h1>")
        language = gr.Button(desk.label("other_language"), size="sm", elem_id="language", elem_classes="small-button")
        dark = gr.Button(desk.label("dark"), size="sm", elem_id="dark", elem_classes="small-button")
    gr.HTML(f'<div class="note">{both("local")}</div>')
    language.click(None, None, None, js=switch_language(WORDS.values()))
    dark.click(None, None, None, js=SWITCH_DARK)


def _theme(gr: ModuleType) -> object:
    """Gradio's plain theme with the fonts of the machine: others would be fetched."""
    fonts, codes = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    return gr.themes.Base(primary_hue="violet", neutral_hue="zinc", font=fonts, font_mono=codes, radius_size="lg")
