"""The stages of an evaluation as one piece of work, so that progress and time left are those of the whole.

Each stage counts for its share of the arithmetic. Networks are counted on one image; distances by a formula, fitted to measured times.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sfumato.core.progress import counted, job
from sfumato.core.tensors import Images
from sfumato.generation.generate import CHUNK, generate, labels_of, latent, opened_generator
from sfumato.metrics.base import measuring
from sfumato.store.loaded import Model

Stage: TypeAlias = Callable[[str], contextlib.AbstractContextManager[None]]
"""Opens the stage of a name; its work is done inside."""

OVERHEAD = 1e6
"""Operations that an image takes beside the convolutions and products of its network."""


@contextlib.contextmanager
def stages(label: str, costs: Mapping[str, float]) -> Iterator[Stage]:
    """Work that is called `label`, in stages that take time in proportion to `costs`; all of them are opened, one after the other.

    >>> from sfumato.core.progress import heard
    >>> with heard(lambda moment: print(f"{moment.share:.0%}: {moment.text}")):
    ...     with stages("stages", {"images": 3.0, "distances": 1.0}) as stage:
    ...         with stage("images"):
    ...             pass
    ...         with stage("distances"):
    ...             pass
    75%: stages 1 of 2
    100%: stages 2 of 2
    """
    with job(label, list(costs.values())) as work:

        @contextlib.contextmanager
        def stage(name: str) -> Iterator[None]:
            with work.under_way(costs[name]):
                yield
            work.finish(costs[name])

        yield stage


def operations(network: nn.Module, compute: Callable[[], object]) -> float:
    """The arithmetic operations of `compute`, a call of `network` on one image."""
    with measuring(network), FlopCounterMode(display=False) as counter:
        compute()
    return counter.get_total_flops() + OVERHEAD


def image_operations(model: Model) -> float:
    """The arithmetic operations with which the generator `model` makes one image."""
    source = opened_generator(model)
    network, labels = source.network, labels_of(source, [0], None)
    device = next(network.parameters()).device
    labels = None if labels is None else labels.to(device)
    return operations(network, lambda: network.sample(latent(network, 0).to(device), labels))


def distance_operations(first: int, second: int, dimension: int) -> float:
    """The operations that `distribution_report` of sets of so many vectors takes: its time, in operations of a network.

    One core took 1.8 s for two sets of 2,000 vectors with 64 dimensions, and 13.3 s for two sets of 4,000 with 512; a network did
    60 thousand million operations a second.
    """
    pairs, vectors = float(min(first, second)) ** 2, first + second
    return pairs * (9_500 + 45 * dimension) + vectors * (1.2e7 + 45_000 * dimension) + 100.0 * dimension**3


def generate_images(model: Model, count: int, *, seed: int, device: str) -> Images:
    """The images of seeds `seed`, `seed` + 1, ..., as from `generate`, with one progress for styles and images together."""
    starts = range(0, count, CHUNK)
    parts = (generate(model, min(CHUNK, count - start), seed=seed + start, device=device) for start in counted(starts, "batches of images"))
    return torch.cat(list(parts))
