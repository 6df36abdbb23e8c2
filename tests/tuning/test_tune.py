"""One small search with real trainings, and the runner of trials."""

import dataclasses

import pytest

pytest.importorskip("optuna", reason="Optuna is not installed")

import sfumato as sf
from sfumato.core.errors import SettingError
from sfumato.tuning.goal import Goal
from sfumato.tuning.trials import Trainer


def small():
    vae = sf.recipe("vae")
    return dataclasses.replace(vae, model=dataclasses.replace(vae.model, width=8, max_width=8), batch=16)


def test_a_trial_is_trained_prolonged_and_measured(tmp_path):
    trainer = Trainer(small(), goal=Goal())
    assert trainer.goal.name == "nats"
    for values, run, seconds in (({}, "run", 1.0), ({}, "run", 2.0), ({"lr": 1.0, "batch": 8}, "other", 1.0)):
        # On a busy machine the time of the second call may be over already; the run then stays, and is measured as it is.
        trainer(values, tmp_path / run, seconds)
        assert (tmp_path / run / "model.safetensors").exists()


def test_an_objective_without_figures_is_refused():
    with pytest.raises(SettingError):
        Trainer(sf.recipe("dcgan"), goal=Goal())
