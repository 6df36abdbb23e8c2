"""The verbs that edit, from the command line."""

import pytest
from PIL import Image

from sfumato.cli import main
from sfumato.store import checkpoint


@pytest.fixture
def model(untrained, tmp_path):
    """The file of an untrained style-based generator."""
    network, path = untrained("stylegan"), tmp_path / "styles.safetensors"
    checkpoint.save(path, network, network.config, {})
    return str(path)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs a command in an empty folder; gives its exit code and what it said, in one line."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        code = 0
        try:
            main([*arguments, "--threads", "1"])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, " ".join("".join(capsys.readouterr()).split())

    return command


def test_truncated_images_mixtures_and_walks(run, model, tmp_path):
    assert run("generate", model, "-n", "2", "--truncation", "0.5", "--out", "two.png")[0] == 0
    assert run("mix", model, "--rows", "0", "1", "--columns", "2", "--layers", "1-3")[0] == 0
    with Image.open(tmp_path / "mix.png") as sheet:
        assert sheet.size == (2 * 32 + 2, 3 * 32 + 2 * 2)
    assert run("interpolate", model, "--seeds", "0", "1", "--steps", "2", "--space", "w", "--even", "--out", "w.gif")[0] == 0


def test_a_picture_is_projected(run, model, tmp_path):
    Image.new("RGB", (50, 40), (200, 30, 60)).save(tmp_path / "red.png")
    code, out = run("project", model, "red.png", "--steps", "5")
    assert code == 0, out
    assert {f"red-projected.{ending}" for ending in ("safetensors", "png", "json")} <= {p.name for p in tmp_path.iterdir()}
    before = (tmp_path / "red.png").read_bytes()
    assert "is the picture itself" in run("project", model, "red.png", "--steps", "5", "--out", "red.safetensors")[1]
    assert (tmp_path / "red.png").read_bytes() == before
    code, out = run("project", model, "red.png", "--steps", "5", "--out", "red.png")
    assert "styles are written as .safetensors" in out


def test_directions_are_found_applied_and_applied_again(run, model, tmp_path):
    assert "there is no file 'directions.safetensors'; `sfumato directions` makes such files" in run("edit", model, "--moves", "0=2")[1]
    code, out = run("directions", model, "--how", "closed-form", "--count", "2")
    assert code == 0, out
    assert {"directions.safetensors", "directions.png", "directions.json"} <= {p.name for p in tmp_path.iterdir()}
    assert run("edit", model, "--moves", "0=2", "1=-1@0-2", "--seed", "3", "--truncation", "0.8")[0] == 0
    assert run("edit", model, "--replay", "edit.json", "--out", "again.png")[0] == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "edit.png").read_bytes()
    assert "--moves is empty" in run("edit", model)[1]
    assert "no direction 'nicer'" in run("edit", model, "--moves", "nicer=2")[1]
    assert "have no effect without --examples" in run("directions", model, "--name", "x")[1]
    assert "--moves has no effect with --replay" in run("edit", model, "--replay", "edit.json", "--moves", "0=1")[1]
    again = ("--seed", "5", "--label", "4", "--truncation", "0.2", "--directions", "nowhere.safetensors")
    said = "--seed and --label and --truncation and --directions have no effect with --replay"
    assert said in run("edit", model, "--replay", "edit.json", *again)[1]
    assert "--seed and --label have no effect with --styles" in run("edit", model, "--styles", "x", "--moves", "0=1", *again[:4])[1]
    assert "--seed has no effect with --styles" in run("drag", model, "--styles", "x", "--points", "1,1:2,2", "--seed", "9")[1]
    assert (
        "--method and --count have no effect with --examples"
        in run("directions", model, "--examples", "a", "b", "--how", "closed-form", "--count", "7")[1]
    )


def test_a_point_is_dragged(run, model, tmp_path):
    Image.new("L", (32, 32), 255).save(tmp_path / "all.png")
    code, out = run("drag", model, "--points", "10,10:13,10", "--steps", "3", "--mask", "all.png")
    assert code == 0, out
    assert "px from the target after" in out
    assert run("drag", model, "--points", "10,10:13,10", "--steps", "2", "--styles", "drag.safetensors", "--out", "on.png")[0] == 0
    assert "cannot be read as a point and its target" in run("drag", model, "--points", "10,10")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["generate", "digits", "--truncation", "5"], "truncation = 5.0 is outside [-2, 2]"),
        (["mix", "digits"], "one style for the whole image"),
        (["mix", "digits", "--layers", "coarse"], "layers = 'coarse' is no range"),
        (["project", "digits", "absent.png"], "absent.png"),
        (["project", "digits", "white.png", "--features", "digits"], "has no layers"),
        (["interpolate", "digits", "--space", "x"], "space"),
    ],
)
def test_what_cannot_be_is_one_line(run, tmp_path, words, said):
    Image.new("L", (28, 28), 255).save(tmp_path / "white.png")
    code, out = run(*words)
    assert code == 2
    assert said in out
    assert "Traceback" not in out
