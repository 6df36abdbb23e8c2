"""The verbs, on tiny networks and on the bundled ones."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.errors import DataError, SettingError, UnknownNameError
from sfumato.data.glyphs import glyphs
from sfumato.evaluation.evaluate import compared, evaluate, matching_features
from sfumato.evaluation.features import suited
from sfumato.evaluation.score import accuracy_score, generated
from sfumato.generation import generate as generating
from sfumato.generation import interpolate as walking
from sfumato.metrics.base import Measurement
from sfumato.metrics.features import Pixels
from sfumato.models import MODELS
from sfumato.recipes import recipe
from sfumato.store import checkpoint, weights
from sfumato.store.zoo import list_models


@pytest.fixture(scope="module")
def letters():
    return glyphs(300, (16, 16), characters="ABC")


@pytest.fixture(scope="module")
def gan(letters):
    return sf.fit(sf.override(recipe("dcgan"), "images=256", "batch=16", "model.width=4", "model.discriminator_width=4"), data=letters)


def test_a_network_in_training_makes_the_same_images_and_notes_nothing():
    for name, extra in (("dcgan", {}), ("stylegan", {"latent_dim": 4, "style_dim": 4, "mapping": 1})):
        torch.manual_seed(0)
        net = MODELS[name](size=(16, 16), channels=1, classes=0, width=4, **extra).build()
        before = {key: value.clone() for key, value in net.state_dict().items()}
        alone, among = sf.generate(net, n=1, seed=3), sf.generate(net, n=5)
        assert torch.equal(alone[0], among[3])
        assert net.training
        assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.fixture(scope="module")
def classifier(letters):
    return sf.fit(sf.override(recipe("classifier"), "images=256", "batch=16", "model.widths=[4,8]", "model.hidden=[8]"), data=letters)


@pytest.fixture(scope="module")
def vae(letters):
    return sf.fit(
        sf.override(recipe("vae"), "images=256", "batch=16", "model.width=4", "model.mixture=2", "model.latent_dim=3"), data=letters
    )


def test_a_seed_is_one_picture_in_any_batch(gan, vae):
    for network in (gan, vae):
        many = sf.generate(network, 21, seed=0)
        assert torch.equal(sf.generate(network, 1, seed=17)[0], many[17])
        assert torch.equal(sf.generate(network, seeds=[20, 3]), many[[20, 3]])
        assert many.shape == (21, 1, 16, 16)
        assert 0 <= many.min() <= many.max() <= 1


def test_labels_by_name(gan):
    asked = sf.generate(gan, 3, label="B")
    assert torch.equal(asked[1], sf.generate(gan, seeds=[1])[0])  # without a label, seed 1 shows class 1, which is B
    assert not torch.equal(asked, sf.generate(gan, 3, label="C"))
    with pytest.raises(SettingError, match=r"no label 'D'.*A, B, C"):
        sf.generate(gan, 3, label="D")


def test_what_makes_no_images_says_so(classifier, gan):
    with pytest.raises(SettingError, match="makes no images"):
        sf.generate(classifier, 2)
    with pytest.raises(SettingError, match="at least 1"):
        sf.generate(gan, 0)


def test_sheet_and_single_files(gan, tmp_path):
    images = sf.generate(gan, 5)
    paths = generating.save(images, tmp_path / "many", names=[f"{i}" for i in range(5)], columns=5)
    with Image.open(paths[0]) as sheet, Image.open(paths[3]) as one:
        assert sheet.size == (5 * 16 + 4 * 2, 16)
        assert one.size == (16, 16)
    assert generating.save(images, tmp_path / "sheet.png", names=[]) == [tmp_path / "sheet.png"]


def test_a_walk_starts_and_ends_where_asked(gan):
    loop = sf.interpolate(gan, (0, 3), steps=4, label="A")
    assert len(loop) == 8
    torch.testing.assert_close(loop[[0, 4]], sf.generate(gan, seeds=[0, 3], label="A"), atol=1e-5, rtol=0)
    assert len(sf.interpolate(gan, (0, 3, 5), steps=4, loop=False)) == 9
    with pytest.raises(SettingError, match="at least 2 seeds"):
        sf.interpolate(gan, (0,))


def test_great_circle_keeps_the_length():
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(1, 64, generator=rng), torch.randn(1, 64, generator=rng)
    lengths = torch.cat([walking.slerp(a, b, t / 10) for t in range(11)]).norm(dim=1)
    assert lengths.min() >= min(a.norm(), b.norm()) - 1e-3
    torch.testing.assert_close(walking.slerp(a, a, 0.3), a)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_films(gan, tmp_path, ending):
    path = walking.save(sf.interpolate(gan, (0, 1), steps=3), tmp_path / f"walk.{ending}", fps=10, enlarge=2)
    with Image.open(path) as film:
        assert film.n_frames == 6
        assert film.size == (32, 32)


def test_evaluation_of_each_role(gan, vae, classifier, letters, tmp_path):
    figures = {m.name: m for m in evaluate(classifier, letters)}
    assert 0 <= figures["accuracy"].value <= 1
    figures = {m.name: m for m in evaluate(gan, letters, features=classifier, count=60)}
    assert {"frechet", "kid", "precision", "coverage", "shows_asked_class"} <= figures.keys()
    assert figures["frechet"].protocol.generated == 60
    report = evaluate(vae, letters, count=60, samples=5, images=40)
    nats = next(m for m in report if m.name == "negative_log_likelihood")
    assert nats.protocol.real == 40
    from sfumato.evaluation.evaluate import save

    stored = json.loads(save(report, tmp_path / "report.json").read_text())
    assert [Measurement.from_dict(m) for m in stored] == report


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """300 letters as files, wider than tall, in a folder for each."""
    folder = tmp_path_factory.mktemp("pictures")
    drawn = glyphs(300, (16, 20), characters="ABC")
    for i, (pixels, label) in enumerate(zip(drawn.pixels, drawn.labels.tolist(), strict=True)):
        (folder / "ABC"[label]).mkdir(exist_ok=True)
        Image.fromarray(pixels[0].numpy()).save(folder / "ABC"[label] / f"{i}.png")
    return folder


def test_a_model_is_measured_on_images_that_it_never_saw(pictures):
    changes = ("crop=stretch", "model.size=[16,16]", "images=32", "batch=16", "model.width=4", "model.discriminator_width=4")
    network = sf.fit(sf.override(recipe("dcgan"), f"data={pictures}", *changes))
    train, test = compared(network, None)
    assert train.fingerprint == network.card.data.sha256
    assert len(test) == train.kept_back > 0
    assert not {p.numpy().tobytes() for p in train.pixels} & {p.numpy().tobytes() for p in test.pixels}
    figures = {m.name: m for m in evaluate(network, count=100)}
    assert figures["floor_frechet"].protocol.generated == len(test)
    assert f"--count {len(test)}" in figures["floor_frechet"].protocol.notes


def named_figures(report):
    return {m.name: m for m in report}


@pytest.mark.parametrize(("count", "held_out"), [(25, 3), (22, 0)])
def test_figures_say_what_they_are_measured_on_where_few_or_no_images_are_held_out(
    count, held_out, gan, vae, classifier, letters, tmp_path, monkeypatch
):
    """No file decides on its side here, so that as many are held out as the test says."""
    parts = {"train": slice(held_out, count), "test": slice(0, held_out)}

    def load(source, *, part, **_):
        chosen = parts[part]
        if part == "test" and not held_out:
            raise DataError("few: none of its images falls into the test part")
        kept = held_out if part == "train" else count - held_out
        return dataclasses.replace(letters, pixels=letters.pixels[chosen], labels=letters.labels[chosen], kept_back=kept, positions=None)

    monkeypatch.setattr("sfumato.evaluation.evaluate.load", load)
    eyes = Pixels(channels=1, side=4)
    drawn = named_figures(evaluate(gan, "few", features=eyes, count=30))
    assert not any(name.startswith("floor") for name in drawn)
    assert f"against the {count - held_out} images" in drawn["frechet"].protocol.notes
    assert f"no floor, for which 20 held-out images are the least, and there are {held_out};" in drawn["frechet"].protocol.notes
    measured_on = "on the 3 images that are held out" if held_out else "on the 22 images of the training part"
    assert measured_on in named_figures(evaluate(classifier, "few"))["accuracy"].protocol.notes
    nats = named_figures(evaluate(vae, "few", features=eyes, count=30, samples=2, images=2))["negative_log_likelihood"]
    assert measured_on in nats.protocol.notes


def test_too_few_images_to_compare_with_are_told(gan, letters):
    few = dataclasses.replace(letters, pixels=letters.pixels[:19], labels=letters.labels[:19], positions=None)
    with pytest.raises(DataError, match="19 images to compare with, and 20 are the least"):
        evaluate(gan, few, features=Pixels(channels=1, side=4), count=20)


def test_other_images_under_the_same_name_are_not_measured_with(gan):
    with pytest.raises(SettingError, match="not trained on the images that glyphs holds now"):
        evaluate(gan)


def test_a_data_set_handed_in_is_no_floor_for_itself(gan, letters):
    names = {m.name for m in evaluate(gan, letters, count=60)}
    assert "frechet" in names
    assert not any(name.startswith("floor") for name in names)


def test_bits_are_told_of_probabilities_alone(vae, letters):
    assert "bits_per_dimension" not in {m.name for m in evaluate(vae, letters, count=40, samples=2, images=5)}
    bits = sf.override(recipe("vae"), "images=64", "batch=16", "model.width=4", "model.latent_dim=3", "model.likelihood=bernoulli")
    report = {m.name: m for m in evaluate(sf.fit(bits, data=letters), letters, count=40, samples=2, images=5, precision="bf16")}
    assert report["bits_per_dimension"].protocol.dtype == "bfloat16"


def test_what_cannot_be_measured_is_told_in_one_line(gan, classifier, letters):
    with pytest.raises(SettingError, match="Dcgan gives no feature vectors"):
        evaluate(gan, letters, features=gan, count=40)
    with pytest.raises(SettingError, match=r"images of size \(28, 28\)"):
        evaluate(gan, letters, features="digits-classifier", count=40)
    labelled = sf.override(recipe("vae"), "images=32", "batch=16", "model.width=4", "model.latent_dim=3", "model.classes=3")
    with pytest.raises(SettingError, match="has 0 classes, the model 3"):
        evaluate(sf.fit(labelled, data=letters), dataclasses.replace(letters, labels=None, classes=()), samples=2)


def test_an_interrupted_pupil_gives_no_score(gan, letters, monkeypatch):
    def stopped(*_, **__):
        return SimpleNamespace(interrupted=True)

    monkeypatch.setattr("sfumato.evaluation.score.fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        accuracy_score(gan, letters, count=12)


def test_a_bundled_name_wins_over_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert weights.find("digits") == weights.bundled()["digits"]
    with pytest.raises(UnknownNameError, match=r"holds no model\.safetensors"):
        weights.find("./digits")


def test_features_fall_back_to_pixels(gan, letters):
    assert matching_features(gan.network, letters).network.feature_dim == 64


def test_accuracy_score(gan, letters):
    made = generated(gan, 48)
    assert made.labels is not None
    assert made.labels.bincount().tolist() == [16, 16, 16]
    small = sf.override(recipe("classifier"), "images=64", "batch=16", "validation=0", "model.widths=[4]", "model.hidden=[8]")
    folder_like = dataclasses.replace(small, data="glyphs")
    with pytest.raises(sf.SfumatoError):  # 36 classes against 3
        accuracy_score(gan, "glyphs", count=48, settings=folder_like)
    score = accuracy_score(gan, letters, count=48, settings=folder_like)
    assert 0 <= score.value <= 1
    assert score.protocol.generated == len(letters)


def test_models_lists_bundled_and_own(gan, tmp_path):
    checkpoint.save_model(tmp_path / "mine" / "model.safetensors", gan)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no")
    entries = list_models(tmp_path)
    assert [entry.name for entry in entries if not entry.problem] == [*weights.bundled(), str(tmp_path / "mine")]
    assert [entry.name for entry in entries if entry.problem] == [str(tmp_path / "broken")]
    assert torch.equal(sf.generate(tmp_path / "mine", 2), sf.generate(gan, 2))


def test_unknown_models_are_named():
    with pytest.raises(UnknownNameError, match="no model 'nope'"):
        sf.load("nope")


def test_real_images_alone_are_the_floor_of_halves(gan, letters):
    figures = {m.name: m for m in evaluate("real", letters, features=Pixels(channels=1, side=4), count=100)}
    assert figures["floor_frechet"].protocol.real == figures["floor_frechet"].protocol.generated == 100
    assert figures["floor_precision"].value > 0.8
    assert "drawn at random" in figures["floor_kid"].protocol.notes
    beside = {m.name: m for m in evaluate(gan, letters, features=Pixels(channels=1, side=4), count=100, whole=True)}
    assert beside["floor_frechet"].value == pytest.approx(figures["floor_frechet"].value)
    assert beside["frechet"].value > beside["floor_frechet"].value
    with pytest.raises(SettingError, match="name them with --data"):
        evaluate("real")


def test_both_parts_together_are_the_whole(pictures):
    changes = ("crop=stretch", "model.size=[16,16]", "images=32", "batch=16", "model.width=4", "model.discriminator_width=4")
    network = sf.fit(sf.override(recipe("dcgan"), f"data={pictures}", *changes))
    train, test = compared(network, None, whole=True)
    assert train is test
    assert len(train) == 300


def test_a_published_network_looks_at_grey_and_coloured_images_and_says_how(gan, letters):
    eyes = MODELS["features"](classes=0).build().eval()
    figures = {m.name: m for m in evaluate(gan, letters, features=eyes, count=20)}
    assert figures["frechet"].protocol.resize == "bicubic, antialiased, 224"
    assert figures["frechet"].protocol.dimension == 512
    with pytest.raises(SettingError, match="these have 4 channels"):
        suited(eyes, SimpleNamespace(channels=4, size=(16, 16)))
