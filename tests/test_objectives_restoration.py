"""Distances between a repaired image and the clean one, against closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from sfumato.core.errors import SettingError
from sfumato.degrade import DEGRADATIONS
from sfumato.degrade.base import degrade
from sfumato.models.base import Restores
from sfumato.objectives.base import Batch
from sfumato.objectives.restoration import TERMS, Config, charbonnier, edge, fourier, mean_absolute, minus_psnr

CLEAN = torch.rand(3, 2, 12, 10, generator=torch.Generator().manual_seed(0))
MADE = torch.rand(3, 2, 12, 10, generator=torch.Generator().manual_seed(1))


class Fixed(Restores):
    """Gives back what it is given, plus a number, and remembers what it was told."""

    channels, scale, multiple, context, takes = 2, 1, 1, 0, ()

    def __init__(self, takes=()):
        super().__init__()
        self.shift, self.takes = nn.Parameter(torch.tensor(0.1)), takes

    def restore(self, degraded, planes=None):
        self.told = planes
        return degraded + self.shift


def batch(damage=None):
    degraded = CLEAN if damage is None else damage.images
    return Batch(clean=CLEAN, degraded=degraded, labels=None, rng=torch.Generator(), seen=0, progress=0.0, damage=damage)


def test_plain_distances():
    off = (MADE - CLEAN).double()
    assert mean_absolute(MADE, CLEAN).item() == pytest.approx(off.abs().mean().item(), rel=1e-5)
    assert charbonnier(MADE, CLEAN).item() == pytest.approx((off**2 + 1e-6).sqrt().mean().item(), rel=1e-5)
    assert charbonnier(CLEAN, CLEAN).item() == pytest.approx(1e-3)


def test_psnr_is_the_mean_over_images_in_decibels():
    made = CLEAN + torch.tensor([0.1, 0.01, 0.001])[:, None, None, None]
    assert -minus_psnr(made, CLEAN).item() == pytest.approx((20 + 40 + 60) / 3, abs=0.05)
    assert -minus_psnr(CLEAN, CLEAN).item() == pytest.approx(80)


def test_edges_are_scipys_sobel():
    expected = []
    for made, clean in zip(MADE.flatten(0, 1).numpy(), CLEAN.flatten(0, 1).numpy(), strict=True):
        expected += [np.abs(ndimage.sobel(made - clean, axis=axis, mode="reflect")).mean() / 8 for axis in (0, 1)]
    assert edge(MADE, CLEAN).item() == pytest.approx(np.mean(expected), rel=1e-4)
    assert edge(CLEAN + 0.3, CLEAN).item() == pytest.approx(0, abs=1e-6)


def test_the_spectrum_of_a_constant_shift_is_one_number():
    """Orthonormal: a shift of s over n pixels is s sqrt(n) at frequency zero, and nothing elsewhere."""
    h, w = CLEAN.shape[2:]
    numbers = h * (w // 2 + 1) * 2
    assert fourier(CLEAN + 0.2, CLEAN).item() == pytest.approx(0.2 * math.sqrt(h * w) / numbers, rel=1e-4)


@pytest.mark.parametrize("term", TERMS)
def test_each_term_alone_and_weighted(term):
    weights = {**dict.fromkeys(TERMS, 0.0), term: 3.0}
    (phase,) = Config(**weights).phases(Fixed())
    losses = phase.loss(batch())
    assert losses.keys() == {"total", term, "decibels"}
    torch.testing.assert_close(losses["total"], 3 * losses[term])
    assert losses["decibels"].item() == pytest.approx(20, abs=2.5)  # clamped to white
    losses["total"].backward()


def test_terms_add_up():
    (phase,) = Config(l1=2.0, charbonnier=0.5, edge=1.0, fourier=0.25, psnr=0.01).phases(Fixed())
    x = phase.loss(batch())
    expected = 2 * x["l1"] + 0.5 * x["charbonnier"] + x["edge"] + 0.25 * x["fourier"] + 0.01 * x["psnr"]
    torch.testing.assert_close(x["total"], expected)


def test_the_network_is_told_what_it_wants_to_know():
    how = DEGRADATIONS["chain"](links=(DEGRADATIONS["noise"](sigma=(0.1, 0.3)), DEGRADATIONS["missing"]()))
    damage = degrade(how, CLEAN, rng=torch.Generator().manual_seed(0))
    model = Fixed(("known", "noise", "quality"))
    (phase,) = Config().phases(model)
    phase.loss(batch(damage))
    assert torch.equal(model.told[:, :1], damage.known)
    assert torch.equal(model.told[:, 1, 3, 3], damage.noise)
    assert (model.told[:, 2] == 1).all()
    phase.loss(batch())
    assert [model.told[:, i].unique().tolist() for i in range(3)] == [[1.0], [0.0], [1.0]]


def test_validation_is_in_decibels():
    model = Fixed()
    with torch.no_grad():
        model.shift.fill_(0.0)
    assert Config().validate(model, batch())["decibels"].item() == pytest.approx(80)


def test_no_weight_at_all_is_refused():
    with pytest.raises(SettingError, match="all weights are 0"):
        Config(charbonnier=0.0)
