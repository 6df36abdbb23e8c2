"""A small codec with weights that nobody trained, and pictures for it."""

import numpy as np
import pytest
import torch

from sfumato.core.config import parse
from sfumato.store.loaded import LoadedModel

SETTINGS = {"is": "hyperprior", "fine": 8, "middle": 8, "coarse": 8, "blocks": [1, 1, 1], "latent": 24, "hyper": 8, "hyper_latent": 4}


def small_codec(seed=0):
    """A codec whose branches all do something: the block transform alone would make each test an easy one."""
    torch.manual_seed(seed)
    config = parse(SETTINGS)
    network = config.build().eval().requires_grad_(False)
    for name, weight in network.named_parameters():
        if weight.ndim > 1 and not name.startswith(("block", "density", "gain", "inverse")):
            weight.add_(0.02 * torch.randn(weight.shape))
    network.prediction.output.weight.mul_(5)
    network.fit_tables()
    return LoadedModel(network=network, config=config)


@pytest.fixture(scope="session")
def codec():
    return small_codec()


@pytest.fixture(scope="session")
def other_codec():
    return small_codec(seed=1)


def photograph(height, width, channels=3, seed=0):
    """Smooth shapes with an edge and a little noise, as an array of bytes."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / (9 + 3 * c) + c) + np.cos(columns / (13 - 2 * c)) + (columns > 2 * rows) for c in range(channels)]
    pixels = 127 + 40 * np.stack(waves, axis=2) + rng.normal(0, 4, (height, width, channels))
    return np.clip(pixels, 0, 255).astype(np.uint8).squeeze()


@pytest.fixture(name="photograph")
def _photograph():
    return photograph
