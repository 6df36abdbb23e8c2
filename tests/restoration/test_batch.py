"""Many small pictures: through the network together, each as if it were alone, and none at the cost of another."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.analysis import diagnose as diagnosing
from sfumato.batch.manifest import NAME
from sfumato.core.errors import SettingError
from sfumato.core.progress import heard
from sfumato.io import files
from sfumato.models import MODELS
from sfumato.restoration import batch, examined, queue, tiles
from sfumato.restoration import plan as planning
from sfumato.restoration.batch import Work, groups, run_together
from sfumato.restoration.memory import BASE, cost, footprint, tiling
from sfumato.restoration.networks import Networks
from sfumato.restoration.pictures import restore_pictures
from sfumato.restoration.plan import RestorationPlan
from sfumato.restoration.request import ENOUGH, NETWORKS, RestorationRequest
from sfumato.restoration.tiles import usage
from sfumato.store import checkpoint, weights

SIDES = [(24, 24), (24, 24), (17, 30), (24, 24), (17, 30), (9, 9), (24, 24)]


@pytest.fixture
def folder(tmp_path):
    """Pictures of three sizes in turn, grey and colour, one damaged, one with opacity."""
    rng = np.random.default_rng(0)
    made = tmp_path / "in"
    made.mkdir()
    for i, (h, w) in enumerate(SIDES):
        pixels = rng.integers(20, 230, (h, w, 3), dtype=np.uint8)
        Image.fromarray(pixels if i != 3 else pixels[..., 0]).save(made / f"{i}.png")
    (made / "4b.png").write_bytes((made / "4.png").read_bytes()[:80])
    Image.fromarray(rng.integers(0, 256, (24, 24, 4), dtype=np.uint8)).save(made / "6b.png")
    return made


@pytest.fixture
def request_(tmp_path):
    config = MODELS["gated"](width=4, encoder=(1,), middle=1, decoder=(1,))
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "net.safetensors", config.build(), config, {"data": {"name": "none"}})
    return RestorationRequest(task="denoise", model=tmp_path / "net.safetensors")


@pytest.fixture
def shapes(monkeypatch):
    """The shapes of all that networks of this test are shown, in order."""
    seen = []
    real = batch.run_network
    monkeypatch.setattr(
        batch,
        "run_network",
        lambda network, images, *rest, **how: (seen.append(tuple(images.shape)), real(network, images, *rest, **how))[1],
    )
    return seen


def test_pictures_of_one_size_go_together_and_each_is_as_if_it_were_alone(tmp_path, folder, request_, shapes):
    entries = restore_pictures([folder], tmp_path / "out", request_)
    assert sorted(shapes) == [(1, 1, 24, 24), (1, 3, 9, 9), (2, 3, 17, 30), (4, 3, 24, 24)]
    alone = []
    for path in sorted(folder.iterdir()):
        alone += restore_pictures([path], tmp_path / "alone", request_)
    assert [entry.status for entry in entries] == [entry.status for entry in alone]
    assert [entry.message for entry in entries] == [entry.message for entry in alone]
    for path in (tmp_path / "alone").glob("*.png"):
        mine, own = (files.read(place / path.name).pixels.int() for place in (tmp_path / "out", tmp_path / "alone"))
        assert (mine - own).abs().max() <= 1, "rounding alone may differ"


@pytest.mark.parametrize("which", ["restore", "inpaint", "upscale-x2", "deblur"])
def test_bundled_networks_make_the_same_of_several_pictures_as_of_each(which):
    rng, networks = torch.Generator().manual_seed(0), Networks()
    request = RestorationRequest(
        task={"restore": "denoise", "upscale-x2": "upscale"}.get(which, which), blur="gaussian:1.6" if which == "deblur" else None
    )
    masks = [(torch.rand(1, 1, 32, 40, generator=rng) > 0.2).float() if which == "inpaint" else None for _ in range(3)]
    pictures = [torch.rand(1, 3, 32, 40, generator=rng) for _ in range(3)]
    plans = [planning.make_plan(request, image, observed=mask, networks=networks) for image, mask in zip(pictures, masks, strict=True)]
    works = [Work(images=image, plan=plan, request=request) for image, plan in zip(pictures, plans, strict=True)]
    assert groups(works, networks) == [[0, 1, 2]]
    for mine, work in zip(run_together(works, networks), works, strict=True):
        torch.testing.assert_close(mine, run_together([work], networks)[0], rtol=0, atol=1e-4)


def test_what_cannot_be_together_is_apart():
    networks, small = Networks(), MODELS["gated"](width=4, encoder=(1,), middle=1, decoder=(1,)).build().eval()
    whole = MODELS["imdn"](width=8, blocks=1, scale=2).build().eval()
    assert whole.receptive_radius is None
    plans = [
        RestorationPlan(summary="", network=small),
        RestorationPlan(summary="", network=whole),
        RestorationPlan(summary="", method="median"),
    ]
    images, request = torch.rand(1, 3, 16, 16), RestorationRequest()
    works = [Work(images=images, plan=plan, request=request) for plan in (*plans, *plans)]
    assert groups(works, networks) == [[0, 3], [1], [2], [4], [5]]
    tiled = [dataclasses.replace(work, request=RestorationRequest(tile=8)) for work in works[::3]]
    assert groups(tiled, networks) == [[0], [1]], "tiles of one's own choice"


def test_no_more_go_together_than_the_memory_allows(monkeypatch):
    networks, network = Networks(), MODELS["gated"](width=4, encoder=(1,), middle=1, decoder=(1,)).build().eval()
    works = [
        Work(images=torch.rand(1, 3, 16, 16), plan=RestorationPlan(summary="", network=network), request=RestorationRequest())
        for _ in range(7)
    ]
    room = networks.footprint(network) * 256 * 3.5 + 7 * 3 * 256 * 12
    tight = [dataclasses.replace(work, request=RestorationRequest(memory=BASE + room)) for work in works]
    assert [len(group) for group in groups(tight, networks)] == [3, 3, 1]
    monkeypatch.setattr(batch, "TOGETHER", 512)
    assert [len(group) for group in groups(works, networks)] == [2, 2, 2, 1]


def test_a_picture_that_fails_in_company_costs_no_other(tmp_path, folder, request_, monkeypatch):
    real, marked = batch.run_network, files.read(folder / "1.png").pixels[0, 0].float().div(255)

    def stumbles(network, images, *rest, **how):
        if any(torch.equal(image[:, 0, 0], marked) for image in images if len(image) == 3):
            raise RuntimeError("something nobody foresaw")
        return real(network, images, *rest, **how)

    monkeypatch.setattr(batch, "run_network", stumbles)
    entries = restore_pictures([folder], tmp_path / "out", request_)
    failed = [entry for entry in entries if entry.status == "failed"]
    assert [entry.source.rpartition("/")[2] for entry in failed] == ["1.png", "4b.png"]
    assert "something nobody foresaw" in failed[0].message
    monkeypatch.undo()
    again = restore_pictures([folder], tmp_path / "out", request_)
    assert [entry.status for entry in again].count("done") == 1, "and the same command does what failed"


def test_an_interruption_keeps_what_is_done_and_is_noted_of_whom_it_met(tmp_path, folder, request_, monkeypatch):
    real, calls = batch.run_network, []

    def interrupted(*given, **how):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given, **how)

    monkeypatch.setattr(batch, "run_network", interrupted)
    monkeypatch.setattr(queue, "_AHEAD", 0)  # each by itself
    with pytest.raises(KeyboardInterrupt):
        restore_pictures([folder], tmp_path / "out", request_)
    rows = [json.loads(line) for line in (tmp_path / "out" / NAME).read_text().splitlines()]
    assert [row["status"] for row in rows] == ["writing", "done", "writing", "done", "failed"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png", NAME]
    monkeypatch.undo()
    assert [entry.status for entry in restore_pictures([folder], tmp_path / "out", request_)].count("skipped") == 2


def test_what_became_of_pictures_is_told_in_their_order(tmp_path, folder, request_):
    told, shares = [], []
    restore_pictures([folder / "0.png"], tmp_path / "out", request_)
    with heard(lambda moment: shares.append(moment.share)):
        restore_pictures(
            [folder], tmp_path / "out", request_, on_progress=lambda entry, number, count: told.append((number, count, entry.status))
        )
    assert [number for number, *_ in told] == list(range(1, len(SIDES) + 3))
    assert {count for _, count, _ in told} == {len(SIDES) + 2}
    assert told[0][2] == "skipped"
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_network_is_loaded_and_measured_once_a_run(tmp_path, folder, request_, monkeypatch):
    loads, measured = [], []
    real = weights.load
    monkeypatch.setattr(weights, "load", lambda which: (loads.append(which), real(which))[1])
    monkeypatch.setattr("sfumato.restoration.memory.footprint", lambda network: (measured.append(network), 100.0)[1])
    monkeypatch.setattr(queue, "_AHEAD", 0)
    restore_pictures([folder], tmp_path / "out", request_)
    assert len(loads) == len(measured) == 1


@pytest.mark.parametrize(
    ("how", "looked"),
    [
        ({"task": "denoise"}, False),
        ({"task": "jpeg"}, False),
        ({"task": "upscale", "method": "bicubic"}, False),
        ({"task": "upscale", "scale": 1}, False),
        ({"task": "upscale"}, True),
        ({"task": "deblur", "blur": "gaussian:1.6", "noise": 0.01}, False),
        ({"method": "median", "task": "denoise"}, False),
        ({"task": "deblur"}, True),
        ({"task": "auto"}, True),
        ({"method": "wiener", "task": "deblur", "blur": "gaussian:1.6"}, True),
    ],
)
def test_a_task_that_is_named_is_diagnosed_only_if_something_depends_on_it(how, looked, monkeypatch):
    times = []
    real = examined.diagnose
    monkeypatch.setattr(examined, "diagnose", lambda *given, **named: (times.append(1), real(*given, **named))[1])
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    plan = planning.make_plan(RestorationRequest(**how), image)
    assert bool(times) is looked
    assert how["task"] in plan.summary or looked or "1 times" in plan.summary or "bicubic" in plan.summary or "median" in plan.summary


def test_salt_and_pepper_is_still_seen_when_noise_is_named():
    image = torch.full((1, 1, 64, 64), 0.5)
    image[:, :, ::7, ::5] = 1
    assert diagnosing.salt_and_pepper(image) == diagnosing.diagnose(image).salt_and_pepper > 0.02
    assert planning.make_plan(RestorationRequest(task="denoise"), image).summary.endswith("fill in the wrong pixels")
    assert diagnosing.salt_and_pepper(image[:, :, :9]) is None


NET = MODELS["gated"](width=4, encoder=(1, 1, 1), middle=4, decoder=(1, 1, 1)).build().eval()


@pytest.mark.parametrize("size", [(64, 64), (300, 200), (100, 5000), (5000, 100), (2000, 3000)])
@pytest.mark.parametrize("room", [0.05, 0.3, 1.0, 4.0, 30.0])
def test_tiles_waste_less_than_two_thirds_wherever_memory_allows(size, room):
    """`room` is how much fits at once, as a multiple of one tile of 32 pixels with its context."""
    side = 32 + 2 * NET.receptive_radius
    memory = room * side**2 * 100.0
    found = tiling(NET, size, memory, pixel=100.0)
    assert found.usage == pytest.approx(usage(NET, size, found.tile))
    if math.prod(size) * 100 <= memory:
        assert found.usage > 1 / 3, "it would fit as a whole"
    words = cost(found, NET, BASE + memory, lambda allowed: tiling(NET, size, allowed - BASE, pixel=100.0))
    assert bool(words) is (found.usage < 1 / 3)
    if words:
        enough = float(words.rpartition("; ")[2].partition("GB")[0]) * 1e9
        assert tiling(NET, size, enough - BASE, pixel=100.0).usage >= 1 / 3
        assert f"{1 / found.usage:.0f} times slower" in words


def test_little_memory_is_told_once_and_the_result_is_the_same(tmp_path, request_):
    image = torch.rand(1, 3, 90, 70, generator=torch.Generator().manual_seed(0))
    said, networks = [], Networks()
    network = networks.opened(request_.model)
    plan, taken = RestorationPlan(summary="", network=network), BASE + image.numel() * 12
    tight = RestorationRequest(memory=taken + networks.footprint(network) * 2000)
    with heard(lambda _: None, remark=said.append):
        made = [run_together([Work(images=image, plan=plan, request=each)], networks)[0] for each in (tight, tight, RestorationRequest())]
    assert len(said) <= 1
    for other in made[:2]:
        torch.testing.assert_close(other, made[2], rtol=0, atol=1e-4)


@pytest.mark.parametrize("rows", [False, True], ids=["whole", "in strips"])
def test_what_little_memory_costs_is_told_before_the_work(rows, tmp_path, monkeypatch):
    """The network that looks far is asked for its first tile after the line, whichever way the picture goes."""
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(tmp_path / "a.png")
    events, real = [], tiles._repaired
    monkeypatch.setattr(tiles, "_repaired", lambda *how: (events.append("tile"), real(*how))[1])
    monkeypatch.setattr("sfumato.restoration.networks.Networks.footprint", lambda *_: 1e8 / 1000)
    if rows:
        monkeypatch.setattr("sfumato.restoration.repair.held", lambda *_: 1e9)
    config = MODELS["gated"](width=4, encoder=(1,), middle=8, decoder=(1,))
    request = RestorationRequest(task="denoise", model=config.build().eval(), memory=7.1e8)
    with heard(lambda _: None, remark=lambda words: events.append(words)):
        (entry,) = restore_pictures([tmp_path / "a.png"], tmp_path / "out", request)
    assert entry.status == "done", entry.message
    assert "times slower" in events[0]
    assert set(events[1:]) == {"tile"}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_memory_that_is_said_to_be_enough_is_so(name):
    network, width = Networks().opened(name), 4000
    row = width * (3 + len(network.conditioning)) * 12 * (1 + network.scale**2)  # as of what is repaired some rows at a time
    pixel = footprint(network)
    assert tiling(network, (3000, width), (ENOUGH - BASE) * 0.6, pixel=pixel, row=row).usage >= 1 / 3
    with pytest.raises(SettingError, match=r"give at least 0\.7GB, .* or 2\.2GB, from which on it takes at most 3 times as long"):
        RestorationRequest(memory=5e8).check()


def test_the_first_estimate_leaves_out_loading_and_counts_all_that_went_together(tmp_path, request_, monkeypatch):
    """Loading takes a minute and what is done at once a second a picture, by a clock that only they move."""
    seconds, told = [0.0], []
    for i in range(8):
        Image.fromarray(np.full((20, 20, 3), 90 + i, np.uint8)).save(tmp_path / f"{i}.png")
    load, work = weights.load, queue.run_together
    monkeypatch.setattr(weights, "load", lambda which: (seconds.__setitem__(0, seconds[0] + 60), load(which))[1])
    monkeypatch.setattr(
        queue, "run_together", lambda works, *rest: (seconds.__setitem__(0, seconds[0] + len(works)), work(works, *rest))[1]
    )
    monkeypatch.setattr(queue, "groups", lambda works, _: [list(range(i, min(i + 4, len(works)))) for i in range(0, len(works), 4)])
    with heard(told.append, now=lambda: seconds[0]):
        restore_pictures([tmp_path / f"{i}.png" for i in range(8)], tmp_path / "out", request_)
    finished = [each for each in told if each.text.startswith("pictures")]
    assert [each.seconds_left for each in finished] == pytest.approx([4.0] * 4 + [0.0] * 4, abs=1e-6)


def test_progress_counts_tiles_inside_a_picture(tmp_path, request_):
    told = []
    Image.fromarray(np.full((60, 60, 3), 90, np.uint8)).save(tmp_path / "a.png")
    with heard(told.append):
        restore_pictures([tmp_path / "a.png"], tmp_path / "out", dataclasses.replace(request_, tile=20))
    assert [each.text for each in told[:2]] == ["tiles 1 of 9", "tiles 2 of 9"]
    assert [each.share for each in told] == pytest.approx([*(i / 9 for i in range(1, 10)), 1.0])
