"""The work of the page Compress."""

import io
from pathlib import Path

from PIL import Image

import sfumato as sf
from sfumato.core.json_value import Json, JsonObject
from sfumato.web.tasks.values import inputs, opened, save_preview, whole, word


def compress(arguments: JsonObject, folder: Path) -> JsonObject:
    """A picture compressed by the codec, and by WebP and AVIF at about the same number of bytes, with the PSNR of each."""
    (path,) = inputs([word(arguments, "picture")], folder)
    model, quality = word(arguments, "model"), whole(arguments, "quality")
    image = opened(path).convert("RGB")
    data = sf.compress(image, quality=quality, model=model)
    target = folder / f"{path.stem}.sfm"
    target.write_bytes(data)
    back = sf.decompress(data, model=model).convert("RGB")
    rows: list[Json] = [{"name": "sfm", "bytes": len(data), "psnr": _psnr(image, back), "quality": quality}]
    rows += [row for form in ("WEBP", "AVIF") if (row := _other(image, form, len(data))) is not None]
    after = save_preview(back, folder / "after.png")
    with Image.open(after) as shown:
        before = save_preview(image, folder / "before.png", size=shown.size)
    return {
        "rows": rows,
        "pair": [before, after],
        "files": [str(target)],
        "pixels": image.width * image.height,
        "start": path.stat().st_size,
    }


def _other(image: Image.Image, form: str, most: int) -> JsonObject | None:
    """The best quality of another format with at most so many bytes, or its least; None if Pillow cannot write it."""
    best: tuple[int, bytes] | None = None
    low, high = 0, 100
    while low <= high:
        middle = (low + high) // 2
        data = io.BytesIO()
        try:
            image.save(data, form, quality=middle)
        except (OSError, KeyError, ValueError):
            return None
        if data.tell() <= most or best is None:
            best = middle, data.getvalue()
        low, high = (middle + 1, high) if data.tell() <= most else (low, middle - 1)
    if best is None:
        return None
    quality, content = best
    with Image.open(io.BytesIO(content)) as back:
        return {"name": form.lower(), "bytes": len(content), "psnr": _psnr(image, back.convert("RGB")), "quality": quality}


def _psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB, over all channels."""
    return sf.evaluate_pairs([other], [one])[0].value
