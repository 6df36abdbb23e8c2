"""The machine, as far as it can be told what to be."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sfumato.core import device as runtime
from sfumato.core.device import (
    autocast,
    available_cores,
    default_memory,
    default_threads,
    fuses,
    instructions,
    keep_memory,
    physical_memory,
    select_device,
    select_precision,
    set_threads,
)
from sfumato.core.errors import SettingError


def test_a_device_that_is_there():
    assert select_device("cpu") == torch.device("cpu")
    assert select_device("auto").type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "xpu", "", "tpu:0"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(SettingError, match=f"device = '{name}' is not available here"):
        select_device(name)


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
def test_a_precision_asked_for_is_used(asked):
    assert select_precision(asked, torch.device("cpu")) == asked


def test_a_precision_left_open_is_settled():
    assert select_precision("auto", torch.device("cpu")) in ("fp32", "bf16")
    assert select_precision("auto", torch.device("mps")) == "fp32"


@pytest.mark.parametrize(("chosen", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_matrix_products_run_in_the_chosen_precision(chosen, dtype):
    with autocast(chosen, torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "rubbish"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n"}, 8),
        ({}, 8),
    ],
)
def test_cores_are_cut_by_the_containers_quota(files, expected, monkeypatch):
    def read(path, **_):
        try:
            return files[path.relative_to("/sys/fs/cgroup").as_posix()]
        except KeyError as error:
            raise FileNotFoundError(path) from error

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(Path, "read_text", read)
    assert available_cores() == expected


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, 32e9),
        ("0::/\n", {"memory.max": "max\n"}, 32e9),
        ("0::/\n", {"memory.max": "4000000000\n"}, 4e9),
        ("0::/user/job\n", {"user/job/memory.max": "max", "user/memory.max": "3000000000"}, 3e9),
        ("0::/user/job\n", {"user/job/memory.max": "2000000000", "user/memory.max": "3000000000"}, 2e9),
        ("4:memory:/job\n0::/\n", {"memory/job/memory.limit_in_bytes": "1500000000", "memory/memory.limit_in_bytes": str(2**63)}, 1.5e9),
        ("4:cpu,memory:/seen/from/outside\n", {"memory/memory.limit_in_bytes": "5000000000"}, 5e9),
        ("rubbish\n", {"memory.max": "rubbish"}, 32e9),
        ("0::/\n", {"memory.max": "64000000000"}, 32e9),
    ],
)
def test_memory_is_cut_by_the_limits_of_all_cgroups_above(groups, files, expected, monkeypatch):
    there = {"/proc/self/cgroup": groups} | {f"/sys/fs/cgroup/{name}": content for name, content in files.items()}

    def read(path, **_):
        try:
            return there[path.as_posix()]
        except KeyError as error:
            raise FileNotFoundError(path) from error

    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 32_000_000}.__getitem__, raising=False)
    monkeypatch.setattr(Path, "read_text", read)
    assert physical_memory() == expected


@pytest.mark.parametrize(("memory", "expected"), [(math.inf, 2e9), (64e9, 8e9), (9e9, 3e9), (4e9, 2e9), (2e9, 1.6e9)])
def test_what_a_job_may_use_is_never_all_that_there_is(memory, expected, monkeypatch):
    monkeypatch.setattr(runtime, "physical_memory", lambda: memory)
    assert default_memory() == expected


@pytest.mark.parametrize(
    ("asked", "processes", "expected"),
    [
        (None, None, 8),
        ("3", None, 3),
        ("12", None, 12),
        (" 2,4", None, 2),
        ("3", "2", 3),
        (None, "2", 4),
        (None, "16", 1),
        *((asked, None, 8) for asked in ("", "0", "-1", "all", "1.5", "9" * 12, "9" * 5000)),
        *((None, processes, 8) for processes in ("", "0", "-2", "many")),
    ],
)
def test_threads_that_nobody_asked_for_are_those_of_the_environment_or_all_cores(asked, processes, expected, monkeypatch):
    monkeypatch.setattr(runtime, "available_cores", lambda: 8)
    for name, value in (("OMP_NUM_THREADS", asked), ("LOCAL_WORLD_SIZE", processes)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert default_threads() == expected


def test_threads_are_set_and_told(monkeypatch):
    before = torch.get_num_threads()
    try:
        assert set_threads(2) == torch.get_num_threads() == 2
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        assert set_threads() == set_threads(0) == torch.get_num_threads() == 3
        assert set_threads(2) == torch.get_num_threads() == 2, "who asks for a number gets it"
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is tuned on Linux")
def test_the_allocator_can_be_tuned():
    code = "from sfumato.core.device import keep_memory; print(keep_memory())"  # in a process of its own: there is no way back
    environment = {name: value for name, value in os.environ.items() if name != "SFUMATO_MALLOC"}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.strip() == "True"


def test_float32_is_float32_on_every_device():
    torch.backends.cudnn.allow_tf32 = True
    select_device("cpu")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_the_allocator_can_be_left_alone(monkeypatch):
    monkeypatch.setenv("SFUMATO_MALLOC", "default")
    assert not keep_memory()


def test_fewer_threads_than_none_are_refused():
    with pytest.raises(SettingError, match="threads = -1 is below 0"):
        set_threads(-1)


def test_more_threads_than_any_machine_has_are_refused():
    before = torch.get_num_threads()
    with pytest.raises(SettingError, match="threads = 1000000 is above 4096"):
        set_threads(1_000_000)
    assert torch.get_num_threads() == before


def test_speeds_are_told_beside_the_instructions_of_the_processor(monkeypatch):
    monkeypatch.setattr(runtime, "_cpu_flags", lambda: frozenset({"avx512_bf16", "amx_bf16"}))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert instructions() == "AVX512 + bf16 + AMX"
    monkeypatch.setattr(runtime, "_cpu_flags", frozenset)
    assert instructions() == "AVX512"
    assert not fuses()
