"""A network followed by a bilateral filter: where it is chosen, and that it is a restorer as others are."""

import skimage.data
import torch

import sfumato as sf
from sfumato.classical.bilateral import RADIUS, bilateral
from sfumato.core.tensors import to_images
from sfumato.metrics.fidelity import psnr
from sfumato.nn.blurs import gaussian
from sfumato.nn.resample import correlate
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import make_plan
from sfumato.restoration.request import RestorationRequest
from sfumato.restoration.smoothing import Smoothed
from sfumato.restoration.tiles import apply_restorer

CLEAN = to_images(torch.from_numpy(skimage.data.astronaut()[:160, 60:220].copy()).permute(2, 0, 1)[None].contiguous())


def coarse(images, level=0.03, size=0.8):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    width = torch.tensor([size])
    noise = correlate(noise, gaussian(width, width, torch.zeros(1), reach=3))
    return ((images + noise * level / noise.std()).clamp(0, 1) * 255).round() / 255


def test_tiles_are_the_whole(restorer):
    images = torch.rand(1, 3, 40, 52, generator=torch.Generator().manual_seed(0))
    network = restorer(channels=3)
    smoothed = Smoothed(network)
    assert smoothed.receptive_radius == network.receptive_radius + RADIUS
    whole = apply_restorer(smoothed, images)
    assert torch.allclose(whole, bilateral(apply_restorer(network, images), colour=2 / 255), atol=1e-6)
    assert torch.allclose(apply_restorer(smoothed, images, tile=16), whole, atol=1e-6)
    assert Smoothed(restorer(radius=None)).receptive_radius is None


def test_a_run_smooths_a_network_once(restorer, monkeypatch):
    network = restorer(channels=3)
    networks = Networks()
    assert networks.smoothed(network) is networks.smoothed(network)
    assert networks.name(networks.smoothed(network)) == networks.name(network)


def test_coarse_noise_is_restored_and_smoothed():
    noisy = coarse(CLEAN)
    result = sf.restore(noisy)
    assert result.plans[0].summary.endswith(": restore, then a bilateral filter")
    assert psnr(result, CLEAN) > psnr(sf.restore(noisy, "restore"), CLEAN)
    assert psnr(result, CLEAN) > psnr(noisy, CLEAN) + 2


def test_white_noise_and_a_model_that_the_person_names_are_not_smoothed():
    white = (CLEAN + 0.06 * torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    assert make_plan(RestorationRequest(), white).summary.endswith(": restore")
    assert make_plan(RestorationRequest(model="restore"), coarse(CLEAN)).summary.endswith(": restore")
    assert make_plan(RestorationRequest(task="denoise"), coarse(CLEAN)).summary == "denoise: restore"
