"""Images from seeds.

An image depends on the model, its seed and its label, and on nothing else: not on the number of images, nor on the other images.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core.catalog import composed, suggest
from sfumato.core.device import select_device
from sfumato.core.errors import SettingError
from sfumato.core.finite_output import finite
from sfumato.core.progress import counted
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, Styles, Vectors, to_bytes, to_pixels
from sfumato.core.text import file_names as file_names_of
from sfumato.core.text import printable, quoted
from sfumato.generation.result import GeneratedImages, image_recipes, output_files
from sfumato.io import files
from sfumato.metrics.base import measuring
from sfumato.models.roles.generator import Generator, latents
from sfumato.models.roles.style_generator import StyleGenerator, SynthesisOptions
from sfumato.store import weights
from sfumato.store.loaded import LoadedModel, Model

Grain = Float[Tensor, "_images 1 _h _w"]
"""A plane of noise for each image, or one for all."""

CHUNK = 16
"""Images that the network always computes at once; the last batch is padded. A fixed batch size keeps every image the same to the bit."""


def generate(
    model: Model,
    n: int = 16,
    *,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    label: str | int | None = None,
    truncation: float = 1.0,
    device: str = "auto",
) -> GeneratedImages:
    """`n` images in [0, 1], of seeds `seed`, `seed` + 1, ...; or one for each of `seeds`.

    The result is a tensor (n, c, h, w) with `save(path)`. A seed stands for one picture: its latent, and its noise in a network with noise
    inputs. `label` is a class by name, or by number where classes have no names. Without a label, a model with classes shows the class
    number `seed` modulo their count, so that a seed still stands for one picture. `truncation` scales the distance of the styles from
    the mean style: 1 leaves the styles unchanged, 0 gives the mean image, values between give more usual and less various images.

    Raises UnknownNameError for a model that does not exist, SettingError for a label, number or truncation out of range, ImageError,
    naming the model, if an image is not finite.
    """
    source = opened_generator(model).to(select_device(device))
    chosen = list(seeds) if seeds is not None else list(range(seed, seed + n))
    if not chosen or (seeds is None and n < 1):
        raise SettingError(f"n = {n} images cannot be generated; ask for at least 1")
    z = torch.cat([latent(source.network, s) for s in chosen])
    labels = labels_of(source, chosen, label)
    images = synthesize(source, z, labels, truncation=truncation, seeds=chosen).as_subclass(GeneratedImages)
    images.names = tuple(file_names(source, chosen, label))
    images.recipes = functools.partial(image_recipes, source.network, chosen, shown_classes(source, chosen, label), truncation)
    return images


def save(images: Images, out: Path, *, names: Sequence[str], columns: int | None = None) -> list[Path]:
    """Writes one sheet if `out` ends like a picture file, else a sheet and single files into the folder `out`. Returns the paths."""
    paths = output_files(out, names)
    files.save_image(paths[0], to_pixels(images, columns=columns))
    for path, image in zip(paths[1:], to_bytes(images), strict=False):
        files.save_image(path, image.permute(1, 2, 0).contiguous())
    return paths


def opened_generator(model: Model) -> LoadedModel[Generator]:
    """The generator called `model`, or `model` itself, with styles or without. Raises SettingError if that model makes no images."""
    return weights.opened(model, Generator, otherwise="makes no images")


def sampler(model: Model) -> LoadedModel[StyleGenerator]:
    """The generator with styles called `model`, or `model` itself.

    Raises SettingError if that model makes no images, or makes them without styles.
    """
    source = opened_generator(model)
    if not source.network.styles:
        name = model if isinstance(model, str | Path) else source
        raise SettingError(f"{name} has no styles, so that its images cannot be edited; generate, interpolate and evaluate take it")
    return cast(LoadedModel[StyleGenerator], source)


def latent(network: Generator, seed: int) -> Vectors:
    """The latent of `seed`."""
    return latents(network, 1, seeded_generator(seed, "latent"))


def class_names(model: Model) -> list[str]:
    """Names of the classes of a generator or a classifier, in composed Unicode; their numbers if its card has no names."""
    loaded = weights.model_of(model)
    count: int = getattr(loaded.network, "classes", 0)
    names = [composed(name) for name in loaded.card.data.class_names]
    return names if len(names) == count else [str(i) for i in range(count)]


def labels_of(model: Model, seeds: Sequence[int], label: str | int | None) -> Labels | None:
    """The class of each seed's image: `label` for all, or each seed's own. Raises SettingError for an unknown label."""
    names = class_names(model)
    if label is None:
        return torch.tensor([s % len(names) for s in seeds]) if names else None
    if not names:
        raise SettingError(f"label = {label!r}, but this model was trained without labels; leave it out")
    if composed(str(label)) in names:
        return torch.full((len(seeds),), names.index(composed(str(label))))
    listed = ", ".join(printable(name) for name in names)
    raise SettingError(f"no label {quoted(str(label))}{suggest(str(label), names)}; this model has {listed}")


def shown_classes(model: Model, seeds: Sequence[int], label: str | int | None) -> list[str | None]:
    """The name of the class that each seed's image shows; None for a network without classes. Raises SettingError for an unknown label."""
    names, labels = class_names(model), labels_of(model, seeds, label)
    return [None] * len(seeds) if labels is None else [names[i] for i in labels.tolist()]


def file_names(model: Model, seeds: Sequence[int], label: str | int | None) -> list[str]:
    """The file name of each seed's image: the seed, and its class where there are classes, in letters that every file system accepts."""
    names, labels = file_names_of(class_names(model)), labels_of(model, seeds, label)
    endings = [""] * len(seeds) if labels is None else [f"-{names[i]}" for i in labels.tolist()]
    return [f"{seed:05d}{ending}" for seed, ending in zip(seeds, endings, strict=True)]


def synthesize(
    model: Model,
    z: Vectors,
    labels: Labels | None,
    *,
    truncation: float = 1.0,
    noise: Sequence[Grain] | None = None,
    seeds: Sequence[int] | None = None,
) -> Images:
    """Images in [0, 1], on the CPU, from latents; each independent of the others to the last bit.

    `truncation` is as in `styled`, `noise` and `seeds` are as in `show`. Raises SettingError for a truncation other than 1 of a network
    that takes none.
    """
    source = opened_generator(model)
    network = source.network
    if network.styles:
        return show(source, styled(source, z, labels, truncation=truncation), labels, noise, seeds=seeds)

    def compute(part: Vectors, own: Labels | None, rows: slice) -> Images:
        planes = grain(network, _filled_up(seeds, rows)) if seeds is not None else list(noise or ())
        return network.sample_with(part, own, truncation=truncation, noise=[plane.expand(CHUNK, -1, -1, -1) for plane in planes])

    return _in_chunks(source, compute, z, labels).clamp(0, 1)


def styled(model: Model, z: Vectors, labels: Labels | None, *, truncation: float = 1.0) -> Styles:
    """The styles of latents, on the CPU, at `truncation` times their distance from the mean style.

    The styles of a latent do not depend on the other latents. Raises SettingError for a truncation outside [-2, 2].
    """
    if not -2 <= truncation <= 2:
        raise SettingError(f"truncation = {truncation:g} is outside [-2, 2]; 1 leaves images unchanged, 0.5 makes them more usual")
    source = sampler(model)
    network = source.network

    def compute(part: Vectors, own: Labels | None, _: slice) -> Styles:
        styles = network.map_latent(part, own)
        return styles if truncation == 1 else torch.lerp(network.mean_style(own).to(styles), styles, truncation)

    return _in_chunks(source, compute, z, labels)


def _filled_up(seeds: Sequence[int], rows: slice) -> list[int]:
    """The seeds of a batch; seed 0 fills the batch up, whose images are dropped."""
    return [*seeds[rows], *[0] * (CHUNK - len(seeds[rows]))]


def grain(network: Generator, seeds: Sequence[int]) -> list[Grain]:
    """The noise in the images of `seeds`: for each of the network's `noise_shapes`, a plane for each seed."""
    sources = [seeded_generator(seed, "noise") for seed in seeds]
    return [torch.stack([torch.randn(1, *size, generator=source) for source in sources]) for size in network.noise_shapes()]


def show(
    model: Model, styles: Styles, labels: Labels | None, noise: Sequence[Grain] | None = None, *, seeds: Sequence[int] | None = None
) -> Images:
    """Images in [0, 1], on the CPU, from styles. An image does not depend on the others, to the bit.

    `noise` is the noise of all images; with `seeds`, one for each image, each image has the noise of its seed; with neither, the network's
    own noise. Raises ImageError, naming the model, if an image is not finite.
    """
    source = sampler(model)
    network = source.network
    where = next(network.parameters()).device

    def compute(part: Styles, own: Labels | None, rows: slice) -> Images:
        planes = noise
        if seeds is not None:
            planes = grain(network, _filled_up(seeds, rows))
        options = None if planes is None else SynthesisOptions(noise=[plane.to(where).expand(CHUNK, -1, -1, -1) for plane in planes])
        return network.synthesize(part, own, options)

    return _in_chunks(source, compute, styles, labels).clamp(0, 1)


def _in_chunks(
    source: LoadedModel[Generator], compute: Callable[[Tensor, Labels | None, slice], Tensor], x: Tensor, labels: Labels | None
) -> Tensor:
    """The results of `compute` for `CHUNK` rows of `x` at a time, on the CPU, without those of the padding."""
    network = source.network
    where = next(network.parameters()).device
    parts = []
    # A network in training mode would update its statistics, and normalise images by each other.
    with measuring(network):
        for start in counted(range(0, len(x), CHUNK), "generating"):
            rows = slice(start, start + CHUNK)
            part, own = x[rows], None if labels is None else labels[rows]
            short = CHUNK - len(part)
            part = torch.cat([part, part.new_zeros(short, *part.shape[1:])])
            own = None if own is None else torch.cat([own, own.new_zeros(short)])
            parts.append(compute(part.to(where), None if own is None else own.to(where), rows)[: CHUNK - short].float().cpu())
    return finite(torch.cat(parts), source)
