"""Codecs are compared by real files, beside formats whose numbers anybody can check."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.cli import main
from sfumato.data.dataset import Scenes
from sfumato.evaluation import codecs
from sfumato.evaluation.codec_plot import SIZE, plot
from sfumato.models.hyperprior import Config
from sfumato.store.checkpoint import save_model
from sfumato.store.loaded import LoadedModel


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    config = Config(fine=8, middle=8, coarse=8, blocks=(1, 1, 1), latent=24, hyper=8, hyper_latent=4)
    return LoadedModel(network=config.build().eval().requires_grad_(False), config=config)


@pytest.fixture
def pictures():
    rows, columns = np.mgrid[:40, :48]
    shades = [128 + 60 * np.sin(rows / (5 + i)) + 30 * (columns > 20 + 3 * i) for i in range(2)]
    planes = [np.stack([shade, shade * 0.8, 255 - shade]).clip(0, 255).astype(np.uint8) for shade in shades]
    return Scenes(name="shapes", pictures=tuple(torch.from_numpy(plane) for plane in planes))


@pytest.fixture
def comparison(codec, pictures, monkeypatch):
    coder = codecs._pillow("JPEG", subsampling="4:2:0")
    monkeypatch.setattr(codecs, "_anchors", lambda: ({"JPEG": ("libjpeg", coder, (2, 10, 30, 60, 95))}, ("AVIF",)))
    return sf.evaluate_codec(codec, pictures, qualities=(1, 30, 60, 90))


def test_rates_are_those_of_whole_files(comparison, codec, pictures):
    pixels = [picture.permute(1, 2, 0).numpy() for picture in pictures.pictures]
    jpeg = []
    for each in pixels:
        file = io.BytesIO()
        Image.fromarray(each).save(file, "JPEG", quality=30, subsampling="4:2:0")
        jpeg.append(8 * len(file.getvalue()) / (40 * 48))
    assert comparison.anchors[0].points[2].bits_per_pixel == pytest.approx(np.mean(jpeg))
    own = [8 * len(sf.compress(each, quality=60, model=codec)) / (40 * 48) for each in pixels]
    assert comparison.own.points[2].bits_per_pixel == pytest.approx(np.mean(own))
    assert comparison.own.points[2].psnr > comparison.own.points[0].psnr
    assert comparison.own.points[0].ms_ssim is None


def test_the_report_has_a_protocol(comparison):
    (row,) = comparison.report()
    assert row.name == "BD-rate PSNR vs JPEG"
    assert row.value == comparison.bd_rates()["JPEG"]
    assert row.protocol.generated == 2
    assert "libjpeg; PSNR, all qualities in common; 4 and 5 points" in row.protocol.settings


def test_the_plot_has_a_line_for_each_codec(comparison):
    pixels = plot(comparison)
    assert pixels.shape == (*SIZE, 3)
    assert len(torch.unique(pixels.reshape(-1, 3), dim=0)) > 20


def test_the_verb_prints_tables_and_writes_figures(comparison, codec, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "codec.safetensors", codec)
    (tmp_path / "in").mkdir()
    for i, picture in enumerate(pictures.pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / f"in/{i}.png")
    monkeypatch.setattr(codecs, "QUALITIES", (1, 30, 60, 90))
    main(["evaluate", "codec.safetensors", "--compress", "--data", "in", "--out", "rates.json"])
    assert (tmp_path / "rates.json").exists()
    with Image.open("rates.png") as image:
        assert image.size == SIZE[::-1]
    assert "size at equal PSNR (BD-rate)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--compress"], "--compress measures on pictures"),
        (["--compress", "--restore", "noise:25"], "has no effect with --compress"),
        (["--data", "in"], "this model compresses pictures: add --compress"),
    ],
)
def test_flags_that_do_not_fit_are_refused(codec, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "codec.safetensors", codec)
    (tmp_path / "in").mkdir()
    with pytest.raises(SystemExit):
        main(["evaluate", "codec.safetensors", *words])
    assert message in " ".join(capsys.readouterr().err.split())
