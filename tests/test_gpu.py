"""A graphics card and the processor: runs go on, models move between them, and the same pictures come out."""

import dataclasses

import numpy as np
import pytest
import torch

import sfumato as sf
from sfumato.compression.compress import compress
from sfumato.compression.decompress import decompress
from sfumato.models import hyperprior
from sfumato.store import weights
from sfumato.train.loop import fit

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card with CUDA")]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["restorer", "classifier", "vae", "gan"])
def test_a_run_is_prolonged_and_its_model_opens_on_the_processor(kind, precision, tiny, bars, tmp_path):
    for images in 96, 160:
        trained = fit(tiny(kind, images=images, precision=precision), run=tmp_path / "run", data=bars, device="cuda")
        assert trained.card.images_seen == images
    opened = weights.load(tmp_path / "run").network.state_dict()
    for name, weight in trained.network.state_dict().items():
        assert torch.equal(opened[name].cpu(), weight.cpu()), name


def test_a_network_trained_on_it_restores_the_same_picture_on_both(tiny, bars, tmp_path):
    fit(tiny("restorer"), run=tmp_path / "run", data=bars, device="cuda")
    picture = np.random.default_rng(0).integers(0, 256, (70, 45), dtype=np.uint8)
    here, there = (np.asarray(sf.restore(picture, tmp_path / "run", device=device, precision="fp32")) for device in ("cpu", "cuda"))
    assert np.abs(here.astype(int) - there.astype(int)).max() <= 1


def test_a_seed_is_the_same_picture_on_both():
    here, there = (sf.generate("digits", 4, device=device).cpu() for device in ("cpu", "cuda"))
    assert (here - there).abs().max() < 2e-3


def test_a_codec_trained_on_it_writes_and_reads_files_on_the_processor(tmp_path):
    settings = dataclasses.replace(
        sf.recipe("codec"),
        model=hyperprior.Config(fine=8, middle=8, coarse=8, latent=24, hyper=8, hyper_latent=4),
        data="drawings",
        validation=0.0,
        patch=64,
        images=32,
    )
    codec = fit(settings, run=tmp_path / "codec", device="cuda")
    assert next(codec.network.parameters()).is_cuda

    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    pages = []
    for writer, reader in (tmp_path / "codec", codec), (codec, tmp_path / "codec"):
        image = decompress(compress(picture, model=writer, quality=30), model=reader)
        assert image.size == (70, 50)
        assert image.damage == ()
        pages.append(np.asarray(image).astype(int))
    # The two may round one number in a thousand to another neighbour, no more.
    assert (np.abs(pages[0] - pages[1]) > 1).mean() < 0.05
