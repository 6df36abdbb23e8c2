"""The machine: device, threads, precision, allocator. The only place that looks at any of them."""

import contextlib
import ctypes
import functools
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import nn

from sfumato.core.errors import SettingError

Network = TypeVar("Network", bound=nn.Module)

Precision = Literal["auto", "fp32", "bf16"]
MOST_THREADS = 4096
"""More threads than any machine has cores; starting far more of them ends the process."""


def select_device(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` is the first of CUDA, MPS and CPU that is there.

    Raises SettingError if it is not there.
    """
    # CUDA would round the factors of float32 convolutions to 10 bits, and figures would not be those of a CPU. Who wants speed has bf16.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local % torch.cuda.device_count())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        if name == "cuda" and torch.cuda.is_available():
            chosen = torch.device("cuda", local % torch.cuda.device_count())
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise SettingError(f"device = {name!r} is not available here; try cpu, or auto") from error
    return chosen


def channels_last(network: Network, device: torch.device | None = None) -> Network:
    """`network`, on `device` if one is given, with its weights in the memory format in which convolutions are fastest."""
    move: Callable[..., Network] = network.to  # the annotations of `Module.to` do not have a memory format alone
    return move(device=device, memory_format=torch.channels_last)


def select_precision(requested: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """`requested`, with `auto` resolved: bf16 where the hardware multiplies it natively, fp32 elsewhere."""
    if requested != "auto":
        return requested
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if device.type == "cpu" and _cpu_has_bf16() else "fp32"


@contextlib.contextmanager
def autocast(chosen: str, device: torch.device) -> Iterator[None]:
    """Convolutions and matrix products in bf16 inside, if that is what `chosen` says."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=chosen == "bf16"):
        yield


def instructions() -> str:
    """The widest instructions that torch computes with on this processor, as tables of speeds name them: `AVX512 + bf16 + AMX`."""
    extra = {"avx512_bf16": "bf16", "avx512_vnni": "VNNI", "amx_bf16": "AMX"}
    return " + ".join([torch.backends.cpu.get_cpu_capability(), *(name for flag, name in extra.items() if flag in _cpu_flags())])


def fuses() -> bool:
    """Whether a convolution on the processor, in bf16 too, takes a bias and an activation along, in one pass over memory."""
    return bool(_cpu_has_bf16() and torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled)


def available_cores() -> int:
    """Cores this process may use: the affinity mask, cut by the cgroup's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for version in ("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"):
        with contextlib.suppress(OSError, ValueError):
            quota, period = " ".join(Path("/sys/fs/cgroup", name).read_text() for name in version).split()
            if quota not in ("max", "-1"):
                count = min(count, max(1, round(int(quota) / int(period))))
    return count


def physical_memory() -> float:
    """Bytes of memory that this process can have: the machine's, cut by its cgroups' limits; infinity where the system does not tell."""
    memory = math.inf
    with contextlib.suppress(OSError, ValueError, AttributeError):
        memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min([memory, *_memory_limits()])


def _memory_limits() -> Iterator[float]:
    """Bytes that the process's cgroups allow, of version 1 and 2: a limit holds for all groups below, so each up to the root counts."""
    groups = {"memory": "/", "": "/"}  # in a container its own group is often seen as the root
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            groups |= {name: place for name in controllers.split(",") if name in groups}
    for root, place, name in ("", groups[""], "memory.max"), ("memory", groups["memory"], "memory.limit_in_bytes"):
        for group in (Path(place), *Path(place).parents):
            with contextlib.suppress(OSError, ValueError):
                yield float(int((Path("/sys/fs/cgroup", root, group.as_posix().lstrip("/")) / name).read_text()))


def default_memory() -> float:
    """Bytes that a job may use without being asked: a third of the memory there is, at least 2 and at most 8 GB, but never all of it."""
    memory = physical_memory()
    return 2e9 if memory == math.inf else min(8e9, max(2e9, memory / 3), 0.8 * memory)


def default_threads() -> int:
    """Threads to compute with if nobody says how many: OMP_NUM_THREADS, or all cores, shared among the processes of `torchrun`."""
    asked = _number("OMP_NUM_THREADS")
    return asked if 0 < asked <= MOST_THREADS else max(1, available_cores() // max(1, _number("LOCAL_WORLD_SIZE")))


def set_threads(count: int | None = None) -> int:
    """Lets torch compute with `count` threads, or with `default_threads()`, and returns how many that is.

    Raises SettingError for fewer than 0 and for more than MOST_THREADS.
    """
    if count is not None and count < 0:
        raise SettingError(f"threads = {count} is below 0; leave it out to use all cores")
    if count is not None and count > MOST_THREADS:
        raise SettingError(f"threads = {count} is above {MOST_THREADS}; leave it out to use all {available_cores()} cores")
    count = count or default_threads()
    torch.set_num_threads(count)
    return count


def keep_memory() -> bool:
    """Makes glibc keep freed blocks instead of returning them; says whether it did.

    By default every large tensor is mapped afresh and its page faults can cost more than the convolution that fills it.
    This changes the whole process, so the command line calls it (unless SFUMATO_MALLOC=default) and the library never does.
    """
    if not sys.platform.startswith("linux") or os.environ.get("SFUMATO_MALLOC") == "default":
        return False
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        trim_threshold, mmap_threshold = -1, -3
        return bool(mallopt(mmap_threshold, 1 << 30) and mallopt(trim_threshold, (2 << 30) - 1))
    return False


def _number(name: str) -> int:
    """The whole number that an environment variable holds, or the first of several; 0 if it holds none."""
    with contextlib.suppress(ValueError):
        return int(os.environ.get(name, "").split(",")[0])
    return 0


def _cpu_has_bf16() -> bool:
    return bool({"avx512_bf16", "amx_bf16"} & _cpu_flags())


@functools.cache
def _cpu_flags() -> frozenset[str]:
    """The abilities of the processor that Linux lists; none where it does not tell."""
    with contextlib.suppress(OSError):
        return frozenset(
            word for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags") for word in line.split()
        )
    return frozenset()
