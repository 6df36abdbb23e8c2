"""The work of the page Dream."""

import time
from pathlib import Path

from PIL import Image

import sfumato as sf
from sfumato.core.json_value import Json, JsonObject
from sfumato.core.progress import reached
from sfumato.web.tasks.values import enlarged, from_tensor, inputs, number, on_preview, save_preview, whole, word, words

_EVERY = 0.7
"""Least seconds between two previews."""
_FRAMES, _FRAME_SIDE = 80, 480
"""Frames of a film and their longer side."""


class _Film:
    """The steps of a dream: previews of some, and small frames for a film of it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._last, self._count = folder, 0.0, 0
        self.frames: list[Image.Image] = []

    def __call__(self, moment: "sf.DreamMoment") -> None:
        """Takes one step."""
        reached("steps", moment.step, moment.steps)
        now = time.monotonic()
        due = now - self._last >= _EVERY
        framed = moment.step * _FRAMES // moment.steps > (moment.step - 1) * _FRAMES // moment.steps
        if not (due or framed):
            return
        image = from_tensor(moment.image)
        if framed:
            small = image.copy()
            small.thumbnail((_FRAME_SIDE, _FRAME_SIDE))
            self.frames.append(small.convert("RGB"))
        if due:
            self._last, self._count = now, self._count + 1
            on_preview.get()(save_preview(enlarged(image), self._folder / f"step-{self._count}.png", side=900))
            (self._folder / f"step-{self._count - 4}.png").unlink(missing_ok=True)

    def save(self, path: Path) -> list[str]:
        """Writes the frames, all of the size of the last one, as an animated WebP; nothing for fewer than two."""
        if len(self.frames) < 2:
            return []
        size = self.frames[-1].size
        first, *rest = [frame.resize(size, Image.Resampling.BICUBIC) for frame in self.frames]
        first.save(path, save_all=True, append_images=rest, duration=[60] * len(rest) + [1500], loop=0, quality=85)
        return [str(path)]


def dream(arguments: JsonObject, folder: Path) -> JsonObject:
    """A dream of a picture, or from noise, with a preview at each step and a film of the steps."""
    pictures = words(arguments, "pictures")
    options = sf.Dream(
        layers=tuple(words(arguments, "layers")),
        label=word(arguments, "label"),
        strength=number(arguments, "strength"),
        steps=whole(arguments, "steps"),
        octaves=whole(arguments, "octaves"),
        seed=whole(arguments, "seed"),
    )
    source = inputs(pictures, folder)[0] if pictures else None
    side = whole(arguments, "side")
    film = _Film(folder)
    result = sf.dream(source, word(arguments, "model") or None, options, size=(side, side), on_progress=film)
    target = folder / f"{source.stem if source else 'dream'}.png"
    files = [str(path) for path in result.save(target)]
    shown = save_preview(enlarged(from_tensor(result.images)), folder / "shown.png")
    written: list[Json] = [*files, *film.save(target.with_suffix(".webp"))]
    return {"image": shown, "files": written, "before": result.before[0], "after": result.after[0]}


def layers(arguments: JsonObject, folder: Path) -> JsonObject:
    """What the first channels of a layer respond to most, as images, and the names by which a dream shows more of them."""
    model, layer = word(arguments, "model") or None, word(arguments, "layer") or None
    count = whole(arguments, "count")
    atlas = sf.features(
        model, layer, channels=range(count), steps=whole(arguments, "steps"), on_progress=lambda done, all_: reached("channels", done, all_)
    )
    named = atlas.network.layer(layer or atlas.network.usual).name if atlas.network is not None else layer or ""
    items: list[Json] = []
    for i in range(len(atlas)):
        path = save_preview(enlarged(from_tensor(atlas[i : i + 1]), least=192), folder / f"{i}.png")
        items.append({"path": path, "name": f"{named}:{i}"})
    names: list[Json] = [*(atlas.network.names if atlas.network is not None else ())]
    return {"items": items, "layers": names}
