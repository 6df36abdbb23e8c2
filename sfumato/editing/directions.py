"""Directions among a generator's styles along which its images change in one way.

principal    those in which its own styles vary most (Härkönen et al. 2020, https://arxiv.org/abs/2004.02546, section 2.1)
closed-form  those to which its layers listen most (Shen & Zhou 2021, https://arxiv.org/abs/2007.06600, eq. 7)
jacobian     those that change the pixels most: leading right-singular vectors of the images' Jacobian, of many images at once
             instead of one (Ramesh et al. 2018, https://arxiv.org/abs/1812.01161)

editing/examples.py has a fourth kind, from folders of pictures. All are in steps of one deviation of the network's own styles along them.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core import atomic_io, outputs, schema
from sfumato.core.device import select_device
from sfumato.core.errors import CheckpointError, SettingError
from sfumato.core.finite_output import finite
from sfumato.core.json_value import JsonObject
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, Styles, Vectors, to_pixels
from sfumato.core.text import printable, quoted
from sfumato.editing import latent_image as subjects
from sfumato.editing.attributes import named
from sfumato.editing.mix import Span, span
from sfumato.generation.generate import grain, labels_of, latent, sampler, show, styled
from sfumato.io import files
from sfumato.metrics.features import weights_hash
from sfumato.models.roles.generator import latents
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.store import checkpoint
from sfumato.store.loaded import LoadedModel, Model

Axes = Float[Tensor, "_k d"]
Shares = Float[Tensor, " _k"]
How = Literal["principal", "closed-form", "jacobian"]


class Told(TypedDict):
    """What the header of a file of directions says of them."""

    names: list[str]
    strengths: list[schema.Finite]
    how: str
    layers: tuple[schema.Whole, schema.Whole]
    origin: JsonObject
    weights: str


ENTRY = "directions"
DRAWS = 10_000
"""Styles from which their own deviations are known."""
_LOOKED_AT, _BASES = 32, 4
_PROBES = 4
"""Of each image, random sums of its pixels whose gradients are taken: of a few hundred images, as good as every pixel's."""


@dataclass(frozen=True, kw_only=True)
class Directions:
    vectors: Axes
    """A row each; one step is one deviation of the network's own styles along it."""
    names: tuple[str, ...]
    """What each changes, as far as can be told without looking."""
    strengths: tuple[float, ...]
    """What they were sorted by: the share of the variance, of what the layers hear, or of how the pixels change."""
    how: str
    layers: Span
    """The layers that they were found for, and are applied to if nothing else is said."""
    origin: JsonObject = field(default_factory=dict)

    def find(self, which: str | int) -> int:
        """The number of the one called so. Raises SettingError, naming them."""
        if str(which) in self.names:
            return self.names.index(str(which))
        if str(which).isdigit() and int(which) < len(self.names):
            return int(which)
        numbered = ", ".join(f"{i} {printable(name)}" for i, name in enumerate(self.names))
        raise SettingError(f"no direction {quoted(str(which))}; there are {numbered}")


def directions(
    model: Model,
    method: How = "principal",
    *,
    count: int = 8,
    layers: Span | None = None,
    label: str | int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Directions:
    """The `count` strongest directions, strongest first. Each points to more of what its name says.

    `layers` are those whose ears `closed-form` asks, whose styles `jacobian` moves, and that all are applied to; by default all. Raises
    SettingError for a count that cannot be, layers that are not there, or a network that has no matrices to ask; and like `generate`.
    """
    source = sampler(model).to(select_device(device))
    network = source.network
    chosen = span(network, layers)
    if not 1 <= count <= network.style_dim:
        raise SettingError(f"count = {count} is outside [1, {network.style_dim}], the length of a style")
    styles = many_styles(source, label, seed)
    if method == "principal":
        vectors, shares = principal(styles)
    else:
        vectors, shares = closed_form(network, chosen) if method == "closed-form" else jacobian(source, chosen, label=label, seed=seed)
    origin = {"how": method, "count": count, "layers": list(chosen), "label": label, "seed": seed}
    return finished(source, vectors[:count], shares[:count], styles, method, chosen, label, seed, origin)


def principal(styles: Vectors) -> tuple[Axes, Shares]:
    """The axes of the styles' covariance, a row each, and the share of the variance along each."""
    centred = (styles - styles.mean(dim=0)).double()
    return _sorted(centred.T @ centred)


def closed_form(network: StyleGenerator, layers: Span) -> tuple[Axes, Shares]:
    """The eigenvectors of A Aᵀ for the matrices A, all rows of unit length, by which the layers listen; and their share of the trace."""
    heard = [matrix.detach().double().cpu() for place, matrix in network.style_affines() if layers[0] <= place <= layers[1]]
    if not heard:
        raise SettingError("this model tells no matrices by which its layers listen to styles; use principal directions")
    rows = torch.cat(heard)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return _sorted(rows.T @ rows)


@torch.enable_grad()
def jacobian(model: Model, layers: Span, *, label: str | int | None = None, seed: int = 0) -> tuple[Axes, Shares]:
    """The eigenvectors of JᵀJ, its mean over images, and their share of the trace; J are the pixels' derivatives by one style for `layers`.

    For sums u·image with random signs u, the products of their gradients Jᵀu have JᵀJ for their mean. The images are 256 of `label`, or
    of all classes, if they have 64 x 64 pixels, and fewer if they have more, but at least 16.
    """
    source = sampler(model)
    network = source.network
    pixels = network.size[0] * network.size[1]
    count, batch = min(256, max(16, 2**20 // pixels)), min(64, max(1, 2**16 // pixels))
    rng, total = seeded_generator(seed, "jacobian"), torch.zeros(network.style_dim, network.style_dim, dtype=torch.float64)
    z, labels = latents(network, count, rng), labels_of(source, range(count), label)
    where = next(network.parameters()).device
    for begin in range(0, count, batch):
        some = None if labels is None else labels[begin : begin + batch]
        styles = styled(source, z[begin : begin + batch], some).to(where)
        step = styles.new_zeros(len(styles), 1, network.style_dim, requires_grad=True)
        images = network.synthesize(moved(styles, step, 1.0, layers), None if some is None else some.to(where))
        finite(images, source)
        for left in reversed(range(_PROBES)):
            signs = 2.0 * torch.randint(0, 2, images.shape, generator=rng).to(images) - 1
            (slope,) = torch.autograd.grad(images, step, signs, retain_graph=left > 0)
            slope = slope[:, 0].double().cpu()
            total += slope.T @ slope
    return _sorted(total)


def contact_sheet(model: Model, directions: Directions, *, seed: int = 0, label: str | int | None = None, reach: float = 3.0) -> Images:
    """For each direction a row of 7: the seed's image from `reach` deviations less to as many more."""
    steps = torch.linspace(-reach, reach, 7)
    source = sampler(model)
    styles, labels = _bases(source, 1, label, seed)
    rows = [moved(styles, vector, step, directions.layers) for vector in directions.vectors for step in steps]
    return show(source, torch.cat(rows), None if labels is None else labels.expand(len(rows)), grain(source.network, [seed]))


def moved(styles: Styles, vector: Tensor, strength: float | Tensor, layers: Span) -> Styles:
    """`styles`, those of a range of layers `strength` steps further along `vector`."""
    result = styles.clone()
    result[:, layers[0] : layers[1] + 1] += strength * vector.to(styles)
    return result


def save(directions: Directions, out: Path, model: Model, *, seed: int = 0, label: str | int | None = None) -> list[Path]:
    """Writes the directions to `out`, and beside it a contact sheet as .png and what they are as .json. Returns the paths."""
    source = sampler(model)
    _, sheet, told = output_files(out)
    about = {key: value for key, value in vars(directions).items() if key != "vectors"}
    checkpoint.write_tensors(out, {"vectors": directions.vectors}, {ENTRY: about | {"weights": weights_hash(source.network)}})
    files.save_image(sheet, to_pixels(contact_sheet(source, directions, seed=seed, label=label), columns=7))
    atomic_io.write(told, json.dumps(about, indent=2) + "\n")
    return [out, sheet, told]


def output_files(out: Path) -> list[Path]:
    """The files that `save` will write. Raises SettingError if `out` does not end in .safetensors."""
    outputs.check_ending(out, (".safetensors",), "directions")
    return [out, out.with_suffix(".png"), out.with_suffix(".json")]


def load(path: Path, model: Model) -> Directions:
    """What `save` wrote. Raises CheckpointError for another file, SettingError if it was made with another network."""
    network = sampler(model).network
    tensors, about = subjects.owned(path, network, entry=ENTRY, kind=Told, key="vectors", noun="directions", verb="directions")
    stored = schema.checked(about, Told, str(path))
    names, strengths, (first, last) = tuple(stored["names"]), tuple(stored["strengths"]), stored["layers"]
    vectors = tensors["vectors"]
    if vectors.ndim != 2 or len({len(vectors), len(names), len(strengths)}) > 1 or vectors.shape[1] != network.style_dim:
        raise CheckpointError(
            f"{path}: a table of {tuple(vectors.shape)} with {len(names)} names and {len(strengths)} strengths is no directions among "
            f"styles of {network.style_dim}; make them again with `sfumato directions`"
        )
    how, origin = stored["how"], stored["origin"]
    return Directions(vectors=vectors, names=names, strengths=strengths, how=how, layers=span(network, (first, last)), origin=origin)


def many_styles(source: LoadedModel[StyleGenerator], label: str | int | None, seed: int) -> Vectors:
    """Many of the network's own, one for each latent."""
    z = latents(source.network, DRAWS, seeded_generator(seed, "directions"))
    return styled(source, z, labels_of(source, range(DRAWS), label))[:, 0]


def _bases(source: LoadedModel[StyleGenerator], count: int, label: str | int | None, seed: int) -> tuple[Styles, Labels | None]:
    seeds = range(seed, seed + count)
    z = torch.cat([latent(source.network, s) for s in seeds])
    labels = labels_of(source, seeds, label)
    return styled(source, z, labels), labels


def finished(
    source: LoadedModel[StyleGenerator],
    vectors: Axes,
    shares: Shares,
    styles: Vectors,
    method: str,
    layers: Span,
    label: str | int | None,
    seed: int,
    origin: JsonObject,
) -> Directions:
    """Scaled to deviations and named."""
    unit = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)
    scaled = unit * ((styles - styles.mean(dim=0)) @ unit.T).std(dim=0)[:, None]
    bases, labels = _bases(source, _LOOKED_AT, label, seed)
    usual = show(source, bases, labels)
    few = None if labels is None else labels[:_BASES]
    names: list[str] = []
    for vector in scaled:
        less, more = (show(source, moved(bases[:_BASES], vector, step, layers), few) for step in (-2.0, 2.0))
        words = named(less, more, usual)
        names.append("-and-".join(words))
    return Directions(
        vectors=scaled, names=tuple(_told_apart(names)), strengths=tuple(shares.tolist()), how=method, layers=layers, origin=origin
    )


def _told_apart(names: Sequence[str]) -> list[str]:
    """The second of one name is called name-2."""
    counts: dict[str, itertools.count[int]] = {}
    numbers = [next(counts.setdefault(name, itertools.count(1))) for name in names]
    return [name if number == 1 else f"{name}-{number}" for name, number in zip(names, numbers, strict=True)]


def _sorted(square: Float[Tensor, "d d"]) -> tuple[Axes, Shares]:
    """Eigenvectors as rows, the largest number of each positive, and their share of the trace, largest first."""
    values, vectors = torch.linalg.eigh(square)
    rows = vectors.T.flip(0)
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return (rows * largest.sign()).float(), (values.flip(0).clamp_min(0) / values.sum()).float()
