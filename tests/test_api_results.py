"""Results are saved by one rule: what the same verb wrote is replaced, what somebody else wrote or changed is not."""

import copy
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.editing.edit import replay
from sfumato.generation.files import generate_files
from sfumato.models import MODELS
from sfumato.store import checkpoint


@pytest.fixture
def network(untrained):
    return untrained("stylegan", size=(16, 16))


@pytest.fixture
def restored():
    torch.manual_seed(0)
    restorer = MODELS["gated"](width=4, middle=1).build().eval()
    torch.nn.init.normal_(restorer.tail.weight, std=0.05)
    return lambda picture: sf.restore(picture, restorer, task="denoise")


def test_generated_images_are_the_files_of_the_command(network, tmp_path):
    images = sf.generate(network, 3, seed=5, truncation=0.7)
    paths = images.save(tmp_path / "ours")
    command = generate_files(network, [5, 6, 7], tmp_path / "theirs", truncation=0.7)
    assert [path.name for path in paths] == [path.name for path in command.paths] == ["grid.png", "00005.png", "00006.png", "00007.png"]
    for mine, other in zip(paths, command.paths, strict=True):
        assert mine.read_bytes() == other.read_bytes()
    assert generate_files(network, [5, 6, 7], tmp_path / "ours", truncation=0.7).done_before == 3
    with pytest.raises(SettingError, match="columns = 0"):
        images.save(tmp_path / "other", columns=0)


def test_the_overwrite_rule_holds_for_every_result(network, restored, tmp_path):
    picture = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(0))
    drawn = sf.latent_image(network, 3)
    move = sf.Move(vector=(1.0,) * network.style_dim, strength=1.0, layers=(0, 1))
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    results = {
        "sheet.png": sf.generate(network, 2),
        "walk.gif": sf.interpolate(network, (0, 1), steps=2),
        "mix.png": sf.mix(network, [0], [1]),
        "edit.png": sf.edit(network, 3, [move]),
        "drag.png": sf.drag(network, drawn, [(3.0, 3.0)], [(9.0, 3.0)], steps=1),
        "styles.safetensors": drawn,
        "projected.safetensors": sf.project(network, picture, steps=2),
        "directions.safetensors": sf.directions(network, count=1),
        "image.png": restored(Image.new("RGB", (20, 18), (90, 80, 200))),
        "array.png": restored(np.zeros((18, 20, 3), np.uint8)),
        "tensor.png": restored(picture),
        "figures.json": sf.evaluate_restorer("median", "noise:25", [picture]),
        "dream.png": sf.dream(picture, module, sf.Dream(layers=("0",), steps=1, octaves=1)),
        "atlas.png": sf.features(module, "0", channels=[1, 2], steps=1),
    }
    for name, result in results.items():
        path = tmp_path / name
        paths = result.save(path)
        assert paths[0] == path, name
        assert all(each.is_file() for each in paths), name
        before = path.read_bytes()
        assert result.save(str(path)) == paths, "its own file is replaced"
        assert path.read_bytes() == before, name
        path.write_bytes(b"somebody's")
        with pytest.raises(SettingError, match="is there already; choose another path, or give overwrite=True"):
            result.save(path)
        assert path.read_bytes() == b"somebody's", name
        result.save(path, overwrite=True)
        assert path.read_bytes() == before, name
        with pytest.raises(SettingError, match=r"\.docx"):
            result.save(tmp_path / f"{name}.docx")


def test_calculations_give_plain_tensors_and_arrays(network, restored):
    images = sf.generate(network, 2)
    assert type(images * 2) is type(images[0]) is type(images.mean()) is torch.Tensor
    assert torch.equal(copy.deepcopy(images), images)
    assert copy.deepcopy(images).names == images.names
    assert type(copy.copy(images)) is torch.Tensor, "as whatever is pickled: the network is not"
    array = restored(np.zeros((18, 20, 3)))
    assert type(array + 1) is np.ndarray
    assert isinstance(array.mean(), float)


def test_a_restored_picture_keeps_its_profile_and_knows_its_plan(restored, tmp_path):
    image = Image.new("RGB", (20, 18), (90, 80, 200))
    image.info |= {"icc_profile": b"a profile", "dpi": (300, 300)}
    result = restored(image)
    (path,) = result.save(tmp_path / "a.png")
    with Image.open(path) as saved:
        assert saved.info["icc_profile"] == b"a profile"
        assert np.array_equal(np.asarray(saved), np.asarray(result))
    assert [plan.network is not None for plan in result.plans] == [True]
    assert len(restored(torch.rand(2, 3, 18, 20)).plans) == 2
    deep = restored(np.zeros((18, 20), np.uint16) + np.uint16(30_001))
    (path,) = deep.save(tmp_path / "deep.png")
    with Image.open(path) as saved:
        assert np.array_equal(np.asarray(saved), deep)


def test_pillow_still_writes_to_open_files_and_with_its_own_parameters(restored, tmp_path):
    result, file = restored(Image.new("RGB", (20, 18), (90, 80, 200))), io.BytesIO()
    result.save(file, "JPEG", quality=30)
    result.save(tmp_path / "a.jpg", quality=30)
    assert (tmp_path / "a.jpg").read_bytes() == file.getvalue()
    (tmp_path / "a.jpg").write_bytes(b"somebody's")
    with pytest.raises(SettingError, match="is there already"):
        result.save(tmp_path / "a.jpg", quality=30)


def test_an_edit_is_done_again_from_its_file_whatever_it_began_with(network, tmp_path):
    move = sf.Move(vector=(1.0,) * network.style_dim, strength=1.0, layers=(0, 1))
    projection = sf.project(network, torch.rand(3, 16, 16), steps=2)
    stored = projection.save(tmp_path / "there" / "it.safetensors")[0]
    for i, start in enumerate((4, stored, projection.latent_image, sf.edit(network, 4, [move]).latent_image)):
        edited = sf.edit(network, start, [move])
        paths = edited.save(tmp_path / f"{i}.png")
        assert len(paths) == (2 if i < 2 else 3), "latents that are in no file are written too"
        again, _ = replay(network, paths[1], styles=stored if i == 1 else None)
        assert torch.equal(again.images, edited.images)


def test_a_move_may_be_a_text_about_directions(network, tmp_path):
    axes = sf.directions(network, count=2)
    axes.save(tmp_path / "axes.safetensors")
    moved = [sf.edit(network, 3, ["1=2@0-1"], directions=each).images for each in (axes, tmp_path / "axes.safetensors")]
    assert torch.equal(*moved)
    with pytest.raises(SettingError, match="names a direction; give the directions"):
        sf.edit(network, 3, ["1=2"])
    again = sf.load_directions(tmp_path / "axes.safetensors", network)
    assert [path.suffix for path in again.save(tmp_path / "again.safetensors")] == [".safetensors", ".json"]
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads((tmp_path / "axes.json").read_text())


def test_latents_of_another_network_are_refused(network, untrained, tmp_path):
    latents = sf.latent_image(untrained("stylegan", size=(16, 16), seed=1), 3)
    with pytest.raises(SettingError, match="belong to another model"):
        sf.edit(network, latents, [])
    with pytest.raises(SettingError, match="do not name the weights"):
        sf.LatentImage(styles=torch.zeros(1, 1, 3)).save(tmp_path / "a.safetensors")


def test_an_audit_is_saved_as_the_command_does(network, tmp_path):
    data = sf.Dataset(name="noise", pixels=torch.randint(0, 256, (44, 3, 16, 16), dtype=torch.uint8))
    audit = sf.audit(network, data, count=20)
    paths = audit.save(tmp_path / "audit")
    assert [path.name for path in paths] == ["nearest.png", "duplicates.png", "audit.json"]
    (tmp_path / "audit" / "audit.json").write_text("somebody's")
    with pytest.raises(SettingError, match="is there already"):
        audit.save(tmp_path / "audit")


def test_dreams_of_python_are_repeated_from_their_files(tmp_path, untrained):
    from sfumato.dreaming.files import replayed

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    options = sf.Dream(layers=("0",), steps=2, seed=7, space="fourier")
    dreams = sf.dream(None, module, options, size=(40, 36), n=2)
    paths = dreams.save(tmp_path / "dreams")
    assert [path.name for path in paths] == ["00007.png", "00007.json", "00008.png", "00008.json"]
    settings, record = replayed(paths[3])
    again = sf.dream(None, module, settings, size=tuple(record["size"]))
    assert torch.equal(again.images[0], dreams.images[1])
    through = sf.dream_through(untrained("dcgan", size=(40, 40)), module, sf.Dream(layers=("0",), steps=1))
    assert json.loads(through.save(tmp_path / "through.png")[1].read_text())["through"] == "Dcgan"
    with pytest.raises(SettingError, match="is one picture, and there are 2"):
        dreams.save(tmp_path / "one.png")


def test_a_network_in_a_file_needs_no_loading(network, tmp_path):
    checkpoint.save(tmp_path / "model.safetensors", network, network.config, {})
    latents = sf.latent_image(tmp_path / "model.safetensors", 0)
    loaded = sf.load(tmp_path / "model.safetensors")
    assert torch.equal(sf.render(loaded, latents), sf.generate(tmp_path / "model.safetensors", 1))
