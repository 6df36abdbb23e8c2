"""What surrounds a run: signals, processes, its log, and its line in a terminal."""

import io
import os
import re
import signal

import pytest
import torch
from rich.console import Console

from sfumato.core.errors import SettingError
from sfumato.train.distributed import World
from sfumato.train.log import RunLog
from sfumato.train.progress import ProgressLine
from sfumato.train.signals import Interrupts
from sfumato.train.verdict import Verdict


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
        "this may help: sfumato train --lr 0.01 --out somewhere/else",
    ]
    assert len(re.findall(r"\x1b\[", terminal.file.getvalue())) == 4
