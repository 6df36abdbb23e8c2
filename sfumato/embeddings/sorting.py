"""The pictures of groups in folders, as links or copies. An original is never moved or changed."""

import contextlib
import os
from pathlib import Path
from typing import Literal

from sfumato.core import atomic_io, outputs
from sfumato.core.errors import SettingError
from sfumato.core.progress import counted
from sfumato.core.text import file_names
from sfumato.embeddings.cluster import Clusters
from sfumato.embeddings.sources import opened
from sfumato.embeddings.thumbnails import place_of

By = Literal["links", "copies"]


def check_folder(folder: Path) -> None:
    """Raises SettingError if `folder` holds something already or names a file, StorageError if nothing can be written there."""
    outputs.check_folder_name(folder)
    outputs.check_folder(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise SettingError(f"{folder} is not empty; name a new folder with --sort-into")


def sort_into(clusters: Clusters, folder: str | Path, *, by: By = "links") -> list[Path]:
    """Writes a folder `group-01`, ... for each group into the new `folder`, and beside it an index of the group; returns the folders.

    `by` is links (to the originals; copies where they lie in a zip or a data set, or where the disk has no links) or copies. Pictures that
    are gone are left out. Raises SettingError for a folder that is not empty, DataError if the pictures are not at hand, StorageError.
    """
    target = Path(folder)
    check_folder(target)
    digits = max(2, len(str(clusters.count)))
    places = [target / f"group-{i + 1:0{digits}}" for i in range(clusters.count)]
    with opened(place_of(clusters.index)) as images:
        numbers = {path: i for i, path in enumerate(images.paths)}
        for group, place in enumerate(counted(places, "groups")):
            paths = [clusters.index.paths[row] for row in clusters.members(group) if clusters.index.paths[row] in numbers]
            with atomic_io.storing(place):
                place.mkdir(parents=True, exist_ok=True)
            for path, name in zip(paths, file_names([images.file_name(numbers[path]) for path in paths]), strict=True):
                original = images.original(numbers[path])
                if by == "links" and original is not None and _linked(original, place / name):
                    continue
                atomic_io.write(place / name, images.content(numbers[path]))
            clusters.group(group).write(place.with_suffix(".index"))
    return places


def _linked(original: Path, place: Path) -> bool:
    """Whether a link to the original could be made; some systems and disks have none."""
    with contextlib.suppress(OSError, NotImplementedError):
        os.symlink(original, place)
        return True
    return False
