"""A generated image is found again; what was found is kept, shown again to the bit, and belongs to one model."""

import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.errors import CheckpointError, ImageError, SettingError
from sfumato.editing import inversion as projecting
from sfumato.editing import latent_image as subjects
from sfumato.editing.inversion import fitted, project, stillness, style_spread
from sfumato.generation.generate import labels_of, latent, show, styled
from sfumato.store import checkpoint


@pytest.mark.parametrize("kind", ["stylegan", "dcgan", "vae"])
def test_a_generated_image_is_found_again(untrained, kind):
    network = untrained(kind, size=(64, 64), classes=2, max_width=8)
    labels = labels_of(network, [5], None)
    image = show(
        network, styled(network, latent(network, 5), labels), labels
    )  # with the network's own noise: random weights hear little else
    found = project(network, image, steps=300)
    assert found.psnr >= 30
    assert torch.equal(found.image, subjects.render(network, found.latent_image))


def test_what_a_single_start_does_not_find_is_found_from_several():
    network = sf.load("fashion")
    assert project(network, sf.generate(network, 1, seed=9)[0]).psnr >= 30, "from the nearest start alone: 17 dB"


def test_fitting_one_style_alone_leaves_noise_and_layers_as_they_are(untrained):
    network = untrained("stylegan")
    found = project(network, sf.generate(network, 1, seed=2), steps=4, layers=False, noise=False).latent_image
    assert found.noise is None
    assert project(network, sf.generate(network, 1, seed=2), steps=4, layers=False).latent_image.noise is not None
    assert style_spread(found.styles).item() < 1e-10
    found = project(network, sf.generate(network, 1, seed=2), steps=10, noise=False).latent_image
    assert found.noise is None
    assert style_spread(found.styles).item() > 0


def test_noise_that_was_fitted_keeps_its_mean_and_deviation(untrained):
    network = untrained("stylegan")
    found = project(network, sf.generate(network, 1, seed=2), steps=10).latent_image
    assert found.noise is not None
    for mine, own in zip(found.noise, network.noise(), strict=True):
        torch.testing.assert_close(torch.stack([mine.mean(), mine.std()]), torch.stack([own.mean(), own.std()]), rtol=1e-3, atol=1e-5)
    assert [tuple(plane.shape[2:]) for plane in found.noise] == network.noise_shapes()


def test_white_noise_is_still_and_a_picture_is_not(drawn):
    rng = torch.Generator().manual_seed(0)
    assert stillness([torch.randn(1, 1, 64, 64, generator=rng) for _ in range(20)]).item() == pytest.approx(1, abs=0.5)
    assert stillness([drawn(1, 64, 64)]).item() > 100


def test_what_was_found_is_kept_with_its_model(untrained, tmp_path):
    network = untrained("stylegan")
    found = project(network, sf.generate(network, 1, seed=2), steps=10)
    paths = projecting.save(found, tmp_path / "it.safetensors", network)
    assert [p.suffix for p in paths] == [".safetensors", ".png", ".json"]
    again = subjects.load(paths[0], network)
    assert torch.equal(subjects.render(network, again), found.image)
    assert again.origin == found.latent_image.origin
    with pytest.raises(SettingError, match="styles of another model"):
        subjects.load(paths[0], untrained("stylegan", seed=1))
    checkpoint.save(tmp_path / "model.safetensors", network, network.config, {})
    with pytest.raises(CheckpointError, match="holds no styles"):
        subjects.load(tmp_path / "model.safetensors", network)


def test_any_picture_is_cut_to_fit(untrained, tmp_path):
    network = untrained("vae", size=(16, 24))
    Image.new("L", (100, 40), 51).save(tmp_path / "grey.png")
    for picture in (tmp_path / "grey.png", Image.open(tmp_path / "grey.png"), torch.full((1, 40, 100), 0.2)):
        torch.testing.assert_close(fitted(picture, network), torch.full((1, 3, 16, 24), 0.2))
    with pytest.raises(ImageError, match="holds 2 images; give one picture"):
        fitted(torch.zeros(2, 3, 9, 9), network)
    with pytest.raises(ImageError, match=r"absent\.png"):
        project(network, tmp_path / "absent.png")
    clear = fitted(tmp_path / "grey.png", untrained("vae", channels=2))[0]
    assert torch.equal(clear[1], torch.ones_like(clear[1])), "grey, and opaque"
    with pytest.raises(ImageError, match="5 channels"):
        fitted(tmp_path / "grey.png", untrained("vae", channels=5))
    with pytest.raises(SettingError, match="steps = 0"):
        project(network, torch.zeros(3, 16, 24), steps=0)
