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
    assert {"red.safetensors", "red.json"} <= {p.name for p in tmp_path.iterdir()}
    code, out = run("project", model, "red.png", "--steps", "5", "--out", "red.png")
    assert "styles are written as .safetensors" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["generate", "digits", "--truncation", "5"], "truncation = 5 is outside [-2, 2]"),
        (["mix", "digits"], "one style for the whole image"),
        (["mix", "digits", "--layers", "coarse"], "layers = 'coarse' is no range"),
        (["project", "digits", "absent.png"], "absent.png"),
        (["project", "digits", "absent.png", "--features", "digits"], "has no layers"),
        (["interpolate", "digits", "--space", "x"], "space"),
    ],
)
def test_what_cannot_be_is_one_line(run, words, said):
    code, out = run(*words)
    assert code == 2
    assert said in out
    assert "Traceback" not in out
