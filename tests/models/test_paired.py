"""Two restorers in one: which of them repairs what, in tiles and files too."""

import pytest
import torch

from scripts.pair import joined
from sfumato.core.errors import SettingError
from sfumato.models import MODELS
from sfumato.objectives import OBJECTIVES
from sfumato.restoration.memory import footprint
from sfumato.restoration.tiles import apply_restorer
from sfumato.store import checkpoint, weights
from sfumato.train.transfer import begin

GREY = MODELS["gated"](channels=1, width=12, middle=2, fold=2)
COLOUR = MODELS["gated"](channels=3, width=8, encoder=(1,), middle=1, decoder=(1,))
CARD = {"images_seen": 10, "minutes": 1.5, "data": {"name": "some"}}


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return MODELS["paired"](grey=GREY, colour=COLOUR).build().eval()


def test_grey_images_go_to_one_network_and_colour_to_the_other_in_tiles_as_in_one(pair):
    for channels, network in ((1, pair.grey), (3, pair.colour)):
        images = torch.rand(2, channels, 45, 70)
        alone = apply_restorer(network, images)
        torch.testing.assert_close(apply_restorer(pair, images), alone, rtol=0, atol=0)
        torch.testing.assert_close(apply_restorer(pair, images, tile=24), alone, rtol=0, atol=1e-4)


def test_a_colour_image_without_colour_is_grey_whatever_is_beside_it(pair):
    grey, colour = torch.rand(1, 1, 20, 24), torch.rand(1, 3, 20, 24)
    alone = apply_restorer(pair.grey, grey)
    torch.testing.assert_close(apply_restorer(pair, grey.expand(-1, 3, -1, -1)), alone.expand(-1, 3, -1, -1), rtol=0, atol=0)
    both = apply_restorer(pair, torch.cat([colour, grey.expand(-1, 3, -1, -1)]))
    torch.testing.assert_close(both[1:], alone.expand(-1, 3, -1, -1), rtol=0, atol=0)
    torch.testing.assert_close(both[:1], apply_restorer(pair.colour, colour), rtol=0, atol=0)


def test_the_memory_of_the_larger_network_is_counted(pair):
    assert footprint(pair) == max(footprint(pair.grey), footprint(pair.colour))


def test_networks_that_do_not_belong_together_are_refused():
    with pytest.raises(SettingError, match="must have the same scale"):
        MODELS["paired"](grey=GREY, colour=MODELS["gated"](scale=2)).build()
    with pytest.raises(SettingError, match="must be the settings of a Restorer"):
        MODELS["paired"](grey=MODELS["vae"](size=(8, 8), channels=1, classes=0)).build()


def test_a_pair_is_trained_in_two_runs(pair):
    with pytest.raises(SettingError, match="two runs"):
        OBJECTIVES["restoration"]().phases(pair)


def test_a_pair_that_deblurs_shares_its_filters(tmp_path):
    kinds = {"grey": MODELS["deconvolving"](corrector=GREY, reach=8), "colour": MODELS["deconvolving"](corrector=COLOUR, reach=8)}
    for name, config in kinds.items():
        torch.manual_seed(len(name))
        checkpoint.save(tmp_path / f"{name}.safetensors", config.build(), config, CARD | {"of": name})
    paths = {name: str(tmp_path / f"{name}.safetensors") for name in kinds}
    one = joined(paths["grey"], paths["colour"], tmp_path / "one.safetensors")
    pair, kernels = weights.load(one), torch.full((2, 3, 3), 1 / 9)
    for channels, name in ((1, "grey"), (3, "colour")):
        images, alone = torch.rand(2, channels, 45, 70), weights.load(paths[name])
        expected = apply_restorer(alone, images, noise=0.01, kernels=kernels)
        torch.testing.assert_close(apply_restorer(pair, images, noise=0.01, kernels=kernels), expected, rtol=0, atol=0)
        torch.testing.assert_close(apply_restorer(pair, images, noise=0.01, kernels=kernels, tile=24), expected, rtol=0, atol=1e-4)
        model = kinds[name].build()
        begin(model, str(one))
        assert all(torch.equal(w, model.state_dict()[key]) for key, w in alone.network.state_dict().items())
    assert footprint(pair.network) == max(footprint(weights.load(path).network) for path in paths.values())
    with pytest.raises(SettingError, match="two runs"):
        OBJECTIVES["restoration"]().phases(pair.network)


def test_two_files_become_one_and_either_half_can_be_trained_further(tmp_path):
    paths = {}
    for name, config in (("grey", GREY), ("colour", COLOUR)):
        torch.manual_seed(len(name))
        paths[name] = tmp_path / f"{name}.safetensors"
        checkpoint.save(paths[name], config.build(), config, CARD | {"of": name})
    one = joined(str(paths["grey"]), str(paths["colour"]), tmp_path / "one.safetensors")
    made = weights.load(one)
    assert (made.card.images_seen, made.card.minutes) == (20, 3.0)
    assert made.card.grey.extra["of"] == "grey"
    for name, config in (("grey", GREY), ("colour", COLOUR)):
        part, model = weights.load(paths[name]), config.build()
        begin(model, str(one))
        for key, w in part.network.state_dict().items():
            assert torch.equal(w, model.state_dict()[key])
            assert torch.equal(w, made.network.get_submodule(name).state_dict()[key])
    again = weights.load(joined(str(paths["grey"]), str(one), tmp_path / "again.safetensors"))
    assert again.card.colour.extra["of"] == "colour"
    assert all(torch.equal(w, again.network.state_dict()[key]) for key, w in made.network.state_dict().items())
