"""Distances between a repaired image and the clean one, against closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from sfumato.core.errors import SettingError, UnknownNameError
from sfumato.degradations import DEGRADATIONS
from sfumato.degradations.base import degrade
from sfumato.models import MODELS
from sfumato.models.roles.feature_extractor import FeaturePyramid
from sfumato.models.roles.restorer import Restorer
from sfumato.objectives._perceptual import Perception, gram_matrix
from sfumato.objectives.base import Batch
from sfumato.objectives.restoration import TERMS, Config, amplitude, charbonnier, dissimilarity, edge, fourier, mean_absolute, minus_psnr
from sfumato.store import checkpoint
from sfumato.store.loaded import LoadedModel

CLEAN = torch.rand(3, 2, 12, 14, generator=torch.Generator().manual_seed(0))
MADE = torch.rand(3, 2, 12, 14, generator=torch.Generator().manual_seed(1))


class Fixed(Restorer):
    """Gives back what it is given, plus a number, and remembers what it was told."""

    channels, scale, pad_multiple, receptive_radius, conditioning = 2, 1, 1, 0, ()

    def __init__(self, takes=()):
        super().__init__()
        self.shift, self.conditioning = nn.Parameter(torch.tensor(0.1)), takes

    def restore(self, degraded, planes=None):
        self.told = planes
        return degraded + self.shift


def batch(damage=None):
    degraded = CLEAN if damage is None else damage.images
    return Batch(clean=CLEAN, degraded=degraded, labels=None, rng=torch.Generator(), images_seen=0, progress=0.0, damage=damage)


def test_plain_distances():
    off = (MADE - CLEAN).double()
    assert mean_absolute(MADE, CLEAN).item() == pytest.approx(off.abs().mean().item(), rel=1e-5)
    assert charbonnier(MADE, CLEAN).item() == pytest.approx((off**2 + 1e-6).sqrt().mean().item(), rel=1e-5)
    assert charbonnier(CLEAN, CLEAN).item() == pytest.approx(1e-3)


def test_psnr_is_the_mean_over_images_in_decibels():
    made = CLEAN + torch.tensor([0.1, 0.01, 0.001])[:, None, None, None]
    assert -minus_psnr(made, CLEAN).item() == pytest.approx((20 + 40 + 60) / 3, abs=0.05)
    assert -minus_psnr(CLEAN, CLEAN).item() == pytest.approx(80)


def test_what_is_good_enough_weighs_little():
    """By PSNR alone a nearly perfect image pulls hardest; with a top it hardly pulls."""

    def pull(**top):
        made = (CLEAN[:2] + torch.tensor([0.1, 0.001])[:, None, None, None]).requires_grad_()
        minus_psnr(made, CLEAN[:2], **top).backward()
        ruined, fine = made.grad.flatten(1).norm(dim=1)
        return fine / ruined

    assert pull() > 50
    assert pull(top=30.0) < 0.15
    assert -minus_psnr(CLEAN, CLEAN, top=30.0).item() == pytest.approx(30)
    with pytest.raises(SettingError, match="psnr_top = 34 has no effect without psnr"):
        Config(psnr_top=34.0)


def test_edges_are_scipys_sobel():
    expected = []
    for made, clean in zip(MADE.flatten(0, 1).numpy(), CLEAN.flatten(0, 1).numpy(), strict=True):
        expected += [np.abs(ndimage.sobel(made - clean, axis=axis, mode="reflect")).mean() / 8 for axis in (0, 1)]
    assert edge(MADE, CLEAN).item() == pytest.approx(np.mean(expected), rel=1e-4)
    assert edge(CLEAN + 0.3, CLEAN).item() == pytest.approx(0, abs=1e-6)


def test_the_spectrum_of_a_constant_shift_is_one_number():
    """Orthonormal: a shift of s over n pixels is s sqrt(n) at frequency zero, and nothing elsewhere."""
    h, w = CLEAN.shape[2:]
    numbers = h * (w // 2 + 1) * 2
    assert fourier(CLEAN + 0.2, CLEAN).item() == pytest.approx(0.2 * math.sqrt(h * w) / numbers, rel=1e-4)


def test_amplitudes_do_not_ask_where_texture_lies():
    moved = CLEAN.roll((3, 2), dims=(2, 3))
    assert amplitude(moved, CLEAN).item() == pytest.approx(0, abs=1e-6)
    assert fourier(moved, CLEAN).item() > 0.01
    assert amplitude(2 * CLEAN, CLEAN).item() == pytest.approx(torch.fft.rfft2(CLEAN, norm="ortho").abs().mean().item(), rel=1e-4)


@pytest.mark.parametrize("term", TERMS)
def test_each_term_alone_and_weighted(term):
    seen = {"features": "digits-classifier"} if term in ("perceptual", "gram") else {}
    weights = {**dict.fromkeys(TERMS, 0.0), term: 3.0}
    (phase,) = Config(**weights, **seen).phases(model := Fixed())
    losses = phase.loss(batch())
    assert losses.keys() == {"total", term, "decibels"}
    torch.testing.assert_close(losses["total"], 3 * losses[term])
    assert losses["decibels"].item() == pytest.approx(20, abs=2.5)  # clamped to white
    losses["total"].backward()
    assert torch.isfinite(model.shift.grad)
    assert model.shift.grad != 0


@pytest.mark.parametrize("term", TERMS)
def test_following_the_slope_of_a_term_leads_to_the_clean_image(term):
    """From the clean image in weak noise; a Gram matrix alone has other images of the same texture."""
    seen = {"features": "digits-classifier"} if term in ("perceptual", "gram") else {}
    distance = Config(**{**dict.fromkeys(TERMS, 0.0), term: 1.0}, **seen).distance(Fixed())
    made = (CLEAN + 0.05 * (MADE - 0.5)).requires_grad_()
    first = distance(made, CLEAN, 0)["total"]
    (slope,) = torch.autograd.grad(first, made)
    nearer = [distance((made - step * slope / slope.norm()).detach(), CLEAN, 0)["total"] for step in (1e-3, 1e-2, 0.05)]
    assert min(nearer) < first
    if term != "gram":
        assert ((made - CLEAN) * slope).sum() > 0, "the way back must go downhill"


def test_ssim_is_scikit_images_inside_the_border():
    from skimage.metrics import structural_similarity

    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0, "channel_axis": 0, "full": True}
    maps = [structural_similarity(a.double().numpy(), b.double().numpy(), **options)[1] for a, b in zip(MADE, CLEAN, strict=True)]
    assert dissimilarity(MADE, CLEAN).item() == pytest.approx(1 - np.mean([m[:, 5:-5, 5:-5].mean() for m in maps]), abs=1e-5)
    assert dissimilarity(CLEAN, CLEAN).item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(SettingError, match="at least 11 pixels; these are 14 x 10"):
        dissimilarity(MADE[:, :, :10], CLEAN[:, :, :10])


def test_the_slope_of_ssim_is_that_of_finite_differences():
    small = [x[:1, :1].double() for x in (MADE, CLEAN)]
    from sfumato.nn.ssim import similarity

    assert torch.autograd.gradcheck(lambda x: similarity(x, small[1])[0], small[0].clone().requires_grad_())


def test_a_gram_matrix_knows_which_channels_go_together_but_not_where():
    x = torch.zeros(1, 3, 2, 4)
    x[0, 0, 0], x[0, 1, 0], x[0, 2, 1] = 2.0, 3.0, 5.0
    expected = torch.tensor([[[2.0, 3.0, 0.0], [3.0, 4.5, 0.0], [0.0, 0.0, 12.5]]])
    torch.testing.assert_close(gram_matrix(x), expected)
    torch.testing.assert_close(gram_matrix(x.flip(2, 3)), expected)


class Eyes(FeaturePyramid):
    """Two layers: the image, and its 2x2 means in two signs."""

    reduction, layer_widths = 2, (1, 2)

    def __init__(self, channels=1):
        super().__init__()
        self.channels, self.layer_widths = channels, (channels, 2 * channels)

    def layers(self, images):
        half = nn.functional.avg_pool2d(images, 2)
        return [images, torch.cat([half, -half], dim=1)]


@pytest.fixture
def perception(monkeypatch):
    def make(shares=(), channels=2, eyes=1):
        monkeypatch.setattr("sfumato.store.weights.load", lambda which: LoadedModel(Eyes(eyes)))
        return Perception("eyes", shares, channels, torch.device("cpu"))

    return make


def test_features_are_compared_layer_by_layer(perception):
    """A grey network looks at each channel alone: the mean over both is the mean over all."""
    fine = (MADE - CLEAN).abs().mean()
    coarse = nn.functional.avg_pool2d(MADE - CLEAN, 2).abs().mean()
    for shares, expected in (((), fine + coarse), ((3.0, 0.5), 3 * fine + 0.5 * coarse)):
        found = perception(shares).distances(MADE, CLEAN, content=True, texture=False)
        torch.testing.assert_close(found, {"perceptual": expected})


def test_textures_are_compared_by_gram_matrices(perception):
    """Of one channel it is its mean square; of x and -x, the same with both signs."""

    def apart(a, b):
        return (a.square().mean((2, 3)) - b.square().mean((2, 3))).abs().mean()

    half = [nn.functional.avg_pool2d(x, 2) for x in (MADE, CLEAN)]
    found = perception((1.0, 2.0)).distances(MADE, CLEAN, content=False, texture=True)
    torch.testing.assert_close(found, {"gram": apart(MADE, CLEAN) + 2 * apart(*half)})
    assert perception().distances(CLEAN.flip(3), CLEAN, content=False, texture=True)["gram"] < 1e-6


def test_a_network_of_colours_sees_a_grey_image_in_all_channels(perception):
    eyes = perception(channels=1, eyes=3)
    assert eyes.feature_maps(CLEAN[:, :1])[0].shape == (3, 3, 12, 14)
    with pytest.raises(SettingError, match="takes images of 3 channels and cannot compare images of 2"):
        perception(channels=2, eyes=3)


def test_what_cannot_be_compared_is_told(perception):
    with pytest.raises(SettingError, match="layers has 3 weights, eyes 2 layers"):
        perception((1.0, 1.0, 1.0))
    with pytest.raises(SettingError, match="needs images of at least 2 pixels; these are 14 x 1"):
        perception().feature_maps(CLEAN[:, :, :1])
    with pytest.raises(SettingError, match="perceptual and gram need features"):
        Config(gram=1.0)
    with pytest.raises(SettingError, match="features = 'digits-classifier' has no effect"):
        Config(features="digits-classifier")
    with pytest.raises(SettingError, match=r"layers = .* has no effect without features"):
        Config(layers=(1.0,))


def test_features_may_be_a_file_or_a_name_and_must_have_layers(tmp_path):
    config = MODELS["classifier"](size=(16, 16), channels=2, classes=2, widths=(4, 6), hidden=(4,))
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "own.safetensors", config.build(), config, {})
    (phase,) = Config(perceptual=1.0, gram=2.0, layers=(1.0, 0.5), features=str(tmp_path / "own.safetensors")).phases(Fixed())
    x = phase.loss(batch())
    torch.testing.assert_close(x["total"], x["charbonnier"] + x["perceptual"] + 2 * x["gram"])
    assert len(phase.weights) == 1, "the network whose features are used is not trained"
    with pytest.raises(SettingError, match="digits has no layers"):
        Config(perceptual=1.0, features="digits").phases(Fixed())
    with pytest.raises(UnknownNameError, match="no model 'nobody'"):
        Config(perceptual=1.0, features="nobody").phases(Fixed())


def test_terms_add_up():
    (phase,) = Config(l1=2.0, charbonnier=0.5, edge=1.0, fourier=0.25, psnr=0.01).phases(Fixed())
    x = phase.loss(batch())
    expected = 2 * x["l1"] + 0.5 * x["charbonnier"] + x["edge"] + 0.25 * x["fourier"] + 0.01 * x["psnr"]
    torch.testing.assert_close(x["total"], expected)


def test_the_network_is_told_what_it_wants_to_know():
    how = DEGRADATIONS["chain"](links=(DEGRADATIONS["noise"](sigma=(0.1, 0.3)), DEGRADATIONS["missing"]()))
    damage = degrade(how, CLEAN, rng=torch.Generator().manual_seed(0))
    model = Fixed(("observed", "noise", "quality"))
    (phase,) = Config().phases(model)
    phase.loss(batch(damage))
    assert torch.equal(model.told[:, :1], damage.observed)
    assert torch.equal(model.told[:, 1, 3, 3], damage.noise)
    assert (model.told[:, 2] == 1).all()
    phase.loss(batch())
    assert [model.told[:, i].unique().tolist() for i in range(3)] == [[1.0], [0.0], [1.0]]


def test_validation_is_in_decibels():
    model = Fixed()
    with torch.no_grad():
        model.shift.fill_(0.0)
    assert Config().validate(model, batch())["decibels"].item() == pytest.approx(80)


def test_no_weight_at_all_is_refused():
    with pytest.raises(SettingError, match="all weights are 0"):
        Config(charbonnier=0.0)


def test_the_place_at_which_features_are_compared_moves_with_the_images_seen():
    """Otherwise a network with strides would leave a grid."""
    perception = Perception("digits-classifier", (), 1, torch.device("cpu"))
    images = torch.arange(32 * 40.0).reshape(1, 1, 32, 40)
    places = set()
    for seen in range(0, 8000, 8):
        output, clean = perception.shifted(images + 1, images, seen)
        assert torch.equal(output, clean + 1)
        places.add((32 - clean.shape[2], 40 - clean.shape[3]))
        assert clean[0, 0, -1, -1] == images[0, 0, -1, -1]
    step = perception.network.reduction
    assert places == {(down, across) for down in range(step) for across in range(step)}
    assert torch.equal(perception.shifted(images, images, 8)[0], perception.shifted(images, images, 8)[0])
    least = torch.zeros(1, 1, perception.min_side, perception.min_side)
    assert perception.shifted(least, least, 8)[0].shape == least.shape, "no smaller than the network takes"
