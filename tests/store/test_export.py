"""Exported files: they compute what their models compute, say what a program must know, and are read back as models."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.core.errors import CheckpointError, SettingError
from sfumato.core.tensors import to_bytes
from sfumato.models import MODELS
from sfumato.models.roles.base import Role
from sfumato.nn import normal
from sfumato.nn.resample import enlarge, resize
from sfumato.store import checkpoint, weights
from sfumato.store.cards import ModelCard
from sfumato.store.loaded import LoadedModel

onnx = pytest.importorskip("onnx", reason="exporting needs onnx")
ort = pytest.importorskip("onnxruntime", reason="exporting needs onnxruntime")
pytest.importorskip("onnxscript", reason="exporting needs onnxscript")

from sfumato.store.export.export import export, verify  # noqa: E402
from sfumato.store.export.facts import KEY  # noqa: E402
from sfumato.store.export.parity import random_inputs  # noqa: E402
from sfumato.store.export.read import load  # noqa: E402


def scrambled(config):
    """A loaded model of `config` whose weights, batch statistics included, are none at their start."""
    torch.manual_seed(0)
    network = config.build().eval().requires_grad_(False)
    for value in network.state_dict().values():
        if value.is_floating_point() and value.dim():
            value.add_(0.05 * torch.rand_like(value))
    return LoadedModel(network=network, config=config, card=ModelCard(name="test", licence="CC0"))


pytestmark = pytest.mark.timeout(600)

RESTORERS = {
    "upscaler": MODELS["gated"](channels=3, width=4, middle=1, scale=2),
    "denoiser": MODELS["gated"](
        channels=1, width=4, encoder=(1,), decoder=(1,), middle=1, fold=2, planes=("noise",), pixel_gate="pointwise"
    ),
}
OTHERS = {
    "styles": MODELS["stylegan"](
        size=(8, 8), channels=1, classes=3, latent_dim=6, style_dim=6, width=4, max_width=4, mapping=1, discriminator_width=0, noise=True
    ),
    "classifier": MODELS["classifier"](size=(8, 12), channels=1, classes=4, widths=(4, 8), hidden=(8,)),
    "vae": MODELS["vae"](size=(8, 8), channels=1, classes=0, latent_dim=4, mixture=3),
}
CODEC = MODELS["hyperprior"](fine=8, middle=8, coarse=8, blocks=(1, 0, 0), latent=8, hyper=8, hyper_latent=4)


EXPORT = """
import sys
from pathlib import Path
from sfumato.store.export.export import export
for path in sys.argv[1:]:
    export(path, Path(path).with_suffix(".onnx"))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Each network as an exported file: name to model and path. One process exports them, as people do, without checks of types."""
    place = tmp_path_factory.mktemp("exported")
    models = {name: scrambled(config) for name, config in (RESTORERS | OTHERS).items()}
    models["vae"].network.fit_prior(torch.randn(200, 4, generator=torch.Generator().manual_seed(1)), torch.Generator().manual_seed(2))
    for name, model in models.items():
        checkpoint.save_model(place / f"{name}.safetensors", model)
    paths = [str(place / f"{name}.safetensors") for name in models]
    subprocess.run([sys.executable, "-c", EXPORT, *paths], check=True, capture_output=True)
    return {name: (model, place / f"{name}.onnx") for name, model in models.items()}


@pytest.mark.parametrize("name", RESTORERS)
def test_a_restorer_comes_back_and_restores_any_size_in_tiles(files, name):
    from sfumato.restoration.tiles import apply_restorer

    model, path = files[name]
    image = torch.rand(2, model.network.channels, 37, 29)
    options = {"noise": 0.1} if model.network.conditioning else {}
    for tile in (None, 16):
        ours = apply_restorer(model, image, tile=tile, **options)
        theirs = apply_restorer(path, image, tile=tile, **options)
        torch.testing.assert_close(theirs, ours, atol=2e-5, rtol=0)


def test_facts_tell_a_program_without_this_package_how_to_use_the_file(files):
    _, path = files["denoiser"]
    session = ort.InferenceSession(str(path))
    facts = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
    assert facts["role"] == "restorer"
    assert facts["colour"] == "grey"
    assert facts["card"]["licence"] == "CC0"
    assert facts["network"]["pad_multiple"] == files["denoiser"][0].network.pad_multiple
    assert facts["network"]["receptive_radius"] == files["denoiser"][0].network.receptive_radius
    assert [(each["name"], each["shape"]) for each in facts["inputs"]] == [("degraded", ["n", 1, "h", "w"]), ("planes", ["n", 1, "h", "w"])]
    assert facts["parity"]["difference"] <= 1e-4
    assert [each.name for each in session.get_inputs()] == ["degraded", "planes"]


def test_a_generator_comes_back_with_labels_truncation_and_the_noise_of_seeds(files):
    from sfumato.generation.generate import generate

    model, path = files["styles"]
    for truncation in (1.0, 0.5):
        ours = generate(model, 5, seed=3, label=None, truncation=truncation)
        theirs = generate(path, 5, seed=3, label=None, truncation=truncation)
        torch.testing.assert_close(theirs.as_subclass(torch.Tensor), ours.as_subclass(torch.Tensor), atol=2e-5, rtol=0)
    assert not torch.equal(generate(path, 2, seed=3, label=0), generate(path, 2, seed=3, label=1))


def test_own_noise_is_added_where_none_is_given(files):
    model, path = files["styles"]
    z, labels = torch.randn(2, 6), torch.tensor([0, 2])
    torch.testing.assert_close(load(path).network.sample(z, labels), model.network.sample(z, labels), atol=2e-5, rtol=0)


def test_a_classifier_comes_back_with_scores_and_features(files):
    model, path = files["classifier"]
    network, images = load(path).network, torch.rand(3, 1, 8, 12)
    torch.testing.assert_close(network.classify(images), model.network.classify(images), atol=2e-5, rtol=0)
    torch.testing.assert_close(network.features(images), model.network.features(images), atol=2e-5, rtol=0)


def test_a_mixture_of_latents_is_part_of_the_graph(files):
    model, path = files["vae"]
    z = torch.randn(64, 4)
    torch.testing.assert_close(load(path).network.sample(z), model.network.sample(z), atol=1e-4, rtol=0)


def test_a_part_is_exported_by_its_name(files, tmp_path):
    model, _ = files["vae"]
    exported = export(model, tmp_path / "encoder.onnx", part="encoder")
    assert exported.others == ("generator",)
    images = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(load(exported.path).network.features(images), model.network.posterior(images)[0], atol=2e-5, rtol=1e-5)
    with pytest.raises(SettingError, match="has no part"):
        export(model, tmp_path / "other.onnx", part="decoder")
    with pytest.raises(SettingError, match="must end in"):
        export(model, tmp_path / "other.bin")


def test_the_transforms_of_a_codec_are_exported(tmp_path):
    model = scrambled(CODEC)
    codec = model.network
    level, images = torch.tensor([0.2]), torch.rand(1, 3, 48, 80)
    latent, maps = codec.encode(images, level), torch.randn(1, 8, 4, 8)
    expected = {
        "analysis": ({"images": images, "level": level}, latent),
        "synthesis": ({"latent": latent.round(), "level": level}, codec.decode(latent.round(), level)),
        "hyper_analysis": ({"latent": maps}, codec.hyper_encode(maps, level)),
    }
    for part in codec.export_graphs():
        exported = export(model, tmp_path / f"{part}.onnx", part=part)
        assert exported.facts.parity.difference <= 1e-4
        assert exported.facts.network["stride"] == codec.stride
        inputs, output = expected[part]
        session = ort.InferenceSession(str(exported.path))
        (computed,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        torch.testing.assert_close(torch.from_numpy(computed), output, atol=1e-4, rtol=1e-4)
    with pytest.raises(CheckpointError, match="part of a codec"):
        load(tmp_path / "analysis.onnx")


def test_the_inputs_of_a_codec_have_the_sizes_of_its_maps():
    """Maps of the latent are as many times smaller than the picture as the codec says, and the hyperprior takes multiples of its stride."""
    codec = scrambled(CODEC).network
    shapes = {
        part: [tuple(value.shape) for value in random_inputs(graph, (97, 93), 2, seed=0).values()]
        for part, graph in codec.export_graphs().items()
    }
    assert shapes == {
        "analysis": [(2, 3, 112, 96), (2,)],
        "synthesis": [(2, 8, 7, 6), (2,)],
        "hyper_analysis": [(2, 8, 8, 8)],
    }
    for part, graph in codec.export_graphs().items():
        with torch.no_grad():
            output = graph.module(*(each.example for each in graph.inputs))
        assert output.isfinite().all(), part


def test_verify_tells_another_network_from_the_exported_one(files):
    model, path = files["upscaler"]
    assert verify(path, model).difference <= 1e-4
    torch.manual_seed(5)
    with pytest.raises(CheckpointError, match="differs from the model"):
        verify(path, LoadedModel(network=RESTORERS["upscaler"].build().eval()))


def test_eight_bits_stay_near_and_are_smaller(files, tmp_path):
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((96, 80)).save(tmp_path / f"{i}.png")
    model = scrambled(MODELS["gated"](channels=1, width=32, middle=2))
    exported = export(model, tmp_path / "m.onnx", int8=tmp_path)
    assert exported.facts.number_format == "int8"
    assert 0 < exported.facts.parity.difference < 0.2
    assert exported.path.stat().st_size < 0.6 * sum(4 * weight.numel() for weight in model.network.parameters())
    with pytest.raises(SettingError, match="8 bits are for networks that take pictures"):
        export(files["styles"][0], tmp_path / "g.onnx", int8=tmp_path)


def test_openvino_computes_both_formats(files, tmp_path):
    pytest.importorskip("openvino", reason="needs openvino")
    model, path = files["upscaler"]
    image = torch.rand(1, 3, 20, 24)
    expected = model.network.restore(image)
    torch.testing.assert_close(load(path, runtime="openvino").network.restore(image), expected, atol=2e-5, rtol=0)
    own = export(model, tmp_path / "m.xml").path
    torch.testing.assert_close(load(own).network.restore(image), expected, atol=2e-5, rtol=0)


def test_every_role_of_a_bundled_model_has_a_graph():
    for name in weights.bundled():
        network = weights.load(name).network
        assert isinstance(network, Role)
        assert network.export_graphs()


def refused(file):
    """The error that a file is refused with; nothing if it is read."""
    try:
        load(file)
    except CheckpointError as error:
        return str(error)
    return ""


def test_files_that_are_no_exported_models_are_refused_in_one_line(files, tmp_path):
    _, path = files["upscaler"]
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    bare = onnx.load_model_from_string(content)
    while bare.metadata_props:
        bare.metadata_props.pop()
    cases = {"text": b"no model", "empty": b"", "half": content[: len(content) // 2], "bare": bare.SerializeToString()}
    for name, change in {
        "role": {"role": "wizard"},
        "later": {"format": 99},
        "scale": {"network": {"scale": 1 << 40}},
        "nothing": {"network": {}},
        "list": {"network": [1]},
        "deep": {"card": {"data": 3}},
    }.items():
        facts = json.loads(next(each.value for each in onnx.load_model_from_string(content).metadata_props if each.key == KEY))
        proto = onnx.load_model_from_string(content)
        onnx.helper.set_model_props(proto, {KEY: json.dumps(facts | change)})
        cases[name] = proto.SerializeToString()
    for i in range(40):
        changed = bytearray(content)
        for place in rng.integers(0, min(len(changed), 4000), 4):
            changed[place] = rng.integers(256)
        cases[f"mutant {i}"] = bytes(changed)
    for name, data in cases.items():
        (file := tmp_path / "m.onnx").write_bytes(data)
        error = refused(file)
        assert error or name.startswith("mutant"), name
        assert not error or (str(file) in error and "\n" not in error)


@pytest.mark.parametrize("name", ["upscaler", "denoiser"])
def test_the_program_in_the_examples_restores_in_tiles(files, name):
    from sfumato.restoration.tiles import apply_restorer

    model, path = files[name]
    program = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "restore_onnx.py"))
    pixels = torch.randint(256, (1, model.network.channels, 37, 45), dtype=torch.uint8)
    picture = Image.fromarray(pixels[0].permute(1, 2, 0).squeeze(2).numpy())
    options = {"noise": 12 / 255} if model.network.conditioning else {}
    expected = to_bytes(apply_restorer(model, pixels / 255, **options))[0].permute(1, 2, 0).squeeze(2)
    ours = np.asarray(program["restore"](str(path), picture, tile=16, noise=12.0)).astype(int)
    assert np.abs(ours - expected.numpy()).max() <= 1


def test_the_graph_reads_no_other_file(files, tmp_path):
    """Weights in a file beside the model, at a place that the model names, would let a file read any other."""
    _, path = files["upscaler"]
    proto = onnx.load_model_from_string(path.read_bytes())
    (tmp_path / "secret.bin").write_bytes(bytes(1 << 16))
    for tensor in proto.graph.initializer:
        if tensor.HasField("raw_data"):
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in {"location": "secret.bin", "offset": "0"}.items():
                tensor.external_data.add(key=key, value=value)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(CheckpointError):
        load(tmp_path / "m.onnx")


def test_enlarging_by_a_convolution_equals_resizing():
    image = torch.rand(2, 3, 7, 9)
    for factor in (2, 3, 4):
        with mock.patch.object(torch.compiler, "is_exporting", return_value=True):
            ours = enlarge(image, factor)
        torch.testing.assert_close(ours, resize(image, (7 * factor, 9 * factor)), atol=1e-6, rtol=0)


def test_the_normal_distribution_by_series_and_by_newton():
    x = torch.linspace(-6, 6, 1001, dtype=torch.float64)
    torch.testing.assert_close(normal._cumulative_by_series(x), torch.special.ndtr(x), atol=1e-14, rtol=0)
    p = torch.cat([torch.logspace(-9, -0.31, 300, dtype=torch.float64), 1 - torch.logspace(-9, -0.31, 300, dtype=torch.float64)])
    torch.testing.assert_close(normal._quantile_by_newton(p), torch.special.ndtri(p), atol=1e-6, rtol=0)
