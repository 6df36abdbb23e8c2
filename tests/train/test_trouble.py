"""What goes wrong in training is said in one line, and never costs what is on the disk."""

import contextlib
import dataclasses
import os
import resource
import signal
import subprocess

import pytest
import torch
from safetensors.torch import save_file

from sfumato.core.errors import CheckpointError, DivergenceError, SettingError, StorageError
from sfumato.data.dataset import Dataset
from sfumato.degradations import downsample, noise
from sfumato.objectives import adversarial, cross_entropy, restoration
from sfumato.store import checkpoint, weights
from sfumato.train.distributed import World
from sfumato.train.log import Callback
from sfumato.train.loop import fit
from sfumato.train.settings import resolve
from sfumato.train.step import Trainee

pytestmark = pytest.mark.usefixtures("unchecked")


def same_weights(one, other):
    mine, theirs = (weights.model_of(each).network.state_dict() for each in (one, other))
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def files(run):
    """What a model or a state that must not be lost consists of."""
    return {path: path.read_bytes() for path in run.rglob("*.safetensors")}


@pytest.fixture
def poison(monkeypatch):
    """Spoils the classifier's loss from its n-th call on: `poison(5, torch.log)` takes the log of minus it."""

    @contextlib.contextmanager
    def spoil(after, how):
        calls, healthy = [], torch.nn.functional.cross_entropy

        def sick(*args, **kwargs):
            calls.append(1)
            value = healthy(*args, **kwargs)
            return how(value) if len(calls) > after else value

        with monkeypatch.context() as patch:
            patch.setattr(cross_entropy.F, "cross_entropy", sick)
            yield

    return spoil


@pytest.mark.parametrize(
    ("how", "term"),
    [
        (lambda loss: loss * float("nan"), "total = nan"),
        (lambda loss: loss / 0, "total = inf"),
        (lambda loss: (-loss).log(), "total = nan"),
        (lambda loss: loss + (loss * 0).sqrt(), "the gradient of stages.0.weight"),
    ],
)
def test_divergence_names_the_phase_and_the_term_and_leaves_the_last_state(how, term, poison, tiny, bars, tmp_path):
    settings, run = tiny("classifier"), tmp_path / "run"
    with poison(11, how), pytest.raises(DivergenceError) as told:
        fit(settings, data=bars, run=run, device="cpu")
    message = str(told.value)
    assert "phase 'classify' is no longer finite after 88 images" in message
    assert term in message
    assert "lr (now 0.003)" in message
    assert "\n" not in message
    assert checkpoint.load(run / "model.safetensors").card.images_seen == 48
    healed = fit(settings, data=bars, run=run, device="cpu")
    assert same_weights(healed, fit(settings, data=bars, device="cpu")), "once healthy, it goes on to the very same weights"


@pytest.mark.parametrize(
    ("elsewhere", "why"), [(False, "(the norm of the gradients is too large for float32)"), (True, "(in another process)")]
)
def test_divergence_without_a_bad_value_names_what_is_true(elsewhere, why, poison, tiny, bars, monkeypatch):
    """Finite gradients whose squares are not, and gradients that are not finite in another process only."""
    trainee = Trainee(resolve(tiny("classifier"), bars), bars, World(), torch.device("cpu"))
    if elsewhere:
        monkeypatch.setattr(trainee.world, "agree", lambda number: 1.0)
    with poison(0, lambda loss: loss * (1 if elsewhere else 1e30)), pytest.raises(DivergenceError) as told:
        trainee.step(0)
    assert why in str(told.value)


def test_divergence_of_one_side_of_a_gan_is_told_from_the_others(tiny, bars, monkeypatch):
    monkeypatch.setattr(adversarial, "discriminator_loss", lambda kind, real, fake: real.sum() * float("inf"))
    with pytest.raises(DivergenceError, match="phase 'discriminator'"):
        fit(tiny("gan"), data=bars, device="cpu")


def test_weights_are_not_moved_by_a_step_that_diverges(poison, tiny, bars):
    trainee = Trainee(resolve(tiny("classifier"), bars), bars, World(), torch.device("cpu"))
    trainee.step(0)
    before = {name: w.clone() for name, w in trainee.model.named_parameters()}
    with poison(0, lambda loss: loss * float("nan")), pytest.raises(DivergenceError):
        trainee.step(8)
    assert all(torch.equal(before[name], w) for name, w in trainee.model.named_parameters())


def test_a_figure_that_is_no_number_does_not_spoil_the_log(tiny, bars, tmp_path, monkeypatch):
    spread = adversarial._spread
    monkeypatch.setattr(adversarial, "_spread", lambda images: spread(images) * float("nan"))
    fit(tiny("gan", images=32), data=bars, run=tmp_path, device="cpu")
    assert '"generator/diversity": null' in (tmp_path / "log.jsonl").read_text()


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def beheaded(path):
    path.write_bytes(path.read_bytes()[:5])


def emptied(path):
    path.write_bytes(b"")


def garbled(path):
    path.write_bytes(bytes(torch.randint(0, 256, (4096,), generator=torch.Generator().manual_seed(0)).tolist()))


def pickled(path):
    torch.save({"weights": torch.zeros(3)}, path)


def foreign(path):
    save_file({"weights": torch.zeros(3)}, path)


def longer(path):
    path.write_bytes(path.read_bytes() + b"\0")


DAMAGE = [truncated, beheaded, emptied, garbled, pickled, foreign, longer]


@pytest.fixture(scope="module")
def finished(tiny, bars, tmp_path_factory):
    run = tmp_path_factory.mktemp("finished")
    fit(tiny("classifier"), data=bars, run=run, device="cpu")
    return run


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, to be spoilt."""
    for path in finished.rglob("*.*"):
        if path.is_file():
            (tmp_path / path.relative_to(finished)).parent.mkdir(exist_ok=True)
            (tmp_path / path.relative_to(finished)).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda d: d.__name__)
def test_a_damaged_state_is_named_and_nothing_is_trained_over_it(damage, run, tiny, bars):
    state = run / "state" / "state.safetensors"
    damage(state)
    before = files(run)
    with pytest.raises(CheckpointError) as told:
        fit(tiny("classifier"), data=bars, run=run, device="cpu")
    assert str(state) in str(told.value)
    assert "\n" not in str(told.value)
    assert files(run) == before


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda d: d.__name__)
def test_a_damaged_model_is_named(damage, run):
    damage(run / "model.safetensors")
    with pytest.raises(CheckpointError) as told:
        checkpoint.load(run / "model.safetensors")
    assert str(run / "model.safetensors") in str(told.value)
    assert "\n" not in str(told.value)


def test_a_model_in_the_place_of_a_state_is_no_state(run, tiny, bars):
    state = run / "state" / "state.safetensors"
    state.write_bytes((run / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="is not the state of this run"):
        fit(tiny("classifier"), data=bars, run=run, device="cpu")


def test_a_state_that_lacks_weights_is_no_state(run, tiny, bars):
    state = run / "state" / "state.safetensors"
    tensors, info = checkpoint.read_tensors(state)
    tensors.pop("model.hidden.3.bias")
    checkpoint.write_tensors(state, tensors, info)
    with pytest.raises(CheckpointError, match=r"is not the state of this run .*hidden.3.bias"):
        fit(tiny("classifier"), data=bars, run=run, device="cpu")


@contextlib.contextmanager
def small_files(limit):
    """No file may grow beyond `limit` bytes, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Stop(Callback):
    """Interrupts the run at the first line of its log."""

    def row(self, row, settings):
        if row["images"] == settings.log_every:
            signal.raise_signal(signal.SIGINT)


def test_a_state_that_does_not_fit_leaves_the_old_one(tiny, bars, tmp_path):
    settings, run = tiny("classifier"), tmp_path / "run"
    fit(settings, data=bars, run=run, device="cpu", watch=Stop())
    before = files(run)
    with small_files(len(before[run / "state" / "state.safetensors"]) - 100), pytest.raises(StorageError) as told:
        fit(settings, data=bars, run=run, device="cpu")
    assert f"{run / 'state' / 'state.safetensors'}: cannot be written" in str(told.value)
    assert "\n" not in str(told.value)
    assert files(run) == before
    assert list(tmp_path.rglob("*.sfumato-part")) == []
    assert same_weights(fit(settings, data=bars, run=run, device="cpu"), fit(settings, data=bars, device="cpu"))


class Ballast(Callback):
    """Fills the disk under `folder` at the first line of the log past 60 images."""

    def __init__(self, folder):
        self.path = folder / "ballast"

    def row(self, row, settings):
        if row["images"] > 60 and not self.path.exists():
            with contextlib.suppress(OSError), self.path.open("wb") as file:
                while True:
                    file.write(bytes(512))
                    file.flush()


@pytest.fixture
def little_disk(tmp_path):
    """A disk of half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    mounted = os.name == "posix" and subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not mounted:
        pytest.skip("may not mount a small disk here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_named_and_room_is_all_it_needs(tiny, bars, little_disk):
    settings, run, ballast = tiny("classifier"), little_disk / "run", Ballast(little_disk)
    with pytest.raises(StorageError, match="free some space and run the same command again"):
        fit(settings, data=bars, run=run, device="cpu", watch=ballast)
    assert checkpoint.load(run / "model.safetensors").card.images_seen == 48, "what was there is whole"
    assert list(run.rglob("*.sfumato-part")) == []
    ballast.path.unlink()
    assert same_weights(fit(settings, data=bars, run=run, device="cpu"), fit(settings, data=bars, device="cpu"))


def test_a_place_that_cannot_be_a_folder_is_named_before_training(tiny, bars, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"file/run: cannot be written"):
        fit(tiny("classifier", images=10**9), data=bars, run=tmp_path / "file" / "run", device="cpu")


def test_what_has_no_effect_on_a_network_that_repairs_nothing_is_refused(tiny, bars):
    for change in ({"patch": 8}, {"degrade": noise.Config()}):
        with pytest.raises(SettingError, match=f"{next(iter(change))} has no effect with the objective cross_entropy"):
            fit(tiny("classifier", **change), data=bars, device="cpu")


def test_squares_that_do_not_fit_are_refused_before_training(tiny, bars):
    with pytest.raises(SettingError, match="patch = 12 is more than the shortest side in bars, 8 pixels"):
        fit(tiny("restorer", patch=12), data=bars, device="cpu")
    with pytest.raises(SettingError, match=r"images of 7 x 7 pixels.* the network wants sides that are multiples of 2"):
        fit(tiny("restorer", patch=7), data=bars, device="cpu")
    with pytest.raises(SettingError, match=r"degrade gives images of 4 x 4 for 8 x 8 pixels.* the network enlarges by 1"):
        fit(tiny("restorer", degrade=downsample.Config()), data=bars, device="cpu")
    with pytest.raises(SettingError, match="must be of type Degradation"):
        fit(tiny("restorer", degrade=restoration.Config()), data=bars, device="cpu")


def test_sides_are_told_as_width_times_height(tiny):
    low = Dataset(name="low", pixels=torch.zeros(4, 1, 8, 16, dtype=torch.uint8), labels=None, classes=(), terms="drawn for tests")
    settings = tiny("gan")
    sized = dataclasses.replace(settings, model=dataclasses.replace(settings.model, size=(16, 8)))
    with pytest.raises(SettingError, match=r"images of 8 x 16 pixels, but those of low have 16 x 8"):
        fit(sized, data=low, device="cpu")
    odd = dataclasses.replace(low, pixels=torch.zeros(4, 1, 7, 9, dtype=torch.uint8))
    with pytest.raises(SettingError, match=r"images of 9 x 7 pixels cannot be used"):
        fit(tiny("restorer"), data=odd, device="cpu")
