"""`sfumato evaluate` on pictures in the place of a model."""

import json

import numpy as np
import pytest
from PIL import Image

from sfumato.cli import main


@pytest.fixture
def sources(tmp_path):
    for name, seed in (("made", 1), ("true", 2)):
        (tmp_path / name).mkdir()
        for i in range(3):
            pixels = np.random.default_rng([seed, i]).integers(0, 256, (24, 20, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    return str(tmp_path / "made"), str(tmp_path / "true")


def test_pairs_are_measured_and_saved(sources, tmp_path, capsys):
    made, true = sources
    main(["evaluate", made, "--reference", true, "--border", "2", "--out", str(tmp_path / "f.json")])
    assert "psnr_luma" in capsys.readouterr().out
    rows = json.loads((tmp_path / "f.json").read_text())
    assert [row["name"] for row in rows] == ["psnr", "ssim", "psnr_luma", "ssim_luma"]
    assert str(tmp_path) not in (tmp_path / "f.json").read_text()


@pytest.mark.parametrize(
    ("flags", "saying"),
    [
        (["--border", "2"], "--border 2 has no effect without --reference"),
        (["--whole"], "--whole has no effect with a folder of pictures"),
        (["--reference", "TRUE", "--data", "mnist"], "--data mnist has no effect with --reference"),
        (["--reference", "TRUE", "--features", "squeezenet"], "--features squeezenet has no effect with --reference"),
        (["--reference", "TRUE", "--restore", "noise:25"], "--restore noise:25 has no effect with --reference"),
        (["--restore", "text", "--compress"], "--restore text has no effect with --compress"),
        (["--data", "TRUE"], "with --features, such as squeezenet or inception"),
        ([], "name their originals with --reference, for FID and others real ones with --data"),
    ],
)
def test_flags_without_effect_are_refused(sources, flags, saying, capsys):
    made, true = sources
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", made, *(true if flag == "TRUE" else flag for flag in flags)])
    assert stop.value.code == 2
    assert saying in " ".join(capsys.readouterr().err.split())
