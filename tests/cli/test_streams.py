"""`-` on the command line: a picture from standard input, the result alone on standard output."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato import cli
from sfumato.cli import main, streams
from sfumato.cli.completion import SHELL
from sfumato.core.pillow_format import MAGIC
from sfumato.models import MODELS
from sfumato.store import checkpoint


class Stream(io.TextIOWrapper):
    """A standard stream over bytes, which may be a terminal."""

    terminal = False

    def isatty(self):
        return self.terminal


@pytest.fixture
def piped(monkeypatch, capsys):
    """A function: arguments and standard input to exit code, standard output and standard error."""

    def run(*arguments, content=b"", terminals=()):
        stdin, stdout = Stream(io.BytesIO(content)), Stream(io.BytesIO())
        stdin.terminal, stdout.terminal = "stdin" in terminals, "stdout" in terminals
        code = 0
        with monkeypatch.context() as patched:
            patched.setattr("sys.stdin", stdin)
            patched.setattr("sys.stdout", stdout)
            try:
                main(arguments)
            except SystemExit as stop:
                code = int(stop.code or 0)
        stdout.flush()
        return code, stdout.buffer.getvalue(), capsys.readouterr().err

    return run


@pytest.fixture
def restorer(tmp_path):
    torch.manual_seed(0)
    config = MODELS["gated"](width=4, middle=1)
    network = config.build().eval()
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    checkpoint.save(tmp_path / "restorer.safetensors", network, config, {})
    return str(tmp_path / "restorer.safetensors")


@pytest.fixture
def generator(tmp_path, untrained):
    network = untrained("stylegan", size=(16, 16))
    checkpoint.save(tmp_path / "generator.safetensors", network, network.config, {})
    return str(tmp_path / "generator.safetensors")


def encoded(kind, size=(24, 20)):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


RESTORE = ("--task", "denoise", "--threads", "1", "--device", "cpu")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_a_piped_picture_is_the_picture_of_the_file(piped, restorer, tmp_path, kind):
    ending = {"JPEG": "jpg", "TIFF": "tif"}.get(kind, kind.lower())
    (tmp_path / f"in.{ending}").write_bytes(encoded(kind))
    file_out = tmp_path / f"out.{ending}"
    assert piped("restore", str(tmp_path / f"in.{ending}"), "--model", restorer, "--out", str(file_out), *RESTORE)[0] == 0
    code, output, words = piped("restore", "-", "--model", restorer, "--out", "-", *RESTORE, content=encoded(kind))
    assert code == 0, words
    assert output == file_out.read_bytes()
    assert "standard input: " in words, "the line about the picture goes to standard error"
    assert "-> standard output" in words
    assert "sfumato-" not in words, "the name of the temporary file is nobody's concern"


def test_the_format_is_a_flag_or_that_of_the_input(piped, restorer, tmp_path):
    words = ("restore", "-", "--model", restorer, *RESTORE)
    assert Image.open(io.BytesIO(piped(*words, "--out", "-", content=encoded("GIF"))[1])).format == "PNG"
    assert Image.open(io.BytesIO(piped(*words, "--out=-", "--format=webp", content=encoded("PNG"))[1])).format == "WEBP"
    assert Image.open(io.BytesIO(piped(*words, "--format", "jpg", "--out", "-", content=encoded("PNG"))[1])).format == "JPEG"
    (tmp_path / "in.jpeg").write_bytes(encoded("JPEG"))
    named = ("restore", str(tmp_path / "in.jpeg"), "--model", restorer, *RESTORE)
    assert Image.open(io.BytesIO(piped(*named, "--out", "-")[1])).format == "JPEG"
    for wrong, saying in (
        (("--out", "-", "--format", "gif"), "format = 'gif' is none of png, jpg, webp, bmp, tif"),
        (("--format", "png"), "--format has no effect without --out -"),
    ):
        code, output, err = piped(*words, *wrong, content=encoded("PNG"))
        assert (code, output) == (2, b"")
        assert saying in err


def test_a_picture_may_be_piped_into_files(piped, restorer, tmp_path):
    code, output, err = piped("restore", "-", "--model", restorer, "--out", str(tmp_path / "r"), *RESTORE, content=encoded("PNG"))
    assert code == 0, err
    assert b"standard input: " in output, "standard output is the terminal's as ever"
    assert (tmp_path / "r" / "stdin.png").is_file()


def test_a_mask_may_be_piped(piped, restorer, tmp_path):
    (tmp_path / "in.png").write_bytes(encoded("PNG"))
    mask = np.zeros((20, 24), np.uint8)
    mask[3:9, 4:12] = 255
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    words = ("restore", str(tmp_path / "in.png"), "--task", "inpaint", "--model", restorer, *RESTORE[2:])
    code, output, err = piped(*words, "--mask", "-", "--out", "-", content=file.getvalue())
    assert code == 0, err
    changed = np.asarray(Image.open(io.BytesIO(output))) != np.asarray(Image.open(tmp_path / "in.png"))
    assert not changed[mask == 0].any()
    assert changed[mask > 0].any()


def test_generators_write_to_standard_output(piped, generator, tmp_path):
    for words, kind in (
        (("generate", generator, "-n", "2"), "PNG"),
        (("mix", generator, "--rows", "0", "--columns", "1", "--format", "jpg"), "JPEG"),
        (("interpolate", generator, "--seeds", "0", "1", "--steps", "2"), "GIF"),
    ):
        code, output, err = piped(*words, "--out", "-", "--threads", "1")
        assert code == 0, err
        assert Image.open(io.BytesIO(output)).format == kind
    assert piped("project", generator, "-", "--steps", "2", "--out", str(tmp_path / "p.safetensors"), content=encoded("PNG"))[0] == 0


@pytest.fixture
def codec(tmp_path):
    config = MODELS["hyperprior"](fine=8, middle=8, coarse=8, blocks=(1, 1, 1), latent=24, hyper=8, hyper_latent=4)
    torch.manual_seed(0)
    network = config.build().eval()
    network.fit_tables()
    checkpoint.save(tmp_path / "codec.safetensors", network, config, {})
    return ("--model", str(tmp_path / "codec.safetensors"), "--threads", "1")


def test_a_picture_is_compressed_and_decompressed_in_a_pipe(piped, codec):
    code, file, words = piped("compress", "--no-keep-metadata", "-", "--out", "-", *codec, content=encoded("PNG"))
    assert (code, file[:4]) == (0, MAGIC), words
    code, output, words = piped("decompress", "-", "--out", "-", *codec, content=file)
    image = Image.open(io.BytesIO(output))
    assert (code, image.format, image.size) == (0, "PNG", (24, 20)), words
    code, output, words = piped("decompress", "-", "--out", "-", "--format", "jpg", *codec, content=file[:-3])
    assert (code, Image.open(io.BytesIO(output)).format) == (2, "JPEG"), "of a damaged file there is a picture, and an error"
    code, output, words = piped("decompress", "-", "--out", "-", *codec, content=encoded("PNG"))
    assert (code, output) == (2, b"")
    assert "standard input: is not a compressed file" in words


def test_a_piped_picture_is_looked_for_and_the_sheet_is_piped(piped, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(encoded("PNG"))
    Image.new("RGB", (24, 20), (9, 200, 9)).save(tmp_path / "photos" / "b.png")
    index = str(tmp_path / "photos.index")
    assert piped("embed", str(tmp_path / "photos"), "--model", "eurosat-classifier", "--out", index, "--threads", "1")[0] == 0
    code, output, words = piped("search", index, "-", "-k", "2", "--out", "-", "--threads", "1", content=encoded("PNG"))
    assert code == 0, words
    assert Image.open(io.BytesIO(output)).format == "PNG"
    assert words.index("a.png") < words.index("b.png")


@pytest.mark.parametrize(
    ("words", "options", "saying"),
    [
        (("restore", "-", "--out", "-"), {"terminals": ("stdout",)}, "standard output is a terminal; write `--out - > picture.png`"),
        (("restore", "-"), {"terminals": ("stdin",)}, "standard input is a terminal; pipe a picture"),
        (("restore", "-"), {}, "standard input: is empty"),
        (("restore", "-"), {"content": b"words"}, "standard input: is not an image"),
        (("restore", "-", "--mask", "-"), {}, "`-` stands for it twice"),
        (("project", "fashion", "x.png", "--out", "-"), {}, "project writes no single picture to standard output"),
        (("evaluate", "digits", "--out", "-"), {}, "evaluate writes no single picture to standard output"),
    ],
)
def test_what_is_not_possible_is_one_line(piped, words, options, saying):
    code, output, err = piped(*words, **options)
    assert (code, output) == (2, b"")
    assert saying in err
    assert err.count("\n") == 1


def test_a_failure_leaves_standard_output_empty(piped, restorer):
    broken = encoded("PNG")[:200]
    code, output, err = piped("restore", "-", "--model", restorer, "--out", "-", *RESTORE, content=broken)
    assert (code, output) == (2, b"")
    assert "sfumato: " in err


def test_values_that_are_a_hyphen_stay(monkeypatch):
    words = ["generate", "glyphs", "--label", "-", "--out", "x"]
    with streams.replaced(words) as same:
        assert same == words
    assert streams._inputs(["restore", "--overwrite", "-"], streams.VERBS["restore"]) == [2]
    assert streams._inputs(["restore", "--task", "-"], streams.VERBS["restore"]) == []


def test_every_switch_may_stand_before_a_hyphen():
    options = json.loads((SHELL / "options.json").read_text(encoding="utf-8"))["verbs"]
    for name, verb in streams.VERBS.items():
        if "" in verb.reads:
            switches = {flag for flag, values in options[name]["options"].items() if not values and flag.startswith("--")} - {"--help"}
            assert all(streams._inputs([name, flag, "-"], verb) == [2] for flag in switches), name


def test_an_endless_standard_input_ends(piped, monkeypatch):
    monkeypatch.setattr(streams, "_LONGEST", 1 << 20)
    code, output, err = piped("restore", "-", content=encoded("PNG") + bytes(1 << 21))
    assert (code, output) == (2, b"")
    assert "standard input: is longer than" in err


def test_the_help_of_each_verb_says_so():
    for name, verb in streams.VERBS.items():
        text = cli.verbs[name].__doc__
        assert ("--out -" in text) == bool(verb.writes)
        assert ("standard input" in text) == ("" in verb.reads)
