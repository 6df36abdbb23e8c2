"""Kinds of files that compressing, searching settings, augmenting, sharding and exporting read: whole ones, and what reads them."""

import contextlib
import importlib.util
import io
import json
import random
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sfumato.batch import tar_shards, units
from sfumato.compression.compress import compressed
from sfumato.compression.container import Chunk, Container, Header, written
from sfumato.compression.decompress import decompressed
from sfumato.compression.picture_stream import encode
from sfumato.compression.pyramid import PictureNetwork, difference_pyramid
from sfumato.compression.request import CompressionRequest
from sfumato.compression.source import source_of
from sfumato.core import outputs
from sfumato.core.config import dump
from sfumato.data import table
from sfumato.evaluation import augmentation
from sfumato.recipes import recipe
from sfumato.store.export import read as exported
from sfumato.store.export.facts import KEY
from sfumato.train import plan
from sfumato.tuning import comparison
from sfumato.tuning.importance import importance
from sfumato.tuning.journal import LOG, Journal
from sfumato.tuning.plan import divided
from sfumato.tuning.search import Search
from sfumato.tuning.space import search_space
from tests.attacks import Kind
from tests.compression.conftest import photograph, small_codec
from tests.mutants import ODD, spoil_bytes, spoil_json, spoil_lines

CHANGE = {"seen": 32, "images": 320, "before": 640, "seconds": 5.5, "reason": "slower"}
PAIR = {"seed": 1, "default": 0.5, "winner": None, "seconds": 20.5}


def task_kinds(folder: Path) -> dict[str, Kind]:
    """All of them, by name."""
    settings = [json.dumps(dump(recipe(name))).encode() for name in ("dcgan", "restore", "vae")]
    pairs = json.dumps({"winner": "{}", "pairs": [PAIR, PAIR]}).encode()
    row = {"file": "a.png", "by": "generate", "sha256": "0" * 64}
    todo = {"place": "b.png", "status": "todo", "source": "", "item": "/a/b.png", "target": "/out/b.png", "companion": None, "pixels": 6.0}
    labels = json.dumps({"labels": [["a/0.png", 0], ["b/1.png", "cat"]]}).encode()
    plans = json.dumps({"images": 640, "changes": [CHANGE]}).encode()
    return {
        "compressed pictures": _compressed(folder),
        "recipes": Kind("recipe.json", settings, spoil_json, lambda path: recipe(str(path))),
        "comparisons": Kind(comparison.FILE, [pairs], spoil_json, lambda path: comparison.spent(path.parent)),
        "plans": Kind("run/state/plan.json", [plans], spoil_json, lambda path: plan.recorded(path.parent.parent, recipe("vae"))),
        "tables of labels": Kind(table.NAME, [labels], spoil_json, _labelled),
        "tables of augmenting": Kind(f"augmented/{augmentation.TABLE}", [TABLE], spoil_table, _augmented),
        "ledgers": Kind(outputs.LEDGER, [f"{json.dumps(row)}\n".encode() * 3], spoil_lines, lambda path: outputs.Ledger(path.parent)),
        "units": Kind("0.todo", [f"{json.dumps(todo)}\n".encode() * 3], spoil_lines, units.read),
        "tar shards": Kind("a.tar", [_shard()], spoil_bytes, _listed),
    } | _of_packages(folder)


def _of_packages(folder: Path) -> dict[str, Kind]:
    """Those that are read with packages that may be absent, as far as these are there."""
    found = {}
    if importlib.util.find_spec("optuna"):
        found["journals"] = Kind(LOG, [_journal(folder)], spoil_journal, _searched)
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        found["exported models"] = Kind("a.onnx", [_exported()], spoil_bytes, exported.load)
    return found


def _compressed(folder: Path) -> Kind:
    """Pictures as .sfm: a small grey one, one with opacity, profile and EXIF, and one with a network of its own."""
    codec = small_codec().network
    exif = Image.Exif()
    exif[0x010E] = "a picture"
    Image.fromarray(photograph(20, 24, 1)).save(folder / "grey.png")
    image = Image.fromarray(photograph(40, 33))
    image.putalpha(Image.fromarray(photograph(40, 33, 1)))
    image.save(folder / "clear.png", exif=exif)
    request = CompressionRequest(quality=40, keep_metadata=True)
    whole = [compressed(source_of(folder / name, keep_metadata=True), lambda: codec, request) for name in ("grey.png", "clear.png")]
    digits = [4, 6, 7, 7]
    own = encode(PictureNetwork(40), digits, [level.long() for level in difference_pyramid(torch.rand(1, 3, 20, 24), 40)])
    header = Header(quality=40, fingerprint=bytes(4), size=(20, 24), own_networks=True)
    chunk = Chunk(stream=own.stream, lanes=own.lanes, hyper_check=own.coarse_check, check=own.check)
    whole.append(written(Container(header=header, tiles=(chunk,))))
    return Kind("a.sfm", whole, spoil_bytes, lambda path: decompressed(path.read_bytes(), lambda: codec))


def _journal(folder: Path) -> bytes:
    """A search with a trial that is over and one that was interrupted."""
    journal = Journal(folder / "search", facts={"recipe": "vae"}, higher=True, worker="main", seed=0)
    trials = [journal.study.ask() for _ in range(2)]
    for trial in trials:
        trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        trial.set_user_attr("values", {"lr": 0.002})
        trial.set_user_attr("figures", [0.5])
        trial.set_user_attr("seconds", 3.5)
        with journal.claimed(trial):
            journal.lease(trial, 20)
        trial.report(0.5, 1)
    journal.study.tell(trials[0], 0.5)
    return (folder / "search" / LOG).read_bytes()


def _searched(path: Path) -> None:
    """Goes on with a search: its trials are read, and the interrupted one gets its folder back, which is removed after it."""
    victim = path.parent / "victim"
    victim.mkdir(exist_ok=True)
    journal = Journal(path.parent, facts={"recipe": "vae"}, higher=True, worker="main", seed=0)
    assert isinstance(journal.spent, int | float)
    journal.retry_stale()
    search = Search(journal, search_space(recipe("vae"), ["lr"]), divided(120), lambda *_, **__: 0.5, clock=lambda: 0.0, began=0.0)
    search._trial(journal.study.ask(), {"lr": 0.002})
    for record in search.records():
        assert all(isinstance(figure, int | float) for figure in record.figures), record
    importance(journal)
    assert victim.exists(), "a folder outside of the trials is gone"


def _labelled(path: Path) -> None:
    found = table.read(lambda: contextlib.nullcontext(io.BytesIO(path.read_bytes())), path.name, str(path.parent))
    if found is not None:
        table.classes(found)


def spoil_journal(data: bytes, rng: random.Random) -> bytes:
    """A journal with a spoilt line, or with facts about a trial that are none."""
    if rng.random() < 0.5:
        return spoil_lines(data, rng)
    lines = data.splitlines()
    which = rng.choice([i for i, line in enumerate(lines) if b'"user_attr"' in line])
    entry = json.loads(lines[which])
    name = rng.choice([*entry["user_attr"]])
    entry["user_attr"][name] = rng.choice((*ODD[:24], "../victim", "../../victim", {"worker": [], "pid": "x", "host": {}, "until": "late"}))
    return b"\n".join([*lines[:which], json.dumps(entry).encode(), *lines[which + 1 :]]) + b"\n"


TABLE = b"file,class,seed,model,nearest,distance\ncat/000001.png,cat,1,0,3,0.25\ndog/000002.png,dog,2,0,4,0.5\n"


def spoil_table(data: bytes, rng: random.Random) -> bytes:
    """A table with other bytes, or with a name that is none."""
    name = rng.choice(
        (b"../../victim.png", b"/dev/zero", b"x" * 200_000, b'"' + b"y" * 150_000, b"\x00.png", b"a\nb.png", b"link/victim.png")
    )
    return data.replace(b"cat/000001.png", name) if rng.random() < 0.5 else spoil_bytes(data, rng)


def _augmented(path: Path) -> None:
    victims = [path.parent.parent / "victim.png", path.parent.parent / "elsewhere" / "victim.png"]
    victims[1].parent.mkdir(exist_ok=True)
    for victim in victims:
        victim.touch()
    with contextlib.suppress(FileExistsError):
        (path.parent / "link").symlink_to(victims[1].parent)
    augmentation._remove_earlier(path.parent)
    assert all(victim.exists() for victim in victims), "a file outside of the folder is gone"


def _shard() -> bytes:
    stream, picture = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(picture, "PNG")
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as packed:
        for name, content in (("a/0.png", picture.getvalue()), ("a/0.cls", b"3"), (f"b/{'é' * 90}.png", picture.getvalue())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _listed(path: Path) -> None:
    for source, _ in tar_shards.members(str(path)):
        with tar_shards.opened(source) as file:
            file.read()


def _exported() -> bytes:
    """A graph that changes nothing, and the facts about it."""
    from onnx import TensorProto, helper

    restorer = {"channels": 3, "scale": 1, "pad_multiple": 1, "tile_multiple": 1, "receptive_radius": 0}
    inputs = [{"name": "image", "shape": ["batch", 3, "height", "width"], "type": "float32"}]
    facts = {"format": 1, "name": "nothing", "role": "restorer", "inputs": inputs, "outputs": ["restored"], "network": restorer}

    shape = [1, 3, "h", "w"]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "restored")]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["restored"])], "nothing", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {KEY: json.dumps(facts)})
    return model.SerializeToString()
