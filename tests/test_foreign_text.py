"""Names out of a file that lead out of a folder, or steer a terminal: through every verb they name no file outside and print as text."""

import dataclasses
import io
import json
import re
import shutil

import pytest
import torch
from PIL import Image

from sfumato.cli import main, verbs
from sfumato.cli.terminal import Terminal
from sfumato.compression.compress import compressed
from sfumato.compression.request import CompressionRequest
from sfumato.compression.source import source_of
from sfumato.core.schema import DEEPEST
from sfumato.core.text import LONGEST, file_name, file_names, inner_path, last_part, printable
from sfumato.demonstration.blocks import Section
from sfumato.demonstration.page import page
from sfumato.dreaming.dream import Dream
from sfumato.embeddings.embed import embed
from sfumato.generation import generate
from sfumato.metrics.features import weights_hash
from sfumato.models import MODELS
from sfumato.store import checkpoint
from tests.compression.conftest import small_codec

CLASSES = [
    "x/../../../victim/original", "..\\..\\victim", "\x1b]0;owned\x07\x1b[2J", "\u202egnp.exe", "nul\x00", "", "con", "..", "Herring Gull",
    "herring-gull", "\udcff", "y" * 300, "a\nsfumato: all is well", "\x9b31m",
]  # fmt: skip
OWNED = "".join(CLASSES[2:5])
STEERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

CASES = """
generate MODEL -n 16 --out OUT/many
generate MODEL --label ? --out OUT/many
interpolate MODEL --seeds 0 1 --steps 2 --out OUT/walk.gif
interpolate MODEL --label ? --out OUT/walk.gif
mix MODEL --rows 0 --columns 2 --out OUT/mix.png
mix MODEL --label ? --out OUT/mix.png
project MODEL PICTURE --steps 2 --out OUT/it.safetensors
project MODEL PICTURE --label ? --out OUT/it.safetensors
directions MODEL --how closed-form --count 2 --out OUT/ways.safetensors
directions MODEL --label ? --out OUT/ways.safetensors
edit MODEL --directions WAYS --moves ?=1 --out OUT/edit.png
edit MODEL --directions WAYS --moves 0=1 --out OUT/edit.png
edit MODEL --directions WAYS --moves 0=1 --label ? --out OUT/edit.png
edit MODEL --replay EDIT --out OUT/edit.png
edit MODEL --replay ASTRAY --out OUT/edit.png
drag MODEL --points 1,1:2,2 --steps 1 --out OUT/drag.png
drag MODEL --points 1,1:2,2 --label ? --out OUT/drag.png
evaluate MODEL --data DATA --features JUDGE --count 20
evaluate JUDGE --data DATA --out OUT/figures.json
evaluate JUDGE
audit MODEL --data DATA --count 20 --out OUT/audit
restore PICTURE --model RESTORER --task denoise --out OUT/restored
restore PICTURE --model MODEL --out OUT/restored
import THEIRS --out OUT/imported.safetensors
models --runs RUNS
train dcgan --data DATA --images 8 --batch 8 --model.width 4 --model.discriminator-width 4 --out OUT/run
train dcgan --data DATA --start MODEL --out OUT/other
dream PICTURE --network JUDGE --steps 1 --octaves 1 --out OUT/dream.png
dream PICTURE --network JUDGE --label ? --out OUT/dream.png
dream --network JUDGE --through MODEL --steps 1 --out OUT/through.png
dream --network JUDGE --through MODEL --shows ? --out OUT/through.png
dream PICTURE --replay RECIPE --out OUT/again.png
features JUDGE --channels 0 --steps 1 --out OUT/atlas.png
embed DATA --model ENCODER --out OUT/a.index
search INDEX PICTURE --model ENCODER --place DATA --out OUT/found.png
search ODD PICTURE --model ENCODER --place DATA --out OUT/found.png
cluster INDEX --k 2 --model ENCODER --place DATA --out OUT/groups.html --sort-into OUT/groups
cluster ODD --k 2 --place DATA --out OUT/groups.html
duplicates DATA --out OUT/copies.json
duplicates DATA --out OUT/copies.csv
augment DATA --model MODEL --per-class 2 --out OUT/augmented
compress PICTURE --model CODEC --out OUT/picture.sfm
decompress SMALL --model CODEC --out OUT/picture.png
decompress SMALL --model MODEL --out OUT/picture.png
export JUDGE --out OUT/judge.onnx
export ODD --out OUT/odd.onnx
verify ODD JUDGE
tune RECIPE --data DATA --out OUT/search
tune VAE --data DATA --out SEARCH
"""
PACKAGES = {"cluster": ("sklearn",), "export": ("onnx", "onnxscript", "onnxruntime"), "verify": ("onnxruntime",), "tune": ("optuna",)}
"""Verbs that need packages which may be absent."""


def saved(path, kind, **settings):
    """A model file whose card, and all else that is text in it, is hostile."""
    torch.manual_seed(0)
    config = MODELS[kind](**settings)
    network = config.build().eval()
    figure = {"name": OWNED, "value": 1.0, "protocol": {"real": None, "notes": OWNED}}
    data = {"name": OWNED, "images": 3, "classes": CLASSES[: settings.get("classes", 0)], "terms": OWNED, "sha256": OWNED}
    card = {"made_with": OWNED, "name": OWNED, "licence": OWNED, "data": data, "metrics": [figure], "minutes": 1.0, "images_seen": 1}
    checkpoint.save(path, network, config, card | {"training": {"data": OWNED, "crop": "centre"}})
    return network


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a work folder in it, and what the words of `CASES` stand for."""
    root = tmp_path_factory.mktemp("hostile")
    work = root / "a" / "work"
    (root / "a" / "victim").mkdir(parents=True)
    Image.new("RGB", (8, 8), (9, 9, 9)).save(root / "a" / "victim" / "original.png")
    for i, name in enumerate((OWNED.replace("\x00", ""), "\u202ecat", "Dog\x7f")):
        (work / "data" / name).mkdir(parents=True)
        for j in range(14):
            Image.new("RGB", (8, 8), (80 * i, 18 * j, 9)).save(work / "data" / name / f"{j}\x1b[2J.png")
    Image.new("RGB", (40, 40), (200, 90, 30)).save(work / "pic\x1b[2J\u202e.png")
    classes, size = len(CLASSES), {"size": (8, 8), "channels": 3}
    small = {"latent_dim": 4, "style_dim": 4, "mapping": 1, "width": 4, "discriminator_width": 4, "max_width": 4}
    network = saved(work / "model.safetensors", "stylegan", **size, classes=classes, **small)
    saved(work / "judge.safetensors", "classifier", **size, classes=classes, widths=(4,), hidden=(4,))
    saved(work / "restorer.safetensors", "dncnn", channels=3, depth=3, width=4)
    shutil.copytree(work, work / "runs" / "one\x1b[2J", ignore=shutil.ignore_patterns("data", "judge*", "pic*"))
    saved(work / "runs" / "two" / "model.safetensors", "classifier", **size, classes=classes, widths=(4,), hidden=(4,))
    wrong = {"card": {"data": {"classes": [{OWNED: 1}]}}, "model": {"is": OWNED}}
    checkpoint.write_tensors(work / "runs" / "three" / "model.safetensors", {"x": torch.zeros(1)}, wrong)
    about = {"names": CLASSES[1:3], "strengths": [0.5, 0.2], "how": OWNED, "layers": [0, 1], "origin": {OWNED: 1}}
    about |= {"weights": weights_hash(network)}
    checkpoint.write_tensors(work / "ways.safetensors", {"vectors": torch.ones(2, 4)}, {"directions": about})
    move = {"vector": [0.5] * 4, "strength": 1.0, "layers": [0, 1], "name": OWNED}
    told = {"is": "sfumato edit", "weights": about["weights"], "start": {"seed": 2, "label": CLASSES[2], OWNED: OWNED}, "moves": [move]}
    (work / "edit.json").write_text(json.dumps(told))
    (work / "astray.json").write_text(json.dumps(told | {"start": {"styles": f"/dev/zero/{OWNED}"}}))
    (work / "recipe.json").write_text(
        json.dumps({"network": f"/dev/{OWNED}", "dream": {**vars(Dream()), "label": OWNED}, "picture": OWNED})
    )
    torch.save({f"{OWNED}.{i}.weight": torch.zeros(2) for i in range(4)}, work / "theirs.pth")
    saved_for_tasks(work)
    names = {name.upper(): f"{name}.safetensors" for name in ("model", "judge", "restorer", "ways")}
    names |= {name.upper(): f"{name}.json" for name in ("edit", "astray", "recipe")}
    names |= {"ENCODER": "encoder.safetensors", "CODEC": "codec.safetensors", "INDEX": "pictures.index", "ODD": "odd.index"}
    names |= {"SMALL": "small\x1b[2J.sfm", "SEARCH": "search", "VAE": "vae"}
    return work, names | {"THEIRS": "theirs.pth", "PICTURE": "pic\x1b[2J\u202e.png", "DATA": "data", "RUNS": "runs"}


def saved_for_tasks(work):
    """The files that the verbs of embeddings, compression and searches read, with hostile text wherever there is text."""
    encoder = saved(work / "encoder.safetensors", "vae", size=(8, 8), channels=3, latent_dim=4, width=4, max_width=4, blocks=0, classes=0)
    index = embed(work / "data", encoder)
    index.write(work / "pictures.index")
    dataclasses.replace(index, model=OWNED, source=OWNED, weights=OWNED).write(work / "odd.index")
    codec = small_codec()
    checkpoint.save(work / "codec.safetensors", codec.network, codec.config, {"name": OWNED, "data": {"name": OWNED, "classes": CLASSES}})
    exif = Image.Exif()
    exif[0x010E] = OWNED
    Image.new("RGB", (24, 24), (200, 90, 30)).save(work / "plain.png", exif=exif)
    packed = compressed(
        source_of(work / "plain.png", keep_metadata=True), lambda: codec.network, CompressionRequest(quality=9, keep_metadata=True)
    )
    (work / "small\x1b[2J.sfm").write_bytes(packed[:-8])
    (work / "plain.png").unlink()
    (work / "search").mkdir()
    (work / "search" / "journal.log").write_text(json.dumps({"op_code": 0, "worker_id": OWNED, "study_name": OWNED, "directions": [OWNED]}))


def around(work):
    """Every file that is not below the folder `out`, and its bytes."""
    out = work / "out"
    return {path: path.read_bytes() for path in work.parent.parent.rglob("*") if path.is_file() and out not in path.parents}


ELSEWHERE = {"push", "get", "serve", "studio"}
"""Verbs that talk over a network, whose own tests try them with hostile names."""


def test_every_verb_that_reads_a_file_is_tried():
    assert {line.split()[0] for line in CASES.strip().splitlines()} == {*verbs} - {"demo", "completion", *ELSEWHERE}, (
        "those two read nothing of others"
    )


@pytest.mark.parametrize("line", CASES.strip().splitlines())
def test_no_name_out_of_a_file_leads_out_of_the_folder_or_steers_the_terminal(line, files, capsys, monkeypatch):
    work, names = files
    for package in PACKAGES.get(line.split()[0], ()):
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(work)
    before = around(work)
    words = [names.get(word, word.replace("OUT/", "out/")) for word in line.split()]
    try:
        main([*words, *([] if words[0] in ("models", "import", "export", "verify") else ["--threads", "1"])])
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert not STEERS.search(said), ascii(said)
    assert code in (0, 2), said
    assert code == 0 or captured.err.startswith("sfumato: ")
    assert around(work) == before


def test_each_class_has_a_file_of_its_own(files):
    work, _ = files
    network = generate.sampler(work / "model.safetensors")
    seeds = range(2 * len(CLASSES))
    parts = [name.partition("-")[2].casefold() for name in generate.file_names(network, seeds, None)]
    assert len(set(parts)) == len(CLASSES)
    assert parts[: len(CLASSES)] == parts[len(CLASSES) :]


def test_what_cannot_be_read_does_not_hide_the_other_models(files, capsys, monkeypatch):
    work, _ = files
    monkeypatch.chdir(work)
    main(["models", "--runs", "runs"])
    out = capsys.readouterr().out
    assert "runs/two" in out
    assert "passed over: runs/three/model.safetensors" in out


NAMES = [
    *CLASSES,
    "a/b",
    "a_b",
    "A_B",
    "a:b",
    ".",
    " . ",
    "LPT1.txt",
    "x.",
    "x ",
    "é",
    "e\u0301",
    "ﬁ",
    "fi",
    "ß",
    "SS",
    "名" * 90,
    "~",
    "a" * 255,
]


def test_names_of_files_are_distinct_and_taken_by_every_system():
    found = file_names(NAMES)
    assert len({name.casefold() for name in found}) == len(NAMES)
    assert found == file_names(NAMES)
    for name in [*found, *map(file_name, NAMES)]:
        assert 0 < len(name.encode()) <= LONGEST + 4
        assert not re.search(r'[<>:"/\\|?*\s]', name)
        assert not STEERS.search(name)
        assert name.strip(". ") == name
        assert name.partition(".")[0].lower() not in ("con", "nul", "lpt1")
    for name in found:
        assert file_name(name) == name, "a file name stays what it is"


@pytest.mark.parametrize("name", ["cat", "Herring-Gull", "7", "größer", "猫", "a.b", "-1"])
def test_a_plain_name_is_kept(name):
    assert file_name(name) == name
    assert file_names(["x/y", f"{name}", "x_y"])[1] == name


@pytest.mark.parametrize(
    "text", ["/a", "../a", "a/../b", "a//b", "", ".", "C:a", "c:\\a", "\\\\host\\share", "a\x00", "a/\x1bb", "a/", "/dev/zero"]
)
def test_only_what_lies_below_is_an_inner_path(text):
    assert inner_path(text) is None


def test_the_last_part_of_any_path():
    assert [last_part(text) for text in ("/a/b.c", "..\\b", "b", "a/..", "", "a/", "a/\x00b")] == ["b.c", "b", "b", "", "", "", ""]


def test_joiners_and_newlines_stay_where_they_are_wanted():
    assert printable("\u0646\u200c\u0645 👩\u200d🎨") == "\u0646\u200c\u0645 👩\u200d🎨"
    assert printable("a\nb", lines=True) == "a\nb"
    assert printable("a\nb") != "a\nb"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_on_a_terminal_lines_tables_and_bars_show_text_as_text(encoding, monkeypatch):
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Terminal()
    console.file, console._force_terminal = stream, True
    hostile = f"[bold]{OWNED} 猫 :cat:"
    table = Table(hostile, title=hostile)
    table.add_row(Text(hostile))
    console.print(hostile, table)
    with Progress(console=console) as bar:
        bar.add_task(hostile, total=1)
    stream.flush()
    said = stream.buffer.getvalue().decode(encoding)
    assert "\x1b" in said, "a terminal is written to"
    assert "]0;owned" in said
    for steering in ("\x1b]", "\x1b[2J\x07", "\x07", "\u202e", "\x00"):
        assert steering not in said


def test_a_page_shows_text_as_text():
    made = page(OWNED, [Section(title=f"<b>{OWNED}", text=OWNED, pictures=(), scale=1)])
    assert not STEERS.search(made.replace("\n", ""))
    assert "<b>" not in made


def test_nesting_is_counted_and_not_followed():
    from sfumato.core.errors import FormatError
    from sfumato.core.schema import parsed

    assert parsed("[" * DEEPEST + "]" * DEEPEST, list, "it")
    for depth in (DEEPEST + 1, 900, 100_000, 5_000_000):
        with pytest.raises(FormatError, match="nested more than"):
            parsed("[" * depth + "]" * depth, list, "it")
