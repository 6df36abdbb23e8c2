"""Directions in a generator's style space along which its images change in one way.

principal    along which the network's own styles vary most (Härkönen et al. 2020, https://arxiv.org/abs/2004.02546, section 2.1)
closed-form  to which the layers' affine maps respond most (Shen & Zhou 2021, https://arxiv.org/abs/2007.06600, eq. 7)
jacobian     that change the pixels most: leading right-singular vectors of the images' Jacobian, over many images at once
             instead of one (Ramesh et al. 2018, https://arxiv.org/abs/1812.01161)

editing/examples.py has a fourth kind, from folders of pictures. One step is one standard deviation of the network's own styles along the
direction.
"""

import functools
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.core import atomic_io, outputs, schema
from sfumato.core.deprecation import renamed_attribute
from sfumato.core.device import select_device
from sfumato.core.errors import CheckpointError, SettingError
from sfumato.core.finite_output import finite
from sfumato.core.json_value import JsonObject
from sfumato.core.rng import seeded_generator
from sfumato.core.tensors import Images, Labels, Styles, Vectors, to_pixels
from sfumato.core.text import printable, quoted
from sfumato.editing.attributes import names_of_change
from sfumato.editing.latent_image import read_own
from sfumato.editing.mix import Span, span
from sfumato.generation.generate import grain, labels_of, latent, sampler, show, styled
from sfumato.io import files
from sfumato.io.results import save_files
from sfumato.metrics.features import weights_hash
from sfumato.models.roles.generator import latents
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.store import checkpoint
from sfumato.store.loaded import LoadedModel, Model

Axes = Float[Tensor, "_k d"]
Shares = Float[Tensor, " _k"]
Method = Literal["principal", "closed-form", "jacobian"]


class Header(TypedDict):
    """The entry in the header of a file of directions."""

    names: list[str]
    strengths: list[schema.Finite]
    how: str
    layers: tuple[schema.Whole, schema.Whole]
    origin: JsonObject
    weights: str


ENTRY = "directions"
DRAWS = 10_000
"""Styles that the network's own standard deviations are estimated from."""
_USUAL, _BASES = 32, 4
"""Images whose attributes are the scale of a change, and images that are moved to name a direction."""
_PROBES = 4
"""Random sums of the pixels of each image whose gradients are computed; over a few hundred images as good as those of every pixel."""


@dataclass(frozen=True, kw_only=True)
class Directions:
    """Directions among the styles of a network, each with its name and strength."""

    vectors: Axes
    """(k, style_dim); one step is one standard deviation of the network's own styles along the row."""
    names: tuple[str, ...]
    """Name of the attribute that changes most along each; a first guess."""
    strengths: tuple[float, ...]
    """Sorted by these: the share of the variance of the styles, of the affine maps' response, or of the change of the pixels."""
    method: str
    """principal, closed-form, jacobian or examples."""
    layers: Span
    """Layers that the directions were computed for, and that they move unless others are named."""
    origin: JsonObject = field(default_factory=dict)
    weights: str = ""
    """SHA-256 of the generator's weights."""
    draw: Callable[["Directions"], Images] | None = field(default=None, repr=False, compare=False)
    """Returns the contact sheet, 7 images a direction; None for directions from a file. It is drawn only to be saved."""

    how = renamed_attribute("how", "method")

    def find(self, name: str | int) -> int:
        """The number of the direction of this name or number. Raises SettingError, listing all names."""
        if str(name) in self.names:
            return self.names.index(str(name))
        if str(name).isdigit() and int(name) < len(self.names):
            return int(name)
        numbered = ", ".join(f"{i} {printable(each)}" for i, each in enumerate(self.names))
        raise SettingError(f"no direction {quoted(str(name))}; there are {numbered}")

    def save(self, path: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes the directions as .safetensors, and beside it the contact sheet as .png and the names as .json. Returns the paths.

        Raises SettingError for another ending and for a file that is not to be replaced.
        """
        paths = output_files(Path(path))
        if self.draw is None:
            del paths[1]
        return save_files(paths, lambda: _write(self, self.draw, Path(path), self.weights), by="directions", overwrite=overwrite)


def directions(
    model: Model,
    method: Method = "principal",
    *,
    count: int = 8,
    layers: Span | None = None,
    label: str | int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Directions:
    """The `count` strongest directions, strongest first; each points to more of the attribute in its name. The result has `save(path)`.

    `layers`, by default all, are those whose affine maps `closed-form` reads, whose styles `jacobian` moves, and that edits move. Raises
    SettingError for a count out of range, layers that the network does not have, or a network without affine maps; and as `generate`.
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
    return finished(source, vectors[:count], shares[:count], styles, method=method, layers=chosen, label=label, seed=seed, origin=origin)


def principal(styles: Vectors) -> tuple[Axes, Shares]:
    """The axes of the styles' covariance, a row each, and the share of the variance along each."""
    centred = (styles - styles.mean(dim=0)).double()
    return _sorted(centred.T @ centred)


def closed_form(network: StyleGenerator, layers: Span) -> tuple[Axes, Shares]:
    """The eigenvectors of A Aᵀ for the layers' affine maps A of styles, all rows of unit length; and their share of the trace."""
    matrices = [matrix.detach().double().cpu() for place, matrix in network.style_affines() if layers[0] <= place <= layers[1]]
    if not matrices:
        raise SettingError("this model has no affine maps of styles in these layers; use principal directions")
    rows = torch.cat(matrices)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return _sorted(rows.T @ rows)


@torch.enable_grad()
def jacobian(model: Model, layers: Span, *, label: str | int | None = None, seed: int = 0) -> tuple[Axes, Shares]:
    """The eigenvectors of the mean of JᵀJ over images, and their share of the trace; J is the Jacobian by one style for `layers`.

    For sums u·image with random signs u, the products of their gradients Jᵀu have the mean JᵀJ. The images are 256 of `label`, or of all
    classes, for 64 x 64 pixels; for more pixels in proportion fewer, but at least 16.
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
    """For each direction a row of 7 images: the seed's image, moved by -`reach` to +`reach` steps."""
    steps = torch.linspace(-reach, reach, 7)
    source = sampler(model)
    styles, labels = _bases(source, 1, label, seed)
    rows = [moved(styles, vector, step, directions.layers) for vector in directions.vectors for step in steps]
    return show(source, torch.cat(rows), None if labels is None else labels.expand(len(rows)), grain(source.network, [seed]))


def moved(styles: Styles, vector: Tensor, strength: float | Tensor, layers: Span) -> Styles:
    """`styles`, moved `strength` steps along `vector` in a range of layers."""
    result = styles.clone()
    result[:, layers[0] : layers[1] + 1] += strength * vector.to(styles)
    return result


def save(directions: Directions, out: Path, model: Model, *, seed: int | None = None, label: str | int | None = None) -> list[Path]:
    """Writes directions of `model` to `out`, and beside it a contact sheet as .png and the names as .json. Returns the paths.

    The sheet shows the image that the directions were computed for, or that of another `seed` and `label`.
    """
    source, draw = sampler(model), directions.draw
    if draw is None or seed is not None:
        draw = functools.partial(contact_sheet, source, seed=seed or 0, label=label)
    _write(directions, draw, out, weights_hash(source.network))
    return output_files(out)


def _write(directions: Directions, draw: Callable[[Directions], Images] | None, out: Path, weights: str) -> None:
    _, picture, record = output_files(out)
    facts = {name: getattr(directions, name) for name in ("names", "strengths", "layers", "origin")}
    facts = {"names": facts["names"], "strengths": facts["strengths"], "how": directions.method, **facts}
    checkpoint.write_tensors(out, {"vectors": directions.vectors}, {ENTRY: facts | {"weights": weights}})
    if draw is not None:
        files.save_image(picture, to_pixels(draw(directions), columns=7))
    atomic_io.write(record, json.dumps(facts, indent=2) + "\n")


def output_files(out: Path) -> list[Path]:
    """The files that `save` will write. Raises SettingError if `out` does not end in .safetensors."""
    outputs.check_ending(out, (".safetensors",), "directions")
    return [out, out.with_suffix(".png"), out.with_suffix(".json")]


def load(path: str | Path, model: Model) -> Directions:
    """The directions in a file that `save` wrote. Raises CheckpointError for another file, SettingError for a file of another network."""
    network = sampler(model).network
    tensors, content = read_own(Path(path), network, entry=ENTRY, kind=Header, key="vectors", noun="directions", verb="directions")
    header = schema.checked(content, Header, str(path))
    names, strengths, (first, last) = tuple(header["names"]), tuple(header["strengths"]), header["layers"]
    vectors = tensors["vectors"]
    if vectors.ndim != 2 or len({len(vectors), len(names), len(strengths)}) > 1 or vectors.shape[1] != network.style_dim:
        raise CheckpointError(
            f"{path}: a table of {tuple(vectors.shape)} with {len(names)} names and {len(strengths)} strengths is no directions among "
            f"styles of {network.style_dim}; make them again with `sfumato directions`"
        )
    return Directions(
        vectors=vectors,
        names=names,
        strengths=strengths,
        method=header["how"],
        layers=span(network, (first, last)),
        origin=header["origin"],
        weights=header["weights"],
    )


def many_styles(model: Model, label: str | int | None, seed: int) -> Vectors:
    """The network's own styles for `DRAWS` latents, (n, style_dim)."""
    source = sampler(model)
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
    *,
    method: str,
    layers: Span,
    label: str | int | None,
    seed: int,
    origin: JsonObject,
) -> Directions:
    """Directions in steps of one standard deviation of `styles`, with names."""
    unit = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)
    scaled = unit * ((styles - styles.mean(dim=0)) @ unit.T).std(dim=0)[:, None]
    bases, labels = _bases(source, _USUAL, label, seed)
    usual = show(source, bases, labels)
    few = None if labels is None else labels[:_BASES]
    names: list[str] = []
    for vector in scaled:
        less, more = (show(source, moved(bases[:_BASES], vector, step, layers), few) for step in (-2.0, 2.0))
        names.append("-and-".join(names_of_change(less, more, usual)))
    return Directions(
        vectors=scaled,
        names=tuple(_numbered(names)),
        strengths=tuple(shares.tolist()),
        method=method,
        layers=layers,
        origin=origin,
        weights=weights_hash(source.network),
        draw=functools.partial(contact_sheet, source, seed=seed, label=label),
    )


def _numbered(names: Sequence[str]) -> list[str]:
    """Unique names: the second direction of one name is called name-2."""
    counts: dict[str, itertools.count[int]] = {}
    numbers = [next(counts.setdefault(name, itertools.count(1))) for name in names]
    return [name if number == 1 else f"{name}-{number}" for name, number in zip(names, numbers, strict=True)]


def _sorted(square: Float[Tensor, "d d"]) -> tuple[Axes, Shares]:
    """Eigenvectors as rows, the largest entry of each positive, and their share of the trace, largest first."""
    values, vectors = torch.linalg.eigh(square)
    rows = vectors.T.flip(0)
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return (rows * largest.sign()).float(), (values.flip(0).clamp_min(0) / values.sum()).float()
