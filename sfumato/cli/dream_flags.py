"""Which flags of `dream` have an effect on what, and what they stand for. Light: no network is needed to check them."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sfumato.core.errors import SettingError

_OCTAVES = {"octaves", "ratio", "jitter", "bands", "variation"}
_SETTINGS = {"network", "layer", "label", "strength", "steps", "seed", "tile", "precision"}
_WORKERS = {"jobs", "shard", "on"}
_ALWAYS = {"pictures", "overwrite", "out", "device", "threads"}
_USED = {
    "with --layers, which only lists the layers": {"layers", "device", "threads"},
    "with --replay, which takes all settings from the file": {"replay", "guide", "mask", "preview", "network", "through"},
    "through a generator": {"through", "shows", "n", "preview", *_SETTINGS},
    "with --zoom": {"zoom", "fps", "guide", "space", *_SETTINGS, *_OCTAVES},
    "on a film": {"guide", "alpha", "space", *_SETTINGS, *_OCTAVES},
    "on pictures": {*_WORKERS, "guide", "mask", "preview", "alpha", "space", *_SETTINGS, *_OCTAVES},
    "on pictures with --space fourier": {*_WORKERS, "guide", "mask", "preview", "space", *_SETTINGS},
    "from noise with --space fourier": {"guide", "preview", "size", "n", "space", *_SETTINGS},
    "from noise": {"guide", "preview", "size", "n", "space", *_SETTINGS, *_OCTAVES},
}
"""For each kind of dream, the flags that have an effect on it."""
_LARGEST = 16384


def check(flags: dict[str, Any], verb: Callable[..., None]) -> None:
    """Checks the `flags` of the `verb` dream, by the names of its arguments.

    Raises SettingError for a flag that has no effect on this kind of dream, and for a preview that would replace a picture that is read.
    """
    kind = _kind(flags)
    usual = {name: parameter.default for name, parameter in inspect.signature(verb).parameters.items()}
    idle = [name for name, value in flags.items() if value != usual[name] and name not in _USED[kind] | _ALWAYS]
    if flags["pictures"] and flags["through"]:
        raise SettingError(
            f"--through {flags['through']} begins with an image of that generator and takes no picture; leave {flags['pictures'][0]} out "
            "(`sfumato project` finds the image of a generator that is nearest to a picture)"
        )
    if idle:
        raise SettingError(f"--{idle[0]} {text(flags[idle[0]])} has no effect {kind}; leave it out")
    if flags["preview"] is not None and (flags["jobs"] not in (None, 1) or flags["on"]):
        raise SettingError(
            f"--preview {flags['preview']} has no effect on work in other processes; leave it out, or leave --jobs and --on out"
        )
    if flags["zoom"] and len(flags["pictures"]) != 1:
        raise SettingError(f"--zoom {flags['zoom']} needs one picture, and {len(flags['pictures'])} are given; name one")
    preview: Path | None = flags["preview"]
    inputs = [Path(name).resolve() for name in (*flags["pictures"], flags["guide"], flags["mask"]) if name]
    if preview is not None and preview.resolve() in inputs:
        raise SettingError(f"--preview {preview} would be written over a picture that is read; choose another name")


def is_film(pictures: tuple[str, ...]) -> bool:
    """Whether the pictures of a command are one film, or one moving .gif or .webp."""
    from sfumato.dreaming.films import moving
    from sfumato.restoration import film

    return film.is_film(pictures) or (len(pictures) == 1 and moving(Path(pictures[0])))


def size(value: str) -> tuple[int, int]:
    """`224x320` as height and width; one number is both. Raises SettingError for anything else."""
    parts = value.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.strip().isdecimal() and 0 < int(part) <= _LARGEST for part in parts):
        raise SettingError(
            f"--size {value!r} is no size; write 224, or 224x320 for a height of 224 and a width of 320 pixels, at most {_LARGEST} each"
        )
    return int(parts[0]), int(parts[-1])


def seed_targets(out: Path | None, count: int, seed: int) -> list[Path]:
    """The picture of each of `count` seeds. Raises SettingError for the name of one picture and several seeds."""
    from sfumato.core import outputs
    from sfumato.io.files import FORMATS

    place = out or Path("dream.png" if count == 1 else "dreams")
    single = outputs.is_file_name(place, FORMATS)
    if count == 1:
        return [place if single else place / "dream.png"]
    if single:
        raise SettingError(f"--out {place} is one picture, and --n {count} asks for {count}; give a folder")
    return [place / f"{seed + i:05d}.png" for i in range(count)]


def film_target(pictures: tuple[str, ...], out: Path | None, *, zoom: int, fps: float) -> Path:
    """The file of a fall into a picture, or of a film. Raises SettingError for an ending or a rate that cannot be written."""
    from sfumato.core import outputs
    from sfumato.dreaming.films import MOVING
    from sfumato.io.files import check_animation

    path = Path(pictures[0])
    if zoom:
        target = out or Path(f"{path.stem}-dream.gif")
        check_animation(target, fps)
        return target
    ending = path.suffix if path.suffix in (".gif", ".webp", ".mkv") else ".mp4"
    target = out or Path(f"{path.stem}-dream{ending}")
    if path.suffix.lower() in MOVING:
        check_animation(target, 1.0)
    else:
        outputs.check_ending(target, (".mp4", ".mkv"), "films")
    return target


def pictures_target(pictures: tuple[str, ...], out: Path | None) -> Path:
    """The file or the folder of the dreams of pictures."""
    alone = len(pictures) == 1 and Path(pictures[0]).is_file()
    return out or Path(f"{Path(pictures[0]).stem}-dream.png" if alone else "dreams")


def text(value: object) -> str:
    """A value as one writes it on the command line; empty for a switch.

    >>> text(("fire5", "fire7")), text(3), text(True)
    ('fire5 fire7', '3', '')
    """
    if isinstance(value, bool):
        return ""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _kind(flags: dict[str, Any]) -> str:
    """The kind of dream, a key of `_USED`."""
    for flag, kind in zip(("layers", "replay", "through", "zoom"), _USED, strict=False):
        if flags[flag]:
            return kind
    if not flags["pictures"]:
        return "from noise" if flags["space"] == "pixels" else "from noise with --space fourier"
    if is_film(flags["pictures"]):
        return "on a film"
    return "on pictures with --space fourier" if flags["space"] == "fourier" else "on pictures"
