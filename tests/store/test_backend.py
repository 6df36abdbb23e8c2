"""Networks that another library computes: the same results, one conversion for a model, and everything around them as it was."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato import cli
from sfumato.core.errors import CheckpointError, MissingExtraError, SettingError
from sfumato.embeddings.embedder import embedder
from sfumato.models import MODELS
from sfumato.restoration.request import RestorationRequest, request_facts
from sfumato.store import checkpoint
from sfumato.store.export import backend as backends
from sfumato.store.export.backend import with_backend
from sfumato.store.loaded import LoadedModel
from tests.store.test_export import scrambled

pytest.importorskip("onnx", reason="exporting needs onnx")
pytest.importorskip("onnxscript", reason="exporting needs onnxscript")
pytest.importorskip("onnxruntime", reason="exporting needs onnxruntime")
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("unchecked")]
GATED = MODELS["gated"]
SMALL = {
    "pair": MODELS["paired"](
        grey=GATED(channels=1, width=4, encoder=(1,), middle=1, decoder=(1,)),
        colour=GATED(channels=3, width=4, encoder=(1,), middle=1, decoder=(1,)),
    ),
    "vae": MODELS["vae"](size=(8, 8), channels=1, classes=0, latent_dim=4),
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of exported files that the tests of this file share."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("SFUMATO_CACHE", str(folder))
        yield folder / "exported"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The files of small models by name."""
    folder = tmp_path_factory.mktemp("models")
    for name, config in SMALL.items():
        checkpoint.save_model(folder / f"{name}.safetensors", scrambled(config))
    return {name: folder / f"{name}.safetensors" for name in SMALL}


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request):
    pytest.importorskip(request.param, reason=f"this backend is {request.param}")
    return request.param


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("tile", [None, 16])
def test_a_pair_restores_as_with_torch(models, backend, channels, tile):
    images = torch.rand(1, channels, 37, 41, generator=torch.Generator().manual_seed(0))
    output = sf.apply_restorer(with_backend(models["pair"], backend), images, tile=tile)
    assert torch.allclose(output, sf.apply_restorer(models["pair"], images), atol=1e-4)


def test_restore_takes_a_backend(models, backend):
    picture = np.random.default_rng(0).integers(90, 160, (24, 30, 3), dtype=np.uint8)
    output = sf.restore(picture, models["pair"], task="denoise", backend=backend, ensemble=4)
    expected = sf.restore(picture, models["pair"], task="denoise", ensemble=4)
    assert np.abs(np.asarray(output).astype(int) - np.asarray(expected)).max() <= 1


def test_a_generator_shows_the_same_images(models, backend):
    expected = sf.generate(models["vae"], 3, seed=7)
    assert torch.allclose(sf.generate(with_backend(models["vae"], backend), 3, seed=7), expected, atol=1e-4)


def test_vectors_are_those_of_torch_and_belong_to_the_same_model(models, backend):
    pixels = torch.randint(256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    one, other = embedder(models["vae"]), embedder(models["vae"], backend=backend)
    assert torch.allclose(one.vectors(pixels), other.vectors(pixels), atol=1e-4)
    assert (one.weights, one.name, one.dimension) == (other.weights, other.name, other.dimension)


def test_a_model_is_converted_once(models, monkeypatch):
    with_backend(models["pair"], "onnxruntime")
    monkeypatch.setattr(backends, "onnx_bytes", lambda *_: pytest.fail("converted once more"))
    with_backend(models["pair"], "onnxruntime")


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_wrong_file_in_the_cache_is_made_anew(models, damage, monkeypatch, tmp_path):
    """Either it is no graph, or the graph of another network."""
    model = sf.load(models["pair"])
    graph = backends.graphs_of(model)["grey"]
    with_backend(model, "onnxruntime")
    right, other = (backends._place(model, name).read_bytes() for name in ("grey", "colour"))
    monkeypatch.setattr(backends, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(backends, "onnx_bytes", lambda *_: right)
    place = backends._place(model, "grey")
    place.parent.mkdir()
    place.write_bytes(right[: len(right) // 2] if damage == "cut" else other)
    backends._opened(model, "grey", graph, "onnxruntime")
    assert place.read_bytes() == right


def test_a_graph_that_computes_something_else_is_refused(models, monkeypatch):
    monkeypatch.setattr(backends, "TOLERANCE", -1.0)
    with pytest.raises(CheckpointError, match=r"differs from the network by .* of full scale; take the backend torch"):
        with_backend(models["pair"], "onnxruntime")


def test_a_network_without_a_file_has_no_place_in_the_cache():
    assert backends._place(scrambled(SMALL["vae"]), "generator") is None


@pytest.mark.parametrize("other", [{"method": "median"}, {"precision": "bf16"}])
def test_what_a_backend_does_not_compute_is_refused_with_it(other):
    with pytest.raises(SettingError, match=r"backend = openvino and .*: give one of them"):
        RestorationRequest(backend="openvino", **other).check()


def test_manifests_of_earlier_runs_go_on():
    assert "backend" not in request_facts(RestorationRequest(task="denoise"))
    assert request_facts(RestorationRequest(task="denoise", backend="openvino"))["backend"] == "openvino"


def test_graphs_that_describe_no_images_are_refused(models, monkeypatch):
    monkeypatch.setattr("sfumato.embeddings.embedder.with_backend", lambda *_, **__: LoadedModel(network=torch.nn.Identity()))
    with pytest.raises(SettingError, match="take the backend torch"):
        embedder(models["vae"], backend="onnxruntime")


@pytest.mark.parametrize(
    ("package", "command"), [("openvino", "pip install openvino"), ("onnx", "pip install onnx onnxscript onnxruntime")]
)
def test_without_the_packages_the_command_is_named(monkeypatch, package, command):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=command):
        with_backend(scrambled(SMALL["vae"]), "openvino")


def test_the_command_line_takes_a_backend(models, tmp_path, capsys):
    picture = np.random.default_rng(0).integers(90, 160, (24, 30), dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(picture).save(tmp_path / "photos" / "a.png")
    words = ["--backend", "onnxruntime", "--threads", "1"]
    cli.main(
        ["restore", str(tmp_path / "photos"), "--model", str(models["pair"]), "--task", "denoise", "--out", str(tmp_path / "r"), *words]
    )
    cli.main(["generate", str(models["vae"]), "-n", "2", "--out", str(tmp_path / "g.png"), *words])
    cli.main(["embed", str(tmp_path / "photos"), "--model", str(models["vae"]), "--out", str(tmp_path / "i.index"), *words])
    expected = np.asarray(sf.restore(picture, models["pair"], task="denoise")).astype(int)
    assert np.abs(np.asarray(Image.open(tmp_path / "r" / "a.png")) - expected).max() <= 1
    assert (tmp_path / "g.png").is_file()
    assert "1 vectors of 4 numbers" in capsys.readouterr().out
