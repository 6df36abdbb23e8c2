"""The detection of damage: right figures, and a network that learns where dust lies."""

import pytest
import torch

from sfumato.core.errors import SettingError
from sfumato.degradations import DEGRADATIONS
from sfumato.models import MODELS
from sfumato.models.roles.restorer import Restorer
from sfumato.objectives.base import Batch
from sfumato.objectives.damage import Config, overlap
from sfumato.train.settings import TrainSettings


class Constant(Restorer):
    """Gives the planes that it was made with, whatever it sees."""

    channels, scale, pad_multiple, receptive_radius, conditioning = 1, 1, 1, 0, ()

    def __init__(self, output):
        super().__init__()
        self.output = torch.nn.Parameter(output)

    def restore(self, degraded, planes=None):
        return self.output


@pytest.fixture
def batch():
    clean = torch.full((4, 1, 32, 32), 0.5)
    batch = Batch(clean=clean, degraded=clean, labels=None, rng=torch.Generator().manual_seed(0), images_seen=0, progress=0.0)
    degrade = DEGRADATIONS["dust"](specks=(400.0, 800.0), bright=(1.0, 1.0))
    return Config().prepare(batch, TrainSettings(model=MODELS["gated"](channels=1), objective=Config(), degrade=degrade))


def test_overlap_by_hand():
    found, damaged = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    found[0, 0, 0, :3] = 1
    damaged[0, 0, 0, 1:4] = 1
    assert overlap(found, damaged).item() == pytest.approx(((2 * 2 + 1) / (6 + 1) + 1) / 2)


def test_the_true_damage_has_a_small_loss_and_its_opposite_a_large_one(batch):
    truth = 1 - batch.damage.observed
    losses = [Config().phases(Constant(plane))[0].loss(batch) for plane in (truth, 1 - truth)]
    assert losses[0]["total"] < 0.1 < 1 < losses[1]["total"]
    assert Config().validate(Constant(truth), batch)["overlap"] == 1


def test_a_small_network_finds_bright_specks(batch):
    torch.manual_seed(0)
    network = MODELS["gated"](channels=1, width=8, middle=1, residual=False).build()
    (phase,) = Config().phases(network)
    optimizer = torch.optim.Adam(phase.weights, 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        phase.loss(batch)["total"].backward()
        optimizer.step()
    assert Config().validate(network, batch)["overlap"] > 0.9


def test_a_network_for_colour_is_refused():
    with pytest.raises(SettingError, match="one channel"):
        Config().phases(MODELS["gated"](channels=3, width=4, middle=1).build())
