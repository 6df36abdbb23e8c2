"""What the first commands of a person print: the next step, the gain, the reason of a poor result."""

import contextlib

import numpy as np
import pytest
from PIL import Image

from sfumato.cli import COMMANDS_OF_WORDS, main, verbs


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8).repeat(5, 0).repeat(5, 1)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


def told(capsys, *words):
    """All that a command prints, in one line."""
    with contextlib.suppress(SystemExit):
        main([*map(str, words)])
    out, err = capsys.readouterr()
    return " ".join((out + err).split())


def test_a_word_that_is_no_verb_names_the_command_that_does_it(capsys):
    assert told(capsys, "denoise", "photos") == "sfumato: no verb 'denoise'; the command is: sfumato restore PICTURES --task denoise"
    assert "sfumato evaluate RESULTS --reference ORIGINALS" in told(capsys, "psnr", "a", "b")
    for word, command in COMMANDS_OF_WORDS.items():
        assert word not in verbs
        assert command.split()[0] in verbs


def test_a_wrong_option_or_word_names_the_right_one(photos, capsys):
    assert "no option --output (did you mean --out?)" in told(capsys, "restore", photos, "--output", "x")
    assert "if it is your images, write --data photos/" in told(capsys, "train", "dcgan", "photos/")


def test_a_search_marks_the_picture_itself_and_says_what_is_compared(photos, capsys):
    told(capsys, "embed", photos)
    said = told(capsys, "search", "photos.index", photos / "2.png", "-k", "2")
    assert "1.000 2.png (the picture itself)" in said
    assert said.count("itself") == 1
    assert "codec compares texture and colour" in said
    told(capsys, "embed", photos, "--model", "dust", "--out", "other.index")
    (photos / "2.png").rename(photos.parent / "elsewhere.png")
    assert "itself" not in told(capsys, "search", "photos.index", "elsewhere.png")


def test_compressing_ends_with_the_bytes_before_and_after(photos, capsys):
    said = told(capsys, "compress", photos, "--out", "small")
    before, after = (
        sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".jsonl") for folder in (photos, photos.parent / "small")
    )
    assert f"4 compressed, {before / 1e3:,.0f} kB to {after / 1e3:,.0f} kB ({100 * after / before:.0f} %)" in said


def test_a_report_is_named_and_counts_what_an_earlier_run_did(photos, capsys):
    assert "page: page.html" in told(capsys, "restore", photos, "--out", "clean", "--report", "page.html")
    told(capsys, "restore", photos, "--out", "clean", "--report", "page.html")
    page = (photos.parent / "page.html").read_text()
    assert "4 done by an earlier run" in page
    assert "0 repaired" not in page


def test_a_training_on_few_images_that_learns_nothing_says_so(photos, capsys):
    small = ["--model.width", "2", "--model.max-width", "4", "--model.latent-dim", "2", "--model.size", "8", "8", "--batch", "4"]
    said = told(capsys, "train", "vae", "--data", photos, "--images", "64", *small, "--lr", "1e-6", "--out", "run")
    assert "images are very few, and a network learns so few by heart" in said
    assert "at the end: the latents carry nothing, so that all images are nearly one" in said
    assert "this may help: sfumato train vae" in said
