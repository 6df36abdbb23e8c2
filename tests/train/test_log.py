"""Figures and their file."""

import json

import pytest
import torch

from sfumato.core.errors import StorageError
from sfumato.train.distributed import World
from sfumato.train.doctor import PATIENCE, SYMPTOMS, Doctor
from sfumato.train.events import Events
from sfumato.train.figures import Figures
from sfumato.train.log import RunLog


def test_a_figure_is_averaged_over_the_times_it_came():
    figures = Figures()
    figures.add({"often": torch.tensor(1.0), "rare": torch.tensor(5.0)})
    figures.add({"often": torch.tensor(2.0)})
    assert figures
    assert figures.take(World()) == {"often": 1.5, "rare": 5.0}
    assert not figures
    assert figures.take(World()) == {}


def test_lines_past_the_state_are_cut_off_and_broken_ones_with_them(tmp_path):
    rows = [{"images": 10}, {"images": 20, "note": "a warning"}, {"images": 30}, {"seconds": 1}, [], 7]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"images": 15, "gene')
    with RunLog(tmp_path, images_seen=20, elapsed=0.0):
        pass
    assert (tmp_path / "log.jsonl").read_text() == '{"images": 10}\n{"images": 20, "note": "a warning"}\n'


def test_a_row_has_the_clock_and_is_rounded(tmp_path, tiny):
    with RunLog(tmp_path, images_seen=100, elapsed=50.0) as log:
        row = log.row({"loss": 0.123456789}, 140, tiny("gan"))
    assert json.loads((tmp_path / "log.jsonl").read_text()) == row
    assert row["images"] == 140
    assert row["loss"] == 0.123457
    assert row["seconds"] >= 50
    assert row["images_per_second"] > 0
    assert row["seconds_left"] >= 0


def test_without_a_folder_nothing_is_written(tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with RunLog(None, images_seen=0, elapsed=0.0) as log:
        log.row({"loss": 1.0}, 10, tiny("gan"))
        log.note("a warning", 10)
        log.picture(torch.zeros(4, 1, 8, 8), 10)
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_is_not_hidden_by_one_at_the_end(tmp_path, monkeypatch):
    close = Events.close

    def full(self):
        close(self)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Events, "close", full)
    with pytest.raises(KeyError), RunLog(tmp_path, images_seen=0, elapsed=0.0):
        raise KeyError("the first")
    with pytest.raises(StorageError, match="tensorboard"), RunLog(tmp_path / "two", images_seen=0, elapsed=0.0):
        pass


@pytest.mark.parametrize("count", [1, 32, 64, 128])
def test_a_sheet_is_kept_under_its_number_of_images(count, tmp_path):
    with RunLog(tmp_path, images_seen=0, elapsed=0.0) as log:
        log.picture(torch.zeros(count, 3, 8, 8), 5000)
        log.picture(None, 6000)
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["000005000.png"]


ILL = {
    "collapse": {"generator/diversity": 0.1},
    "copies": {"pulse/copies": 0.7},
    "alike": {"pulse/diversity_within": 0.2, "pulse/diversity": 0.9},
    "grid": {"pulse/grid": 5.0},
    "blinded": {"discriminator/probability": 0.7, "discriminator/certainty": 0.4},
    "decline": {"pulse/decline": 4.0},
    "overpowered": {"discriminator/told_apart": 0.99},
    "divergence": {"discriminator/real_logit": -2000.0},
    "smothered": {"penalty/share": 0.95},
    "rise": {"loss/rise": 5.0, "loss/now": 9.0, "loss/least": 2.7},
    "posterior": {"elbo/kl": 0.01},
}
WELL = {
    "pulse/narrowed": 1.0,
    "pulse/diversity": 0.8,
    "pulse/diversity_within": 0.75,
    "pulse/grid": 1.1,
    "images": 1,
    "generator/diversity": 0.8,
    "discriminator/told_apart": 0.8,
    "discriminator/certainty": 0.6,
    "discriminator/real_logit": 2.0,
    "penalty/share": 0.3,
    "elbo/kl": 9.0,
}


def test_every_symptom_has_an_example():
    assert ILL.keys() == SYMPTOMS.keys()


@pytest.mark.parametrize("symptom", ILL)
def test_a_symptom_is_named_once_after_it_has_lasted_and_again_if_it_comes_back(symptom):
    doctor, ill = Doctor(), {**WELL, **ILL[symptom]}
    assert [doctor.look(ill) for _ in range(PATIENCE - 1)] == [[]] * (PATIENCE - 1)
    (said,) = doctor.look(ill)
    assert said == SYMPTOMS[symptom].format_map(ill)
    assert "{" not in said
    assert doctor.look(ill) == [], "once is enough"
    assert doctor.look(WELL) == []
    assert [doctor.look(ill) for _ in range(PATIENCE)] == [*[[]] * (PATIENCE - 1), [said]]


def test_a_single_bad_line_is_no_symptom():
    doctor = Doctor()
    assert all(doctor.look(row) == [] for row in [WELL, {**WELL, **ILL["collapse"]}] * 5)


@pytest.mark.parametrize("row", [WELL, {"images": 1.0}, {"classify/accuracy": 0.1}])
def test_a_healthy_run_and_one_of_another_kind_get_no_warning(row):
    doctor = Doctor()
    assert [doctor.look(row) for _ in range(5)] == [[]] * 5
