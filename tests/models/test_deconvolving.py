"""A network that is told the blur."""

import pytest
import torch

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.models import MODELS
from sfumato.models.roles.restorer import WithKernel
from sfumato.nn.blurs import point_spread
from sfumato.nn.resample import correlate
from sfumato.restoration.plan import make_plan
from sfumato.restoration.request import RestorationRequest
from sfumato.restoration.tiles import apply_restorer


@pytest.fixture
def network():
    torch.manual_seed(0)
    corrector = MODELS["gated"](width=8, encoder=(1,), middle=1, decoder=(1,), fold=2)
    return MODELS["deconvolving"](corrector=corrector, reach=24).build().eval()


def test_untrained_it_is_a_wiener_filter_and_a_small_correction(network, drawn):
    kernels = point_spread("motion", 7)
    clean = drawn(3, 96, 96)
    blurred = correlate(clean, kernels)
    torch.nn.init.zeros_(network.corrector.tail.weight)
    torch.nn.init.zeros_(network.corrector.tail.bias)
    output = apply_restorer(network, blurred, noise=0.008, kernels=kernels)
    assert (output - clean).square().mean() < 0.5 * (blurred - clean).square().mean()


def test_its_answer_blurred_again_is_nearer_to_the_image_for_the_last_filter(network, drawn):
    kernels = point_spread("motion", 9)
    blurred = correlate(drawn(3, 96, 96), kernels)
    apart = []
    for finish in (0.0, network.finish):
        network.finish = finish
        output = network.deblur(blurred, torch.full((1, 1, 96, 96), 0.008), kernels)
        apart.append((correlate(output, kernels) - blurred).square().mean().item())
    assert apart[1] < 0.5 * apart[0]


# The last filter leaves out blurs as wide as the second.
@pytest.mark.parametrize(("tile", "blur"), [(32, ("defocus", 2)), (64, ("defocus", 2)), (32, ("motion", 24)), (32, ("motion", 31))])
def test_tiles_are_the_whole_though_no_side_is_a_multiple(network, tile, blur, drawn):
    images, kernels = drawn(3, 211, 187), point_spread(*blur)
    whole = apply_restorer(network, images, noise=0.01, kernels=kernels)
    torch.testing.assert_close(apply_restorer(network, images, noise=0.01, kernels=kernels, tile=tile), whole, rtol=0, atol=1e-4)


def test_seen_in_four_ways_it_is_the_mean_of_images_and_blurs_mirrored(network):
    images, planes, kernels = torch.rand(1, 3, 48, 64), torch.full((1, 1, 48, 64), 0.01), point_spread("motion", 9, angle=30)
    for finish in (0.0, network.finish):
        network.finish = finish  # it is linear, and so that of a mean is the mean
        with torch.no_grad():
            ways = ((), (-1,), (-2,), (-1, -2))
            single = [network.deblur(images.flip(way), planes, kernels.flip(way)).flip(way) for way in ways]
            output = network.self_ensemble(4).deblur(images, planes, kernels)
            torch.testing.assert_close(output, torch.stack(single).mean(dim=0), rtol=0, atol=1e-4)
            assert not torch.allclose(output, single[0], atol=1e-3)
            torch.testing.assert_close(WithKernel(network, kernels).self_ensemble(4).restore(images, planes), output, rtol=0, atol=1e-6)


def test_each_image_has_its_own_blur(network):
    images, kernels = torch.rand(2, 3, 32, 32), torch.cat([point_spread("motion", 5), point_spread("motion", 5, angle=90)])
    both = apply_restorer(network, images, noise=0.01, kernels=kernels)
    for i in range(2):
        alone = apply_restorer(network, images[i : i + 1], noise=0.01, kernels=kernels[i : i + 1])
        torch.testing.assert_close(both[i : i + 1], alone, rtol=0, atol=1e-5)


def test_not_told_it_takes_the_image_for_sharp(network):
    images = torch.rand(1, 3, 32, 32)
    sharp = apply_restorer(network, images, noise=0.01, kernels=torch.ones(1, 1, 1))
    torch.testing.assert_close(apply_restorer(network, images, noise=0.01), sharp)


def test_restore_tells_it_the_blur_and_asks_for_it(network):
    request = RestorationRequest(task="deblur", model=network, blur="gaussian:1.6")
    plan = make_plan(request, torch.rand(1, 3, 40, 40))
    assert isinstance(plan.network, WithKernel)
    assert sf.restore(torch.rand(1, 3, 40, 40), model=network, task="deblur", blur="motion:5@45").shape == (1, 3, 40, 40)


def test_what_cannot_be_is_told(network):
    images = torch.rand(1, 3, 16, 16)
    with pytest.raises(SettingError, match="no blur could be estimated, and Deconvolving has to know it; give it, as in --blur gaussian"):
        make_plan(RestorationRequest(task="deblur", model=network), images)
    with pytest.raises(SettingError, match="restore estimates it"):
        make_plan(RestorationRequest(task="deblur", model="restore", blur="gaussian:1.6"), images)
    with pytest.raises(SettingError, match="kernels have no effect on this network"):
        apply_restorer("restore", images, kernels=torch.ones(1, 1, 1))
    with pytest.raises(SettingError, match="no effect on the task denoise"):
        RestorationRequest(task="denoise", blur="gaussian:1.6").check()
    with pytest.raises(SettingError, match="cannot be in one run"):
        make_plan(RestorationRequest(model=network, blur="gaussian:1.6"), images, observed=torch.zeros(1, 1, 16, 16))
    with pytest.raises(SettingError, match="must be the settings of a gated network of scale 1"):
        MODELS["deconvolving"](corrector=MODELS["dncnn"]()).build()
