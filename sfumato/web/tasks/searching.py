"""The work of the page Search."""

from pathlib import Path
from typing import cast

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.core.json_value import Json, JsonObject
from sfumato.web.tasks.values import enlarged, from_tensor, inputs, save_preview, whole, word, words
from sfumato.web.tasks.values import opened as picture_at

_GROUPS, _MEMBERS = 20, 6
"""Groups that are shown at most, and pictures of each."""


def index(arguments: JsonObject, folder: Path) -> JsonObject:
    """The index of a folder of the machine, or of uploaded pictures."""
    place = word(arguments, "folder")
    source = Path(place) if place else inputs(words(arguments, "pictures"), folder)[0].parent
    result = sf.embed(source, word(arguments, "model"))
    path = folder / "pictures.index"
    result.save(path)
    skipped: list[Json] = [*result.changes.skipped] if result.changes else []
    return {"index": str(path), "place": str(source), "count": len(result), "skipped": skipped, "files": [str(path)]}


def search(arguments: JsonObject, folder: Path) -> JsonObject:
    """The pictures of an index that are most like an uploaded one."""
    opened = _opened(arguments)
    (query,) = inputs([word(arguments, "picture")], folder)
    matches = sf.search(opened, query, k=whole(arguments, "count"), model=word(arguments, "model"))
    written = matches.save(folder / "matches.json")
    shown = matches.sheet()[1:]
    items: list[Json] = [
        {"path": save_preview(enlarged(from_tensor(image[None]), least=192), folder / f"{i}.png"), "name": f"{similarity:.2f}  {name}"}
        for i, (image, name, similarity) in enumerate(zip(shown, matches.paths, matches.similarities, strict=False))
    ]
    return {"items": items, "files": [str(path) for path in written]}


def groups(arguments: JsonObject, folder: Path) -> JsonObject:
    """The pictures of an index in groups: the most typical ones of each, and a page with all."""
    opened = _opened(arguments)
    count = whole(arguments, "count")
    clusters = sf.cluster(opened, count or "auto")
    written = clusters.save(folder / "groups.html")
    rows: list[Json] = []
    for group in range(min(clusters.count, _GROUPS)):
        members = clusters.members(group)[:_MEMBERS]
        for number, row in enumerate(members):
            picture = picture_at(Path(word(arguments, "place")) / opened.paths[row])
            path = save_preview(enlarged(picture, least=192), folder / f"{group}-{number}.png", side=256)
            rows.append({"path": path, "name": f"{group + 1}: {opened.paths[row]}", "group": group})
    return {"items": rows, "sizes": cast(Json, clusters.sizes), "files": [str(path) for path in written]}


def _opened(arguments: JsonObject) -> "sf.Index":
    """The index that was made before, with the place of its pictures. Raises SettingError if there is none yet."""
    import dataclasses

    path = word(arguments, "index")
    if not path:
        raise SettingError("there is no index yet; make one first")
    return dataclasses.replace(sf.load_index(path), place=Path(word(arguments, "place")))
