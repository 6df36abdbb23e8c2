"""Threads that wait go to sleep, if that can still be arranged and nobody arranged anything else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sfumato.core import openmp

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.fixture
def bare(monkeypatch):
    """An environment that says nothing of waiting, in a process without torch; what is put there goes away again."""
    monkeypatch.delitem(sys.modules, "torch")
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def waiting():
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def test_waits_are_short_where_nobody_said_anything(bare):
    assert openmp.shorten_waits()
    assert 0 < int(waiting()["GOMP_SPINCOUNT"]) <= 10_000, "300,000 is what libgomp does by itself"
    assert 0 <= int(waiting()["KMP_BLOCKTIME"]) <= 1, "200 is what libomp does by itself"


@pytest.mark.parametrize("name", NAMES)
def test_what_somebody_said_stands(name, bare):
    bare.setenv(name, "7")
    assert not openmp.shorten_waits()
    assert waiting() == {name: "7"}


def test_with_torch_there_it_is_too_late(bare):
    bare.setitem(sys.modules, "torch", sys)
    assert not openmp.shorten_waits()
    assert waiting() == {}


def test_importing_the_package_is_enough_and_it_imports_nothing_heavy():
    program = "import json, os, sys, sfumato; print(json.dumps([os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules]))"
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment).stdout
    assert json.loads(said) == ["1000", False]
