"""What the doctor sees, gives and gives up; and the pulse it takes."""

import json

import pytest
import torch

from sfumato.core.errors import DivergenceError
from sfumato.data.adaptive import Config as Adaptive
from sfumato.data.dataset import Dataset
from sfumato.data.stream import Stream
from sfumato.models.roles.style_generator import StyleGenerator
from sfumato.objectives._controller import Controller
from sfumato.recipes import recipe
from sfumato.train.distributed import World
from sfumato.train.doctor import BACK, DOSES, PATIENCE, RETURNS, SYMPTOMS, Doctor
from sfumato.train.proxy_metrics import proxy_metrics

FINE = {"generator/diversity": 0.8, "discriminator/told_apart": 0.8, "discriminator/real_logit": 2.0, "penalty/share": 0.3}


def controller(**adaptive):
    return {"discriminator": Controller(Adaptive(**adaptive), penalised=True)}


def visits(doctor, memories, figures, *, times):
    """All that is said at so many visits, and whether the last sends the run back."""
    said, back = [], False
    for _ in range(times):
        doctor.figures.add({name: torch.tensor(value) for name, value in {**FINE, **figures}.items()})
        more, back = doctor.visit(memories, World())
        said += more
        if back:
            break
    return said, back


def test_doses_are_for_symptoms_and_for_dials_that_exist():
    dials = {*controller(target=0.6)["discriminator"].dials, *controller(probability=0.2)["discriminator"].dials}
    assert DOSES.keys() | BACK.keys() <= SYMPTOMS.keys()
    assert {dose.dial for doses in DOSES.values() for dose in doses} <= dials


@pytest.mark.parametrize(
    ("adaptive", "figures", "dial", "expected"),
    [
        ({}, {"discriminator/told_apart": 0.99}, "gamma", 2.0),
        ({}, {"penalty/share": 0.95}, "gamma", 0.5),
        ({"target": 0.6}, {"discriminator/told_apart": 0.99}, "target", 0.5),
        ({"probability": 0.2}, {"discriminator/told_apart": 0.99}, "probability", 0.3),
        ({"probability": 0.8}, {"discriminator/certainty": 0.4, "discriminator/probability": 0.8}, "probability", 0.4),
        ({}, {"discriminator/certainty": 0.99}, "gamma", 2.0),
    ],
)
def test_a_symptom_that_lasts_gets_its_dose_once_in_a_while(adaptive, figures, dial, expected):
    memories = controller(**adaptive)
    said, _ = visits(Doctor(acts=True), memories, figures, times=2 * PATIENCE - 1)
    assert getattr(memories["discriminator"], dial).item() == pytest.approx(expected)
    assert sum(f": {dial} from" in text for text in said) == 1
    said, _ = visits(Doctor(), memories, figures, times=2 * PATIENCE)
    assert getattr(memories["discriminator"], dial).item() == pytest.approx(expected), "one who may not act does not"
    assert len(said) == 1


@pytest.mark.parametrize("pulses", [{"pulse/copies": 0.9, "pulse/diversity": 0.7}, {"pulse/copies": 0.0, "pulse/diversity": 0.1}])
@pytest.mark.parametrize("every", [4, 10])
def test_a_collapse_that_the_pulse_shows_is_seen_though_it_is_felt_rarely(pulses, every):
    doctor, memories = Doctor(acts=True), controller()
    for _ in range(2):
        visits(doctor, memories, {"pulse/copies": 0.0, "pulse/diversity": 0.8, "pulse/frechet": 1.0}, times=1)
    said = []
    for visit in range(2 * every):
        figures = {**pulses, "pulse/frechet": 1.0} if visit % every == 0 else {}
        more, _ = visits(doctor, memories, figures, times=1)
        said += more
        assert visit >= every or not said, "one pulse alone may be chance"
    assert "nearly copies" in said[0]
    assert memories["discriminator"].gamma.item() > 1
    again = Doctor(acts=True)
    again.restore(json.loads(json.dumps(doctor.state())))
    assert again.state() == doctor.state()
    healthy = {"pulse/copies": 0.0, "pulse/diversity": 0.9, "pulse/frechet": 1.0}
    said, _ = visits(doctor, memories, healthy, times=PATIENCE)
    assert said[-1] == "the run looks fine again"


def test_once_well_again_it_says_so():
    doctor = Doctor(acts=True)
    visits(doctor, controller(), {"penalty/share": 0.95}, times=PATIENCE)
    assert doctor.verdict().faults == ("smothered",)
    said, _ = visits(doctor, controller(), {}, times=PATIENCE)
    assert said == ["the run looks fine again"]
    assert doctor.well
    assert doctor.verdict().faults == ()
    assert str(doctor.verdict()) == "at the end: the run looks fine"


PULSE = {"pulse/diversity": 0.9, "pulse/diversity_within": 0.9, "pulse/grid": 1.1, "pulse/copies": 0.0, "pulse/frechet": 1.0}


def test_the_verdict_goes_by_the_last_look_alone_and_a_short_run_has_one():
    doctor = Doctor()
    assert doctor.verdict() is None, "nothing was measured and nothing is wrong"
    visits(doctor, controller(), PULSE, times=1)
    assert doctor.verdict().faults == ()
    visits(doctor, controller(), PULSE | {"pulse/diversity_within": 0.2, "pulse/grid": 4.0}, times=1)
    assert doctor.verdict().faults == ("alike", "grid")
    assert doctor.verdict().figures["pulse/grid"] == 4.0


@pytest.mark.parametrize("alike", [{"generator/diversity": 0.01}, {"pulse/copies": 0.9, "pulse/diversity": 0.05, "pulse/frechet": 1.0}])
def test_a_young_generator_whose_images_are_all_alike_is_not_called_ill(alike):
    said = {}
    for progress in (0.1, 0.5):
        doctor, said[progress] = Doctor(), []
        for _ in range(2 * PATIENCE):
            doctor.figures.add({name: torch.tensor(value) for name, value in {**FINE, **alike}.items()})
            said[progress] += doctor.visit(controller(), World(), progress=progress)[0]
    assert said[0.1] == []
    assert len(said[0.5]) == 1
    various = Doctor()
    for figures in ({"pulse/diversity": 0.9, "pulse/frechet": 1.0}, *[alike] * (2 * PATIENCE)):
        various.figures.add({name: torch.tensor(value) for name, value in {**FINE, **figures}.items()})
        various.visit(controller(), World(), progress=0.1)
    assert not various.well, "what has been various before has collapsed"


def test_what_doses_do_not_help_sends_the_run_back_with_smaller_steps():
    doctor = Doctor(acts=True)
    said, back = visits(doctor, controller(), {"discriminator/real_logit": -900.0}, times=PATIENCE)
    assert back
    assert doctor.pace == 0.5
    assert "logits have grown to -900" in said[-1]
    _, back = visits(doctor, controller(), {"generator/diversity": 0.1}, times=3 * PATIENCE)
    assert back, "after two doses against collapse"
    assert doctor.pace == 0.25


def test_images_that_get_worse_or_stay_copies_send_the_run_back():
    doctor, went = Doctor(acts=True), []
    for distance in (4.0, 2.0, 2.5, 8.0, 9.0, 10.0, 11.0):
        went.append(visits(doctor, controller(), {"pulse/frechet": distance}, times=1)[1])
    assert went == [False] * 6 + [True]
    doctor, copies = Doctor(acts=True), {"pulse/copies": 0.9, "pulse/diversity": 0.7, "pulse/frechet": 1.0}
    went = [visits(doctor, controller(), copies, times=1)[1] for _ in range(4 * PATIENCE)]
    assert went.count(True) == 1, "after two doses"


def test_it_goes_back_so_often_and_then_stops_with_what_it_found():
    doctor = Doctor(acts=True)
    for _ in range(RETURNS):
        assert visits(doctor, controller(), {"discriminator/real_logit": 900.0}, times=PATIENCE)[1]
    with pytest.raises(DivergenceError, match=r"stopped, having gone back 4 times: the discriminator's logits have grown to 900"):
        visits(doctor, controller(), {"discriminator/real_logit": 900.0}, times=PATIENCE)


def test_images_that_get_worse_are_noticed_when_two_measures_agree():
    doctor, said = Doctor(), []
    for distance in (4.0, 2.0, 9.0, 2.5, 8.0, 9.0, 10.0, 11.0):
        said.append(visits(doctor, controller(), {"pulse/frechet": distance}, times=1)[0])
    assert [bool(each) for each in said] == [False] * 7 + [True]
    assert "5.0 times as far from the data" in said[-1][0]


@pytest.mark.parametrize(("distances", "ill"), [((9.0, 8.0, 7.0, 6.0, 5.0, 4.0), False), ((9.0, 4.0, 5.0, 4.0, 4.5), True), ((), True)])
def test_a_discriminator_that_has_won_is_no_illness_while_images_come_nearer(distances, ill):
    doctor, said = Doctor(), []
    for distance in distances or [None] * 6:
        figures = {"discriminator/told_apart": 0.99} | ({} if distance is None else {"pulse/frechet": distance})
        said += visits(doctor, controller(), figures, times=2)[0]
    assert [("it has won" in text) for text in said] == [True] * ill
    again = Doctor()
    again.restore(json.loads(json.dumps(doctor.state())))
    assert again.state() == doctor.state()


@pytest.mark.parametrize(("target", "ill"), [(0.0, True), (0.6, True), (0.4, False)])
def test_a_discriminator_as_sure_as_it_is_meant_to_be_is_not_blinded(target, ill):
    figures = {"discriminator/probability": 0.7, "discriminator/certainty": 0.4, "discriminator/target": target}
    said, _ = visits(Doctor(), {}, figures, times=PATIENCE)
    assert [("changed more often" in text) for text in said] == [True] * ill


def test_all_it_knows_fits_in_a_file():
    doctor, other = Doctor(acts=True), Doctor(acts=True)
    visits(doctor, controller(), {"penalty/share": 0.95, "pulse/frechet": 3.0}, times=PATIENCE + 1)
    doctor.figures.add({"loss": torch.tensor(0.1)})
    other.restore(json.loads(json.dumps(doctor.state())))
    assert other.state() == doctor.state()
    follow = [visits(each, controller(), {"penalty/share": 0.95}, times=5) for each in (doctor, other)]
    assert follow[0] == follow[1]


class Painter(StyleGenerator):
    """Makes the images that a function of the latents gives."""

    latent_dim, channels, size, classes = 3, 1, (8, 8), 0

    def __init__(self, paint):
        super().__init__()
        self.brush = paint

    def synthesize(self, styles, labels=None, steering=None):
        return self.brush(styles[:, 0])


def test_the_pulse_knows_good_from_bad_and_many_from_few():
    def clouds(z):
        x = torch.linspace(0, 3, 8)
        return (0.5 + 0.2 * (z[:, 0, None, None] * x.sin() + z[:, 1, None, None] * x.cos()[:, None] + z[:, 2, None, None] / 3))[:, None]

    rng = torch.Generator().manual_seed(5)
    pixels = (clouds(torch.randn(400, 3, generator=rng)).clamp(0, 1) * 255).to(torch.uint8)
    data = Dataset(name="clouds", pixels=pixels, labels=None, classes=(), terms="drawn for tests")
    stream = Stream(data, batch=8, seed=0)
    good, same, bad = (
        {name: value.item() for name, value in proxy_metrics(Painter(paint), stream).items()}
        for paint in (clouds, lambda z: clouds(torch.ones_like(z) + 1e-3 * z), lambda z: torch.rand(len(z), 1, 8, 8, generator=rng))
    )
    assert good["pulse/frechet"] < 0.2 * min(same["pulse/frechet"], bad["pulse/frechet"])
    assert good["pulse/diversity"] == pytest.approx(1, abs=0.15)
    assert same["pulse/diversity"] < 0.05
    assert good["pulse/copies"] < 0.3 < 0.9 < same["pulse/copies"]
    broken = proxy_metrics(Painter(lambda z: clouds(z) * float("nan")), stream)
    assert broken["pulse/frechet"] == torch.inf


@pytest.mark.parametrize("pixels", [torch.zeros(1, 1, 8, 8), torch.full((5, 1, 8, 8), 9)], ids=["one image", "five equal images"])
def test_the_pulse_of_images_without_any_variety_holds_finite_figures_only(pixels):
    data = Dataset(name="few", pixels=pixels.to(torch.uint8), labels=None, classes=(), terms="drawn for tests")
    figures = proxy_metrics(Painter(lambda z: torch.rand(len(z), 1, 8, 8)), Stream(data, batch=8, seed=0))
    assert all(torch.isfinite(value) for value in figures.values())


def test_a_dial_that_was_set_beyond_its_limits_is_not_turned_the_wrong_way():
    memories = controller(target=0.2)
    visits(Doctor(acts=True), memories, {"discriminator/told_apart": 0.99}, times=PATIENCE)
    assert memories["discriminator"].target.item() == pytest.approx(0.2), "asked to be lower, and as low as it was"


def losses(doctor, values, *, name="codec/total", progress=0.5, **others):
    """All that is said of a run whose lines have these losses."""
    said, back = [], False
    for value in values:
        doctor.figures.add({name: torch.tensor(value)} | {key: torch.tensor(figure) for key, figure in others.items()})
        more, back = doctor.visit({}, World(), progress=progress)
        said += more
    return said, back


@pytest.mark.parametrize(
    ("values", "ill"),
    [
        ([4.0, 2.7, 2.7, 3.3, 4.0, 7.3, 12.0], True),  # a codec whose steps were too large
        ([4.0, 2.7, 2.7, 3.3, 3.2, 2.9, 2.8], False),
        ([4.0, 2.7, 12.0, 2.7, 2.6, 12.0, 2.6], False),  # single lines
        ([2.5, 2.4, 2.45, 2.5, 2.55, 2.5, 2.5], False),  # noise of a run that hardly learns
        ([-20.0, -30.0, -15.0, -14.0, -13.0], True),  # losses may be negative
        ([-20.0, -30.0, -27.0, -27.0, -27.0], False),
    ],
)
def test_a_loss_that_rises_far_above_its_least_is_named(values, ill):
    said, _ = losses(Doctor(), values)
    assert [text for text in said if "the loss has risen" in text] == said
    assert len(said) == ill


def test_a_rising_loss_sends_the_run_back_to_its_last_good_state():
    said, back = losses(Doctor(acts=True), [4.0, 2.7, 4.0, 7.0, 9.0])
    assert back
    assert "back to the last good state" in said[-1]


def test_losses_that_say_nothing_are_left_alone():
    values = [4.0, 2.7, 9.0, 9.0, 9.0, 9.0]
    assert losses(Doctor(), values, progress=0.1) == ([], False)
    assert losses(Doctor(), values, name="generator/total", **{"discriminator/total": 1.0})[0] == []


def test_the_least_loss_survives_a_stop():
    doctor, later = Doctor(), Doctor()
    losses(doctor, [4.0, 2.7])
    later.restore(json.loads(json.dumps(doctor.state())))
    assert losses(later, [9.0, 9.0, 9.0])[0]


def test_the_verdict_on_a_rising_loss_is_a_smaller_step():
    doctor = Doctor()
    losses(doctor, [4.0, 2.7, 9.0, 9.0, 9.0])
    verdict = doctor.verdict()
    assert "the loss was lower before" in str(verdict)
    settings = recipe("codec")
    assert verdict.changes(settings) == (f"--lr {settings.lr / 2:g}",)
