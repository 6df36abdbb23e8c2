"""A folder of pictures that any program made, beside real ones."""

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.data.scenes import load_scenes
from sfumato.evaluation.generators import judge_images
from sfumato.evaluation.picture_sets import is_pictures
from sfumato.metrics.features import Pixels, describe
from sfumato.metrics.frechet import frechet
from sfumato.store.loaded import LoadedModel

CPU = torch.device("cpu")
FEATURES = LoadedModel(network=Pixels(channels=3, side=4))


def folder(path, count, *, seed=0, sizes=((16, 16),), shift=0):
    path.mkdir()
    rng = np.random.default_rng(seed)
    for i in range(count):
        w, h = sizes[i % len(sizes)]
        pixels = (rng.normal(120 + shift, 30, (h // 4, w // 4, 3)).clip(0, 255)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
        Image.fromarray(pixels).save(path / f"{i:03d}.png")
    return path


def values(report):
    return {row.name: row.value for row in report}


def test_distances_are_those_of_the_features_of_all_pictures(tmp_path):
    made, real = folder(tmp_path / "made", 70, shift=60), folder(tmp_path / "real", 80, seed=1)
    report = sf.evaluate(made, real, features=FEATURES)
    own, true = (torch.stack(load_scenes(each, channels=3, part="all").pictures) for each in (made, real))
    expected = frechet(describe(FEATURES.network, true), describe(FEATURES.network, own))
    assert values(report)["frechet"] == pytest.approx(expected, rel=1e-6)
    assert report[0].protocol.real == 80
    assert report[0].protocol.generated == 70
    assert values(report)["frechet"] > 2 * values(report)["floor_frechet"], "one half of the real ones beside the other"
    assert values(sf.evaluate(real, real, features=FEATURES))["frechet"] == pytest.approx(0, abs=1e-3)


def test_pictures_of_several_sizes_are_compared_at_their_own(tmp_path):
    made = folder(tmp_path / "made", 25, sizes=((16, 16), (24, 32)))
    real = folder(tmp_path / "real", 25, seed=1, sizes=((16, 16),))
    assert "frechet" in values(sf.evaluate(made, real, features=FEATURES))


def test_features_data_and_twenty_pictures_are_needed(tmp_path):
    made, few = folder(tmp_path / "made", 20), folder(tmp_path / "few", 19)
    with pytest.raises(sf.SettingError, match="name the network in whose features the pictures are compared"):
        sf.evaluate(made, made)
    with pytest.raises(sf.SettingError, match="name their originals with --reference, for FID and others real ones with --data"):
        sf.evaluate(made, features=FEATURES)
    with pytest.raises(sf.DataError, match="few has 19 pictures; for a distance of two sets 20 are the least"):
        sf.evaluate(made, few, features=FEATURES)
    with pytest.raises(sf.SettingError, match=r"^features: this network takes images of size \(28, 28\)"):
        sf.evaluate(made, made, features="digits-classifier")


def test_a_folder_of_pictures_is_told_from_models(tmp_path):
    pictures = folder(tmp_path / "pictures", 2)
    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True)
    for name in ("settings.json", "log.jsonl"):
        (run / name).write_text("{}")
    assert is_pictures(pictures)
    assert is_pictures(str(pictures))
    assert not is_pictures(run), "a run that has no model yet"
    assert not is_pictures("digits")
    assert not is_pictures(FEATURES)
    (pictures / "model.safetensors").touch()
    assert not is_pictures(pictures)
    assert not is_pictures(tmp_path / "absent")


def test_the_floor_is_that_of_the_real_pictures_alone(tmp_path):
    made, real = folder(tmp_path / "made", 30), folder(tmp_path / "real", 60, seed=1)
    floor = {name: value for name, value in values(sf.evaluate(made, real, features=FEATURES)).items() if name.startswith("floor_")}
    alone = values(judge_images(sf.load_dataset(real, part="all"), FEATURES, CPU, count=10_000, seed=0))
    assert floor == pytest.approx(alone)
