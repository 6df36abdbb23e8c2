"""Tables of figures and bars of progress, as a terminal of 80 columns shows them."""

import dataclasses
import io
import sys

import pytest
from rich.console import Console

from sfumato.cli.tables import show
from sfumato.cli.verbs import progress
from sfumato.core.progress import counted
from sfumato.metrics.base import Measurement, Protocol
from sfumato.train.loop import fit
from sfumato.train.progress import ProgressLine

FIRST = Protocol(reference="set5 03f9", generated=5, settings="shrunk 2 times", interval="95 %, bootstrap", notes="the protocol itself")


def figure(name, **changes):
    protocol = dataclasses.replace(FIRST, **changes)
    return Measurement(name=name, value=37.336, interval=(35.1656, 39.8053), unit="dB", higher_is_better=True, protocol=protocol)


def shown(*report):
    console = Console(file=io.StringIO(), width=80)
    show(console, report, title="upscale-x2")
    return console.file.getvalue()


def test_names_are_whole_and_each_protocol_is_said_once():
    out = shown(
        figure("psnr"),
        figure("psnr_without_border", notes="border included"),
        figure("psnr_of_many", generated=100),
        figure("psnr_before", settings=""),
        figure("psnr_again"),
    )
    assert all(name in out for name in ("psnr_without_border", "psnr_of_many", "35.17 to 39.81"))
    said = " ".join(out.split("┘")[1].split())
    whole = "against set5 03f9, generated 5, shrunk 2 times, in float32, interval: 95 %, bootstrap (the protocol itself)"
    bare = "against set5 03f9, generated 5, in float32, interval: 95 %, bootstrap (the protocol itself)"
    assert said == (f"[1] {whole} [2] as [1] (border included) [3] as [1], but generated 100 (the protocol itself) [4] {bare}"), (
        "of the fourth, whose settings are empty, it would be wrong to say as [1]"
    )
    rows = [line for line in out.splitlines() if line.startswith("│")]
    assert [row.split("[")[1][0] for row in rows] == ["1", "2", "3", "4", "1"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_sees_a_bar_and_a_file_nothing(terminal, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(sys.modules["sfumato.cli.verbs"], "console", Console(file=written, force_terminal=terminal, width=80))
    with progress():
        steps = counted("abcd", "repairing")
        assert [next(steps) for _ in range(3)] == ["a", "b", "c"], "two are done"
    assert ("repairing" in written.getvalue()) is terminal
    assert ("50%" in written.getvalue()) is terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_a_run_is_seen_to_move_before_the_first_row_of_its_log(terminal, tiny, bars):
    written = io.StringIO()
    line = ProgressLine(Console(file=written, force_terminal=terminal, width=100))
    line.step = lambda seen, settings, step=line.step: (step(seen, settings), line._bar.refresh())[0]
    fit(tiny("classifier", images=80, log_every=80), data=bars, device="cpu", watch=line)
    line.close()
    assert ("24 images" in written.getvalue()) is terminal
    assert "80 images" in written.getvalue()
    assert "accuracy" in written.getvalue().split("80 images")[-1], "the row stays, with its figures"


def test_a_figure_that_is_no_number_is_a_dash(tiny):
    written = io.StringIO()
    line = ProgressLine(Console(file=written, width=100))
    clock = {"images": 8.0, "images_per_second": 4.0, "seconds_left": 2.0}
    line.row({**clock, "generator/diversity": float("inf"), "classify/accuracy": float("nan")}, tiny("gan"))
    assert written.getvalue().split("left")[1].split() == ["accuracy", "-", "diversity", "-"]
