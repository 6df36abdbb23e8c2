"""What a phase sees: several processes draw together what one would draw alone."""

import pytest
import torch

from sfumato.objectives.base import Batch


def batch(count, part=0, parts=1):
    images = torch.zeros(count, 1, 2, 2)
    return Batch(
        clean=images,
        degraded=images,
        labels=None,
        rng=torch.Generator().manual_seed(5),
        images_seen=0,
        progress=0.0,
        part=part,
        parts=parts,
    )


@pytest.mark.parametrize("draw", ["normal", "uniform"])
@pytest.mark.parametrize("parts", [2, 3])
def test_the_parts_make_up_the_whole(draw, parts):
    whole = batch(6)
    shares = [batch(6 // parts, part, parts) for part in range(parts)]
    for shape in [(4,), (3, 2), ()]:  # in turn, so that what is drawn second fits too
        together = torch.cat([getattr(share, draw)(*shape) for share in shares])
        assert torch.equal(together, getattr(whole, draw)(*shape))


def test_numbers_are_fresh_at_every_call():
    one = batch(4)
    assert not torch.equal(one.normal(3), one.normal(3))
