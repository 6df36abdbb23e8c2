"""Measurements: one line, a way to disk and back, and no comparison of unlike things."""

import dataclasses
import json
import math

import pytest
import torch
from torch import nn

from sfumato.core.errors import DataError, SettingError
from sfumato.metrics.base import Measurement, Protocol, device_of, exact, measuring

PROTOCOL = Protocol(
    features="tiny",
    weights="0123456789abcdef",
    dimension=64,
    resize="none",
    reference="glyphs ab12",
    real=1000,
    generated=500,
    settings="k = 3",
    seed=7,
    interval="95 %, jackknife",
)


def measured(value=10.0, interval=(9.0, 11.0), *, name="frechet", higher_is_better=False, **changes):
    protocol = dataclasses.replace(PROTOCOL, **changes)
    return Measurement(name=name, value=value, interval=interval, higher_is_better=higher_is_better, protocol=protocol)


def test_it_reads_as_one_line_with_everything_that_matters():
    assert str(measured()) == (
        "frechet 10 [9, 11] (lower is better; features tiny (01234567, 64-d), resize none, against glyphs ab12, real 1000, generated 500, "
        "k = 3, seed 7, in float32, interval: 95 %, jackknife)"
    )


def test_what_is_not_known_is_not_said():
    bare = Measurement(name="psnr", value=31.25, interval=None, unit="dB", higher_is_better=True, protocol=Protocol(generated=24))
    assert str(bare) == "psnr 31.25 dB (higher is better; generated 24, in float32)"


def test_a_protocol_beside_another_says_what_is_different():
    assert PROTOCOL.beside(PROTOCOL) == ""
    assert dataclasses.replace(PROTOCOL, settings="k = 5", real=900).beside(PROTOCOL) == "real 900, k = 5"
    assert dataclasses.replace(PROTOCOL, interval="").beside(PROTOCOL) == "", "where there is none, a dash says so"
    assert dataclasses.replace(PROTOCOL, settings="").beside(PROTOCOL) is None, "silence would be read as the same settings"


@pytest.mark.parametrize("interval", [None, (9.0, 11.0)])
def test_it_survives_a_json_file(interval):
    first = measured(interval=interval)
    assert Measurement.from_dict(json.loads(json.dumps(first.as_dict()))) == first


@pytest.mark.parametrize("stored", [{}, {"name": "frechet"}, {**measured().as_dict(), "colour": 1}])
def test_what_is_not_a_stored_measurement_is_refused(stored):
    with pytest.raises(SettingError, match="not a stored measurement"):
        Measurement.from_dict(stored)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("features", "other"),
        ("weights", "f" * 16),
        ("dimension", 65),
        ("resize", "bicubic"),
        ("reference", "faces"),
        ("real", 999),
        ("generated", 499),
        ("settings", "k = 5"),
        ("dtype", "bfloat16"),
    ],
)
def test_unlike_protocols_are_not_compared_and_the_difference_is_named(field, value):
    first, second = measured(), measured(**{field: value})
    assert not first.comparable(second)
    with pytest.raises(SettingError, match=f"{field}: .* / {value}"):
        first.difference(second)


def test_every_field_of_the_protocol_is_compared_or_free_on_purpose():
    free = {f.name for f in dataclasses.fields(Protocol) if not f.metadata.get("compared", True)}
    assert free == {"seed", "interval", "notes"}


def test_another_seed_interval_or_note_can_be_compared():
    first, second = measured(12.5), measured(10.0, seed=8, notes="again", interval=(1.0, 2.0))
    assert first.comparable(second)
    assert first.difference(second) == 2.5


def test_another_quantity_is_not_compared():
    with pytest.raises(SettingError, match="name: frechet / kid"):
        measured().difference(measured(name="kid"))


def test_better_looks_at_the_direction_and_waits_until_the_intervals_part():
    low, high = measured(5.0, (4.0, 6.0)), measured(10.0, (9.0, 11.0))
    assert low.better(high) is True
    assert high.better(low) is False
    assert measured(5.0, (4.0, 9.5)).better(high) is None
    assert measured(5.0, None).better(high) is None
    assert measured(10.0, (9.0, 11.0), higher_is_better=True).better(measured(5.0, (4.0, 6.0), higher_is_better=True)) is True


def test_exact_refuses_nan_and_too_few():
    vectors = torch.ones(3, 2)
    assert exact(vectors).dtype == torch.float64
    vectors[1, 0] = math.nan
    with pytest.raises(DataError, match="1 of 3 feature vectors"):
        exact(vectors)
    with pytest.raises(DataError, match="1 feature vectors are too few"):
        exact(vectors[:1])


def test_measuring_puts_every_mode_back():
    network = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    seen = []

    def fail():
        seen.extend([network[0].training, torch.is_grad_enabled()])
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), measuring(network):
        fail()
    assert seen == [False, False]
    assert [m.training for m in network.modules()] == [True, True, False]
    assert torch.is_grad_enabled()


def test_device_of_a_network_without_weights_is_that_of_the_images():
    assert device_of(nn.Identity(), torch.device("meta")).type == "meta"
    assert device_of(nn.Linear(1, 1), torch.device("meta")).type == "cpu"
