"""Which flags of `dream` have an effect on what, and what they stand for. Light: no network is needed to check them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from sfumato.batch.workers import Workers
from sfumato.core.config import Range
from sfumato.core.errors import SettingError

if TYPE_CHECKING:
    from sfumato.core.device import Precision
    from sfumato.dreaming.dream import Dream

_OCTAVES = {"octaves", "ratio", "jitter", "bands", "variation"}
_SETTINGS = {"network", "layer", "label", "strength", "steps", "seed", "tile", "precision"}
_WORKERS = {"jobs", "shard", "on"}
_USED = {
    "with --layers, which only lists the layers": {"layers"},
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


@dataclass(frozen=True, kw_only=True)
class DreamFlags:
    """The flags of `dream` that say what is dreamed."""

    network: str | None = None
    """Network that looks at the picture: squeezenet, alexnet, vgg16, googlenet, inception, or a model of yours. Default: squeezenet if its
    weights are at hand, else a bundled classifier."""
    layer: tuple[str, ...] = ()
    """Layers to amplify: fire7, fire7=0.5 (with a weight), fire8:12,40 (two channels) or fire8:12@3,4 (one place of a channel). Default: a
    layer in the middle of the network."""
    label: str = ""
    """Class to show, by name or number. Default: none; --layer decides."""
    guide: Path | None = None
    """A picture whose forms appear in the result. Default: none."""
    mask: Path | None = None
    """A picture of the same size, white where the picture may change. Default: everywhere."""
    strength: Annotated[float, Range(0, 100)] = 1.0
    """Step size; 1 changes a pixel by 1.5 of 255 on average."""
    steps: Annotated[int, Range(0, 100_000, "steps")] = 0
    """Number of steps. 0 takes 10 for each octave, 256 with --space fourier, and 100 with --through."""
    octaves: Annotated[int, Range(1, 16, "sizes")] = 4
    """Number of sizes, from small to large. More sizes give larger forms."""
    ratio: Annotated[float, Range(1.05, 4)] = 1.4
    """Ratio of one size to the size before."""
    jitter: Annotated[int, Range(0, 1024, "pixels")] = 32
    """Largest random shift of the picture before each step."""
    bands: Annotated[int, Range(1, 10, "octaves")] = 4
    """Number of frequency bands of the gradient that get equal strength. 1 keeps the gradient, which is rough."""
    variation: Annotated[float, Range(0, 10)] = 0.0
    """Weight of the total variation, relative to the gradient. More gives smoother pictures."""
    alpha: Annotated[float, Range(0, 1000)] = 0.0
    """Activation to reach, as a multiple of the activation of the picture. The result then stays as near to the picture as possible; 0 has
    no such limit."""
    space: Literal["auto", "pixels", "fourier"] = "auto"
    """Space of the optimisation: pixels, in octaves; or fourier, the spectrum, which stays smooth. auto takes pixels for a picture and
    fourier for noise."""
    size: str = "224x224"
    """Height and width of a dream from noise, in pixels."""
    n: Annotated[int, Range(1, 1e9, "images"), tyro.conf.arg(aliases=["-n"])] = 1
    """Number of dreams from noise or through a generator; they have the seeds from --seed on."""
    seed: Annotated[int, Range(0, 2**31)] = 0
    """Seed of the noise and of the random shifts."""
    through: str | None = None
    """Generator whose styles move instead of pixels, so that the result stays one of its images. Default: none."""
    shows: str | None = None
    """Class of the image of that generator, by name. Default: each seed has the class that it draws."""
    zoom: Annotated[int, Range(0, 1e9, "frames")] = 0
    """Number of frames of a film that falls into the picture; 0 makes no film."""
    fps: float = 12.0
    """Frames per second of that film; at most 50 for .gif."""
    replay: Path | None = None
    """The .json or .png of an earlier dream, to repeat it. --network and --through tell where its models are now. Default: none."""
    layers: str | None = None
    """Only list the layers of this network. Default: none."""
    preview: Path | None = None
    """A picture file that shows the dream while it grows. Default: none."""

    def settings(self, *, tile: int, precision: "Precision") -> "Dream":
        """The settings of the dream. Raises SettingError for one that cannot be."""
        from sfumato.dreaming.dream import Dream

        return Dream(
            layers=self.layer,
            label=self.label,
            space=self.space,
            strength=self.strength,
            steps=self.steps,
            octaves=self.octaves,
            ratio=self.ratio,
            jitter=self.jitter,
            bands=self.bands,
            variation=self.variation,
            alpha=self.alpha,
            tile=tile,
            seed=self.seed,
            precision=precision,
        )


def check(flags: DreamFlags, pictures: tuple[str, ...], workers: "Workers", *, tile: int, precision: "Precision") -> None:
    """Checks the flags of the verb dream.

    Raises SettingError for a flag that has no effect on this kind of dream, and for a preview that would replace a picture that is read.
    """
    kind = _kind(flags, pictures)
    values = {**vars(flags), **vars(workers), "tile": tile, "precision": precision}
    usual = {**vars(DreamFlags()), **vars(Workers()), "tile": 0, "precision": "auto"}
    idle = [name for name, value in values.items() if value != usual[name] and name not in _USED[kind]]
    if pictures and flags.through:
        raise SettingError(
            f"--through {flags.through} begins with an image of that generator and takes no picture; leave {pictures[0]} out "
            "(`sfumato project` finds the image of a generator that is nearest to a picture)"
        )
    if idle:
        raise SettingError(f"--{idle[0]} {text(values[idle[0]])} has no effect {kind}; leave it out")
    if flags.preview is not None and not workers.alone:
        raise SettingError(f"--preview {flags.preview} has no effect with --jobs and --on, which dream in other processes; leave it out")
    if flags.zoom and len(pictures) != 1:
        raise SettingError(f"--zoom {flags.zoom} needs one picture, and {len(pictures)} are given; name one")
    inputs = [Path(name).resolve() for name in (*pictures, flags.guide, flags.mask) if name]
    if flags.preview is not None and flags.preview.resolve() in inputs:
        raise SettingError(f"--preview {flags.preview} would be written over a picture that is read; choose another name")


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


def _kind(flags: DreamFlags, pictures: tuple[str, ...]) -> str:
    """The kind of dream, a key of `_USED`."""
    for value, kind in zip((flags.layers, flags.replay, flags.through, flags.zoom), _USED, strict=False):
        if value:
            return kind
    if not pictures:
        return "from noise" if flags.space == "pixels" else "from noise with --space fourier"
    if is_film(pictures):
        return "on a film"
    return "on pictures with --space fourier" if flags.space == "fourier" else "on pictures"
