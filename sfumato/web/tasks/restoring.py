"""The work of the page Restore."""

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.core.json_value import Json, JsonObject
from sfumato.core.paths import without_places
from sfumato.web.tasks.values import inputs, number, opened, save_preview, whole, word, words

PAIRS = 12
"""Pictures that are shown before and after."""
_TILE = 512
"""Side in pixels of what is computed at once: progress is reported after each tile, and results differ by rounding alone."""


def diagnose(arguments: JsonObject, folder: Path) -> JsonObject:
    """What is wrong with one picture, its size, and a preview for the mask."""
    (path,) = inputs([word(arguments, "picture")], folder)
    diagnosis = sf.examine(path)
    image = opened(path)
    spread = diagnosis.spread
    return {
        "noise": diagnosis.noise_level,
        "noise_kind": diagnosis.noise_kind,
        "bands": max(diagnosis.bands) or None,
        "judged": diagnosis.noise is not None or diagnosis.salt_and_pepper is not None,
        "salt": diagnosis.salt_and_pepper if (diagnosis.salt_and_pepper or 0) >= 0.001 else None,
        "quality": diagnosis.quality,
        "blur": None if spread is None else {"kind": spread.kind, "size": spread.size, "angle": getattr(spread, "angle", 0.0)},
        "task": "bands" if diagnosis.task == "none" and any(diagnosis.bands) else diagnosis.task,
        "width": image.width,
        "height": image.height,
        "preview": save_preview(image, folder / "preview.png", side=1024),
    }


def restore(arguments: JsonObject, folder: Path) -> JsonObject:
    """The pictures, restored, with previews before and after of the first ones, and an archive if there are several."""
    paths = inputs(words(arguments, "pictures"), folder)
    mask = _mask(words(arguments, "layers"), paths, folder)
    if mask is not None and word(arguments, "task") not in ("auto", "inpaint"):
        raise SettingError("a mask is painted, which only the task of filling in uses; choose it, or clear the mask")
    request = _request(arguments)
    entries = sf.restore_pictures(paths, folder / "restored", request, mask=mask)
    targets = [Path(entry.out) for entry in entries if entry.status in ("done", "skipped")]
    pairs = [_pair(path, folder, number) for number, path in enumerate(targets[:PAIRS])]
    rows: list[Json] = [
        {"name": Path(entry.source).name, "done": entry.status in ("done", "skipped"), "text": without_places(entry.message)}
        for entry in entries
    ]
    return {"rows": rows, "pairs": cast(Json, pairs), "files": cast(Json, _archived(targets, folder))}


def _request(arguments: JsonObject) -> "sf.RestorationRequest":
    """The request with the options of the page. Raises SettingError."""
    request = sf.RestorationRequest(strength=number(arguments, "strength"), memory=_memory(), tile=_TILE)
    options: dict[str, object] = {"task": word(arguments, "task"), "find": tuple(words(arguments, "find"))}
    if options["task"] == "upscale":
        options |= {name: word(arguments, name) for name in ("quality", "look")}
        options |= {"scale": number(arguments, "scale"), "strength": 1.0}
    if words(arguments, "layers"):
        options |= {"grow_mask": whole(arguments, "grow_mask"), "invert_mask": arguments.get("invert_mask") is True}
    request = dataclasses.replace(request, **options)
    request.check()
    return request


def _memory() -> float:
    from sfumato.core.device import default_memory

    return default_memory()


def _mask(layers: Sequence[str], paths: Sequence[Path], folder: Path) -> Path | None:
    """The painted layers as one mask of the picture's size, white where something is painted; None if nothing is."""
    if not layers:
        return None
    if len(paths) != 1:
        raise SettingError(f"a mask is painted, and there are {len(paths)} pictures; restore one at a time, or clear the mask")
    painted: np.ndarray | None = None
    for layer in layers:
        with Image.open(layer) as image:
            own = np.asarray(image.convert("RGBA"))[..., 3] > 0
        painted = own if painted is None else painted | own
    if painted is None or not painted.any():
        return None
    path = folder / "mask.png"
    Image.fromarray(painted).convert("L").resize(opened(paths[0]).size, Image.Resampling.NEAREST).save(path)
    return path


def _pair(target: Path, folder: Path, number: int) -> list[str]:
    """Previews of a picture before and after, of one size."""
    after = opened(target)
    before = opened(next(path for path in sorted((folder / "in").iterdir()) if path.stem == target.stem))
    name = f"{number:02}"
    path = save_preview(after, folder / f"after-{name}.png")
    with Image.open(path) as shown:
        size = shown.size
    return [save_preview(before, folder / f"before-{name}.png", size=size), path]


def _archived(targets: Sequence[Path], folder: Path) -> list[str]:
    """The results for download: each file, and behind them an archive of all if there are several."""
    files = [str(path) for path in targets]
    if len(files) > 1:
        archive = folder / "restored.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as content:
            for path in targets:
                content.write(path, path.name)
        files.append(str(archive))
    return files
