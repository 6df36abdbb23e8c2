"""Parts of a training, each alone: no run is trained."""

import dataclasses
import io
import os
import re
import signal

import pytest
import torch
from rich.console import Console
from torch import nn

from sfumato.core.errors import CheckpointError, DataError, DivergenceError, SettingError
from sfumato.models import MODELS
from sfumato.train import recovery as recovery_module
from sfumato.train.class_tables import Transfer, transferred
from sfumato.train.distributed import World
from sfumato.train.doctor import PATIENCE, Doctor
from sfumato.train.held_out import recorded, split_rule
from sfumato.train.log import RunLog
from sfumato.train.optim import PhaseOptimizer
from sfumato.train.progress import ProgressLine
from sfumato.train.recovery import Recovery
from sfumato.train.schedule import Change, Schedule
from sfumato.train.settings import named, resolve, seconds, shareable
from sfumato.train.signals import Interrupts
from sfumato.train.step import Trainee
from sfumato.train.transfer import spent
from sfumato.train.verdict import Verdict

# Signals.


def test_the_handlers_of_signals_are_put_back_and_a_second_signal_interrupts():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with Interrupts() as interrupts:
        assert interrupts.caught == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.caught == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.caught == signal.SIGTERM
    assert {number: signal.getsignal(number) for number in before} == before


# Processes.


def test_each_process_has_its_part_of_the_batch_and_the_first_one_leads():
    world = World()
    assert (world.leads, world.share(12)) == (True, slice(0, 12))
    world.rank, world.size = 2, 3
    assert (world.leads, world.share(12)) == (False, slice(8, 12))
    with pytest.raises(SettingError, match="batch = 10 cannot be shared by 3 processes"):
        world.share(10)


def test_one_process_alone_agrees_with_itself_and_changes_no_tensor():
    tensor = torch.tensor([1.0, 2.0])
    World().average([tensor])
    assert tensor.tolist() == [1, 2]
    assert World().agree(-3.5) == -3.5


# Settings.


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("2 min", 120), ("3m", 180), ("1.5h", 5400), (" 4sec ", 4)])
def test_a_budget_in_words_is_seconds(text, expected):
    assert seconds(text) == expected


def test_of_paths_in_settings_the_last_names_stay_at_any_depth(tiny):
    assert named("/home/me/photos") == "photos"
    assert named(("/a/b", 3, ("c/d",))) == ("b", 3, ("d",))
    settings = tiny("gan", data="/home/me/photos", start="/work/run")
    assert (named(settings).data, named(settings).start) == ("photos", "run")
    assert shareable(settings) == named(settings)
    kept = dataclasses.replace(settings, keep_paths=True)
    assert shareable(kept) is kept
    plain = tiny("gan")
    assert named(plain) is plain


def test_what_a_network_leaves_open_comes_from_the_data(tiny, bars):
    model = resolve(tiny("gan"), bars).model
    assert (model.size, model.channels, model.classes) == ((8, 8), 1, 3)
    without = tiny("gan", model=dataclasses.replace(tiny("gan").model, size=(8, 8), channels=1, classes=0))
    assert resolve(without, bars).model.classes == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"size": (8, 10)}, "model.size is for images of 10 x 8 pixels, but those of bars have 8 x 8"),
        ({"channels": 3}, "model.channels = 3, but bars has 1"),
        ({"classes": 2}, "model.classes = 2, but bars has 3"),
    ],
)
def test_a_network_for_other_images_is_refused(change, sentence, tiny, bars):
    settings = tiny("gan")
    with pytest.raises(SettingError, match=sentence):
        resolve(dataclasses.replace(settings, model=dataclasses.replace(settings.model, **change)), bars)


def test_settings_without_effect_are_refused(tiny, bars):
    frozen = dataclasses.replace(tiny("gan").objective, freeze=1)
    with pytest.raises(SettingError, match=r"objective\.freeze = 1 would keep random weights"):
        resolve(tiny("gan", objective=frozen), bars)
    assert resolve(tiny("gan", objective=frozen, start="somewhere"), bars).start == "somewhere"
    with pytest.raises(SettingError, match=r"validation = 0\.5 has no effect"):
        resolve(tiny("gan", validation=0.5), bars)
    with pytest.raises(SettingError, match="grow = 7 has no effect"):
        resolve(tiny("gan", grow=7), bars)
    with pytest.raises(SettingError, match="patch has no effect"):
        resolve(tiny("gan", patch=8), bars)
    with pytest.raises(SettingError, match="crop = stretch has no effect"):
        resolve(tiny("restorer", crop="stretch"), bars)
    one = dataclasses.replace(bars, pixels=bars.pixels[:1], labels=bars.labels[:1], positions=None)
    with pytest.raises(DataError, match="training needs at least 2"):
        resolve(tiny("gan"), one)


# Which images are held out.


def test_a_new_run_goes_by_the_originals_and_an_old_record_by_what_it_names(tiny, tmp_path):
    assert split_rule(tiny("gan"), None) == "original"
    assert split_rule(tiny("gan"), tmp_path / "no state") == "original"
    assert split_rule(tiny("gan", start="no such model"), None) == "original"
    assert recorded({}) == "resized", "before there were two rules, none was named"
    assert recorded({"split_by": "original"}) == "original"


def test_weights_of_the_same_data_bring_their_rule(tiny, monkeypatch):
    card = {"data": {"name": "mnist"}}
    monkeypatch.setattr("sfumato.train.held_out.checkpoint.read_header", lambda path: {"card": card})
    assert split_rule(tiny("gan", start="digits", data="mnist"), None) == "resized"
    assert split_rule(tiny("gan", start="digits", data="/here/mnist"), None) == "resized"
    assert split_rule(tiny("gan", start="digits", data="cats64"), None) == "original"
    card["data"]["split_by"] = "original"
    assert split_rule(tiny("gan", start="digits", data="mnist"), None) == "original"


# The log and the line of progress.


def test_the_time_of_a_run_goes_on_from_that_before_the_interruption(monkeypatch, tiny):
    now = iter([50.0, *[57.0] * 10])
    monkeypatch.setattr("sfumato.train.log.time.perf_counter", lambda: next(now))
    log = RunLog(None, images_seen=100, elapsed=1000.0)
    assert log.elapsed == 1007
    monkeypatch.setattr("sfumato.train.log.time.perf_counter", lambda: 60.0)
    row = log.row({"loss": 0.123456789}, 130, tiny("gan", images=430))
    assert row["images_per_second"] == 10.0, "thirty images in the last three seconds"
    assert row["seconds_left"] == 30.0
    assert (row["seconds"], row["loss"]) == (1010.0, 0.123457)


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=30)


LONG = "a sentence of 12 words that is longer than any line of this terminal"


def test_a_note_is_one_line_in_one_colour_whatever_the_width(terminal):
    ProgressLine(terminal).note(LONG)
    assert re.sub(r"\x1b\[[0-9;]*m", "", terminal.file.getvalue()) == LONG + "\n"
    assert len(re.findall(r"\x1b\[", terminal.file.getvalue())) == 2, "numbers in it have no colour of their own"


def test_a_verdict_can_be_copied_with_the_command_that_mends_it(terminal, tiny):
    line = ProgressLine(terminal, again=lambda changes: f"sfumato train {' '.join(changes)} --out somewhere/else")
    line.verdict(Verdict({}, ("divergence",)), tiny("gan", lr=0.02))
    text = re.sub(r"\x1b\[[0-9;]*m", "", terminal.file.getvalue())
    assert text.splitlines() == [
        "at the end: the discriminator's logits have run away",
        "to mend it: sfumato train --lr 0.01 --out somewhere/else",
    ]
    assert len(re.findall(r"\x1b\[", terminal.file.getvalue())) == 4


# The doctor.


def test_a_state_of_an_earlier_release_knows_no_variety_yet():
    doctor, other = Doctor(), Doctor()
    state = doctor.state()
    del state["widest"], state["pulses"]
    other.restore(state)
    assert other.state() == doctor.state()


@pytest.mark.parametrize("told_apart", [0.96, 0.98])
@pytest.mark.parametrize("certainty", [0.96, 0.98])
def test_a_discriminator_has_won_if_one_of_two_measures_says_so(told_apart, certainty):
    row, doctor = {"discriminator/told_apart": told_apart, "discriminator/certainty": certainty}, Doctor()
    sentences = [sentence for _ in range(PATIENCE) for sentence in doctor.look(row)]
    assert len(sentences) == (max(told_apart, certainty) > 0.97)


def test_a_collapse_goes_back_after_two_doses_of_no_avail():
    doctor = Doctor(acts=True)
    back = []
    for _ in range(4 * PATIENCE):
        doctor.figures.add({"generator/diversity": torch.tensor(0.1)})
        back.append(doctor.visit({}, World())[1])
        if back[-1]:
            break
    assert back == [False] * (3 * PATIENCE - 1) + [True]
    assert (doctor.pace, doctor.returns) == (0.5, 1)


# The way back.


class Sick(Trainee):
    """A trainee with one weight."""

    def __init__(self, settings):
        self.settings, self.schedule, self.world, self.device = settings, Schedule(settings.images), World(), torch.device("cpu")
        self.weight, self.pace, self.memories, self.error = torch.zeros(1), 1.0, {}, None

    def step(self, images_seen):
        if self.error is not None:
            raise self.error
        self.weight = self.weight + 1
        return {"loss": self.weight[0]}

    def tensors(self):
        return {"weight": self.weight}

    def restore(self, tensors):
        self.weight = tensors["weight"]


@pytest.fixture(params=["act", "watch"])
def recovery(request, tiny):
    return Recovery(Sick(tiny("gan", doctor=request.param)))


def test_a_run_goes_back_to_the_weights_that_were_kept(recovery):
    acts = recovery.doctor.acts
    recovery.step(0)
    recovery.keep(8)
    recovery.step(8)
    recovery.trainee.error = DivergenceError("no longer finite")
    if not acts:
        with pytest.raises(DivergenceError, match="no longer finite"):
            recovery.step(16)
        return
    assert recovery.step(16) == {}
    assert recovery.sent_back
    assert "no longer finite" in recovery.why
    assert recovery.go_back() == 8
    assert not recovery.sent_back
    assert recovery.trainee.weight.item() == 1
    assert recovery.trainee.pace == 0.5


def test_while_a_run_is_ill_nothing_is_kept(recovery):
    recovery.step(0)
    recovery.keep(8)
    recovery.doctor.restore({**recovery.doctor.state(), "said": ["collapse"]})
    recovery.step(8)
    recovery.keep(16)
    if recovery.doctor.acts:
        assert recovery.go_back() == 8
        assert recovery.trainee.weight.item() == 1


def test_the_state_to_go_back_to_is_a_file_of_its_own_if_it_is_another(recovery, tmp_path):
    path, acts = tmp_path / "well.safetensors", recovery.doctor.acts
    recovery.step(0)
    recovery.keep(8)
    assert recovery.save(8, path)["well"] == (8 if acts else 0)
    assert not path.exists(), "it is the state itself"
    recovery.step(8)
    info = {"seen": 16, **recovery.save(16, path)}
    assert path.exists() == acts
    again = Recovery(Sick(recovery.trainee.settings))
    again.load(info, {"weight": torch.full((1,), 2.0)}, path)
    if acts:
        assert again.go_back() == 8
        assert again.trainee.weight.item() == 1
        recovery.step(16)
        recovery.keep(24)
        recovery.save(32, path)
        with pytest.raises(CheckpointError, match="is of 24 images, not of 8"):
            again.load(info, {"weight": torch.zeros(1)}, path)


def test_the_doctor_hears_the_figures_of_generated_images(recovery, monkeypatch):
    monkeypatch.setattr(recovery_module, "health", lambda trainee: {"pulse/grid": torch.tensor(1.5)})
    assert recovery.look()["pulse/grid"].item() == 1.5
    assert recovery.doctor.figures.take(World()) == {"pulse/grid": 1.5}


# Optimisers.


def test_muon_moves_matrices_with_at_least_32_rows_and_columns(tiny):
    shapes = [(32, 32), (31, 64), (64, 31), (32, 8, 2, 2), (32, 7, 2, 2), (32, 32, 3), (40,)]
    tensors = [torch.ones(shape) for shape in shapes]
    weights = [nn.Parameter(t.to(memory_format=torch.channels_last) if t.ndim == 4 else t) for t in tensors]
    mover = PhaseOptimizer("x", weights, tiny("gan", optimiser="muon", weight_decay=0.0))
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    mover.step(0.01)
    moved = [name for name in mover.tensors() if name.startswith("x.muon.")]
    assert len(moved) == 2
    assert all((weight != 1).any() for weight in weights)


# Weights for other classes.


def config(classes):
    return MODELS["dcgan"](size=(8, 8), channels=1, classes=classes, latent_dim=4, width=4, discriminator_width=4)


def states(before, after):
    torch.manual_seed(0)
    source, model = config(before).build(), config(after).build()
    return source.state_dict(), model


def move(before, after, source_classes, target_classes):
    source, model = states(before, after)
    result, transfer = transferred(source, config(before), model, source_classes=source_classes, target_classes=target_classes)
    return source, model.state_dict(), result, transfer


def test_the_same_classes_keep_their_weights_untouched():
    source, _, result, transfer = move(2, 2, ("a", "b"), ("a", "b"))
    assert transfer is None
    assert all(result[name] is value for name, value in source.items())
    assert move(2, 2, (), ("a", "b"))[3] is None, "without names, classes of equal number are the same"


def test_a_row_of_a_table_goes_where_its_class_went_and_new_classes_begin_afresh():
    source, fresh, result, transfer = move(3, 2, ("a", "b", "c"), ("c", "new"))
    assert (transfer.before, transfer.after, transfer.kept) == (3, 2, 1)
    tables = [name for name in source if source[name].shape != fresh[name].shape]
    assert tables
    for name in tables:
        axis = next(i for i, (old, new) in enumerate(zip(source[name].shape, fresh[name].shape, strict=True)) if old != new)
        if source[name].shape[axis] == 3:
            assert torch.equal(result[name].select(axis, 0), source[name].select(axis, 2)), name
            assert torch.equal(result[name].select(axis, 1), fresh[name].select(axis, 1)), name
    assert all(result[name].shape == fresh[name].shape for name in fresh)
    others = [name for name in source if name not in tables]
    assert all(torch.equal(result[name], source[name]) for name in others)


def test_weights_without_classes_serve_a_network_with_classes_and_the_other_way_round():
    for before, after in ((0, 3), (3, 0)):
        source, _, result, transfer = move(before, after, ("a", "b", "c")[:before], ("a", "b", "c")[:after])
        assert (transfer.before, transfer.after, transfer.kept) == (before, after, 0)
        fitting = config(after).build()
        fitting.load_state_dict({**fitting.state_dict(), **{k: v for k, v in result.items() if k in fitting.state_dict()}})
        for name, value in result.items():
            if name in source and value.ndim == 2 and value.shape != source[name].shape and len(value) == len(source[name]):
                common = min(value.shape[1], source[name].shape[1])
                assert (value[:, common:] == 0).all(), f"{name}: the columns of the label begin at zero"
                assert (value[:, :common] != 0).any(), name


def test_what_became_of_the_classes_is_said():
    assert str(Transfer(before=3, after=3, kept=3)) == ""
    assert str(Transfer(before=3, after=4, kept=1)) == "1 of the 4 classes keep their tables; the other 3 begin afresh"
    assert "begin afresh: the data has 4 others" in str(Transfer(before=3, after=4, kept=0))
    assert "left out" in str(Transfer(before=3, after=0, kept=0))
    assert "the weights knew none" in str(Transfer(before=0, after=4, kept=0))
    assert Transfer(before=3, after=4, kept=1).dump() == {"before": 3, "after": 4, "kept": 1}


def test_a_model_has_cost_its_own_training_and_the_one_it_began_with():
    card = {"images_seen": 100, "minutes": 1.5, "started_from": {"images_seen": 40, "minutes": 0.25}}
    assert spent(card) == {"images_seen": 140, "minutes": 1.75}
    assert spent({"images_seen": 7}) == {"images_seen": 7, "minutes": 0}


# One step.


@pytest.fixture
def trainee(tiny, bars):
    return Trainee(resolve(tiny("classifier"), bars), bars, World(), torch.device("cpu"))


def test_a_trainee_comes_back_from_its_tensors_and_goes_on_alike(trainee, tiny, bars):
    first = trainee.step(0)
    assert all(name.split("/")[0] in {phase.name for phase in trainee.phases} for name in first)
    kept = {name: value.clone() for name, value in trainee.tensors().items()}
    trainee.step(8)
    after = trainee.tensors()
    other = Trainee(trainee.settings, bars, World(), torch.device("cpu"), fresh=False)
    other.restore(kept)
    other.step(8)
    assert all(torch.equal(value, after[name]) for name, value in other.tensors().items())
    assert any(not torch.equal(value, kept[name]) for name, value in after.items())


def test_a_trainee_follows_another_plan(trainee):
    trainee.follow(Change(seen=80, images=400, before=160, seconds=1.0, reason="faster"))
    assert trainee.settings.images == trainee.schedule.images == 400


def test_a_step_with_a_loss_that_is_not_finite_moves_nothing(trainee):
    before = {name: value.clone() for name, value in trainee.model.named_parameters()}
    with torch.no_grad():
        next(trainee.model.parameters()).fill_(torch.nan)
    broken = {name: value.clone() for name, value in trainee.model.named_parameters()}
    with pytest.raises(DivergenceError, match="is no longer finite after 24 images"):
        trainee.step(24)
    now = dict(trainee.model.named_parameters())
    assert all(torch.equal(now[name].nan_to_num(7), value.nan_to_num(7)) for name, value in broken.items())
    assert before.keys() == now.keys()
