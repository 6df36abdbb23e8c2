"""Laws of every verb and of every function that writes: a place for results that cannot be is told before a network is there."""

import ast
import inspect
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from PIL import Image
from torch import nn

import sfumato as sf
from sfumato import cli
from sfumato.cli import augmenting, compressing, dreaming, editing, embedding, measuring, shipping
from sfumato.cli.verbs import File, Model, Pictures
from sfumato.core import flags
from sfumato.core.errors import SfumatoError
from sfumato.recipes import RECIPES
from sfumato.restoration.request import RestorationRequest

CALLS = {
    "demo": [("demo",)],
    "train": [("train", "dcgan", "--data", "photos")],
    "generate": [("generate", "digits", "-n", "2")],
    "interpolate": [("interpolate", "digits")],
    "mix": [("mix", "fashion")],
    "project": [("project", "digits", "photo.png")],
    "directions": [("directions", "digits"), ("directions", "digits", "--examples", "photos", "photos")],
    "edit": [("edit", "digits", "--moves", "0=1"), ("edit", "digits", "--replay", "edit.json")],
    "drag": [("drag", "digits", "--points", "1,1:2,2")],
    "dream": [
        ("dream", "photo.png"),
        ("dream", "photos"),
        ("dream", "--n", "2"),
        ("dream", "--through", "digits"),
        ("dream", "photo.png", "--zoom", "2"),
        ("dream", "moving.gif"),
        ("dream", "film.mp4"),
    ],
    "features": [("features", "fashion-classifier")],
    "embed": [("embed", "photos", "--model", "digits-vae")],
    "search": [("search", "own.index", "photo.png")],
    "cluster": [("cluster", "own.index")],
    "duplicates": [("duplicates", "photos")],
    "evaluate": [
        ("evaluate", "digits"),
        ("evaluate", "restore", "--restore", "noise:25"),
        ("evaluate", "photo.png", "--reference", "photo.png"),
        ("evaluate", "photos", "--data", "photos"),
    ],
    "audit": [("audit", "digits")],
    "augment": [("augment", "photos", "--model", "digits"), ("augment", "photos", "--verdict", "--model", "digits")],
    "compress": [("compress", "photo.png", "--model", "own.safetensors")],
    "decompress": [("decompress", "small.sfm", "--model", "own.safetensors")],
    "restore": [("restore", "photo.png"), ("restore", "photos"), ("restore", "film.mp4")],
    "import": [("import", "weights.pth")],
    "export": [("export", "digits")],
    "get": [("get", "squeezenet")],
    "tune": [("tune", "vae", "--data", "photos")],
}
"""For each verb that writes, calls that are right but for their --out."""
WRITES_NOTHING = {"models", "completion", "studio", "verify", "push", "serve"}
MEANT = {
    "compress": "sheet.sfm",
    "decompress": "sheet.png",
    "generate": "sheet.png",
    "restore": "sheet.png",
    "dream": "sheet.png",
    "audit": "sheet",
    "augment": "sheet",
    "demo": "sheet",
    "train": "sheet",
    "tune": "sheet",
}
"""Names that a verb can write to, where it is not told by the default."""


def ending(call):
    """A name that the call can write to."""
    verb = call[0]
    if "--verdict" in call:
        return "sheet.json"
    if verb in MEANT:
        if "--zoom" in call or "moving.gif" in call:
            return "sheet.gif"
        if "film.mp4" in call:
            return "sheet.mp4"
        return "sheets" if "photos" in call or "--n" in call else MEANT[verb]
    named = {"interpolate": ".gif", "mix": ".png", "edit": ".png", "drag": ".png", "features": ".png", "evaluate": ".json"}
    named |= {"embed": ".index", "search": ".png", "cluster": ".html", "duplicates": ".json", "export": ".onnx"}
    return f"sheet{named.get(verb, '.safetensors')}"


EVERY = [call for calls in CALLS.values() for call in calls]


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """A folder with inputs, in which no network can be built, loaded or run."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16), (200, 30, 60)).save("photo.png")
    Path("photos").mkdir()
    for i in range(4):
        Image.new("RGB", (16, 16), (50 * i, 30, 60)).save(f"photos/{'abcd'[i]}.png")
    frames = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (0, 200)]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    for name in ("film.mp4", "weights.pth", "edit.json", "directions.safetensors", "own.safetensors", "own.json", "own.index", "small.sfm"):
        Path(name).write_bytes(b"\x80never read")

    def never(*_, **__):
        raise AssertionError("a network was built, loaded or run before --out was checked")

    monkeypatch.setattr(nn.Module, "__init__", never)
    monkeypatch.setattr(nn.Module, "__call__", never)
    monkeypatch.setattr("sfumato.store.checkpoint.read_tensors", never)
    monkeypatch.setattr("sfumato.store.foreign.snapshot_kind", never)
    return tmp_path


def refused(capsys, *words):
    """The one line that the command ends with, for a mistake of the user's."""
    with pytest.raises(SystemExit) as stop:
        cli.main([*map(str, words)])
    said = capsys.readouterr().err.strip().splitlines()
    assert (stop.value.code, len(said)) == (2, 1), said
    return said[0]


def test_every_verb_that_writes_is_in_the_list():
    assert CALLS.keys() | WRITES_NOTHING == set(cli.verbs)


def test_every_verb_that_writes_says_so_with_out_and_overwrite():
    functions = [
        cli.demo,
        cli.generate,
        cli.restore,
        cli.import_,
        *editing.VERBS,
        *dreaming.VERBS,
        *compressing.VERBS,
        *embedding.VERBS,
        *measuring.VERBS,
        *augmenting.VERBS,
        shipping.export,
        shipping.get,
    ]
    assert {function.__name__.rstrip("_") for function in functions} | {"train", "tune"} == CALLS.keys()
    for function in functions:
        assert {"out", "overwrite"} <= inspect.signature(function).parameters.keys(), function.__name__


@pytest.mark.parametrize("call", EVERY, ids=" ".join)
def test_a_place_below_a_file_is_told_first(call, no_network, capsys):
    (no_network / "file").write_text("precious")
    assert "file" in refused(capsys, *call, "--out", Path("file", ending(call)))
    assert (no_network / "file").read_text() == "precious"


@pytest.mark.parametrize("call", EVERY, ids=" ".join)
def test_a_file_where_a_folder_is_meant_and_a_folder_where_a_file_is_are_told_first(call, no_network, capsys):
    out = no_network / ending(call)
    if out.suffix:
        out.mkdir()
    else:
        out.write_text("precious")
    assert out.name in refused(capsys, *call, "--out", out)
    assert out.is_dir() or out.read_text() == "precious"


def whole(call):
    """Whether the call writes one file, or some beside it, and no folder."""
    return bool(Path(ending(call)).suffix)


@pytest.mark.parametrize("call", [call for call in EVERY if whole(call)], ids=" ".join)
def test_an_ending_that_cannot_be_written_is_told_first(call, no_network, capsys):
    wrong = "sheet.png" if call[0] in ("interpolate", "project", "directions", "evaluate", "import") else "sheet.avi"
    wrong = "sheet.png" if whole(call) and ending(call) != "sheet.png" else wrong
    assert wrong in refused(capsys, *call, "--out", wrong)
    assert not (no_network / wrong).exists()


@pytest.mark.parametrize("call", EVERY, ids=" ".join)
@pytest.mark.parametrize("name", ["sheet.txt", "sheet.zip", "sheet.pth"])
def test_a_name_with_the_ending_of_another_kind_of_file_becomes_no_folder(name, call, no_network, capsys):
    assert name in refused(capsys, *call, "--out", name)
    assert not (no_network / name).exists()


@pytest.mark.parametrize("call", EVERY, ids=" ".join)
def test_a_file_of_somebody_else_is_told_first_and_stays(call, no_network, capsys):
    out = no_network / ending(call)
    inside = {
        "generate": "grid.png",
        "audit": "audit.json",
        "demo": "index.html",
        "train": "log.jsonl",
        "dream": "00000.png",
        "tune": "recipe.json",
    }
    theirs = out if out.suffix else out / inside.get(call[0], "a.png")
    if call[:2] in (("dream", "photos"), ("restore", "photos")):
        pytest.skip("a folder of pictures is gone through picture by picture")
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("precious")
    assert theirs.name in refused(capsys, *call, "--out", out)
    assert theirs.read_text() == "precious"


@pytest.mark.parametrize("name", ["page.txt", "photo.png", "photos", "file/page.html", "theirs.html"])
def test_a_place_where_no_report_can_be_written_is_told_first(name, no_network, capsys):
    for precious in ("file", "theirs.html"):
        (no_network / precious).write_text("precious")
    before = {path: path.is_dir() or path.read_bytes() for path in no_network.rglob("*")}
    line = refused(capsys, "restore", "photos", "--report", name)
    assert name.partition("/")[0] in line
    assert "--out" not in line
    assert {path: path.is_dir() or path.read_bytes() for path in no_network.rglob("*")} == before


def test_a_film_has_no_report(no_network, capsys):
    assert "--report" in refused(capsys, "restore", "film.mp4", "--report", "page.html")


@pytest.mark.parametrize("call", [call for call in EVERY if "photo.png" in call or "moving.gif" in call], ids=" ".join)
def test_what_is_read_is_not_written_over_whatever_is_said(call, no_network, capsys):
    read = "photo.png" if "photo.png" in call else "moving.gif"
    before = Path(read).read_bytes()
    out = {"project": "photo.safetensors"}.get(call[0], read)
    refused(capsys, *call, "--out", out, *([] if call[0] == "train" else ["--overwrite"]))
    assert Path(read).read_bytes() == before


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (("audit", "digits"), "digits-audit/audit.json"),
        (("audit", "runs/v1.5"), "v1.5-audit/nearest.png"),
        (("audit", "runs/v1.5/model.safetensors"), "v1.5-audit/nearest.png"),
        (("features", "runs/v1.5/model.safetensors", "--layer", "conv"), "v1.5-conv.png"),
    ],
)
def test_results_of_one_model_are_not_called_as_those_of_another(call, named, no_network, capsys):
    """Of what somebody else wrote under the name that is taken by default, the name is told."""
    for path in (Path("runs/v1.5/model.safetensors"), Path(named)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
    assert f"{named} is there already" in refused(capsys, *call)


READS = {
    "generate": {"model": ("gone",), "like": ("digits", "--like", "gone")},
    "interpolate": {"model": ("gone",)},
    "mix": {"model": ("gone",)},
    "project": {"model": ("gone", "photo.png"), "picture": ("digits", "gone"), "features": ("digits", "photo.png", "--features", "gone")},
    "directions": {
        "model": ("gone",),
        "features": ("digits", "--examples", "photos", "photos", "--features", "gone"),
        "examples": ("digits", "--examples", "photos", "gone"),
    },
    "edit": {
        "model": ("gone", "--moves", "0=1"),
        "directions": ("digits", "--moves", "0=1", "--directions", "gone"),
        "styles": ("digits", "--moves", "0=1", "--directions", "own.safetensors", "--styles", "gone"),
        "replay": ("digits", "--replay", "gone"),
    },
    "drag": {
        "model": ("gone", "--points", "1,1:2,2"),
        "styles": ("digits", "--points", "1,1:2,2", "--styles", "gone"),
        "mask": ("digits", "--points", "1,1:2,2", "--mask", "gone"),
    },
    "dream": {
        "pictures": ("gone",),
        "network": ("photo.png", "--network", "gone"),
        "guide": ("photo.png", "--guide", "gone"),
        "through": ("--through", "gone"),
        "mask": ("photo.png", "--mask", "gone"),
        "replay": ("photo.png", "--replay", "gone"),
        "layers": ("--layers", "gone"),
    },
    "features": {"network": ("gone",)},
    "embed": {"pictures": ("gone", "--model", "digits-vae"), "model": ("photos", "--model", "gone")},
    "search": {
        "index": ("gone", "photo.png"),
        "pictures": ("own.index", "gone"),
        "minus": ("own.index", "photo.png", "--minus", "gone"),
        "generator": ("own.index", "--generator", "gone", "--seed", "1"),
        "model": ("own.index", "photo.png", "--model", "gone"),
        "place": ("own.index", "photo.png", "--place", "gone"),
    },
    "cluster": {"index": ("gone",), "model": ("own.index", "--model", "gone"), "place": ("own.index", "--place", "gone")},
    "duplicates": {"pictures": ("gone",)},
    "evaluate": {
        "model": ("gone",),
        "data": ("digits", "--data", "gone"),
        "features": ("digits", "--features", "gone"),
        "compare": ("digits", "--compare", "gone"),
        "reference": ("photo.png", "--reference", "gone"),
    },
    "audit": {"model": ("gone",), "data": ("digits", "--data", "gone"), "features": ("digits", "--features", "gone")},
    "augment": {
        "data": ("gone", "--model", "digits"),
        "model": ("photos", "--model", "gone"),
        "synthetic": ("photos", "--verdict", "--synthetic", "gone"),
    },
    "compress": {"pictures": ("gone",), "model": ("photo.png", "--model", "gone")},
    "decompress": {"files": ("gone",), "model": ("small.sfm", "--model", "gone")},
    "restore": {
        "pictures": ("gone",),
        "model": ("photo.png", "--model", "gone"),
        "mask": ("photo.png", "--task", "inpaint", "--mask", "gone"),
    },
    "import": {"file": ("gone",)},
}
"""For each verb what it reads, by the name of the parameter, and a call in which that is the one thing that is not there."""
WRITTEN = {"out", "preview", "report", "runs", "sort_into"}
NAMED = {"data", "features", "compare", "network", "through", "examples"}
"""Parameters whose values are texts, and name something that is read."""


def test_everything_that_verbs_read_is_in_the_list():
    functions = [
        cli.demo,
        cli.generate,
        cli.restore,
        cli.import_,
        *editing.VERBS,
        *dreaming.VERBS,
        *compressing.VERBS,
        *embedding.VERBS,
        *measuring.VERBS,
        *augmenting.VERBS,
    ]
    for function in functions:
        hints = get_type_hints(function, include_extras=True)
        placed = {name for name, kind in hints.items() if kind in (Model, File, Pictures) or Path in (kind, *get_args(kind))}
        expected = (placed | (NAMED & hints.keys())) - WRITTEN
        listed = READS.get(function.__name__.rstrip("_"), {}).keys()
        assert expected <= listed, f"{function.__name__}: {expected - listed}"


@pytest.mark.parametrize(("verb", "name"), [(verb, name) for verb, calls in READS.items() for name in calls])
def test_what_is_read_and_not_there_is_told_first(verb, name, no_network, capsys):
    before = sorted(no_network.rglob("*"))
    assert "gone" in refused(capsys, verb, *READS[verb][name])
    assert sorted(no_network.rglob("*")) == before


@pytest.mark.parametrize(
    ("out", "call"),
    [
        ("own.safetensors", ("project", "digits", "photo.png", "--features", "own.safetensors")),
        ("own.safetensors", ("directions", "digits", "--examples", "photos", "photos", "--features", "own.safetensors")),
        ("photo.png", ("drag", "digits", "--points", "1,1:2,2", "--mask", "photo.png")),
        ("photo.png", ("dream", "photos/a.png", "--guide", "photo.png")),
        ("photo.png", ("dream", "photos/a.png", "--mask", "photo.png")),
        ("photo.png", ("dream", "--guide", "photo.png")),
        ("own.json", ("evaluate", "digits", "--features", "own.json")),
        ("own.json", ("evaluate", "digits", "--compare", "own.json")),
        ("own.json", ("evaluate", "photo.png", "--reference", "own.json")),
    ],
)
def test_nothing_that_is_read_is_written_over_whatever_is_said(out, call, no_network, capsys):
    before = Path(out).read_bytes()
    assert out in refused(capsys, *call, "--out", out, "--overwrite")
    assert Path(out).read_bytes() == before


FUNCTIONS = {
    "compress_pictures": lambda out: sf.compress_pictures(["photo.png"], out / "x.sfm", sf.CompressionRequest(model="own.safetensors")),
    "decompress_files": lambda out: sf.decompress_files(["small.sfm"], out / "x.png", model="own.safetensors"),
    "demo": lambda out: sf.demo(out),
    "fit": lambda out: sf.fit(sf.recipe("dcgan"), run=out),
    "get_weights": lambda out: sf.get_weights("squeezenet", out / "x.safetensors"),
    "import_weights": lambda out: sf.import_weights("own.safetensors", out / "x.safetensors"),
    "restore_film": lambda out: sf.restore_film("photo.png", out / "x.mp4", RestorationRequest()),
    "restore_pictures": lambda out: sf.restore_pictures(["photo.png"], out / "x.png", RestorationRequest()),
    "tune": lambda out: sf.tune(sf.recipe("vae"), out=out),
    "write": lambda out: sf.write(out / "x.png", sf.read(Path("photo.png"))),
}
"""The functions of the package that are given a place to write to."""


def test_every_function_that_takes_a_place_is_in_the_list():
    named = {name for name in sf.__all__ if callable(getattr(sf, name)) and not isinstance(getattr(sf, name), type)}
    takes = {name for name in named if {"out", "run", "target"} & inspect.signature(getattr(sf, name)).parameters.keys()}
    assert takes | {"write"} == FUNCTIONS.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_cannot_write_says_so_first(name, no_network):
    (no_network / "file").write_text("precious")
    with pytest.raises(SfumatoError):
        FUNCTIONS[name](no_network / "file")
    assert (no_network / "file").read_text() == "precious"


def test_every_option_that_is_named_exists():
    """In help, errors and advice alike: what is said to be given with --name can be given to some verb, or is a setting of a recipe."""
    known = {name for recipe in RECIPES for name in flags.names(sf.recipe(recipe))}
    known |= {"--help", "--version", "--logdir", "--format", "--at"}  # of TensorBoard, of `--out -`, and a variable of a style sheet
    paths = [path for path in sorted(Path(sf.__file__).parent.rglob("*.py")) if path.name != "look.py"]  # a style sheet
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    for path, tree in trees.items():
        if path.parent.name == "cli":
            functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            fields = [node.target for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]  # of a dataclass of flags
            known |= {f"--{each.id.replace('_', '-')}" for each in fields if isinstance(each, ast.Name)}
            known |= {f"--{each.arg.replace('_', '-')}" for node in functions for each in (*node.args.args, *node.args.kwonlyargs)}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = re.findall(r"(?<![\w-])--[a-z][a-z-]*(?:\.[a-z][a-z0-9_-]*)*", node.value)
                named = [re.sub(r"(--|\.)no-", r"\1", name) for name in named]  # --no-x says the opposite of --x
                assert set(named) <= known, f"{path.name}, line {node.lineno}: {set(named) - known}"
