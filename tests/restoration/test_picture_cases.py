"""Damaged pictures that people have come out better than by the obvious alternative; files beside the repository."""

import pytest
from PIL import Image

import sfumato as sf
from sfumato.io.inputs import images_of
from sfumato.metrics.fidelity import psnr
from tests.restoration.test_mask_cases import CASES, needs_cases

pytestmark = needs_cases


def decibels(picture: Image.Image, truth: str) -> float:
    return float(psnr(images_of(picture), images_of(CASES / f"truth_{truth}.png")))


@pytest.mark.parametrize(
    ("name", "truth", "least", "settings"),
    [
        pytest.param("night2.jpg", "night2", 28.63, {}, id="a night shot: non-local means"),
        pytest.param("noise15_q50.jpg", "noise15_q50", 34.59, {}, id="noise under a JPEG: the network for noise"),
        pytest.param("screenshot_q60.jpg", "screenshot", 34.90, {}, id="letters in a JPEG: a bilateral filter"),
        pytest.param("thumbface.jpg", "thumbface", 28.88, {"task": "upscale", "scale": 2}, id="a face from the web: Lanczos"),
        pytest.param("thumb4.jpg", "thumb", 24.30, {"task": "upscale", "scale": 4}, id="a thumbnail: Lanczos"),
        pytest.param("oldprint.png", "oldprint", 26.85, {"find": ("dust",)}, id="a dusty print: a median of 5 pixels"),
    ],
)
def test_it_is_better_than_the_obvious_alternative(name, truth, least, settings):
    assert decibels(sf.restore(CASES / name, **settings), truth) > least


def test_the_grain_of_a_print_is_taken_away_once_the_dust_is():
    without_dust = sf.restore(CASES / "oldprint.png", find=("dust",))
    output = sf.restore(without_dust)
    assert "coarse noise" in output.plans[0].damage
    assert decibels(output, "oldprint") > decibels(without_dust, "oldprint") + 1.5


def test_noise_is_seen_in_a_scan_of_twelve_bits():
    assert sf.restore(CASES / "12bit_in16.tif").plans[0].damage.startswith("noise of 19")
