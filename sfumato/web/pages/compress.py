"""The page Compress: a learned codec beside WebP and AVIF; without a codec, how to get one."""

from sfumato.core.json_value import Json, JsonObject
from sfumato.web.limits import PICTURES, checked_pictures
from sfumato.web.pages.desk import Desk, Runner, listener
from sfumato.web.words import both, escaped


def add(desk: Desk) -> None:
    """Builds the page."""
    gr, codec = desk.gr, desk.studio.settings.codec
    gr.HTML(f'<div class="note">{both("compress_hint")}</div>')
    if not codec:
        gr.HTML(f'<div class="note" id="compress-none">{both("no_codec")}</div>')
        return
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            picture = gr.File(label=desk.label("picture"), file_types=list(PICTURES), height=120, elem_id="compress-picture")
            rate = gr.Slider(1, 100, 50, step=1, label=desk.label("rate"), elem_id="compress-rate")
            go = gr.Button(desk.label("go_compress"), variant="primary", elem_id="compress-go")
        with gr.Column(scale=3, min_width=300):
            runner = Runner(desk, "compress")
            slider = gr.ImageSlider(
                label=desk.label("before_after"), type="filepath", interactive=False, max_height=640, elem_id="compress-slider"
            )
            table = gr.HTML("", elem_id="compress-table")
            options = {"file_count": "multiple", "interactive": False, "visible": False}
            files = gr.File(label=desk.label("compressed_file"), elem_id="compress-files", **options)

    def prepare(path: str | None, quality: float) -> JsonObject:
        (checked,) = checked_pictures([path] if path else [], desk.studio.limits)
        return {"picture": str(checked), "model": codec, "quality": int(quality)}

    def finish(result: JsonObject, *_: object) -> tuple[object, ...]:
        pair = result["pair"]
        assert isinstance(pair, list)
        return tuple(pair), table_of(result), gr.update(value=result["files"], visible=True)

    runner.connect(listener(go, "click"), "compress", prepare, finish, [picture, rate], [slider, table, files])


def table_of(result: JsonObject) -> str:
    """Bytes, rate and PSNR of each format, as HTML."""
    rows, pixels = result["rows"], result["pixels"]
    assert isinstance(rows, list) and isinstance(pixels, int)
    head = "".join(f"<th>{both(key)}</th>" for key in ("format", "bytes", "bpp", "psnr"))
    lines = "".join(_row(row, pixels) for row in rows)
    return f'<div class="scroll"><table class="facts"><tr>{head}</tr>{lines}</table></div>'


def _row(row: Json, pixels: int) -> str:
    """One format."""
    assert isinstance(row, dict) and isinstance(row["bytes"], int)
    rate = 8 * row["bytes"] / pixels
    return f"<tr><td>{escaped(row['name'])}</td><td>{row['bytes']:,}</td><td>{rate:.3f}</td><td>{row['psnr']:.2f} dB</td></tr>"
