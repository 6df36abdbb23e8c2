"""Planning and batching around a network that is one convolution."""

import dataclasses

import pytest
import torch

from sfumato.analysis.diagnose import Diagnosis
from sfumato.core.errors import ImageError, SettingError
from sfumato.restoration import batch, examined, plan, tiles
from sfumato.restoration.batch import Work, repaired
from sfumato.restoration.memory import BASE
from sfumato.restoration.plan import RestorationPlan, make_plan
from sfumato.restoration.request import PRIOR, RestorationRequest

GREY = torch.full((1, 1, 32, 32), 0.5)


def picture(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def mask(h=32, w=32):
    plane = torch.ones(1, 1, h, w)
    plane[..., :8] = 0
    return plane


@pytest.fixture
def diagnosed(monkeypatch):
    """A function that decides what every picture is diagnosed with."""

    def decide(**values):
        result = Diagnosis(**{"noise": 0.0, "salt_and_pepper": 0.0, "quality": None, "blur": 0.0, "scratched": None} | values)
        monkeypatch.setattr(examined, "diagnose", lambda *_, **__: result)
        monkeypatch.setattr(examined, "salt_and_pepper", lambda _: result.salt_and_pepper)

    return decide


def test_a_plan_without_a_repair_is_nothing(restorer):
    network = restorer(scale=2)
    assert RestorationPlan(summary="").nothing
    assert not RestorationPlan(summary="", network=network).nothing
    assert not RestorationPlan(summary="", method="median").nothing
    assert RestorationPlan(summary="", network=network, observed=torch.ones(1, 1, 4, 4)).nothing
    assert not RestorationPlan(summary="", network=network, observed=mask()).nothing
    assert (RestorationPlan(summary="", network=network).scale, RestorationPlan(summary="", method="bicubic", times=3).scale) == (2, 3)


def test_strength_zero_plans_nothing(restorer):
    chosen = make_plan(RestorationRequest(strength=0.0, model=restorer()), GREY)
    assert chosen.nothing
    assert chosen.summary == "strength 0: left as it was"


@pytest.mark.parametrize(
    ("settings", "observed", "words"),
    [
        ({"task": "denoise"}, True, "a mask has no use for the task denoise"),
        ({"task": "jpeg", "find": ("scratches",)}, False, "find = scratches has no use for the task jpeg"),
        ({"blur": "gaussian:2"}, True, "cannot be in one run"),
        ({"noise": 0.1}, False, "noise = 25.5 has no effect"),
        ({"blur": "gaussian:2"}, False, "blur = gaussian:2 has no effect"),
        ({"task": "inpaint"}, False, "inpaint needs a mask"),
        ({"task": "upscale"}, False, "does not enlarge"),
    ],
)
def test_what_does_not_go_together(restorer, settings, observed, words):
    with pytest.raises(SettingError, match=words):
        make_plan(RestorationRequest(model=restorer(), **settings), GREY, observed=mask() if observed else None)


def test_a_network_that_enlarges_is_for_upscale(restorer):
    network = restorer(scale=3)
    with pytest.raises(SettingError, match="OneConvolution enlarges 3 times; it is for the task upscale"):
        make_plan(RestorationRequest(task="denoise", model=network), GREY)
    with pytest.raises(SettingError, match="scale = 4, but OneConvolution enlarges 3 times"):
        make_plan(RestorationRequest(task="upscale", model=network, scale=4), GREY)
    for scale, words in (
        (None, "3 times: OneConvolution"),
        (3, "3 times: OneConvolution"),
        (2.5, "2.5 times: OneConvolution, reduced from 3 times"),
    ):
        chosen = make_plan(RestorationRequest(task="upscale", model=network, scale=scale), GREY)
        assert (chosen.summary, chosen.network, chosen.noise, chosen.scale) == (words, network, 0.0, scale or 3)
    for scale, times in ((None, 2), (3, 3), (1.5, 1.5)):
        chosen = make_plan(RestorationRequest(task="upscale", method="bicubic", scale=scale), GREY)
        assert (chosen.summary, chosen.method, chosen.scale) == (f"{times} times: bicubic", "bicubic", times)


def test_conditioning_is_what_is_asked_or_what_is_found(restorer, diagnosed):
    diagnosed(noise=0.04, quality=60)
    network = restorer(conditioning=("noise", "quality"))
    chosen = make_plan(RestorationRequest(task="denoise", model=network), GREY)
    assert (chosen.noise, chosen.quality) == (0.04, 0.6)
    assert make_plan(RestorationRequest(task="denoise", model=network, noise=0.1), GREY).noise == 0.1
    blind = make_plan(RestorationRequest(task="denoise", model=restorer()), GREY)
    assert (blind.noise, blind.quality, blind.summary) == (0.0, 1.0, "denoise: OneConvolution")
    diagnosed(noise=None)
    chosen = make_plan(RestorationRequest(task="denoise", model=network), GREY)
    assert (chosen.noise, chosen.quality) == (0.0, 1.0)
    assert chosen.summary == "no noise seen, no salt and pepper, no JPEG grid, sharp: OneConvolution", "for it was looked for"


def test_methods_get_some_noise_and_a_blur(diagnosed):
    diagnosed(noise=0.0)
    assert make_plan(RestorationRequest(task="denoise", method="nlm"), GREY).noise in (None, plan.ROUNDING)
    wiener = make_plan(RestorationRequest(method="wiener", blur="gaussian:2"), GREY)
    assert wiener.noise == plan.ROUNDING
    assert wiener.summary.endswith(": wiener")
    with pytest.raises(SettingError, match="no blur could be estimated, and wiener has to know it"):
        make_plan(RestorationRequest(method="wiener"), GREY)
    assert make_plan(RestorationRequest(method="wiener", blur="gaussian:2", noise=0.0), GREY).noise == 0.0, "the request decides"
    diagnosed(noise=0.0, quality=85)
    assert make_plan(RestorationRequest(method="wiener", blur="gaussian:2"), GREY).noise == pytest.approx(2 / 255, rel=0.3)


@pytest.mark.parametrize(
    ("share", "noise", "filled"), [(0.005, 0.0, True), (0.0049, 0.0, False), (0.1, 3.9 / 255, True), (0.1, 4 / 255, False)]
)
def test_salt_and_pepper_alone_is_filled_in(diagnosed, share, noise, filled):
    diagnosed(salt_and_pepper=share, noise=noise)
    hit = GREY.clone()
    hit[0, 0, 9, 9] = 1.0
    chosen = make_plan(RestorationRequest(), hit)
    assert (chosen.observed is not None) == filled
    assert chosen.summary.endswith("fill in the wrong pixels") == filled
    assert chosen.summary.endswith(": restore") == (not filled)


def test_a_clean_picture_is_left(diagnosed):
    diagnosed()
    chosen = make_plan(RestorationRequest(), GREY)
    assert chosen.nothing
    assert chosen.summary.endswith(": nothing to repair")
    assert not make_plan(RestorationRequest(task="denoise"), GREY).nothing, "unless a task is named"


def test_filling_says_how_much_and_by_what(restorer):
    network = restorer(conditioning=("observed",))
    chosen = make_plan(RestorationRequest(model=network), GREY, observed=mask())
    assert chosen.summary == "25.0% to fill in: OneConvolution"
    assert torch.equal(chosen.observed, mask())
    assert chosen.look is None
    hit = GREY.clone()
    hit[0, 0, 20, 20] = 1.0
    both = make_plan(RestorationRequest(model=network, find=("dead-pixels",)), hit, observed=mask())
    assert both.summary == "0.10% dead pixels, 25.1% to fill in: OneConvolution"
    assert int((both.observed == 0).sum()) == 8 * 32 + 1
    assert torch.equal(both.look(GREY), torch.ones_like(GREY)), "the next frame may have none"
    none = make_plan(RestorationRequest(model=network, find=("dead-pixels",)), GREY)
    assert none.nothing
    assert none.summary == "0.00% dead pixels: nothing to fill in"


def test_only_what_is_masked_is_changed_by_strength(restorer):
    images, network = picture(1, 1, 32, 32), restorer()
    work = RestorationPlan(summary="", network=network)
    assert torch.allclose(repaired(images, work, RestorationRequest()), images / 2, atol=1e-6)
    assert torch.allclose(repaired(images, work, RestorationRequest(strength=0.5)), images * 0.75, atol=1e-6)
    filled = repaired(images, dataclasses.replace(work, observed=mask()), RestorationRequest())
    assert torch.allclose(filled[..., :8], images[..., :8] / 2, atol=1e-6)
    assert torch.equal(filled[..., 8:], images[..., 8:])


def test_the_input_of_a_network(restorer):
    images = picture(1, 3, 8, 8)
    work = Work(
        images=images,
        plan=RestorationPlan(summary="", network=restorer(channels=3, conditioning=("observed",))),
        request=RestorationRequest(),
    )
    assert torch.equal(batch._network_input(work).conditioning["observed"], torch.ones(1, 1, 8, 8))
    hidden = dataclasses.replace(work, plan=dataclasses.replace(work.plan, observed=mask(8, 8) * 0))
    assert not batch._network_input(hidden).images.any(), "missing pixels are black"
    grey = images[:, :1].expand(-1, 3, -1, -1)
    for path, channels in ((True, 1), (False, 3)):
        plan_ = RestorationPlan(summary="", network=restorer(channels=3, grey_path=path))
        assert batch._network_input(Work(images=grey, plan=plan_, request=RestorationRequest())).images.shape[1] == channels
    assert batch._network_input(work).key != batch._network_input(dataclasses.replace(work, images=images[..., :7])).key


def test_values_are_joined():
    assert batch._joined([0.1, 0.1], 2, 3) == 0.1
    joined = batch._joined([0.1, 0.2], 2, 3)
    assert joined.shape == (2, 1, 2, 3)
    assert joined[1].unique().tolist() == pytest.approx([0.2])
    plane = torch.zeros(1, 1, 2, 3)
    assert batch._joined([plane, plane], 2, 3) is plane
    assert torch.equal(batch._joined([plane, 0.5], 2, 3), torch.cat([plane, plane + 0.5]))


def test_what_does_not_fit_is_refused(restorer):
    images = picture(1, 1, 64, 64)
    whole = RestorationPlan(summary="", network=restorer(radius=None))
    need = 36 * 64 * 64 + BASE + 64 * 64 * 12
    assert repaired(images, whole, RestorationRequest(memory=need)).shape == images.shape
    with pytest.raises(ImageError, match="takes the whole picture at once"):
        repaired(images, whole, RestorationRequest(memory=need - 1))
    prior = RestorationPlan(summary="", method=PRIOR)
    assert batch._method_memory(prior, PRIOR, images) == BASE + 12e3 * 64 * 64
    with pytest.raises(ImageError, match=f"{PRIOR} would take"):
        repaired(images, prior, RestorationRequest(memory=BASE))
    twice = RestorationPlan(summary="", method="bicubic", times=2)
    assert batch._method_memory(twice, "bicubic", images) - BASE == pytest.approx(
        4 * (batch._method_memory(RestorationPlan(summary="", method="bicubic"), "bicubic", images) - BASE)
    )
    missing = dataclasses.replace(twice, observed=mask(64, 64))
    assert batch._method_memory(missing, "telea", images) >= batch._method_memory(twice, "telea", images)


def test_planes_are_numbers_or_planes():
    images = picture(2, 3, 4, 5)
    assert torch.equal(tiles._plane("noise", 0.25, images, even=False), torch.full((2, 1, 4, 5), 0.25))
    own = picture(2, 1, 4, 5)
    assert tiles._plane("noise", own, images, even=False) is own
    for value, even, words in (
        (None, False, "needs noise"),
        (own[..., :4], False, "has shape"),
        (own, True, "differs from pixel to pixel"),
    ):
        with pytest.raises(SettingError, match=words):
            tiles._plane("noise", value, images, even=even)
    assert tiles._plane("noise", torch.full((2, 1, 4, 5), 0.1), images, even=True).shape == (2, 1, 4, 5)


def test_images_are_extended_by_their_mirror():
    images = picture(1, 1, 5, 6)
    extended = tiles._extended(images, 4)
    assert extended.shape == (1, 1, 8, 8)
    assert torch.equal(extended[..., :5, :6], images)
    assert torch.equal(extended[..., 5:, :6], images[..., 2:, :].flip(2))
    assert torch.equal(extended[..., :5, 6:], images[..., 4:].flip(3))
    assert tiles._extended(images, 1) is images


def test_parts_of_a_batch():
    images = picture(3, 3, 4, 4)
    images[1] = images[1, :1]
    assert tiles.colourless(images).tolist() == [False, True, False]
    assert torch.equal(tiles._alone(images, 1), images[1:2])
    assert tiles._alone(images[:1], 2) is not None
    each = tiles._each({"noise": 0.1, "observed": images}, 2)
    assert each["noise"] == 0.1
    assert torch.equal(each["observed"], images[2:])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("own", [1, 3])
def test_channels_are_adapted(restorer, channels, own):
    images = picture(2, channels, 9, 7)
    output = tiles.apply_restorer(restorer(channels=own, scale=2, multiple=4), images)
    assert output.shape == (2, channels, 18, 14)
    assert torch.allclose(output[:, :, ::2, ::2], images / 2, atol=1e-6)
    with pytest.raises(SettingError, match="images have 2 channels, the network takes"):
        tiles.apply_restorer(restorer(channels=3), picture(1, 2, 4, 4))
    with pytest.raises(SettingError, match="kernels have no effect"):
        tiles.apply_restorer(restorer(channels=own), images, kernels=torch.ones(2, 1, 1))
