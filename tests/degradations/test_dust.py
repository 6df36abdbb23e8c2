"""Dust, hairs and scratches: bright or dark as asked, marked where they lie, and as many as the picture is large."""

import pytest
import torch

from sfumato.degradations.base import degrade
from sfumato.degradations.dust import Config

CLEAN = torch.full((6, 3, 64, 64), 0.5)
MANY = {"specks": (300.0, 600.0), "hairs": (40.0, 80.0), "scratches": (20.0, 40.0)}
NONE = {"specks": (0.0, 0.0), "hairs": (0.0, 0.0), "scratches": (0.0, 0.0)}


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("bright", [0.0, 1.0])
def test_things_are_bright_or_dark(bright):
    output = degrade(Config(**MANY, bright=(bright, bright)), CLEAN, rng=seeded()).images
    change = (output - CLEAN) * (1 if bright else -1)
    assert change.min() >= 0
    assert change.max() > 0.2
    assert (output >= 0).all()
    assert (output <= 1).all()


@pytest.mark.parametrize("kind", ["specks", "hairs", "scratches"])
def test_pixels_that_are_covered_visibly_are_marked_and_no_others(kind):
    config = Config(**{**NONE, kind: MANY[kind]}, cover=(1.0, 1.0))
    output = degrade(config, CLEAN, rng=seeded())
    change = (output.images - CLEAN).abs()[:, :1] / 0.5  # the cover
    assert 0.001 < (output.observed == 0).float().mean() < 0.5
    # Where a bright thing crosses a dark one, the change is less than either cover.
    assert (output.observed[change > 0.16] == 0).all()
    alone = degrade(Config(**{**NONE, kind: MANY[kind]}, cover=(1.0, 1.0), bright=(1.0, 1.0)), CLEAN, rng=seeded())
    change = (alone.images - CLEAN)[:, :1] / 0.5
    assert torch.equal(alone.observed == 0, change > 0.15)


def test_without_things_nothing_changes():
    output = degrade(Config(**NONE), CLEAN, rng=seeded())
    assert torch.equal(output.images, CLEAN)
    assert (output.observed == 1).all()


def test_a_larger_picture_has_more_things_and_the_same_share_of_damage():
    config = Config(specks=(200.0, 200.0), hairs=(0.0, 0.0), scratches=(0.0, 0.0))
    shares = [1 - degrade(config, torch.full((4, 1, side, side), 0.5), rng=seeded()).observed.mean().item() for side in (64, 192)]
    assert shares[0] == pytest.approx(shares[1], rel=0.35)
