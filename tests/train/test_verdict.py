"""The last word on a run, and the command that would mend it."""

import dataclasses
from pathlib import Path

import pytest

from sfumato.cli import defaults
from sfumato.recipes import recipe
from sfumato.train.doctor import SYMPTOMS
from sfumato.train.settings import class_run, often
from sfumato.train.verdict import FAULTS, Verdict


def test_every_symptom_of_the_doctor_has_words():
    assert FAULTS.keys() == SYMPTOMS.keys() | {"unlike"}


def test_a_verdict_is_one_sentence_with_its_figures():
    figures = {"pulse/diversity": 0.904, "pulse/diversity_within": 0.181, "pulse/grid": 5.0}
    assert str(Verdict(figures, ("alike", "grid"))) == (
        "at the end: images 0.90 times as various as real ones, 0.18 within classes; the images of a class are nearly alike; "
        "a grid of 2 or 4 pixels lies over the images"
    )
    assert str(Verdict({"pulse/diversity": 0.9, "pulse/grid": 1.0}, ())) == (
        "at the end: images 0.90 times as various as real ones; no grid; the run looks fine"
    )


def dcgan(**changes):
    settings = recipe("dcgan")
    model = {name: changes.pop(name) for name in ("upsample", "downsample", "minibatch_deviation") if name in changes}
    return dataclasses.replace(settings, model=dataclasses.replace(settings.model, **model), **changes)


@pytest.mark.parametrize(
    ("fault", "settings", "changes"),
    [
        ("alike", dcgan(by_class=False), ("--by-class",)),
        ("copies", dcgan(by_class=False), ("--by-class",)),
        ("alike", dcgan(), ("--objective.classify 0.03",)),
        ("grid", dcgan(upsample="transposed"), ("--model.upsample nearest",)),
        ("grid", dcgan(downsample="strided"), ("--model.downsample mean",)),
        ("grid", dcgan(images=500), ("--images 2000",)),
        ("unlike", dcgan(budget="30s"), ("--budget 2min",)),
        ("grid", recipe("stylegan"), ("--model.filtered",)),
        ("copies", dcgan(minibatch_deviation=False), ("--model.minibatch-deviation",)),
        ("collapse", dcgan(), ("--objective.r1 1", "--objective.r2 1")),
        ("smothered", dcgan(), ("--objective.r1 0.0625", "--objective.r2 0.0625")),
        ("divergence", dcgan(lr=1e-3), ("--lr 0.0005",)),
    ],
)
def test_each_fault_has_the_flags_that_mend_it(fault, settings, changes):
    assert Verdict({}, (fault,)).changes(settings) == changes


@pytest.mark.parametrize(
    ("arguments", "changes", "command"),
    [
        (["--data", "x", "--out", "o", "--budget=1h"], ["--lr 1"], "sfumato train dcgan --data x --budget=1h --lr 1 --out r-2"),
        (["--lr", "3", "--data", "a b"], ["--lr 1"], "sfumato train dcgan --data 'a b' --lr 1 --out r-2"),
        (["--model.no-minibatch-deviation"], ["--model.minibatch-deviation"], "sfumato train dcgan --model.minibatch-deviation --out r-2"),
    ],
)
def test_the_command_that_mends_it_is_the_one_given_with_the_flags_changed(arguments, changes, command):
    assert defaults.again("dcgan", arguments, changes, Path("r")) == command


def test_short_runs_are_looked_at_as_often_as_long_ones():
    settings = dcgan(images=20_000, batch=32)
    assert often(50_000, settings) == 1_000
    assert often(500, settings) == 500
    assert often(50_000, dataclasses.replace(settings, images=100)) == 320, "no more than once in ten steps"


def test_neighbours_are_of_one_class_where_a_discriminator_compares_them():
    labelled = dcgan()
    labelled = dataclasses.replace(labelled, model=dataclasses.replace(labelled.model, classes=3))
    assert class_run(labelled) == 4
    assert class_run(dataclasses.replace(labelled, by_class=False)) == 1
    assert class_run(dataclasses.replace(labelled, model=dataclasses.replace(labelled.model, classes=0))) == 1
    assert class_run(dataclasses.replace(labelled, model=dataclasses.replace(labelled.model, minibatch_deviation=False))) == 1
    assert class_run(recipe("classifier")) == 1
