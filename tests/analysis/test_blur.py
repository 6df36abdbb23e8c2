"""The softness of edges: of steps, whose blur is known, and of made-up edges in every direction."""

import math

import pytest
import torch

from sfumato.analysis import blur
from sfumato.nn.blurs import Blur, gaussian
from sfumato.nn.resample import correlate


def board(size=96, square=24, contrast=0.6):
    """Steps in both directions."""
    cells = torch.arange(size) // square
    return (0.2 + contrast * ((cells[:, None] + cells) % 2).float())[None, None]


def blurred(images, sigma):
    wide = torch.full((len(images),), sigma)
    return correlate(images, gaussian(wide, wide, 0 * wide, reach=math.ceil(4 * sigma)))


@pytest.mark.parametrize("sigma", [0.0, 1.0, 1.5, 2.5])
def test_the_blur_of_steps(sigma):
    """A step between two pixels is as soft as 0.75 pixels; times 1.1, by which photographs look sharper than steps."""
    images, expected = blurred(board(), sigma) if sigma else board(), 1.1 * math.hypot(sigma, 0.75)
    assert blur.blur_level(images, noise=0.0) == pytest.approx(expected, rel=0.03)
    assert blur.blur_level(images.expand(-1, 3, -1, -1), noise=0.0) == pytest.approx(expected, rel=0.03)


def test_thin_lines_have_no_blur_and_even_pictures_no_estimate():
    lines = torch.full((1, 1, 96, 96), 0.2)
    lines[..., 6::12] = 0.8
    assert blur.blur_level(lines, noise=0.0) == 0.0
    assert blur.blur_level(torch.full((1, 1, 96, 96), 0.5), noise=0.0) is None
    assert blur.blur_level(board()[:, :, :15], noise=0.0) is None
    assert blur.blur_level(blurred(board(contrast=0.01), 1.5), noise=0.0) is None, "steps of less than a hundredth a pixel"


def test_thirty_edges_are_enough():
    """A step over the whole height is one edge for each row but the four at either border."""
    for height, enough in ((37, False), (38, True)):
        step = torch.full((1, 1, height, 48), 0.2)
        step[..., 24:] = 0.8
        assert (blur.blur_level(blurred(step, 1.5), noise=0.0) is not None) == enough


def test_the_strongest_edges_tell_whether_the_subject_is_sharp():
    """A background with many soft edges, and a subject with few: by all edges the picture is soft, by the strongest it is sharp."""
    background, spread = blurred(board(size=600, contrast=0.3), 2.0), Blur("gaussian", 2.0)
    assert blur.sharpest(background, spread, noise=0.0) == pytest.approx(1.1 * math.hypot(2.0, 0.75), rel=0.03)
    picture = background.clone()
    picture[..., 530:570, 530:570] = board(size=40, square=10)  # in the second part of the rows
    assert blur.blur_level(picture, noise=0.0) > 2
    assert blur.sharpest(picture, spread, noise=0.0) < 0.15 * spread.sigma
    assert blur.sharpest(torch.full((1, 1, 96, 96), 0.5), spread, noise=0.0) is None


def test_the_edges_along_the_path_of_a_motion_stay_sharp_and_do_not_count():
    moving = correlate(board(), Blur("motion", 9, 0).kernels())
    assert blur.sharpest(moving, Blur("gaussian", 2.0), noise=0.0) < 1
    assert blur.sharpest(moving, Blur("motion", 9, 0), noise=0.0) > 2


def test_noise_asks_for_stronger_edges():
    faint = blurred(board(contrast=0.1), 1.5)
    assert blur.blur_level(faint, noise=0.0) is not None
    assert blur.blur_level(faint, noise=0.3) is None


def test_the_slope_of_a_ramp():
    ramp = (0.01 * torch.arange(40.0)[:, None] + 0.02 * torch.arange(40.0))[None, None] / 2
    down, right, length = (part[0, 0, 10:-10, 10:-10] for part in blur._slope(ramp, 1.0))
    assert torch.allclose(down, torch.tensor(0.005), atol=1e-5)
    assert torch.allclose(right, torch.tensor(0.01), atol=1e-5)
    assert torch.allclose(length, torch.tensor(math.hypot(0.005, 0.01)), atol=1e-5)


@pytest.mark.parametrize("across", [False, True])
def test_ridges_lie_along_steps(across):
    """One pixel wide, and none within four pixels of the border."""
    step = torch.full((1, 1, 30, 40), 0.2)
    step[..., 20:] = 0.8
    ridges = blur._ridges(blur._slope(step.mT if across else step, 1.0))
    places = (ridges.mT if across else ridges)[0, 0].nonzero()
    assert places[:, 0].tolist() == list(range(4, 26))
    assert set(places[:, 1].tolist()) <= {19, 20}


def edges(count, *, mean=4.0, swing=3.0, turn=1.0):
    """`count` edges in each of eight directions, whose squares lie on an ellipse; half of them weaker and wrong."""
    rays = torch.arange(8).repeat_interleave(2 * count)
    squares = mean + swing * (2 * math.pi * rays / 8 - turn).cos()
    strong = (torch.arange(len(rays)) % 2).bool()
    return torch.where(strong, squares, 100.0), torch.where(strong, 2.0, 1.0), rays


def test_the_softest_direction_decides():
    squares, strengths, rays = edges(10)
    assert blur._most(squares, strengths, rays) == pytest.approx(4 + 3, rel=1e-3)


def test_few_edges_are_taken_together():
    """Under 20 in a direction, or in four directions, they do not tell one from another."""
    squares, strengths, rays = edges(9)
    assert blur._most(squares, strengths, rays) == blur._strong(squares, strengths)
    squares, strengths, rays = edges(10)
    some = rays < 4
    assert blur._most(squares[some], strengths[some], rays[some]) == blur._strong(squares[some], strengths[some])
    some = rays < 5
    assert blur._most(squares[some], strengths[some], rays[some]) == pytest.approx(4 + 3, rel=1e-3)


def test_the_stronger_half_has_a_say():
    assert blur._strong(torch.tensor([9.0, 9.0, 1.0, 2.0, 3.0]), torch.tensor([1.0, 1.0, 2.0, 2.0, 2.0])) == 2.0


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
def test_a_motion_softens_the_edges_across_its_path_alone(angle):
    motion = Blur("motion", 9, angle)
    moving = correlate(rings(), motion.kernels())
    assert blur.moved(moving, motion, noise=0.0)
    assert not blur.moved(moving, Blur("motion", 9, (angle + 90) % 180), noise=0.0)
    assert not blur.moved(rings(), motion, noise=0.0)
    assert not blur.moved(blurred(rings(), 2.0), motion, noise=0.0), "a blur in all directions"


def test_lines_show_no_motion_along_themselves():
    """Boards and horizons have the same spectrum after a motion along them as before."""
    boards = blurred(torch.full((1, 1, 96, 96), 0.2).index_fill(2, torch.arange(6, 96, 12), 0.8), 1.0)
    assert not blur.moved(boards, Blur("motion", 11, 0), noise=0.0)
    assert not blur.moved(torch.full((1, 1, 96, 96), 0.5), Blur("motion", 11, 0), noise=0.0), "there are no edges"


def rings():
    """Sharp edges in every direction."""
    rows, columns = torch.meshgrid(torch.arange(128.0) - 64, torch.arange(128.0) - 64, indexing="ij")
    return (0.2 + 0.6 * ((rows.square() + columns.square()).sqrt() % 32 < 16))[None, None]
