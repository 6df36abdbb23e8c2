"""The training loop: it learns, it repeats itself to the bit, and it keeps what it promises in the run folder."""

import dataclasses
import json
import signal
import threading
import warnings

import pytest
import torch

from sfumato.core.errors import CheckpointError, DataError, SettingError
from sfumato.data import augment
from sfumato.data.dataset import Scenes
from sfumato.store import checkpoint, weights
from sfumato.train.log import Callback
from sfumato.train.loop import fit

KINDS = ("classifier", "vae", "gan", "restorer")


class Listener(Callback):
    """Remembers all that it is told."""

    def __init__(self):
        self.rows, self.notes, self.starts, self.ends = [], [], [], []

    def start(self, settings, model, seen, device, precision):
        self.starts.append((settings, seen))

    def row(self, row, settings):
        self.rows.append(row)

    def note(self, text):
        self.notes.append(text)

    def finish(self, seen, settings, run, *, interrupted):
        self.ends.append((seen, interrupted))


def same_weights(one, other):
    mine, theirs = (weights.model_of(each).network.state_dict() for each in (one, other))
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def lines(run):
    """The figures in the log, without the notes."""
    rows = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [row for row in rows if "note" not in row]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_settings_give_the_same_weights_to_the_bit(kind, tiny, bars):
    one, other = (fit(tiny(kind, augment=augment.Config(flip=0.5, shift=0.1)), data=bars, device="cpu") for _ in range(2))
    assert same_weights(one, other)


@pytest.mark.parametrize("change", [{"seed": 1}, {"lr": 1e-3}, {"augment": augment.Config(flip=0.5)}])
def test_any_other_setting_gives_other_weights(change, tiny, bars):
    assert not same_weights(fit(tiny("classifier"), data=bars, device="cpu"), fit(tiny("classifier", **change), data=bars, device="cpu"))


def test_a_run_folder_changes_nothing(tiny, bars, tmp_path):
    with_folder = fit(tiny("gan"), data=bars, run=tmp_path / "run", device="cpu")
    assert same_weights(with_folder, fit(tiny("gan"), data=bars, device="cpu"))


def test_a_classifier_learns_the_bars(tiny, bars):
    listener = Listener()
    settings = tiny("classifier", images=1600, lr=1e-2)
    settings = dataclasses.replace(settings, model=dataclasses.replace(settings.model, dropout=0.0))
    fit(settings, data=bars, device="cpu", watch=listener)
    assert listener.rows[0]["classify/accuracy"] < 0.7
    assert listener.rows[-1]["classify/accuracy"] > 0.9


def test_a_vae_learns_the_bars(tiny, bars):
    listener = Listener()
    fit(tiny("vae", images=800), data=bars, device="cpu", watch=listener)
    nats = [row["elbo/nats"] for row in listener.rows]
    assert nats[-1] < nats[0] - 20


def test_what_comes_back_is_ready_for_use(tiny, bars):
    model = fit(tiny("gan"), data=bars, device="cpu")
    assert not model.network.training
    assert not any(w.requires_grad for w in model.network.parameters())
    assert model.config.size == (8, 8)
    assert model.config.classes == 3
    assert not model.interrupted
    assert model.card.images_seen == 160
    assert model.card.data.dump() == {
        "name": "bars",
        "images": 64,
        "classes": ["lying", "standing", "none"],
        "terms": "drawn for tests",
        "sha256": bars.fingerprint,
        "split_by": "original",
    }


def test_a_run_folder_holds_all_that_belongs_to_the_run(tiny, bars, tmp_path):
    run = tmp_path / "deep" / "run"
    model = fit(tiny("gan"), data=bars, run=run, device="cpu")
    assert {path.name for path in run.iterdir()} == {"settings.json", "log.jsonl", "tensorboard", "samples", "model.safetensors", "state"}
    assert json.loads((run / "settings.json").read_text())["model"]["size"] == [8, 8]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["000000064.png", "000000128.png", "000000160.png"]
    loaded = checkpoint.load(run / "model.safetensors")
    assert same_weights(loaded, model)
    assert loaded.config == model.config
    assert {"format": checkpoint.FORMAT, **loaded.card.training} == json.loads((run / "settings.json").read_text())


def test_the_log_has_a_line_at_every_multiple_and_one_at_the_end(tiny, bars, tmp_path):
    fit(tiny("classifier", images=144), data=bars, run=tmp_path, device="cpu")
    assert [row["images"] for row in lines(tmp_path)] == [32, 64, 96, 128, 144]
    for row in lines(tmp_path):
        assert {"seconds", "images_per_second", "seconds_left", "classify/total", "classify/accuracy"} <= row.keys()
    assert lines(tmp_path)[-1]["seconds_left"] == 0


def test_a_batch_that_does_not_divide_the_intervals_passes_them_all_the_same(tiny, bars, tmp_path):
    fit(tiny("classifier", batch=10, images=95), data=bars, run=tmp_path, device="cpu")
    assert [row["images"] for row in lines(tmp_path)] == [40, 70, 100]


def test_phases_that_run_rarely_are_averaged_over_the_times_they_ran(tiny, bars):
    listener = Listener()
    settings = tiny("gan", images=32, log_every=32, lr=0.0)
    fit(settings, data=bars, device="cpu", watch=listener)
    each = Listener()
    fit(dataclasses.replace(settings, log_every=8), data=bars, device="cpu", watch=each)
    slopes = [row["penalty/r1"] for row in each.rows if "penalty/r1" in row]
    assert len(each.rows) == 4
    assert len(slopes) == 2
    assert listener.rows[0]["penalty/r1"] == pytest.approx(sum(slopes) / 2, abs=2e-6)


def test_held_out_images_are_measured_at_every_sample(tiny, bars, tmp_path):
    fit(tiny("classifier", validation=0.3), data=bars, run=tmp_path, device="cpu")
    measured = [row["images"] for row in lines(tmp_path) if "validation/accuracy" in row]
    assert measured == [64, 128, 160]


def test_held_out_images_are_never_trained_on(tiny, bars, monkeypatch):
    shown = []
    original = augment.Config.__call__
    monkeypatch.setattr(augment.Config, "__call__", lambda self, images, u: shown.append(images) or original(self, images, u))
    fit(tiny("classifier", validation=0.3, augment=augment.Config(flip=1.0)), data=bars, device="cpu")
    _, held_out = bars.split(0.3, purpose="validation")
    trained = {image.numpy().tobytes() for batch in shown for image in (batch * 255).round().to(torch.uint8)}
    assert trained
    assert not trained & {image.numpy().tobytes() for image in held_out.pixels}


def test_scalars_and_sheets_are_in_tensorboard(tiny, bars, tmp_path):
    fit(tiny("gan"), data=bars, run=tmp_path, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    totals = [(event.step, event.value) for event in events.Scalars("generator/total")]
    assert totals == [(row["images"], pytest.approx(row["generator/total"])) for row in lines(tmp_path)]
    assert [event.step for event in events.Images("samples")] == [64, 128, 160]


def test_a_finished_run_stays_as_it_is(tiny, bars, tmp_path):
    settings = tiny("classifier", validation=0.3)
    first = fit(settings, data=bars, run=tmp_path, device="cpu")
    before = lines(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    listener = Listener()
    again = fit(settings, data=bars, run=tmp_path, device="cpu", watch=listener)
    assert same_weights(first, again)
    assert lines(tmp_path) == before
    assert listener.rows == []
    assert same_weights(checkpoint.load(tmp_path / "model.safetensors"), first), "a missing model file comes back"


def test_whoever_watches_is_told_of_start_rows_and_end(tiny, bars):
    listener = Listener()
    fit(tiny("classifier"), data=bars, device="cpu", watch=listener)
    (settings, seen), *more = listener.starts
    assert settings.model.size == (8, 8)
    assert seen == 0
    assert more == []
    assert [row["images"] for row in listener.rows] == [32, 64, 96, 128, 160]
    assert listener.ends == [(160, False)]


def test_files_that_could_not_be_read_are_named(tiny, bars):
    listener = Listener()
    fit(tiny("classifier", images=8), data=dataclasses.replace(bars, skipped=("a.png: broken",)), device="cpu", watch=listener)
    assert listener.notes == ["skipped a.png: broken"]


def test_data_without_labels_trains_what_needs_none(tiny, bars):
    plain = dataclasses.replace(bars, labels=None, classes=())
    assert fit(tiny("gan", images=16), data=plain, device="cpu").network.classes == 0
    with pytest.raises(SettingError, match="one folder a class"):
        fit(tiny("classifier", images=16), data=plain, device="cpu")


def test_labels_can_be_ignored(tiny, bars):
    settings = tiny("gan", images=16)
    settings = dataclasses.replace(settings, model=dataclasses.replace(settings.model, classes=0))
    assert fit(settings, data=bars, device="cpu").network.classes == 0


def test_batches_by_class_of_data_without_classes_are_as_they_come(tiny, bars):
    nameless = dataclasses.replace(bars, labels=None, classes=())
    usual, ordered = (fit(dataclasses.replace(tiny("gan"), by_class=by), data=nameless, device="cpu") for by in (False, True))
    assert all(torch.equal(a, b) for a, b in zip(usual.network.parameters(), ordered.network.parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"classes": 5}, "bars has 3"), ({"size": (16, 16)}, r"those of bars have 8 x 8"), ({"channels": 3}, "bars has 1")],
)
def test_a_network_for_other_images_is_refused(change, message, tiny, bars):
    settings = tiny("gan")
    with pytest.raises(SettingError, match=message):
        fit(dataclasses.replace(settings, model=dataclasses.replace(settings.model, **change)), data=bars, device="cpu")


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_refused_and_never_replaced_by_others(count, tiny, bars):
    few = dataclasses.replace(bars, pixels=bars.pixels[:count], labels=bars.labels[:count])
    with pytest.raises(DataError, match=f"bars has {count} image"):
        fit(tiny("classifier"), data=few, device="cpu")


def test_a_network_that_cannot_be_built_leaves_no_run_behind(tiny, bars, tmp_path):
    settings = tiny("classifier")
    wrong = dataclasses.replace(settings, model=dataclasses.replace(settings.model, widths=(4,) * 5))
    with pytest.raises(SettingError, match="too many for images of 8 x 8"):
        fit(wrong, data=bars, run=tmp_path / "run", device="cpu")
    fit(settings, data=bars, run=tmp_path / "run", device="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 1e-3}, "lr = 0.003 there, 0.001 in this command"),
        ({"seed": 5, "batch": 16}, "batch = 8 there, 16 in this command"),
        ({"augment": augment.Config(flip=0.5)}, "augment.flip = 0.0 there, 0.5 in this command"),
        ({"budget": "1h"}, "budget = '' there, '1h' in this command"),
    ],
)
def test_a_folder_of_another_recipe_is_refused_by_its_first_difference(change, message, tiny, bars, tmp_path):
    fit(tiny("classifier"), data=bars, run=tmp_path, device="cpu")
    before = (tmp_path / "settings.json").read_bytes()
    with pytest.raises(CheckpointError, match=message):
        fit(tiny("classifier", **change), data=bars, run=tmp_path, device="cpu")
    assert (tmp_path / "settings.json").read_bytes() == before


def test_a_folder_of_another_family_is_refused(tiny, bars, tmp_path):
    fit(tiny("classifier"), data=bars, run=tmp_path, device="cpu")
    with pytest.raises(CheckpointError, match=r"model\.is = 'classifier' there, 'vae' in this command"):
        fit(tiny("vae"), data=bars, run=tmp_path, device="cpu")


def test_a_folder_trained_on_other_images_is_refused(tiny, bars, tmp_path):
    fit(tiny("classifier"), data=bars, run=tmp_path, device="cpu")
    other = dataclasses.replace(bars, pixels=bars.pixels.flip(0))
    with pytest.raises(CheckpointError, match="was trained on other images, or with other labels, than bars now holds"):
        fit(tiny("classifier"), data=other, run=tmp_path, device="cpu")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"is": "augment"}', '{"is": "os/path"}', '{"is": "training"}', '{"is": "training", "x": 1}']
)
def test_a_settings_file_that_cannot_be_read_is_named(text, tiny, bars, tmp_path):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"settings.json cannot be read"):
        fit(tiny("classifier"), data=bars, run=tmp_path, device="cpu")


@pytest.mark.parametrize("ending", ["well", "badly"])
def test_the_callers_signal_handlers_come_back_and_no_thread_stays(ending, tiny, bars, tmp_path):
    mine, threads = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}, set(threading.enumerate())
    settings = tiny("classifier", images=16)

    class Clumsy(Callback):
        def row(self, row, settings):
            raise RuntimeError("the watcher fell asleep")

    if ending == "well":
        fit(settings, data=bars, run=tmp_path, device="cpu")
    else:
        with pytest.raises(RuntimeError, match="asleep"):
            fit(settings, data=bars, run=tmp_path, device="cpu", watch=Clumsy())
    assert {number: signal.getsignal(number) for number in mine} == mine
    assert set(threading.enumerate()) <= threads, "TensorBoard's writer was left open"


def test_a_class_of_which_nothing_is_trained_on_is_named(tiny, bars):
    listener, last = Listener(), len(bars.classes) - 1
    some = dataclasses.replace(bars, pixels=bars.pixels[bars.labels != last], labels=bars.labels[bars.labels != last])
    fit(tiny("classifier", images=8), data=some, device="cpu", watch=listener)
    assert listener.notes == [f"no image of {bars.classes[last]} is trained on: add images of each class"]


def test_a_validation_that_holds_out_nothing_is_told(tiny, bars):
    listener = Listener()
    fit(tiny("classifier", images=8, validation=1e-9), data=bars, device="cpu", watch=listener)
    assert listener.notes == ["validation = 1e-09 holds out none of 64 images: nothing is measured on images that training does not see"]


def test_pictures_of_many_sizes_are_for_networks_that_repair(tiny):
    with pytest.raises(SettingError, match="wants images of one size"):
        fit(tiny("gan"), data=Scenes(name="some", pictures=(torch.zeros(3, 20, 30, dtype=torch.uint8),) * 4), device="cpu")
