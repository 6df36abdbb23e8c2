"""The page Compress: a learned codec beside WebP and AVIF."""

from sfumato.core.json_value import JsonObject
from sfumato.web.limits import checked_pictures
from sfumato.web.pages.desk import Desk, Runner, listener, rows_of
from sfumato.web.words import both, escaped


def add(desk: Desk) -> None:
    """Builds the page."""
    gr, codec = desk.gr, desk.studio.settings.codec
    desk.note("compress_hint")
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            picture = desk.upload("picture", "compress-picture")
            rate = gr.Slider(1, 100, 50, step=1, label=desk.label("rate"), elem_id="compress-rate")
            go = gr.Button(desk.label("go_compress"), variant="primary", elem_id="compress-go")
        with gr.Column(scale=3, min_width=300):
            runner = Runner(desk, "compress")
            slider = desk.pair("compress-slider")
            table = gr.HTML("", elem_id="compress-table")
            files = desk.downloads("compressed_file", "compress-files")

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
    rows, pixels = rows_of(result, "rows"), result["pixels"]
    assert isinstance(pixels, int)
    head = "".join(f"<th>{both(key)}</th>" for key in ("format", "bytes", "bpp", "psnr"))
    lines = "".join(_row(row, pixels) for row in rows)
    return f'<div class="scroll"><table class="facts"><tr>{head}</tr>{lines}</table></div>'


def _row(row: JsonObject, pixels: int) -> str:
    """One format."""
    count = row["bytes"]
    assert isinstance(count, int)
    rate = 8 * count / pixels
    return f"<tr><td>{escaped(row['name'])}</td><td>{count:,}</td><td>{rate:.3f}</td><td>{row['psnr']:.2f}&nbsp;dB</td></tr>"
