import dataclasses
import json

import pytest
import torch
from PIL import Image
from torch import nn

import sfumato as sf
from sfumato.core.errors import CheckpointError, ImageError, SettingError
from sfumato.core.tensors import to_pixels
from sfumato.dreaming import files
from sfumato.dreaming.atlas import atlas
from sfumato.dreaming.dream import Dream, dream, layer_ascent, octaves, roughness
from sfumato.dreaming.feature_extractor import dream_network
from sfumato.dreaming.films import Dreamer, falling, nearer
from sfumato.dreaming.gradient import Ascent, tiles
from sfumato.dreaming.latent import dream_through
from sfumato.dreaming.objective import parse_objective
from sfumato.io.files import save_image
from sfumato.models import MODELS


def small(channels=3, seed=0):
    """Layers of strides 1, 2 and 4, padded and not."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 8, 5, stride=2, padding=2),
        nn.ReLU(),
    ).eval()


@pytest.fixture(scope="module")
def seeing():
    return dream_network(small())


@pytest.fixture(scope="module")
def squeezenet():
    torch.manual_seed(0)
    return dream_network(MODELS["features"](trunk="squeezenet").build().eval().requires_grad_(False))


def picture(h=64, w=80, c=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.rand(1, c, h // 8, w // 8, generator=rng)
    return nn.functional.interpolate(x, (h, w), mode="bicubic").clamp(0.05, 0.95)


QUICK = Dream(layers=("4",), steps=3, octaves=2, precision="fp32")


def test_a_dream_fulfils_its_wish(seeing):
    done = dream(picture(), seeing, QUICK)
    assert done.after[0] > 1.5 * done.before[0]
    assert done.images.shape == (1, 3, 64, 80)
    assert done.images.min() >= 0
    assert done.images.max() <= 1


def test_any_company_is_the_same(seeing):
    batch = torch.cat([picture(seed=i) for i in range(3)])
    together = dream(batch, seeing, QUICK).images
    for i in range(3):
        assert torch.equal(dream(batch[i : i + 1], seeing, QUICK).images[0], together[i])
    assert not torch.equal(dream(batch, seeing, dataclasses.replace(QUICK, seed=1)).images, together)
    noisy = dataclasses.replace(QUICK, steps=2)
    three = dream(None, seeing, noisy, size=(40, 40), n=3).images
    assert torch.equal(dream(None, seeing, dataclasses.replace(noisy, seed=2), size=(40, 40)).images[0], three[2])


@pytest.mark.parametrize("layers", [("fire3", "fire5"), ("fire4:3,9",), ("conv1=2", "fire2@7,9")])
@pytest.mark.parametrize("size", [(143, 190), (160, 96)])
def test_tiles_add_up_to_the_whole(squeezenet, layers, size):
    """Slopes of what is counted place by place do not know where tiles meet."""
    image = picture(*size)
    image = nn.functional.interpolate(image, size)
    how = Dream(layers=layers, precision="fp32")
    ascent = layer_ascent(squeezenet, how, size)
    whole, parts = ascent.slope(image), dataclasses.replace(ascent, tile=48).slope(image)
    assert len(list(tiles(size, 48, ascent.objectives))) > 4
    assert parts.amount == pytest.approx(whole.amount, rel=1e-4)
    assert (parts.gradient - whole.gradient).abs().max() < 1e-4 * whole.gradient.abs().max()


def test_a_tiled_dream_has_no_seams(squeezenet):
    how = Dream(layers=("fire4",), steps=4, octaves=2, jitter=0, precision="fp32")
    image = picture(160, 192)
    whole = dream(image, squeezenet, how).images
    tiled = dream(image, squeezenet, dataclasses.replace(how, tile=64)).images
    assert -10 * (whole - tiled).square().mean().log10() > 40
    assert (whole - image).abs().mean() > 0.01


def test_a_mask_holds_the_rest(seeing):
    mask = torch.zeros(1, 1, 64, 80)
    mask[..., :40] = 1
    image = picture()
    done = dream(image, seeing, QUICK, mask=mask).images
    assert torch.equal(done[..., 44:], image[..., 44:])  # but for what the mask's edge spreads in smaller octaves
    assert (done[..., :36] - image[..., :36]).abs().mean() > 0.01
    with pytest.raises(ImageError, match="the mask is 9 x 64 pixels, the picture 80 x 64 pixels"):
        dream(image, seeing, QUICK, mask=mask[..., :9])


def test_alpha_reaches_what_was_asked_and_no_more(seeing):
    image = picture()
    far = dream(image, seeing, dataclasses.replace(QUICK, steps=40, octaves=1, jitter=0))
    asked = dream(image, seeing, dataclasses.replace(QUICK, steps=40, octaves=1, jitter=0, alpha=1.5))
    assert asked.after[0] >= 1.5 * asked.before[0] * 0.98
    assert asked.after[0] < 0.7 * far.after[0]
    assert (asked.images - image).square().mean() < 0.5 * (far.images - image).square().mean()


def test_single_neurons_and_channels(seeing):
    image = picture()
    for text in ("4:3", "6:1@5,6", "6:1,2=0.5"):
        done = dream(image, seeing, dataclasses.replace(QUICK, layers=(text,)))
        assert done.after[0] > done.before[0], text
    # A neuron has a slope only within what it looks at.
    ascent = layer_ascent(seeing, dataclasses.replace(QUICK, layers=("6:1@5,6",)), (64, 80))
    rows, columns = ascent.slope(image).gradient.abs().sum(dim=(0, 1)).nonzero().T
    layer = seeing.layer("6")
    for where, place in ((rows, 5), (columns, 6)):
        first = layer.start + place * layer.stride
        assert first <= where.min()
        assert where.max() < first + layer.receptive_field


def test_a_silent_channel_is_woken():
    network = small()
    with torch.no_grad():
        network[3].bias[2] = -50.0
    sleeping = dream_network(network)
    ascent = layer_ascent(sleeping, dataclasses.replace(QUICK, layers=("4:2",)), (64, 80))
    found = ascent.slope(picture())
    assert found.amount == 0
    assert found.gradient.any()


def test_a_guide_leads_elsewhere(seeing):
    image, guide = picture(), picture(seed=7)
    plain, led = dream(image, seeing, QUICK).images, dream(image, seeing, QUICK, guide=guide)
    assert led.after[0] > led.before[0]
    assert not torch.equal(plain, led.images)
    with pytest.raises(ImageError, match="convert it first"):
        dream(image, seeing, QUICK, guide=guide[:, :2])
    with pytest.raises(SettingError, match="whole layers"):
        dream(image, seeing, dataclasses.replace(QUICK, layers=("4:2",)), guide=guide)


def test_grey_pictures_and_grey_networks(seeing):
    grey = dream(picture(c=1), seeing, QUICK).images
    assert grey.shape[1] == 1
    both = dream(picture(), dream_network(small(1)), QUICK)
    assert both.after[0] > both.before[0]
    assert both.images.shape[1] == 3


def test_classes_of_a_classifier():
    mine = dream_network("fashion-classifier")
    how = Dream(label="bag", steps=60, precision="fp32")
    done = dream(None, mine, how, size=(28, 28))
    assert int(mine.scores(done.images).argmax()) == mine.class_number("Bag")
    with pytest.raises(SettingError, match="did you mean 'bag'"):
        dream(None, mine, dataclasses.replace(how, label="bagg"))


def test_layers_are_measured_as_they_are(squeezenet):
    from sfumato.nn.hooks import receptive_fields

    table = {layer.name: layer for layer in squeezenet.listed()}
    network = squeezenet.network
    names = {network.ends[name]: name for name in ("conv1", "fire2", "fire3", "fire5")}
    found = receptive_fields(network.steps, network.steps, torch.zeros(1, 3, 160, 160), list(names))
    for number, name in names.items():
        assert found[number] == table[name][2:], name


def test_a_network_that_loses_its_borders_is_measured_and_tiled():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3 if i == 0 else 4, 4, 5, stride=2 if i in (1, 3) else 1) for i in range(5)]
    network = nn.Sequential(*(nn.Sequential(layer, nn.ReLU()) for layer in layers))
    mine = dream_network(network)
    assert mine.layer("4")[2:] == (4, 41, 0)
    image = torch.rand(1, 3, 160, 192)
    ascent = layer_ascent(mine, Dream(layers=("4",), precision="fp32"), (160, 192))
    whole, parts = ascent.slope(image), dataclasses.replace(ascent, tile=48).slope(image)
    assert parts.amount == pytest.approx(whole.amount, rel=1e-4)
    assert (parts.gradient - whole.gradient).abs().max() < 1e-4 * whole.gradient.abs().max()


def test_a_layer_that_sees_everything_is_shown_it_whole():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
    mine = dream_network(network)
    assert mine.layer("3").start is None
    image = picture(192, 224)
    assert dream(image, mine, Dream(layers=("3",), steps=2, octaves=1)).after > (0.0,)
    with pytest.raises(SettingError, match="excludes tiles"):
        dream(image, mine, Dream(layers=("3",), steps=2, octaves=1, tile=64))


def test_a_neuron_is_dreamed_where_it_is(seeing):
    image = picture()
    done = dream(image, seeing, Dream(layers=("6:1@5,6",), steps=5, precision="fp32"))
    assert done.after[0] > done.before[0]
    rows, columns = (done.images - image).abs().sum(dim=(0, 1)).nonzero().T
    layer = seeing.layer("6")
    # The slope is there alone; its bands spread it a little.
    assert columns.float().mean() == pytest.approx(layer.start + 6 * layer.stride + layer.receptive_field / 2, abs=layer.receptive_field)
    assert rows.float().mean() == pytest.approx(layer.start + 5 * layer.stride + layer.receptive_field / 2, abs=layer.receptive_field)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        (Dream(layers=("44",)), "no layer '44'"),
        (Dream(layers=("4:8",)), "channels 0 to 7; there is no 8"),
        (Dream(layers=("4:x",)), "cannot be read; write"),
        (Dream(label="3"), "has no classes"),
        (Dream(layers=("4",), space="fourier", alpha=2.0), "no effect on a spectrum"),
        (Dream(layers=("4=-1",), alpha=2.0), "multiplies the activation of the picture, which is -"),
    ],
)
def test_what_cannot_be_is_told(seeing, how, error):
    with pytest.raises(SettingError, match=error):
        dream(picture(), seeing, how)


def test_small_pictures_and_flat_networks_are_told(seeing):
    with pytest.raises(ImageError, match=r"the picture of 16 x 16 pixels is too small for the layer \w+, which looks at \d+ pixels"):
        dream(picture(16, 16), seeing, dataclasses.replace(QUICK, layers=("6",)))
    with pytest.raises(SettingError, match="no layer that makes maps"):
        dream_network(nn.Sequential(nn.Flatten(), nn.Linear(3 * 256 * 256, 2)))
    with pytest.raises(ImageError, match="is not pictures"):
        dream(torch.rand(1, 2, 64, 80), seeing, QUICK)
    with pytest.raises(SettingError, match="makes images"):
        dream_network("fashion")
    with pytest.raises(ImageError, match="is beyond them"):
        dream(picture(), seeing, dataclasses.replace(QUICK, layers=("4@99,0",)))
    with pytest.raises(SettingError, match="4 channels"):
        dream_network(nn.Sequential(nn.Conv2d(4, 8, 3)))
    with pytest.raises(ImageError, match="cannot be shown a picture of 64 x 1"):
        dream(None, "fashion-classifier", Dream(label="bag"), size=(1, 64))
    spoilt = small()
    with torch.no_grad():
        spoilt[0].weight.fill_(float("nan"))
    with pytest.raises(SettingError, match="weights cannot be used"):
        dream(picture(), spoilt, QUICK)


def test_octaves_grow_to_the_picture():
    sizes = list(octaves((100, 200), Dream(octaves=4, ratio=2.0), lambda size: min(size) >= 40))
    assert sizes == [(50, 100), (100, 200)]


def test_roughness_is_the_slope_of_total_variation():
    x = torch.rand(1, 2, 6, 7, dtype=torch.float64, requires_grad=True)
    right, below = nn.functional.pad(x.diff(dim=3), (0, 1)), nn.functional.pad(x.diff(dim=2), (0, 0, 0, 1))
    (slope,) = torch.autograd.grad((right.square() + below.square() + 1e-6).sqrt().sum(), x)
    torch.testing.assert_close(roughness(x.detach()), slope)


def test_through_a_generator():
    found = dream_through("fashion", "fashion-classifier", Dream(label="Sneaker", steps=15, precision="fp32"), n=2, shows="sandal")
    assert all(after > before for before, after in zip(found.dreamt.before, found.dreamt.after, strict=True))
    alone = dream_through("fashion", "fashion-classifier", Dream(label="Sneaker", steps=15, seed=1, precision="fp32"), shows="sandal")
    assert torch.equal(alone.dreamt.images[0], found.dreamt.images[1])


def test_an_atlas_has_an_image_for_each_channel(seeing):
    images, channels = atlas(seeing, "4", channels=(1, 5), steps=3)
    assert images.shape == (2, 3, 64, 64)
    assert channels == [1, 5]
    assert not torch.equal(images[0], images[1])
    with pytest.raises(SettingError, match="there is no 8"):
        atlas(seeing, "4", channels=(8,))


def test_falling_and_dreaming_on(seeing):
    frames = list(falling(picture(), seeing, QUICK, frames=3))
    assert len(frames) == 3
    assert not torch.equal(frames[0], frames[1])
    still = torch.full((1, 3, 9, 9), 0.5)
    torch.testing.assert_close(nearer(still), still)
    dreamer = Dreamer(seeing, QUICK)
    first, second = dreamer(picture()), dreamer(picture())
    # The same frame again keeps what was dreamed on it.
    assert (first - second).abs().mean() < (first - picture()).abs().mean()


@pytest.fixture
def photo(tmp_path):
    save_image(tmp_path / "photo.png", to_pixels(picture(40, 48)))
    return tmp_path / "photo.png"


def run(*words):
    from sfumato.cli import main

    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


FLAGS = ("--network", "fashion-classifier", "--layer", "stages.7", "--steps", "2", "--octaves", "2")


def test_a_picture_tells_how_it_was_dreamed(photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert not run("dream", photo, *FLAGS)
    out = tmp_path / "photo-dream.png"
    told = json.loads(out.with_suffix(".json").read_text())
    with Image.open(out) as image:
        assert json.loads(image.info["sfumato"]) == told
        pixels = image.tobytes()
    assert told["dream"]["layers"] == ["stages.7"]
    assert told["picture"] == "photo.png"
    assert not run("dream", photo, "--replay", out, "--out", tmp_path / "again.png")
    with Image.open(tmp_path / "again.png") as image:
        assert image.tobytes() == pixels
    save_image(tmp_path / "guide.png", to_pixels(picture(40, 48, 1)))
    assert not run("dream", photo, *FLAGS, "--guide", tmp_path / "guide.png", "--out", tmp_path / "guided.png")
    assert run("dream", photo, "--replay", tmp_path / "guided.json", "--out", tmp_path / "led.png") == 2
    assert "had a guide, guide.png" in capsys.readouterr().err
    assert run("dream", photo, "--replay", tmp_path / "guided.json", "--guide", out, "--out", tmp_path / "led.png") == 2
    assert "its bytes are others" in capsys.readouterr().err
    assert run("dream", "--replay", out, "--out", tmp_path / "none.png") == 2
    assert "began with a picture" in capsys.readouterr().err
    assert run("dream", photo, "--replay", tmp_path / "nothing.json") == 2
    assert "there is no such file" in capsys.readouterr().err
    assert run("dream", photo, "--replay", out, "--strength", "2") == 2
    assert "--strength 2.0 has no effect with --replay" in capsys.readouterr().err
    assert run("dream", photo, *FLAGS) == 2
    assert "is there already" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="tells no dream"):
        files.replayed(photo)


def test_folders_films_and_noise(photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "a.png").write_bytes(photo.read_bytes())
    (tmp_path / "album" / "b.png").write_bytes(photo.read_bytes())
    (tmp_path / "album" / "c.png").write_bytes(b"no picture")
    assert run("dream", "album", *FLAGS) == 2
    assert "1 of 3 pictures failed" in capsys.readouterr().err
    assert (tmp_path / "dreams" / "a.png").exists()
    assert not run("dream", "photo.png", *FLAGS, "--zoom", "3", "--out", "zoom.gif")
    with Image.open("zoom.gif") as film:
        assert film.n_frames == 3
    assert not run("dream", "zoom.gif", *FLAGS, "--out", "again.gif")
    with Image.open("again.gif") as film:
        assert film.n_frames == 3
    assert not run("dream", *FLAGS[:-2], "--size", "32", "--n", "2", "--preview", "look.png")
    assert (tmp_path / "look.png").exists()
    assert not run("dream", "--replay", tmp_path / "dreams" / "00001.json", "--out", "second.png")
    assert (tmp_path / "second.png").read_bytes() == (tmp_path / "dreams" / "00001.png").read_bytes()
    assert not run("dream", "--through", "fashion", "--network", "fashion-classifier", "--label", "bag", "--steps", "2")
    assert json.loads((tmp_path / "dream.json").read_text())["through"] == "fashion"
    capsys.readouterr()
    assert run("dream", photo, "--replay", tmp_path / "dream.json", "--out", "t.png") == 2
    assert "began without a picture" in capsys.readouterr().err
    assert not run("features", "fashion-classifier", "--layer", "stages.1", "--channels", "0", "3", "--steps", "2", "--out", "atlas.png")
    assert json.loads((tmp_path / "atlas.json").read_text())["channels"] == [0, 3]
    assert not run("dream", "--layers", "fashion-classifier")
    assert "stages.7" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--mask", "photo.png"), "--mask photo.png has no effect from noise with --space fourier"),
        (("--octaves", "2"), "--octaves 2 has no effect from noise with --space fourier"),
        (("photo.png", "--n", "2"), "--n 2 has no effect on pictures"),
        (("photo.png", "--fps", "2"), "--fps 2.0 has no effect on pictures"),
        (("photo.png", "--zoom", "2", "--mask", "photo.png"), "--mask photo.png has no effect with --zoom"),
        (("photo.png", "--zoom", "2", "--alpha", "2"), "--alpha 2.0 has no effect with --zoom"),
        (("photo.png", "--zoom", "2", "--space", "fourier"), "films are dreamed in pixels"),
        (("photo.png", "--zoom", "2", "--out", "fall.png"), "cannot write an animation as '.png'"),
        (("photo.png", "--zoom", "2", "--fps", "90", "--out", "fall.gif"), "outside (0, 50]"),
        (("photo.png", "--through", "fashion"), "takes no picture"),
        (("--through", "fashion", "--octaves", "2"), "--octaves 2 has no effect through a generator"),
        (("photo.png", "--preview", "photo.png"), "written over a picture"),
        (("--out", "x.gif"), "cannot be written as .gif"),
        (("--size", "²"), "--size '²'"),
        (("--size", "large"), "--size 'large'"),
        (("missing.png",), "no file or folder"),
    ],
)
def test_flags_that_cannot_be_together(photo, tmp_path, monkeypatch, capsys, words, error):
    monkeypatch.chdir(tmp_path)
    assert run("dream", *words, "--network", "fashion-classifier") == 2
    said = capsys.readouterr().err
    assert error in said
    assert len(said.strip().splitlines()) == 1


def test_without_squeezenet_a_bundled_classifier_dreams(monkeypatch, tmp_path):
    monkeypatch.setenv("SFUMATO_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path))
    monkeypatch.setattr("sfumato.store.public.fetch", _nothing)
    said = []
    found = dream_network(on_progress=said.append)
    assert found.name in sf.bundled()
    assert "squeezenet is missing" in said[0]


def _nothing(*_, **__):
    from sfumato.core.errors import DownloadError

    raise DownloadError("no net")


def test_wishes_by_text(seeing):
    found = parse_objective("4:1,2@3,4=-0.5", seeing)
    assert (found.layer.name, found.channels, found.place, found.weight) == ("4", (1, 2), (3, 4), -0.5)
    assert isinstance(Ascent(network=seeing, objectives=[found]).slope(picture()).amount, float)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("name", ["dcgan", "stylegan"])
def test_discriminators_dream(name, classes):
    torch.manual_seed(0)
    network = MODELS[name](size=(32, 32), channels=3, classes=classes, width=8, discriminator_width=8, max_width=16).build().eval()
    seeing = dream_network(network)
    assert seeing.network is network.discriminator
    done = dream(picture(), seeing, Dream(steps=3, octaves=1, precision="fp32"))
    assert done.after[0] > done.before[0]


@pytest.mark.parametrize("trunk", ["vgg16", "googlenet", "inception", "alexnet"])
def test_published_networks_dream(trunk):
    torch.manual_seed(0)
    seeing = dream_network(MODELS["features"](trunk=trunk).build().eval().requires_grad_(False))
    early = seeing.names[1]
    done = dream(picture(96, 120), seeing, Dream(layers=(early,), steps=2, octaves=1, precision="fp32"))
    assert done.after[0] > done.before[0]


def test_a_picture_that_does_not_fit_into_the_machine_is_refused_unread(tmp_path, seeing, monkeypatch):
    save_image(tmp_path / "x.png", to_pixels(picture()))
    monkeypatch.setattr("sfumato.dreaming.files.physical_memory", lambda: 1000.0)
    monkeypatch.setattr("sfumato.io.files.read", lambda *_, **__: pytest.fail("it was read"))
    (done,) = files.dream_pictures([tmp_path / "x.png"], tmp_path / "out", seeing, QUICK)
    assert done.out is None
    assert "this process can have" in done.message


def test_a_picture_too_small_for_the_layer_is_named_and_its_width_comes_first(tmp_path, seeing):
    for name, shape in (("tiny.png", (12, 16)), ("x.png", (64, 80))):
        save_image(tmp_path / name, to_pixels(picture(*shape)))
    how = dataclasses.replace(QUICK, layers=("6",))
    tiny, whole = files.dream_pictures([tmp_path / "tiny.png", tmp_path / "x.png"], tmp_path / "out", seeing, how)
    assert tiny.out is None
    assert f"{tmp_path / 'tiny.png'}: the picture of 16 x 12 pixels is too small" in tiny.message
    assert whole.out is not None
    with pytest.raises(ImageError, match=r"tiny\.png: of another kind"), files.about(tmp_path / "tiny.png"):
        raise ImageError("of another kind")


def test_a_folder_in_the_place_of_the_manifest_is_told_before_a_picture_is_dreamed(tmp_path, seeing, monkeypatch):
    save_image(tmp_path / "x.png", to_pixels(picture()))
    (tmp_path / "out" / "manifest.jsonl").mkdir(parents=True)
    monkeypatch.setattr("sfumato.dreaming.files.dream", lambda *_, **__: pytest.fail("it was dreamed"))
    with pytest.raises(SettingError, match="is a folder, and one file is to be written"):
        files.dream_pictures([tmp_path / "x.png"], tmp_path / "out", seeing, QUICK)


@pytest.mark.parametrize("taken", ["x.png", "x.json"])
def test_a_folder_in_the_place_of_one_dream_keeps_no_other_from_being_dreamed(taken, tmp_path, seeing):
    for name in ("x.png", "y.png"):
        save_image(tmp_path / name, to_pixels(picture()))
    (tmp_path / "out" / taken).mkdir(parents=True)
    x, y = files.dream_pictures([tmp_path / "x.png", tmp_path / "y.png"], tmp_path / "out", seeing, QUICK, overwrite=True)
    assert (x.out, y.out) == (None, tmp_path / "out" / "y.png")
    assert f"{tmp_path / 'out' / taken} is a folder" in x.message
    assert (tmp_path / "out" / taken).is_dir()
