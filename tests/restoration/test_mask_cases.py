"""Masks that people have: soft edges, black where to fill in, and 0 and 1; files beside the repository."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sfumato as sf
from sfumato.core import progress

CASES = Path(__file__).parents[3] / "shared" / "cases" / "pictures"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="../shared/cases holds the masks that this reads")


def filled(mask: str, **options) -> tuple[np.ndarray, list[str]]:
    said: list[str] = []
    with progress.heard(lambda _: None, remark=said.append), Image.open(CASES / "aa_damaged.png") as image:
        return np.asarray(sf.restore(image, task="inpaint", mask=CASES / mask, **options)), said


@needs_cases
def test_what_lies_under_the_soft_edge_of_a_mask_is_filled_in_too():
    made, said = filled("aa_mask.png")
    with Image.open(CASES / "truth_aa.png") as image:
        error = (made.astype(float) - np.asarray(image)) ** 2
    assert 10 * np.log10(255**2 / error.mean()) >= 34.88
    assert said == []


@needs_cases
def test_an_inverted_mask_and_one_of_0_and_1_are_the_same_mask():
    inverted, said = filled("m_black.png", invert_mask=True)
    assert said == []
    ones, said = filled("m_01.png")
    assert len(said) == 1
    assert np.array_equal(inverted, ones)
