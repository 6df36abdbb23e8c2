"""Patches: texture goes on through holes, and all that is put there stands elsewhere in the picture."""

import pytest
import torch
from torch.nn import functional as F

from sfumato.classical import completion
from sfumato.classical.fill import laplace
from sfumato.classical.patch_match import Patches, Search, searched


@pytest.fixture(autouse=True)
def few_passes(monkeypatch):
    """Small images need few passes."""
    monkeypatch.setattr(completion, "_PASSES", 2)
    monkeypatch.setattr(completion, "_FIRST_ROUNDS", 2)
    monkeypatch.setattr(completion, "_ROUNDS", 1)


def texture(channels, size=(72, 88)):
    """Waves that repeat, in each channel others."""
    rows, columns = torch.meshgrid(*(torch.arange(s).float() for s in size), indexing="ij")
    waves = [torch.sin(0.5 * rows * (1 + i % 2) + 0.7 * columns) * torch.cos(0.35 * columns + i) for i in range(channels)]
    return torch.stack(waves) * 0.4 + 0.5


def box(size, top, left, height, width):
    hole = torch.zeros(size, dtype=torch.bool)
    hole[top : top + height, left : left + width] = True
    return hole


def film(image, hole):
    """What a soap film makes of the hole."""
    return laplace(image[None], observed=(~hole)[None, None].float())[0]


def made_of(image, hole, **options):
    made, left = completion.fill_with_patches(film(image, hole), hole=hole, trusted=~hole, **options)
    assert not left.any()
    assert torch.equal(made[:, ~hole], image[:, ~hole])
    return made


def copied(image, hole, trusted=None):
    """Before the colours are changed to join what is around."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        made = completion.completed(image.masked_fill(hole, 0.0), hole=hole, trusted=~hole if trusted is None else trusted, rng=rng)
    assert torch.equal(made[:, ~hole], image[:, ~hole])
    return made


def psnr_in(made, image, hole):
    return -10 * (made - image)[:, hole].square().mean().log10().item()


def rows_of(colours):
    return {tuple(each) for each in colours.T.tolist()}


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_a_texture_goes_on_through_a_hole(channels):
    image = texture(channels)
    hole = box(image.shape[1:], 24, 30, 26, 26)
    made = made_of(image, hole)
    assert psnr_in(made, image, hole) > psnr_in(film(image, hole), image, hole) + 6
    assert made[:, hole].std() > 0.8 * image.std(), "no smudge"


@pytest.mark.parametrize("place", [(0, 0, 20, 20), (52, 68, 20, 20), (30, 0, 12, 88), (0, 30, 72, 14)])
def test_holes_at_the_border_are_filled_with_what_stands_elsewhere(place):
    image = texture(3)
    hole = box(image.shape[1:], *place)
    made = copied(image, hole)
    assert rows_of(made[:, hole]) <= rows_of(image[:, ~hole])
    assert made[:, hole].std() > 0.7 * image.std()


def test_several_holes_and_the_same_again():
    image = torch.rand(1, 44, 100, generator=torch.Generator().manual_seed(0))
    hole = box((44, 100), 10, 10, 12, 12) | box((44, 100), 20, 80, 14, 10)
    before = image.clone()
    made = made_of(image, hole)
    assert torch.equal(image, before)
    assert torch.equal(made, made_of(image, hole))
    assert not torch.equal(made, made_of(image, hole, seed=1))
    assert rows_of(copied(image, hole)[:, hole]) <= rows_of(image[:, ~hole])


def test_a_hole_that_is_nearly_all():
    image = texture(3)
    hole = ~box(image.shape[1:], 20, 30, 24, 24)
    assert rows_of(copied(image, hole)[:, hole]) <= rows_of(image[:, ~hole])
    made = made_of(image, hole)
    assert made.min() >= 0
    assert made.max() <= 1


def test_a_slope_has_no_seam():
    down, across = torch.linspace(0.1, 0.9, 80)[:, None].expand(80, 90), torch.linspace(0.1, 0.9, 90).expand(80, 90)
    image = torch.stack([down, across, 1 - (down + across) / 2])
    hole = box((80, 90), 25, 30, 30, 30)
    made, inside = made_of(image, hole), box((80, 90), 26, 31, 28, 28)
    torch.testing.assert_close(made[:, ~inside], film(image, hole)[:, ~inside], rtol=0, atol=1e-3)
    assert not torch.allclose(copied(image, hole)[:, ~inside], image[:, ~inside], rtol=0, atol=0.01)


def test_where_there_is_too_little_nothing_is_made():
    image = torch.rand(3, 40, 40)
    hole = ~box((40, 40), 10, 10, 9, 9)
    made, left = completion.fill_with_patches(image, hole=hole, trusted=~hole)
    assert torch.equal(left, hole)
    assert torch.equal(made, image)
    tiny = torch.rand(1, 3, 4, 5)
    observed = torch.ones(1, 1, 4, 5)
    observed[..., 1, 1] = 0
    assert torch.equal(completion.patches(tiny, observed=observed), laplace(tiny, observed=observed))


def test_what_is_not_trusted_is_fitted_to_and_not_copied():
    image = texture(3)
    hole, doubtful = box(image.shape[1:], 20, 30, 24, 24), box(image.shape[1:], 30, 54, 4, 20)
    image[:, doubtful] = torch.tensor([1.0, 0.0, 1.0])[:, None]
    made = copied(image, hole, ~(hole | doubtful))
    assert (1.0, 0.0, 1.0) not in rows_of(made[:, hole])


def test_large_holes_take_fewer_passes(monkeypatch):
    seen = []
    original = Search.improved
    monkeypatch.setattr(Search, "improved", lambda self, *a, **k: seen.append(len(self.targets)) or original(self, *a, **k))
    monkeypatch.setattr(completion, "_WORK", 1000)
    image = torch.rand(1, 100, 120)
    made_of(image, box((100, 120), 30, 30, 40, 40))
    assert seen.count(46 * 46) == 1
    assert all(seen.count(each) <= max(1, 1000 // each) for each in seen)


def test_patches_are_what_unfolding_gives():
    features = torch.rand(12, 15, 4)
    centres = torch.tensor([2 * 15 + 2, 5 * 15 + 7, 9 * 15 + 12])
    whole = F.unfold(features.permute(2, 0, 1)[None], 5)[0].reshape(4, 25, 8, 11)
    for patch, centre in zip(Patches(features, 2).at(centres), centres.tolist(), strict=True):
        expected = whole[:, :, centre // 15 - 2, centre % 15 - 2].T.flatten()
        assert torch.equal(patch, expected)


def test_no_match_gets_worse_and_none_lies_in_a_hole():
    image = texture(3)
    hole = box(image.shape[1:], 24, 30, 20, 20)
    patches, search = Patches(image.permute(1, 2, 0).contiguous(), 3), searched(hole, ~hole, radius=3)
    rng = torch.Generator().manual_seed(0)
    match = search.compared(patches, search.start(rng))
    for _ in range(4):
        better = search.improved(patches, match, rounds=1, rng=rng)
        assert (better.distances <= match.distances).all()
        assert search.allowed.flatten()[better.field].all()
        torch.testing.assert_close(better.distances, search.compared(patches, better.field).distances)
        match = better


def test_a_copy_of_the_hole_elsewhere_is_found():
    image = torch.rand(1, 80, 120, generator=torch.Generator().manual_seed(2))
    image[:, 20:60, 70:110] = image[:, 20:60, 10:50]
    hole = box((80, 120), 30, 20, 16, 16)
    patches, search = Patches(image.permute(1, 2, 0).contiguous(), 3), searched(hole, ~hole, radius=3)
    rng = torch.Generator().manual_seed(0)
    match = search.improved(patches, search.compared(patches, search.start(rng)), rounds=6, rng=rng)
    assert (match.distances == 0).float().mean() > 0.99
    assert torch.equal(match.field[match.distances == 0], search.targets[match.distances == 0] + 60)
