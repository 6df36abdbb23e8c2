"""Pictures that any program made, beside their references."""

import math
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.evaluation.pairs import evaluate_pairs


def drawn(seed, size=(40, 30), channels=3):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), np.uint8)
    return np.ascontiguousarray(pixels[..., 0] if channels == 1 else pixels)


def saved(folder, pictures, ending=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures.items():
        path = folder / f"{name}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def changed(pixels, by):
    return (pixels.astype(int) + by).clip(0, 255).astype(np.uint8)


def values(report):
    return {row.name: row.value for row in report}


def decibels(a, b):
    return 20 * math.log10(255) - 10 * math.log10(np.square(np.asarray(a, float) - np.asarray(b, float)).mean())


def bt601(pixels):
    return pixels.astype(float) @ np.array([65.481, 128.553, 24.966]) / 255 + 16


def test_psnr_is_the_mean_over_pictures_of_all_channels_and_of_luma(tmp_path):
    true = {"a": drawn(1), "sub/b": drawn(2, (25, 50))}
    made = {name: changed(pixels, 7) for name, pixels in true.items()}
    report = evaluate_pairs(saved(tmp_path / "made", made, ".bmp"), saved(tmp_path / "true", true))
    figures = values(report)
    assert figures["psnr"] == pytest.approx(np.mean([decibels(made[name], true[name]) for name in true]), abs=1e-6)
    assert figures["psnr_luma"] == pytest.approx(np.mean([decibels(bt601(made[name]), bt601(true[name])) for name in true]), abs=1e-6)
    assert 0 < figures["ssim"] < 1
    assert report[0].interval is not None
    assert report[0].protocol.generated == 2


def test_the_border_does_not_count():
    true = drawn(3)
    made = true.copy()
    made[:4], made[:, -4:] = 255 - made[:4], 255 - made[:, -4:]
    assert values(evaluate_pairs([made], [true]))["psnr"] < 20
    assert values(evaluate_pairs([made], [true], border=4))["psnr"] == 100
    assert values(evaluate_pairs([made], [true], border=4))["ssim"] == pytest.approx(1)
    with pytest.raises(sf.SettingError, match="border = 15 pixels leave nothing of picture 1, which is 40 x 30"):
        evaluate_pairs([made], [true], border=15)


def test_grey_pictures_are_compared_as_they_are():
    true = drawn(4, channels=1)
    figures = values(evaluate_pairs([changed(true, 3)], [true]))
    assert figures["psnr"] == pytest.approx(decibels(changed(true, 3), true), abs=1e-6)
    assert set(figures) == {"psnr", "ssim"}, "luma in studio range would be another figure"
    coloured = np.stack([true, true, changed(true, 40)], axis=2)
    assert "psnr_luma" in values(evaluate_pairs([coloured], [true])), "a coloured result beside a grey original"


def test_a_picture_goes_with_the_reference_of_its_name(tmp_path):
    true = saved(tmp_path / "true", {"a": drawn(1), "b": drawn(2), "c": drawn(3)})
    made = saved(tmp_path / "made", {"b": drawn(2), "a": drawn(1)}, ".webp")
    for name, seed in (("a", 1), ("b", 2)):
        Image.fromarray(drawn(seed)).save(made / f"{name}.webp", lossless=True)
    with pytest.warns(UserWarning, match="^1 of the 3 references have no picture to compare with, and do not count$"):
        assert values(evaluate_pairs(made, true))["psnr"] == 100
    saved(made, {"d": drawn(4), "e": drawn(5), "a2": drawn(6)})
    with pytest.raises(sf.DataError, match=r"true holds no reference for a2\.png, nor for 2 others"):
        evaluate_pairs(made, true)
    saved(made, {"a": drawn(4)})
    with pytest.raises(sf.DataError, match=r"a\.png and a\.webp have one name"):
        evaluate_pairs(made, true)


def test_zips_files_and_pictures_in_memory(tmp_path):
    true, made = drawn(1), changed(drawn(1), 9)
    folder = saved(tmp_path / "made", {"x": made})
    with zipfile.ZipFile(tmp_path / "true.zip", "w") as archive:
        archive.write(saved(tmp_path / "true", {"x": true}) / "x.png", "x.png")
    expected = values(evaluate_pairs([made], [true]))
    assert values(evaluate_pairs(folder, tmp_path / "true.zip")) == expected
    assert values(evaluate_pairs(folder / "x.png", tmp_path / "true" / "x.png")) == expected
    tensor = torch.from_numpy(made.copy()).permute(2, 0, 1) / 255
    assert values(evaluate_pairs([tensor], [Image.fromarray(true)])) == expected


def test_what_cannot_be_compared_is_named(tmp_path):
    folder = saved(tmp_path / "made", {"x": drawn(1), "y": drawn(2, (41, 30))})
    true = saved(tmp_path / "true", {"x": drawn(1), "y": drawn(2)})
    with pytest.raises(sf.ImageError, match=r"y\.png: is 41 x 30 pixels, and its reference 40 x 30; they must be the same"):
        evaluate_pairs(folder, true)
    (folder / "y.png").write_bytes((folder / "x.png").read_bytes()[:200])
    with pytest.raises(sf.ImageError, match=r"^y\.png: "):
        evaluate_pairs(folder, true)
    (tmp_path / "none").mkdir()
    with pytest.raises(sf.DataError, match="holds no picture"):
        evaluate_pairs(tmp_path / "none", true)
    with pytest.raises(sf.DataError, match="no file or folder 'absent'"):
        evaluate_pairs("absent", true)
    with pytest.raises(sf.DataError, match="holds no reference for picture 2"):
        evaluate_pairs([drawn(1), drawn(2)], [drawn(1)])


def test_a_program_may_have_put_something_behind_the_name(tmp_path):
    true = saved(tmp_path / "true", {"baby": drawn(1), "baby_2": drawn(2)})
    made = saved(tmp_path / "made", {"baby_2_x4": drawn(2), "baby-x4": drawn(1)})
    assert values(evaluate_pairs(made, true))["psnr"] == 100
    saved(made, {"baby_x2": drawn(1)})
    with pytest.raises(sf.DataError, match=r"baby-x4\.png and baby_x2\.png have one reference; measure them apart"):
        evaluate_pairs(made, true)


def test_equal_pictures_are_counted_and_one_picture_has_no_interval():
    report = evaluate_pairs([drawn(1), changed(drawn(2), 9)], [drawn(1), drawn(2)])
    assert "1 of 2 pictures are equal to their references, and count as 100 dB" in report[0].protocol.notes
    assert report[0].protocol.interval
    (alone, *_) = evaluate_pairs([changed(drawn(2), 9)], [drawn(2)])
    assert (alone.interval, alone.protocol.interval) == (None, "")
    assert "equal" not in alone.protocol.notes
