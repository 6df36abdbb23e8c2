"""Mixtures of two images: the styles of the first image, with the styles of the second in a range of layers.

Coarse layers hold pose and shape, fine ones colour and texture (Karras et al. 2019, https://arxiv.org/abs/1812.04948, section 3.1).
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from sfumato.core import outputs
from sfumato.core.device import select_device
from sfumato.core.errors import SettingError
from sfumato.core.tensors import Images, Styles, to_pixels
from sfumato.generation.generate import labels_of, latent, sampler, show, styled
from sfumato.io import files
from sfumato.io.results import ImageTensor
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.store.loaded import Model

Span = tuple[int, int]
"""First and last of a range of layers."""


class Mixtures(ImageTensor):
    """A grid of images, as `mix` returns it."""

    by = "mix"


def mix(
    model: Model,
    rows: Sequence[int],
    columns: Sequence[int],
    *,
    layers: Span | None = None,
    label: str | int | None = None,
    truncation: float = 1.0,
    device: str = "auto",
) -> Mixtures:
    """A grid of (1 + rows) x (1 + columns) images in [0, 1], in reading order: a tensor (n, c, h, w) with `save(path)`.

    The first row is a white image and the images of the seeds `columns`. Each other row is the image of its seed, then that image with the
    styles `layers` of each column, by default the coarser half; the noise is the row's. Raises SettingError for a network with one style,
    layers that the network does not have, or no seeds; and as `generate`.
    """
    if not rows or not columns:
        raise SettingError(f"{len(rows)} rows and {len(columns)} columns make no mixtures; give at least one seed of each")
    source = sampler(model).to(select_device(device))
    network = source.network
    if network.styles == 1:
        raise SettingError(
            "this model has one style for the whole image, so there is nothing to mix; `interpolate` goes from one image to another"
        )
    row_labels, column_labels = (labels_of(source, seeds, label) for seeds in (rows, columns))
    row_styles = styled(source, torch.cat([latent(network, s) for s in rows]), row_labels, truncation=truncation)
    column_styles = styled(source, torch.cat([latent(network, s) for s in columns]), column_labels, truncation=truncation)
    layers = span(network, layers or (0, network.styles // 2 - 1))
    mixed = replaced(row_styles.repeat_interleave(len(columns), dim=0), column_styles.repeat(len(rows), 1, 1), layers)
    top, left = show(source, column_styles, column_labels, seeds=columns), show(source, row_styles, row_labels, seeds=rows)
    each = [row for row in rows for _ in columns]
    inside = show(source, mixed, None if row_labels is None else row_labels.repeat_interleave(len(columns)), seeds=each)
    lines = zip(left.split(1), inside.split(len(columns)), strict=True)
    grid = torch.cat([torch.ones_like(top[:1]), top, *(image for line in lines for image in line)]).as_subclass(Mixtures)
    grid.columns = len(columns) + 1
    return grid


def span(network: StyleGenerator, layers: Span | None) -> Span:
    """`layers`, by default all. Raises SettingError for layers that the network does not have, or a first layer after the last."""
    first, last = layers or (0, network.styles - 1)
    if not 0 <= first <= last < network.styles:
        raise SettingError(f"layers {first}-{last} are not among 0-{network.styles - 1}, which this model has, coarse to fine")
    return first, last


def replaced(styles: Styles, source: Styles, layers: Span) -> Styles:
    """`styles`, with the styles of `source` in a range of layers."""
    return torch.cat([styles[:, : layers[0]], source[:, layers[0] : layers[1] + 1], styles[:, layers[1] + 1 :]], dim=1)


def save(images: Images, out: Path, *, columns: int) -> Path:
    """Writes the grid that `mix` returned for so many `columns` as one picture. Returns the path."""
    files.save_image(out, to_pixels(images, columns=columns + 1))
    return out


def output_files(out: Path) -> list[Path]:
    """The file that `save` will write. Raises SettingError for the ending of a file that cannot be written."""
    outputs.check_ending(out, files.FORMATS, "pictures")
    return [out]
