"""The work of the page Generate."""

import zipfile
from pathlib import Path

import sfumato as sf
from sfumato.core.json_value import Json, JsonObject
from sfumato.web.tasks.values import number, whole, word


def generate(arguments: JsonObject, folder: Path) -> JsonObject:
    """Images of seeds: each as a PNG with its recipe, a sheet, and an archive of all."""
    model, first, count = word(arguments, "model"), whole(arguments, "seed"), whole(arguments, "count")
    images = sf.generate(model, count, seed=first, label=word(arguments, "label") or None, truncation=number(arguments, "truncation"))
    sheet, *paths = images.save(folder / "images")
    items: list[Json] = [{"seed": first + i, "path": str(path), "name": path.stem} for i, path in enumerate(paths)]
    archive = folder / "images.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as content:
        for path in (sheet, *paths):
            content.write(path, path.name)
    return {"items": items, "files": [str(sheet), str(archive)]}
