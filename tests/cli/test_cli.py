"""The command line: quick help, and one clear line with exit code 2 for every mistake."""

import itertools
import os
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib

import pytest
import torch
from PIL import Image

import sfumato as sf
from benchmarks.commands import COMMANDS
from sfumato.cli import main
from sfumato.cli.defaults import started
from sfumato.cli.verbs import machine, verbs
from sfumato.io.decode import facts
from sfumato.recipes import RECIPES, recipe
from sfumato.store import checkpoint, weights
from sfumato.store.zoo import list_models


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def refuses(capsys, *arguments: str, saying: str) -> None:
    code, out, err = run(capsys, *arguments)
    said = " ".join((out + err).replace("│", " ").split())
    assert code == 2, said
    assert saying in said
    assert "Traceback" not in said
    assert err.startswith("sfumato: "), err
    assert err.strip().count("\n") == 0, err


def picture(path, size=(20, 20), colour=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour % 256, 40, 90)).save(path)


@pytest.fixture
def photos(tmp_path):
    for i in range(12):
        picture(tmp_path / "photos" / f"{i}.png", colour=20 * i)
    return tmp_path / "photos"


def test_a_picture_just_small_enough_is_read_without_a_word(tmp_path):
    Image.new("1", (9800, 9800)).save(tmp_path / "large.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with machine(1):
            assert facts(tmp_path / "large.png", "large.png").size == (9800, 9800)


LATER = {"compress", "decompress", "embed", "search", "cluster", "duplicates", "export", "verify", "push", "get"}
LATER |= {"serve", "studio", "augment", "tune"}
LATER_RECIPES = {"codec", "deblock", "dust", "upscale-x3", "upscale-jpeg-x2", "upscale-jpeg-x4"}
"""Verbs and recipes that the recording, which compares a version with an earlier one, does not have."""


def test_the_recorded_commands_are_of_every_verb_and_every_recipe():
    begun = [command.split() for command in COMMANDS]
    assert set(verbs) - {words[0] for words in begun} == {"demo", "completion", *LATER}
    assert set(RECIPES) - {words[1] for words in begun if words[0] == "train"} == LATER_RECIPES


SMALL = ("--images", "32", "--batch", "8", "--model.width", "4", "--model.discriminator-width", "4", "--threads", "1")


def test_a_start_brings_its_settings_along_and_flags_change_those(capsys, photos, tmp_path, untrained):
    network = untrained("stylegan", size=(20, 20), mapping_rate=0.02, filtered=True, generator="skip", noise=False)
    start = tmp_path / "start.safetensors"
    checkpoint.save(start, network, network.config, {})
    train = ("train", "stylegan", "--data", str(photos), "--start", str(start), "--images", "8", "--batch", "4", "--lr", "0", "--grow", "0")
    assert run(capsys, *train, "--threads", "1", "--out", str(tmp_path / "run"))[0] == 0
    made = weights.load(tmp_path / "run")
    assert made.config == network.config
    torch.testing.assert_close(sf.generate(made, 3), sf.generate(network, 3), atol=1e-3, rtol=0)
    start.unlink()
    assert run(capsys, *train, "--threads", "1", "--out", str(tmp_path / "run"))[0] == 0, "a run that has begun needs it no longer"
    refuses(capsys, *train, "--threads", "1", "--out", str(tmp_path / "other"), saying="start.safetensors")
    checkpoint.save(start, network, network.config, {})
    grouped = ("--model.group", "2", "--threads", "1", "--out", str(tmp_path / "grouped"))
    assert run(capsys, *train, *grouped)[0] == 0
    assert weights.load(tmp_path / "grouped").config.group == 2


def test_the_recipe_says_how_far_to_enlarge_and_not_what_training_starts_from():
    model = started(recipe("upscale-x2"), ["--start", "upscale-x4"]).model
    assert (model.scale, model.middle) == (2, 10)


def test_the_data_says_which_classes_there_are_and_not_what_training_starts_from(capsys, photos, tmp_path, untrained):
    for i in range(12):
        picture(tmp_path / "classes" / "ab"[i % 2] / f"{i}.png", colour=20 * i)
    size = {"size": (20, 20), "width": 4, "discriminator_width": 4}
    for name, network in (("none", untrained("dcgan", **size)), ("three", untrained("dcgan", classes=3, **size))):
        checkpoint.save(tmp_path / f"{name}.safetensors", network, network.config, {"data": {"classes": ["x", "y", "z"]}})
    for start, data, classes, said in (
        ("none", "classes", 2, "the tables of 2 classes begin afresh: the weights have none"),
        ("three", "classes", 2, "the tables of 3 classes begin afresh: the data has 2 others"),
        ("three", "photos", 0, "the tables of 3 classes are left out"),
    ):
        train = ("train", "dcgan", "--data", str(tmp_path / data), "--start", str(tmp_path / f"{start}.safetensors"), "--threads", "1")
        made = tmp_path / f"{start}-{data}"
        code, out, _ = run(capsys, *train, "--images", "8", "--batch", "4", "--out", str(made))
        assert code == 0
        assert said in " ".join(out.split())
        assert weights.load(made).network.classes == classes
        assert run(capsys, *train, "--images", "16", "--batch", "4", "--out", str(made))[0] == 0, "and it can be prolonged"


def test_help_is_quick_and_light():
    code = "import sys; sys.argv = ['sfumato', '--help']\nfrom sfumato.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print([m for m in ('torch', 'numpy', 'tensorboard', 'PIL', 'av', 'safetensors', 'typeguard') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"
    for verb in ("demo", "train", "generate", "interpolate", "restore", "evaluate", "audit", "import", "models"):
        assert verb in out


@pytest.mark.parametrize("name", [name for name in verbs if name != "train"])
def test_help_names_what_is_wanted_and_fills_its_lines(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    out = capsys.readouterr().out
    assert "{None}" not in out
    assert "STR" not in out.split("\n\n")[0].split("]")[-1], "positionals are models, pictures and files"
    rows = [line[2:-2] for line in out.splitlines() if line.startswith("│ ")]
    for row, following in itertools.pairwise(rows):
        indent = len(following) - len(following.lstrip())
        if indent > 4 and row[indent - 1] == " " != row[indent]:
            word = following.split()[0]
            assert len(row.rstrip()) + 1 + len(word) > len(row), f"{word} would have had room: {row}"


def test_train_then_generate(capsys, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "train", "dcgan", "--data", str(photos), *SMALL)[0] == 0
    assert (tmp_path / "runs" / "photos" / "model.safetensors").exists()
    assert run(capsys, "generate", "runs/photos", "-n", "3", "--out", "new", "--threads", "1")[0] == 0
    assert sorted(p.name for p in (tmp_path / "new").glob("[!.]*")) == ["00000.png", "00001.png", "00002.png", "grid.png"]
    code, out, _ = run(capsys, "models")
    assert code == 0
    assert "runs/photos" in out
    refuses(capsys, "train", "dcgan", "--data", str(photos), *SMALL, "--lr", "0.01", saying="lr")
    assert run(capsys, "interpolate", "runs/photos", "--seeds", "0", "1", "--steps", "2", "--out", "w.gif", "--threads", "1")[0] == 0


def test_models_tells_how_good_each_is_and_under_which_terms(capsys, tmp_path):
    code, out, _ = run(capsys, "models", "--runs", str(tmp_path))
    told = " ".join(out.split())
    entries = list_models()
    assert code == 0
    assert entries
    for entry in entries:
        assert f"{entry.name} {entry.headline} {entry.family}, {entry.megabytes:.1f} MB" in told
        assert " ".join(entry.card.data.terms.split()) in told


def test_no_images(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    refuses(capsys, "train", "dcgan", "--data", str(tmp_path / "empty"), saying="empty")
    picture(tmp_path / "one" / "a.png")
    refuses(capsys, "train", "dcgan", "--data", str(tmp_path / "one"), saying="2 are the least")
    refuses(capsys, "train", "dcgan", "--data", str(tmp_path / "nowhere"), saying="nowhere")
    refuses(capsys, "train", "dcgan", "--data", "minst", saying="did you mean 'mnist'?")


def test_files_that_lie(capsys, photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "lies.zip", "w") as archive:
        archive.writestr("a.png", "this is text")
        archive.writestr("b.png", "so is this")
    refuses(capsys, "train", "dcgan", "--data", str(tmp_path / "lies.zip"), saying="a.png")
    whole = (photos / "0.png").read_bytes()
    for i in range(4):
        (photos / f"{i}.png").write_bytes(whole[: len(whole) // 2])
    refuses(capsys, "train", "dcgan", "--data", str(photos), saying="0.png")


def test_a_bomb_is_not_opened(capsys, tmp_path, decoded):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    (tmp_path / "bombs").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "bombs" / name).write_bytes(bomb)
    refuses(capsys, "train", "dcgan", "--data", str(tmp_path / "bombs"), saying="the header declares 1200000000 bytes")
    assert decoded() == set()


def test_models_that_are_not(capsys, tmp_path):
    refuses(capsys, "generate", "nothing", saying="no model 'nothing'")
    (tmp_path / "broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      tail")
    refuses(capsys, "generate", str(tmp_path / "broken.safetensors"), saying="broken.safetensors")
    (tmp_path / "foreign.pkl").write_bytes(b"\x80\x04cposix\nsystem\n(S'touch pwned'\ntR.")
    refuses(capsys, "generate", str(tmp_path / "foreign.pkl"), saying="foreign.pkl")


def test_misspelt_and_impossible_settings(capsys, photos):
    refuses(capsys, "train", "dcgna", saying="did you mean 'dcgan'?")
    refuses(capsys, "train", "dcgan", "--data", str(photos), "--model.widht", "3", saying="--model.width")
    refuses(capsys, "train", "dcgan", "--data", str(photos), "--widht", "3", saying="no option --widht (did you mean --model.width?)")
    refuses(
        capsys, "train", "dcgan", "--data", str(photos), "--batch", "many", saying="--batch = 'many' cannot be read; give 1 to 65536 images"
    )
    refuses(capsys, "train", "dcgan", "--data", str(photos), "--images", "0", saying="images = 0 must be at least 1")
    refuses(capsys, "train", "dcgan", "--data", str(photos), "--lr", "fast", saying="--lr = 'fast' cannot be read; give 0 to 1")
    refuses(capsys, "interpolate", "digits", "--seeds", "1", "x", saying="--seeds = '1', 'x' cannot be read; give whole numbers")
    refuses(
        capsys,
        "train",
        "dcgan",
        "--data",
        str(photos),
        "--model.size",
        "32x32",
        saying="--model.size = '32x32' cannot be read; give two numbers, 8 to 1024 pixels",
    )
    refuses(capsys, "generate", "digits", "--lable", "3", saying="no option --lable (did you mean --label?)")
    refuses(capsys, "generat", "digits", saying="there are demo, train, tune, generate")
    refuses(capsys, "train", "dcgan", "--data", str(photos), "--validation", "0.1", *SMALL, saying="validation = 0.1 has no effect")
    refuses(capsys, "train", "dcgan", "--data", str(photos), "--lr", "7", saying="lr = 7")
    refuses(capsys, "train", "dcgan", "--data", str(photos), "--budget", "soon", saying="budget = 'soon'")
    refuses(capsys, "train", "dcgan", "--data", str(photos), "--model.size", "4", "4", saying="outside [8, 1024]")
    refuses(capsys, "train", "dcgan", "--data", str(photos), "--device", "tpu", *SMALL, saying="device = 'tpu'")
    refuses(capsys, "train", "classifier", "--data", str(photos), "--model.size", "16", "16", saying="classes")


def test_no_memory_is_one_line(capsys, monkeypatch, tmp_path):
    def fail(*_, **__):
        torch.empty(1 << 60)

    monkeypatch.setattr("sfumato.generation.generate.generate", fail)
    refuses(capsys, "generate", "digits", "--out", str(tmp_path / "sheet.png"), saying="not enough memory")


def test_the_folder_here_gives_the_run_its_name(capsys, photos, tmp_path, monkeypatch):
    (photos / "inside").mkdir()
    monkeypatch.chdir(photos / "inside")
    assert run(capsys, "train", "dcgan", "--data", "..", *SMALL)[0] == 0
    assert (photos / "inside" / "runs" / "photos" / "model.safetensors").is_file()


def test_unwritable_folder(capsys, photos, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refuses(capsys, "train", "dcgan", "--data", str(photos), *SMALL, "--out", str(tmp_path / "file" / "run"), saying=str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "in the way"


def test_version(capsys):
    code, out, _ = run(capsys, "--version")
    assert code == 0
    assert out.startswith("sfumato 0.")


def test_restore_says_what_it_found_and_did(capsys, photos, tmp_path):
    code, out, _ = run(capsys, "restore", str(photos / "3.png"), "--method", "median", "--out", str(tmp_path / "m"), "--threads", "1")
    assert code == 0
    assert "no white noise" in out
    assert "median" in out
    assert (tmp_path / "m" / "3.png").exists()


def test_restore_goes_on_past_a_bad_file_and_says_so_at_the_end(capsys, photos, tmp_path):
    (photos / "5.png").write_bytes(b"no picture")
    ask = ("restore", str(photos), "--method", "median", "--out", str(tmp_path / "m"), "--threads", "1")
    code, out, _ = run(capsys, *ask)
    assert code == 2
    assert "11 repaired, 1 failed; see" in " ".join(out.split())
    assert "failed:" in out
    code, out, _ = run(capsys, *ask)
    assert code == 2
    assert "0 repaired, 11 done before, 1 failed" in " ".join(out.split())


@pytest.mark.parametrize("how", [("--find", "dead-pixels"), ("--strength", "0"), ("--method", "median", "--strength", "0")], ids=" ".join)
def test_what_was_left_as_it_was_is_not_counted_as_repaired(how, capsys, photos, tmp_path):
    code, out, _ = run(capsys, "restore", str(photos), *how, "--out", str(tmp_path / "m"), "--threads", "1")
    assert code == 0
    assert "0 repaired, 12 left as they were; see" in " ".join(out.split())


def test_names_that_are_no_text_are_told_as_well_as_can_be(capsys, photos, tmp_path, monkeypatch):
    (photos / os.fsdecode(b"[red]\xff.psd")).write_bytes(b"8BPS\0\1")
    ask = ("--method", "median", "--out", str(tmp_path / "m"), "--threads", "1")
    code, out, _ = run(capsys, "restore", str(photos), *ask)
    assert code == 0
    assert "[red]\ufffd.psd" in out
    monkeypatch.setattr("sfumato.restoration.film.restore_film", lambda *_, **__: "4 frames")
    code, out, _ = run(capsys, "restore", os.fsdecode(b"[/a]\xff.mp4"), *ask)
    assert code == 0
    assert "[/a]\ufffd.mp4: 4 frames -> " in out


def test_what_restore_cannot_do_is_one_line(capsys, photos, tmp_path):
    one, out = str(photos / "3.png"), ("--out", str(tmp_path / "m"), "--threads", "1")
    refuses(capsys, "restore", *out, saying="no picture was named")
    refuses(capsys, "restore", str(tmp_path / "absent.png"), *out, saying="no file or folder")
    refuses(capsys, "restore", one, "--method", "medien", *out, saying="did you mean 'median'")
    refuses(capsys, "restore", one, "--model", "digits", *out, saying="digits repairs nothing")
    refuses(capsys, "restore", one, "--memory", "some", *out, saying="memory = 'some' is not a size")
    refuses(capsys, "restore", one, "--strength", "7", *out, saying="--strength = 7.0 is outside [0, 2]")
    refuses(capsys, "restore", one, "film.mp4", *out, saying="film.mp4 is a film: give it alone")
    refuses(capsys, "restore", one, "--method", "wiener", "--blur", "fog", *out, saying="blur = 'fog' is not a blur; write")
    refuses(capsys, "restore", one, "--method", "median", "--ensemble", "4", *out, saying="ensemble = 4 has no effect on median")
    refuses(capsys, "evaluate", "median", "--restore", "text", "--ensemble", "4", saying="ensemble = 4 has no effect on median")
    refuses(capsys, "evaluate", "digits", "--ensemble", "8", saying="no effect without --restore")
    refuses(capsys, "evaluate", "median", "--restore", "rain", saying="no degradation 'rain'")
    refuses(capsys, "evaluate", "median", "--restore", "text", "--accuracy-score", saying="has no effect with --restore")


def test_figures_of_a_repair_stand_under_one_protocol(capsys, photos):
    code, out, _ = run(capsys, "evaluate", "median", "--restore", "salt-and-pepper:20", "--data", str(photos), "--threads", "1")
    assert code == 0
    said = " ".join(out.split())
    assert "psnr_before" in said
    assert said.count("default_rng(0) each picture") == 1


def test_a_restorer_is_trained_and_used(capsys, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ("--model.width", "4", "--model.middle", "1", "--model.encoder", "1", "--model.decoder", "1", "--patch", "16", "--batch", "4")
    code, out, err = run(capsys, "train", "denoise", "--data", str(photos), "--images", "16", *small, "--threads", "1")
    assert code == 0, err
    assert "squares of 16 px, 1 channel;" in " ".join(out.split())
    code, out, err = run(capsys, "restore", str(photos / "3.png"), "--model", "runs/photos", "--task", "denoise", "--threads", "1")
    assert code == 0, err
    assert (tmp_path / "restored" / "3.png").exists()


def test_a_verb_that_does_not_exist(capsys):
    refuses(capsys, "generte", "cats", saying="no verb 'generte' (did you mean 'generate'?); there are demo, train, tune, generate")


def test_a_picture_holds_no_weights(capsys, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    refuses(capsys, "import", str(tmp_path / "photo.png"), saying="is a picture, and no file of weights")
