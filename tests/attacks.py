"""Every kind of file that is read: some whole ones, how they are spoilt, and what reads them."""

import gzip
import io
import json
import random
import struct
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, PngImagePlugin

from sfumato.batch.manifest import Manifest
from sfumato.core.errors import SfumatoError
from sfumato.data.dataset import Dataset
from sfumato.data.load import load
from sfumato.dreaming.dream import Dream
from sfumato.dreaming.files import replayed
from sfumato.editing import directions, edit, latent_image
from sfumato.embeddings.embed import embed
from sfumato.embeddings.index import load_index
from sfumato.embeddings.search import search
from sfumato.generation import generate
from sfumato.io import files
from sfumato.metrics.features import weights_hash
from sfumato.models import MODELS
from sfumato.restoration.repair import repair
from sfumato.restoration.request import RestorationRequest, request_facts
from sfumato.store import checkpoint, foreign, weights
from sfumato.store.cards import ModelCard
from sfumato.store.loaded import LoadedModel
from sfumato.store.zoo import listed
from sfumato.train import log
from tests.mutants import spoil_bytes, spoil_header, spoil_json, spoil_lines
from tests.papers.matconvnet import dncnn_layers, matlab

Spoil = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of file: a file name, whole ones, and what reads a file of that name."""

    name: str
    whole: list[bytes]
    spoil: Spoil
    read: Callable[[Path], object]


@dataclass
class Tally:
    """What became of mutants: how many were refused in one line or read, and what else came of the others."""

    refused: int = 0
    read: int = 0
    failed: list[tuple[bytes, BaseException]] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.failed = []


CARD = {
    "made_with": "sfumato 0.1.0",
    "name": "glyphs",
    "licence": "CC0",
    "data": {"name": "pictures", "images": 64, "classes": ["cat", "dog"], "terms": "own", "sha256": "0" * 64},
    "training": {"is": "training", "data": "pictures", "crop": "centre"},
    "images_seen": 4000,
    "minutes": 1.5,
    "metrics": [
        {"name": "frechet", "value": 4.5, "interval": [4, 5], "unit": "", "higher_is_better": False, "protocol": {"real": 64}},
        {"name": "negative_log_likelihood", "value": 84.1, "interval": None, "protocol": {"real": None, "generated": 10}},
    ],
    "started_from": {"images_seen": 100, "minutes": 0.1, "missing": ["discriminator"]},
}


def network():
    """A small generator with classes, styles and noise."""
    torch.manual_seed(0)
    sizes = {"latent_dim": 4, "style_dim": 4, "mapping": 1, "width": 4, "discriminator_width": 4, "max_width": 4}
    config = MODELS["stylegan"](size=(8, 8), channels=3, classes=2, **sizes)
    built = config.build().eval().requires_grad_(False)
    return LoadedModel(network=built, config=config, card=ModelCard.read(CARD, "the card"))


def attack(kind: Kind, count: int, *, seed: int = 0, guard: Callable | None = None) -> Tally:
    """Reads `count` spoilt files of a kind; `guard` surrounds each reading."""
    rng, tally = random.Random(f"{kind.name}{seed}"), Tally()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, kind.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            data = kind.spoil(rng.choice(kind.whole), rng)
            path.write_bytes(data)
            try:
                kind.read(path) if guard is None else guard(kind.read, path)
                tally.read += 1
            except SfumatoError as error:
                clear = "\n" not in str(error) and len(str(error)) < 3000
                tally.refused += clear
                tally.failed += [] if clear else [(data, error)]
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                tally.failed.append((data, error))
    return tally


def kinds() -> dict[str, Kind]:
    """All kinds, by name."""
    from tests.attacks_of_tasks import task_kinds

    with tempfile.TemporaryDirectory() as folder:
        found = _ours(Path(folder)) | _training() | _pictures(Path(folder)) | _data() | _foreign(Path(folder))
        return found | task_kinds(Path(folder))


def _ours(folder: Path) -> dict[str, Kind]:
    """Models, directions, styles, edits, recipes of dreams, manifests."""
    net = network()
    checkpoint.save_model(folder / "model.safetensors", net)
    model = (folder / "model.safetensors").read_bytes()
    found = directions.directions(net, "closed-form", count=2)
    named = directions.Directions(**vars(found) | {"names": ("wider", "redder")})
    ways = directions.save(named, folder / "ways.safetensors", net)[0].read_bytes()
    styles = latent_image.save(folder / "it.safetensors", latent_image.drawn(net, 3), net).read_bytes()
    move = {"vector": [0.5] * 4, "strength": 1.0, "layers": [0, 1], "name": "wider"}
    digest = weights_hash(net.network)
    told = {"is": edit.KIND, "weights": digest, "start": {"seed": 4, "label": "cat", "truncation": 0.7}, "moves": [move, move]}
    recipe = {"network": "squeezenet", "weights": "0", "dream": vars(Dream()), "size": [64, 64], "guide": {"file": "a.png", "sha256": "0"}}
    comment = PngImagePlugin.PngInfo()
    comment.add_text("sfumato", json.dumps(recipe))
    row = {"source": "/a/b.png", "out": "b.png", "status": "done", "words": "", "place": "b.png", "made": "0", "asked": {"task": "auto"}}

    def loaded(path: Path) -> None:
        assert isinstance(listed("it", path).headline, str)
        made = weights.load(path)
        generate.file_names(made, [0, 1], None)

    def searched(path: Path) -> None:
        index = load_index(path)
        search(index, vectors=index.vectors[:1].float(), k=1)

    def known(path: Path) -> None:
        manifest = Manifest(path, request_facts(RestorationRequest(task="denoise", method="median")))  # whose request asks for no weights
        manifest.earlier(path, path.parent / "b.png", {})
        manifest.is_own(path, path.parent / "b.png")

    return {
        "model headers": Kind("run/model.safetensors", [model], spoil_header, loaded),
        "model bytes": Kind("run/model.safetensors", [model], spoil_bytes, loaded),
        "indexes": Kind("a.index", [_index(folder)], _either(spoil_header), searched),
        "directions": Kind("a.safetensors", [ways], _either(spoil_header), lambda path: directions.load(path, net)),
        "latents": Kind(
            "a.safetensors", [styles], _either(spoil_header), lambda path: latent_image.render(net, latent_image.load(path, net))
        ),
        "edits": Kind("edit.json", [json.dumps(told).encode()], spoil_json, lambda path: edit.replay(net, path)),
        "dreams": Kind("dream.json", [json.dumps(recipe).encode()], spoil_json, replayed),
        "dreams in pictures": Kind("dream.png", [_encoded("PNG", pnginfo=comment)], spoil_bytes, replayed),
        "manifests": Kind("manifest.jsonl", [b"\n".join([json.dumps(row).encode()] * 3) + b"\n"], spoil_lines, known),
    }


def _training() -> dict[str, Kind]:
    """What a run leaves in its folder, read when it goes on."""
    from sfumato.core.config import dump
    from sfumato.recipes import recipe
    from sfumato.train import folder

    trees = [json.dumps(dump(recipe(name))).encode() for name in ("dcgan", "restore", "vae")]
    lines = [{"images": 32 * i, "seconds": 1.5, "loss": 0.5} for i in range(4)]

    def gone_on(path: Path) -> None:
        folder.earlier_settings(path.parent)

    def logged(path: Path) -> None:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            log._images(line)

    return {
        "settings": Kind("settings.json", trees, spoil_json, gone_on),
        "logs": Kind("log.jsonl", [b"\n".join(json.dumps(line).encode() for line in lines)], spoil_lines, logged),
    }


def _pictures(folder: Path) -> dict[str, Kind]:
    """Pictures by format, and masks beside a picture."""
    image, grey = _image(), _image().convert("L")
    image.save(folder / "picture.png")
    picture = (folder / "picture.png").read_bytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    palette = image.quantize(16)
    whole = {
        "png": [picture, _encoded("PNG", grey.convert("I;16")), _encoded("PNG", palette, transparency=3), _encoded("PNG", exif=exif)],
        "jpg": [_encoded("JPEG", exif=exif), _encoded("JPEG", grey, progressive=True), _encoded("JPEG", image.convert("CMYK"))],
        "tif": [
            _encoded("TIFF"),
            _encoded("TIFF", grey.convert("I;16")),
            *(_encoded("TIFF", compression=how) for how in ("tiff_lzw", "jpeg")),
        ],
        "webp": [_encoded("WEBP", exif=exif), _encoded("WEBP", lossless=True), _encoded("WEBP", save_all=True, append_images=[image])],
        "gif": [_encoded("GIF", palette), _encoded("GIF", save_all=True, append_images=[image.rotate(90)])],
        "bmp": [_encoded("BMP"), _encoded("BMP", palette)],
    }

    def filled(path: Path) -> None:
        beside = path.parent / "picture.png"
        beside.write_bytes(picture)
        repair(beside, path.parent / "out.png", RestorationRequest(task="inpaint", method="laplace"), mask=path)

    found = {f"pictures: {ending}": Kind(f"a.{ending}", data, spoil_bytes, files.read) for ending, data in whole.items()}
    spots = Image.new("L", image.size)
    spots.paste(255, (3, 3, 6, 6))
    return found | {"masks": Kind("mask.png", [_encoded("PNG", spots)], spoil_bytes, filled)}


def _data() -> dict[str, Kind]:
    """Data sets in a file."""
    packed, label = io.BytesIO(), json.dumps({"labels": [["a/0.png", 0], ["b/1.png", 1]]})
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as pack:
        for i in range(4):
            pack.writestr(f"{'ab'[i % 2]}/{i}.png", _encoded("PNG"))
        pack.writestr("dataset.json", label)
    idx = struct.pack(">HBB3I", 0, 8, 3, 5, 8, 8) + bytes(range(64)) * 5
    return {
        "zips": Kind("a.zip", [packed.getvalue()], spoil_bytes, lambda path: load(path, tolerance=0.5)),
        "idx": Kind("images-idx3-ubyte", [idx], spoil_bytes, load),
        "idx in gzip": Kind("images-idx3-ubyte.gz", [gzip.compress(idx, mtime=0)], spoil_bytes, load),
    }


def _foreign(folder: Path) -> dict[str, Kind]:
    """Other people's weights."""
    from tests.store.test_pickles import snapshot, written_by_them

    torch.manual_seed(0)
    net = MODELS["dncnn"](channels=1, depth=3, width=4).build()
    numbers = sorted({int(key.split(".")[1]) for key in net.state_dict()})
    state = {f"model.{2 * i}.{end}": net.state_dict()[f"layers.{n}.{end}"] for i, n in enumerate(numbers) for end in ("weight", "bias")}
    torches = []
    for zipped in (True, False):
        torch.save(state, folder / "net.pth", _use_new_zipfile_serialization=zipped)
        torches.append((folder / "net.pth").read_bytes())
    checkpoint.write_tensors(folder / "net.safetensors", state, {})
    pickled = [written_by_them(snapshot("b4")), written_by_them(snapshot("b4", "b8"), 3)]
    return {
        "pickles": Kind("net.pkl", pickled, spoil_bytes, foreign.load),
        "torch files": Kind("net.pth", torches, spoil_bytes, foreign.load),
        "matlab files": Kind("net.mat", [matlab(dncnn_layers())], spoil_bytes, foreign.load),
        "safetensors": Kind("net.safetensors", [(folder / "net.safetensors").read_bytes()], _either(spoil_header), foreign.load),
    }


def _index(folder: Path) -> bytes:
    """An index of four pictures."""
    model = MODELS["vae"](size=(8, 8), channels=1, classes=0, latent_dim=4, width=4, max_width=4, blocks=0).build()
    data = Dataset(name="four", pixels=torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8))
    return embed(data, model).save(folder / "four.index")[0].read_bytes()


def _either(spoil: Spoil) -> Spoil:
    """`spoil`, or one time in three bytes."""
    return lambda data, rng: (spoil_bytes if rng.random() < 1 / 3 else spoil)(data, rng)


def _image() -> Image.Image:
    rng = random.Random(0)
    image = Image.new("RGB", (24, 16))
    image.putdata([(x * 9 % 256, y * 15 % 256, rng.randrange(256)) for y in range(16) for x in range(24)])
    return image


def _encoded(form: str, image: Image.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    (image or _image()).save(stream, form, **options)
    return stream.getvalue()


def described(error: BaseException) -> str:
    """The error, and where it came from, in a line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else "?"
    return f"{type(error).__name__} at {place}: {str(error)[:160]!r}"


if sys.platform == "win32":  # pragma: no cover
    raise ImportError("the limits that keep an attack in its place are POSIX's")
