"""Which parts of holes are wide, and which pixels belong to one hole."""

import pytest
import torch

from sfumato.classical import holes


def blobs(seed, size=(40, 56)):
    """Holes of all widths: noise, smoothed and cut."""
    noise = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.avg_pool2d(noise, 7, 1, 3) > 0.5)[0, 0]


def far_from(plane, radius):
    """Pixels at least `radius` away from every pixel of the plane, by looking at each pair."""
    h, w = plane.shape
    all_pixels = torch.cartesian_prod(torch.arange(h), torch.arange(w)).double()
    found = plane.nonzero().double()
    if not len(found):
        return torch.ones_like(plane)
    return (torch.cdist(all_pixels, found).amin(dim=1) >= radius - 1e-9).reshape(h, w)


@pytest.mark.parametrize("diameter", [2, 5, 8, 13])
def test_a_wide_part_is_covered_by_discs_that_lie_in_the_hole(diameter):
    for seed in range(3):
        hole = blobs(seed)
        centres = far_from(~hole, diameter / 2) & hole
        assert torch.equal(holes.wide_parts(hole, diameter), hole & ~far_from(centres, diameter / 2))


def test_thin_lines_are_not_wide_and_a_box_is_all_but_its_corners():
    hole = torch.zeros(90, 120, dtype=torch.bool)
    hole[40:44] = True  # a line across the picture
    assert not holes.wide_parts(hole, 16).any()
    hole[20:60, 50:90] = True
    wide = holes.wide_parts(hole, 16)
    assert wide[40, 70]
    assert wide[20, 70]
    assert not wide[42, :40].any(), "the line goes on beside the box"
    assert (wide[20:60, 50:90]).float().mean() > 0.95
    assert torch.equal(holes.wide_parts(hole, 1), hole)


def test_beyond_the_border_nothing_is_known():
    hole = torch.zeros(60, 60, dtype=torch.bool)
    hole[:9] = True
    assert holes.wide_parts(hole, 16).any()
    assert not holes.wide_parts(hole.roll(20, dims=0), 16).any()
    everything = torch.ones(20, 20, dtype=torch.bool)
    assert holes.wide_parts(everything, 16).all()


def test_holes_are_told_apart_whole():
    hole = torch.zeros(200, 300, dtype=torch.bool)
    hole[10:30, 10:40] = True
    hole[12:20, 45:60] = True  # near the first
    hole[150:199, 250:299] = True
    found = holes.separate(hole)
    assert [int(one.plane.sum()) for one in found] == [20 * 30 + 8 * 15, 49 * 49]
    assert [one.window for one in found] == [(10, 10, 30, 60), (150, 250, 199, 299)]
    assert holes.separate(torch.zeros(5, 7, dtype=torch.bool)) == []
    for seed in range(4):
        hole = blobs(seed, (130, 170)) & blobs(seed + 9, (130, 170))
        whole, together = holes.Window(0, 0, 130, 170), torch.zeros(130, 170, dtype=torch.int)
        for one in holes.separate(hole):
            together += one.within(whole)
            assert one.window == holes.bounds(one.within(whole))
        assert torch.equal(together, hole.int())


def test_a_snake_is_one_hole():
    hole = torch.zeros(330, 330, dtype=torch.bool)
    for i in range(0, 330, 96):
        hole[i : i + 4] = True
        hole[i : i + 96, (0 if i // 96 % 2 else 326) : (4 if i // 96 % 2 else 330)] = True
    assert len(holes.separate(hole)) == 1


def test_windows_stay_inside_the_picture():
    hole = torch.zeros(50, 60, dtype=torch.bool)
    hole[5:9, 40:58] = True
    window = holes.bounds(hole)
    assert window == (5, 40, 9, 58)
    assert window.expanded(10, (50, 60)) == (0, 30, 19, 60)
    assert hole[window.parts].all()
