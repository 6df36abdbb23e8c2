"""A graphics card and the processor: runs go on, models move between them, and the same pictures come out.

Without a card its place is taken by `tests/second_device.py`, which refuses what a card refuses.
"""

import contextlib
import dataclasses

import numpy as np
import pytest
import torch

import sfumato as sf
from sfumato.compression.compress import compress
from sfumato.compression.decompress import decompress
from sfumato.models import hyperprior
from sfumato.objectives import adversarial
from sfumato.store import weights
from sfumato.train.loop import fit
from tests.second_device import second_device


@pytest.fixture
def device():
    """The name of the device: that of a graphics card, if there is one."""
    with contextlib.nullcontext() if torch.cuda.is_available() else second_device():
        yield "cuda" if torch.cuda.is_available() else "mps"


def test_the_stand_in_refuses_what_a_card_refuses():
    with second_device():
        there, here = torch.ones(3, device="mps"), torch.ones(3)
        assert (there + there.new_tensor([1.0, 2.0, 3.0])).cpu().tolist() == [2.0, 3.0, 4.0]
        assert there[torch.tensor([0, 2])].device.type == "mps"
        for mixed in (lambda: there + here, lambda: here[there > 0], lambda: there.masked_fill(here > 0, 0), there.numpy):
            with pytest.raises((RuntimeError, TypeError)):
                mixed()


@pytest.mark.parametrize("kind", ["restorer", "classifier", "vae", "gan"])
def test_a_run_is_prolonged_and_its_model_opens_on_the_processor(kind, device, tiny, bars, tmp_path):
    for images in 64, 128:
        trained = fit(tiny(kind, images=images), run=tmp_path / "run", data=bars, device=device)
        assert trained.card.images_seen == images
    opened = weights.load(tmp_path / "run").network.state_dict()
    for name, weight in trained.network.state_dict().items():
        assert torch.equal(opened[name].cpu(), weight.cpu()), name


def test_a_network_trained_on_it_restores_the_same_picture_on_both(device, tiny, bars, tmp_path):
    fit(tiny("restorer", images=64), run=tmp_path / "run", data=bars, device=device)
    picture = np.random.default_rng(0).integers(0, 256, (70, 45), dtype=np.uint8)
    here, there = (np.asarray(sf.restore(picture, tmp_path / "run", device=place, precision="fp32")) for place in ("cpu", device))
    assert np.abs(here.astype(int) - there.astype(int)).max() <= 1


def test_a_noisy_picture_is_examined_and_repaired_as_on_the_processor(device, photos):
    noisy = (photos[:1].repeat(1, 1, 3, 3) + 0.1 * torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    here, there = (sf.restore(noisy, device=place) for place in ("cpu", device))
    assert here.plans == there.plans or here.plans[0].summary == there.plans[0].summary
    assert (here - there.cpu()).abs().max() < 1e-3


def test_a_seed_is_the_same_picture_on_both(device):
    here, there = (sf.generate("digits", 4, device=place).cpu() for place in ("cpu", device))
    assert (here - there).abs().max() < 2e-3


def test_a_generator_with_styles_trains_and_its_images_are_edited(device, untrained, bars, tiny):
    config = dataclasses.replace(untrained("stylegan").config, size=(8, 8), channels=1)
    settings = tiny("gan", model=config, objective=adversarial.Config(path_every=2, penalty_every=2), images=32)
    model = fit(settings, data=bars, device=device)
    edited = sf.edit(model, 3, ["0=1"], directions=sf.directions(model, "closed-form", count=2, device=device), device=device)
    assert torch.isfinite(edited.images.cpu()).all()


def test_a_picture_dreams_and_is_embedded(device, photos):
    photos = photos[:2].repeat(1, 1, 4, 4)
    request = sf.Dream(steps=2, octaves=1)
    here, there = (sf.dream(photos[:1], "eurosat-classifier", request, device=place).images for place in ("cpu", device))
    assert (here - there.cpu()).abs().mean() < 0.01, "bf16 on one, float32 on the other"
    vectors = [sf.embed(list(photos), "eurosat-classifier", device=place).vectors for place in ("cpu", device)]
    assert np.abs(np.asarray(vectors[0]) - np.asarray(vectors[1])).max() < 1e-3


@pytest.mark.filterwarnings("ignore:at..frobenius_norm is deprecated")  # by PyTorch's own Muon
def test_a_codec_trained_on_it_writes_and_reads_files_on_the_processor(device, tmp_path):
    settings = dataclasses.replace(
        sf.recipe("codec"),
        model=hyperprior.Config(fine=8, middle=8, coarse=8, latent=24, hyper=8, hyper_latent=4),
        data="drawings",
        validation=0.0,
        patch=64,
        images=16,
        precision="fp32",
    )
    codec = fit(settings, run=tmp_path / "codec", device=device)
    assert next(codec.network.parameters()).device.type == device
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    pages = []
    for writer, reader in (tmp_path / "codec", codec), (codec, tmp_path / "codec"):
        image = decompress(compress(picture, model=writer, quality=30), model=reader)
        assert image.size == (70, 50)
        assert image.damage == ()
        pages.append(np.asarray(image).astype(int))
    # Each may round a number to the other neighbour now and then.
    assert (np.abs(pages[0] - pages[1]) > 1).mean() < 0.05
