"""Several processes of this machine that share the units of a run, and a parent that hears from all of them.

    parent ─ units in a folder ─> [process: task.work(), then claim ─ work ─ finish, until no unit is free] x jobs
           <─ a pipe from each ─ entries, in the order in which they are done

When a process ends before its work, its unit becomes free again as units of one picture each, and another process starts. A picture whose
process has ended `_DEATHS` times fails. When the parent ends, its pipes break, and every process ends at once.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

from sfumato.batch import units
from sfumato.batch.items import Item
from sfumato.batch.manifest import Entry, Manifest, Status
from sfumato.batch.task import OnEntry, Task, Work
from sfumato.core.errors import ProcessError, SfumatoError

_DEATHS = 4
"""So many processes may end during the work on one picture before it fails."""
_STARTS = 3
"""So many processes in a row may end by an error before they have loaded the network."""
_KILLED_STARTS = 20
"""So many, if a signal has ended the last of them."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

OnItem = Callable[[Item, Entry], None]


@dataclass
class _Process:
    """One process, seen from the parent."""

    name: str
    handle: BaseProcess
    pipe: Connection
    unit: Path | None = None
    left: list[Item] = field(default_factory=list)
    """Items of the unit that have no entry yet."""
    ready: bool = False


class Pool:
    """The processes of one run."""

    def __init__(self, task: Task, folder: Path, contents: Mapping[str, Sequence[Item]], manifest: Manifest, on_item: OnItem) -> None:
        """`contents` has the items of each unit by the name of its file without the ending."""
        self._task, self._folder, self._manifest, self._on_item = task, folder, manifest, on_item
        self._contents = dict(contents)
        self._processes: list[_Process] = []
        self._deaths: dict[str, int] = {}
        self._numbers, self._failed_starts = 0, 0

    def run(self, jobs: int) -> None:
        """Works until every unit of the folder is done.

        Raises the error of a process that ends the run, such as StorageError, and ProcessError if processes end before they begin.
        """
        try:
            with _one_thread():
                for _ in range(jobs):
                    self._start()
            while self._processes:
                for ready in wait([each.pipe for each in self._processes]):
                    process = next(each for each in self._processes if each.pipe is ready)
                    self._hear(process)
        finally:
            self._stop()

    def _start(self) -> None:
        self._numbers += 1
        name = f"p{self._numbers}"
        ours, theirs = cast(tuple[Connection, Connection], multiprocessing.Pipe())
        context = multiprocessing.get_context("spawn")
        folder = self._manifest.folder
        handle = context.Process(target=_main, args=(self._task, self._folder, folder, name, theirs), name=name, daemon=True)
        handle.start()
        theirs.close()
        self._processes.append(_Process(name, handle, ours))

    def _hear(self, process: _Process) -> None:
        """Takes the next message of a process, or sees that it has ended."""
        try:
            kind, value = process.pipe.recv()
        except (EOFError, OSError):
            self._ended(process)
            return
        if kind == "ready":
            process.ready, self._failed_starts = True, 0
        elif kind == "unit":
            process.unit, process.left = self._folder / value, list(self._contents[Path(value).stem])
        elif kind == "entry":
            self._on_item(process.left.pop(0), value)
        elif kind == "done":
            units.settle(self._folder / value, self._manifest)
            process.unit = None
        elif kind == "error":
            raise value

    def _ended(self, process: _Process) -> None:
        """Removes a process that has ended; frees its unit and starts another if there is work left."""
        self._processes.remove(process)
        process.pipe.close()
        process.handle.join()
        if not process.ready:
            self._check_start(process.handle.exitcode or 0)
        # The process may have renamed its unit without a word about it.
        for path in [path for path in self._folder.iterdir() if path.suffix == f".{process.name}"]:
            self._split(path, process)
        if process.unit is not None and (done := process.unit.with_suffix(units.DONE)).exists():
            units.settle(done, self._manifest)
        if any(self._folder.glob(f"*{units.TODO}")):
            with _one_thread():
                self._start()

    def _check_start(self, code: int) -> None:
        """Raises ProcessError if too many processes in a row have ended before they were ready, the last with this exit code."""
        self._failed_starts += 1
        if self._failed_starts >= (_STARTS if code >= 0 else _KILLED_STARTS):
            raise ProcessError(
                f"{self._failed_starts} processes in a row have ended before they could begin ({_reason(code)}); see their messages, or "
                'work in one process. A program of your own needs `if __name__ == "__main__":` around the call'
            )

    def _split(self, path: Path, process: _Process) -> None:
        """Makes a unit of each picture that was left of the unit at `path`, or an entry if its processes have ended too often."""
        left = process.left if process.unit is not None and process.unit.stem == path.stem else self._contents[path.stem]
        units.settle(path, self._manifest)
        for number, item in enumerate(left):
            deaths = self._deaths[str(item.target)] = self._deaths.get(str(item.target), 0) + 1
            if deaths < _DEATHS:
                name = f"{path.stem}-{number}"
                self._contents[name] = [item]
                units.write(path.with_name(f"{name}{units.TODO}"), [item], self._manifest)
                continue
            words = f"{item.source}: the process that worked on it has ended {deaths} times ({_reason(process.handle.exitcode)})"
            entry = Entry(source=item.source, out=str(item.target), status=Status.FAILED, message=words)
            self._manifest.add(entry, Path(item.source), item.target, {})
            self._on_item(item, entry)

    def _stop(self) -> None:
        """Ends the processes that are left."""
        for process in self._processes:
            process.pipe.close()
            process.handle.terminate()
        for process in self._processes:
            process.handle.join()


def _reason(code: int | None) -> str:
    """Why a process has ended, in words."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return f"{name}, perhaps for want of memory" if name == "SIGKILL" else name
    return f"exit code {code}"


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Processes that start inside have one thread for each numerical library."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _main(task: Task, folder: Path, out: Path, name: str, pipe: Connection) -> None:
    """The work of one process: units, one after another, until none is free."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    try:
        work = opened(task)
        pipe.send(("ready", None))
        while (path := units.claim(folder, name)) is not None:
            pipe.send(("unit", path.name))
            work_on(path, task, work, out, lambda entry: pipe.send(("entry", entry)))
            pipe.send(("done", units.finish(path).name))
    except SfumatoError as error:
        pipe.send(("error", error))


def _end_with_parent(pipe: Connection) -> None:
    """Waits for the parent's end, and ends this process."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os._exit(1)


def opened(task: Task) -> Work:
    """The function of the task that works on items, in this process, which gets one thread."""
    if "torch" in sys.modules:  # else the environment has said it
        import torch

        torch.set_num_threads(1)
    return task.work()


def work_on(path: Path, task: Task, work: Work, out: Path, on_entry: OnEntry) -> None:
    """Works on the unit at `path`, whose file is the manifest of the work."""
    work(units.read(path), Manifest(path, task.request, folder=out), on_entry)
