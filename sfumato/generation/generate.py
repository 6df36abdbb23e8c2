"""Images from seeds.

An image depends on the model, its seed and its label, and on nothing else: not on how many are made, nor on the others.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core import outputs
from sfumato.core.catalog import composed, suggest
from sfumato.core.device import select_device
from sfumato.core.errors import SettingError
from sfumato.core.finite_output import finite
from sfumato.core.progress import counted
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, Styles, Vectors, to_bytes, to_pixels
from sfumato.core.text import file_names as file_names_of
from sfumato.core.text import printable, quoted
from sfumato.io import files
from sfumato.metrics.base import measuring
from sfumato.models.roles.classifier import Classifier
from sfumato.models.roles.generator import Generator, latents
from sfumato.models.roles.style_generator import StyleGenerator, SynthesisOptions
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel, Model

Grain = Float[Tensor, "_images 1 _h _w"]
"""A plane of noise for each image, or one for all."""

CHUNK = 16
"""The network always sees this many images at once, the last ones padded: arithmetic that never changes gives bits that never do."""


def generate(
    model: Model,
    n: int = 16,
    *,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    label: str | int | None = None,
    truncation: float = 1.0,
    device: str = "auto",
) -> Images:
    """`n` images in [0, 1], of seeds `seed`, `seed` + 1, ...; or one for each of `seeds`.

    A seed is one picture: its latent, and its noise in a network that has noise inputs. `label` is a class by name, or by number where
    classes have no names. Without one, a model that knows classes shows number `seed` mod their count, so that a seed still names one
    picture. `truncation` is how far styles keep from the mean style: 1 leaves them, 0 gives the mean image, between them images are
    more usual and less various.

    Raises UnknownNameError for a model that is not there, SettingError for a label, number or truncation that cannot be, ImageError,
    naming the model, if an image is not finite.
    """
    source = sampler(model).to(select_device(device))
    chosen = list(seeds) if seeds is not None else list(range(seed, seed + n))
    if not chosen or (seeds is None and n < 1):
        raise SettingError(f"n = {n} images cannot be generated; ask for at least 1")
    z = torch.cat([latent(source.network, s) for s in chosen])
    labels = labels_of(source, chosen, label)
    styles = styled(source, z, labels, truncation=truncation)
    return show(source, styles, labels, seeds=chosen)


def save(images: Images, out: Path, *, names: Sequence[str], columns: int | None = None) -> list[Path]:
    """Writes one sheet if `out` ends like a picture file, else a sheet and single files into the folder `out`. Returns the paths."""
    paths = output_files(out, names)
    files.save_image(paths[0], to_pixels(images, columns=columns))
    for path, image in zip(paths[1:], to_bytes(images), strict=False):
        files.save_image(path, image.permute(1, 2, 0).contiguous())
    return paths


def output_files(out: Path, names: Sequence[str] = ()) -> list[Path]:
    """The files that `save` will write, the sheet first. Raises SettingError for the ending of a file that cannot be written."""
    if outputs.is_file_name(out, files.FORMATS):
        return [out]
    return [out / "grid.png", *(out / f"{name}.png" for name in names)]


def sampler(model: Model) -> LoadedModel[StyleGenerator]:
    """The generator called `model`, or `model` itself. Raises SettingError if that model makes no images."""
    return weights.opened(model, StyleGenerator, otherwise="makes no images")


def latent(network: StyleGenerator, seed: int) -> Vectors:
    """The one latent of `seed`."""
    return latents(network, 1, seeded_generator(seed, "latent"))


def class_names(model: Model) -> list[str]:
    """The names of the classes of a generator or a classifier, in composed Unicode; their numbers if its card does not name them."""
    loaded = weights.model_of(model)
    count = loaded.network.classes if isinstance(loaded.network, Generator | Classifier) else 0
    names = [composed(name) for name in loaded.card.data.class_names]
    return names if len(names) == count else [str(i) for i in range(count)]


def labels_of(model: Model, seeds: Sequence[int], label: str | int | None) -> Labels | None:
    """The class of each seed's image: `label` for all, or each seed's own. Raises SettingError for a label that does not exist."""
    names = class_names(model)
    if label is None:
        return torch.tensor([s % len(names) for s in seeds]) if names else None
    if not names:
        raise SettingError(f"label = {label!r}, but this model was trained without labels; leave it out")
    if composed(str(label)) in names:
        return torch.full((len(seeds),), names.index(composed(str(label))))
    known = ", ".join(printable(name) for name in names)
    raise SettingError(f"no label {quoted(str(label))}{suggest(str(label), names)}; this model has {known}")


def file_names(model: Model, seeds: Sequence[int], label: str | int | None) -> list[str]:
    """What to call each seed's image: the seed, and its class where there are classes, in letters that every file system takes."""
    names, labels = file_names_of(class_names(model)), labels_of(model, seeds, label)
    shown = [""] * len(seeds) if labels is None else [f"-{names[i]}" for i in labels.tolist()]
    return [f"{seed:05d}{each}" for seed, each in zip(seeds, shown, strict=True)]


def synthesize(model: Model, z: Vectors, labels: Labels | None) -> Images:
    """Images in [0, 1], on the CPU, from latents; each independent of the others to the last bit."""
    source = sampler(model)
    return show(source, styled(source, z, labels), labels)


def styled(model: Model, z: Vectors, labels: Labels | None, *, truncation: float = 1.0) -> Styles:
    """The styles of latents, on the CPU, at `truncation` times their distance from the mean style; each independent of the others.

    Raises SettingError for a truncation outside [-2, 2].
    """
    if not -2 <= truncation <= 2:
        raise SettingError(f"truncation = {truncation:g} is outside [-2, 2]; 1 leaves images as they are, 0.5 makes them more usual")

    source = sampler(model)
    network = source.network

    def make(part: Vectors, own: Labels | None, _: slice) -> Styles:
        styles = network.map_latent(part, own)
        return styles if truncation == 1 else torch.lerp(network.mean_style(own).to(styles), styles, truncation)

    return _in_chunks(source, make, z, labels)


def grain(network: StyleGenerator, seeds: Sequence[int]) -> list[Grain]:
    """The noise in the images of `seeds`, a plane each for each of the network's `noise_shapes`."""
    sources = [seeded_generator(seed, "noise") for seed in seeds]
    return [torch.stack([torch.randn(1, *size, generator=source) for source in sources]) for size in network.noise_shapes()]


def show(
    model: Model, styles: Styles, labels: Labels | None, noise: Sequence[Grain] | None = None, *, seeds: Sequence[int] | None = None
) -> Images:
    """Images in [0, 1], on the CPU, from styles; each independent of the others to the last bit.

    `noise` is one for all. With `seeds`, a seed for each, images have the noise of theirs; with neither, the network's own. Raises
    ImageError, naming the model, if one of them is not finite.
    """
    source = sampler(model)
    network = source.network
    where = next(network.parameters()).device

    def make(part: Styles, own: Labels | None, rows: slice) -> Images:
        planes = noise
        if seeds is not None:
            # What fills a chunk up is thrown away.
            planes = grain(network, [*seeds[rows], *[0] * (CHUNK - len(seeds[rows]))])
        options = None if planes is None else SynthesisOptions(noise=[plane.to(where).expand(CHUNK, -1, -1, -1) for plane in planes])
        return network.synthesize(part, own, options)

    return _in_chunks(source, make, styles, labels).clamp(0, 1)


def _in_chunks(
    source: LoadedModel[StyleGenerator], make: Callable[[Tensor, Labels | None, slice], Tensor], x: Tensor, labels: Labels | None
) -> Tensor:
    network = source.network
    where = next(network.parameters()).device
    made = []
    # A network in training would note what it makes, and normalise images by each other.
    with measuring(network):
        for start in counted(range(0, len(x), CHUNK), "generating"):
            rows = slice(start, start + CHUNK)
            part, own = x[rows], None if labels is None else labels[rows]
            short = CHUNK - len(part)
            part = torch.cat([part, part.new_zeros(short, *part.shape[1:])])
            own = None if own is None else torch.cat([own, own.new_zeros(short)])
            made.append(make(part.to(where), None if own is None else own.to(where), rows)[: CHUNK - short].float().cpu())
    return finite(torch.cat(made), source)
