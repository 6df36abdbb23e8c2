"""From estimates to a task and a sentence, at their very bounds; and which parts of a picture are judged."""

import pytest
import torch

from sfumato.analysis import diagnose as module
from sfumato.analysis.diagnose import Diagnosis, Source, diagnose
from sfumato.nn.blurs import Blur

CLEAN = {"noise": 0.0, "salt_and_pepper": 0.0, "quality": None, "blur": 0.0, "scratched": None}


def diagnosis(**changes):
    return Diagnosis(**{**CLEAN, **changes})


@pytest.mark.parametrize(
    ("name", "bound", "below", "task"),
    [
        ("noise", 2.5 / 255, 2.4 / 255, "denoise"),
        ("salt_and_pepper", 0.001, 0.0009, "denoise"),
        ("scratched", 0.002, 0.0019, "inpaint"),
        ("blur", 0.8, 0.79, "deblur"),
    ],
)
def test_damage_counts_from_its_bound_on(name, bound, below, task):
    assert diagnosis(**{name: bound}).task == task
    assert diagnosis(**{name: below}).task == "none"
    assert diagnosis(**{name: bound}).sentence() != diagnosis(**{name: below}).sentence()
    assert diagnosis(**{name: below}).sentence() == diagnosis(**({"scratched": 0.0} if name == "scratched" else {})).sentence()


@pytest.mark.parametrize("name", ["noise", "salt_and_pepper", "blur"])
def test_an_estimate_that_is_missing_is_no_damage(name):
    assert diagnosis(**{name: None}).task == "none"


@pytest.mark.parametrize(
    ("damage", "task"),
    [
        ({"noise": 0.05, "blur": 2.4}, "denoise"),  # 0.05^2 against 2.4 / 1000
        ({"noise": 0.05, "blur": 2.6}, "deblur"),
        ({"noise": 0.04, "salt_and_pepper": 0.004, "blur": 2.5}, "denoise"),  # both together
        ({"noise": 0.04, "salt_and_pepper": 0.003, "blur": 2.5}, "deblur"),
        ({"scratched": 0.0104, "blur": 2.5}, "inpaint"),  # a quarter of the share
        ({"scratched": 0.0096, "blur": 2.5}, "deblur"),
        ({"quality": 4, "blur": 2.9}, "jpeg"),  # 15 / 1000 / (quality + 1)
        ({"quality": 4, "blur": 3.1}, "deblur"),
    ],
)
def test_the_costliest_damage_is_repaired_first(damage, task):
    assert diagnosis(**damage).task == task


def test_sentences():
    assert diagnosis().sentence() == "no white noise, no salt and pepper, no JPEG grid, sharp"
    assert diagnosis(noise=None).sentence() == "noise unknown, no salt and pepper, no JPEG grid, sharp"
    assert diagnosis(noise=None, salt_and_pepper=None).sentence() == "no estimate: the picture is too small"
    assert diagnosis(salt_and_pepper=0.125, quality=30, blur=None).sentence() == (
        "no white noise, salt and pepper on 12.5%, JPEG of quality 30, sharpness unknown"
    )
    assert diagnosis(scratched=0.0).sentence().endswith("sharp, no scratches")
    assert diagnosis(scratched=0.015).sentence().endswith("sharp, scratches on 1.5%")


@pytest.mark.parametrize(
    ("spread", "text"),
    [
        (None, "blur of 2.0 pixels"),
        (Blur("gaussian", 2.0), "blur of 2.0 pixels"),
        (Blur("defocus", 4.0), "out of focus by 4.0 pixels"),
        (Blur("motion", 9.0, 30.0), "motion of 9 pixels at 30 degrees"),
    ],
)
def test_a_blur_is_named_by_its_kind(spread, text):
    assert diagnosis(blur=2.0, spread=spread).sentence().endswith(f", {text}")


def ramp(h, w):
    """Each pixel knows its place."""
    return (torch.arange(h)[:, None] * 10_000.0 + torch.arange(w))[None, None]


def test_up_to_400_squared_a_picture_is_judged_whole():
    assert torch.equal(module._pieces(ramp(400, 400)), ramp(400, 400))
    assert module._pieces(ramp(401, 400)).shape == (9, 1, 136, 136)


def test_nine_pieces_lie_on_a_grid_of_eight_from_border_to_border():
    pieces = module._pieces(ramp(500, 700))
    corners = [divmod(int(piece[0, 0, 0]), 10_000) for piece in pieces]
    rows, columns = sorted({row for row, _ in corners}), sorted({column for _, column in corners})
    assert len(corners) == 9 == len(rows) * len(columns)
    assert all(place % 8 == 0 for place in (*rows, *columns))
    assert rows[0] == columns[0] == 0
    assert 500 - 136 - 8 < rows[-1] <= 500 - 136
    assert 700 - 136 - 8 < columns[-1] <= 700 - 136
    assert abs(rows[1] - rows[2] / 2) <= 8


def test_of_a_long_strip_as_many_pixels_are_judged_as_of_others():
    assert torch.equal(module._pieces(ramp(100, 5000)), ramp(100, 5000)[:, :, :, :1600])
    assert torch.equal(module._pieces(ramp(5000, 100)), ramp(5000, 100)[:, :, :1600])
    assert module._pieces(ramp(2, 200_000)).shape == (1, 1, 2, 80_000)


def test_small_pictures_have_no_estimate():
    rng = torch.Generator().manual_seed(0)
    small, least = torch.rand(1, 1, 15, 40, generator=rng), torch.rand(1, 1, 16, 40, generator=rng)
    assert diagnose(small) == Diagnosis(noise=None, salt_and_pepper=None, quality=None, blur=None, scratched=None)
    assert diagnose(small, source=Source(quality=20)).quality == 20, "but the file's own word stands"
    assert module.salt_and_pepper(small) is None
    assert diagnose(least).salt_and_pepper is not None
    assert module.salt_and_pepper(least) == diagnose(least).salt_and_pepper


def test_salt_and_pepper_leaves_blur_open():
    picture = torch.full((1, 3, 60, 60), 0.5)
    picture[:, :, 5::7, 5::7] = 1.0
    found = diagnose(picture)
    assert found.salt_and_pepper == pytest.approx(64 / 3600, rel=1e-4)
    assert found.blur is None
    assert found.task == "denoise"
