"""Jobs of the pages: each is done by a worker process, with progress, and is cancelled by ending that process.

    submit ─> Job (waiting ─ running ─ done, failed, cancelled) <─ lines of the worker

A worker goes on to the next job, so that torch is loaded once. There are few workers, and jobs wait for one in their order.
"""

import collections
import contextlib
import enum
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.core.errors import SettingError
from sfumato.core.json_value import Json, JsonObject


class State(enum.StrEnum):
    """How far a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED})


@dataclass(eq=False)
class Job:
    """One job of a visitor."""

    task: str
    arguments: JsonObject
    folder: Path
    """Folder of its files; removed if the job does not end well."""
    visitor: str
    session: str
    """The page of the browser that asked, so that closing it cancels the job."""
    place: str
    """The part of that page, such as `restore`, whose button cancels the job."""
    state: State = State.WAITING
    share: float = 0.0
    seconds_left: float | None = None
    text: str = ""
    preview: str = ""
    """Path of a picture of the work so far."""
    remarks: list[str] = field(default_factory=list)
    result: JsonObject = field(default_factory=dict)
    error: str = ""
    began: float = 0.0
    key: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED

    def take(self, message: JsonObject) -> None:
        """Takes a message of the worker; after the end it says nothing more."""
        if self.ended:
            return
        moment = message.get("moment")
        if isinstance(moment, list):
            share, left, text = moment
            self.share = float(share) if isinstance(share, int | float) else 0.0
            self.seconds_left = float(left) if isinstance(left, int | float) else None
            self.text = str(text)
        elif "preview" in message:
            self.preview = str(message["preview"])
        elif "remark" in message:
            self.remarks.append(str(message["remark"]))
        elif isinstance(result := message.get("result"), dict):
            self.result, self.share, self.state = result, 1.0, State.DONE
        elif "error" in message:
            self.error, self.state = str(message["error"]), State.FAILED


class Worker:
    """One worker process, seen from the server."""

    def __init__(self, command: Sequence[str]) -> None:
        # A group of its own: Ctrl-C in the terminal reaches the server alone, which ends its workers itself.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True
        )

    def lines(self, job: Job) -> None:
        """Gives the job to the process, and takes its messages until the last one."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(json.dumps({"task": job.task, "arguments": job.arguments, "folder": str(job.folder)}) + "\n")
            self.process.stdin.flush()
            while not job.ended and (line := self.process.stdout.readline()):
                message: Json = json.loads(line)
                if isinstance(message, dict):
                    job.take(message)
        except (OSError, ValueError):
            pass  # the process has ended; the state of the job says whether it was done
        if not job.ended:
            code = self.process.wait()
            job.error = f"the process of the job ended with code {code}, perhaps for lack of memory; use a smaller picture"
            job.state = State.FAILED

    @property
    def alive(self) -> bool:
        """Whether it can take another job."""
        return self.process.poll() is None

    def end(self) -> None:
        """Ends the process at once."""
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError, ValueError):
                if pipe:
                    pipe.close()


class Workshop:
    """All jobs of a studio and the workers that do them."""

    def __init__(self, *, workers: int = 1, threads: int | None = None, waiting: int = 4, command: Sequence[str] = ()) -> None:
        """`waiting` is the most jobs that one visitor may have."""
        module = [sys.executable, "-m", "sfumato.web.worker", *([str(threads)] if threads else [])]
        self._command, self._most, self._waiting = list(command) or module, workers, waiting
        self._queue: collections.deque[Job] = collections.deque()
        self._running: dict[Job, Worker] = {}
        self._idle: list[Worker] = []
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def warm(self) -> None:
        """Starts a worker ahead of the first job."""
        with self._changed:
            if not self._closed and not self._idle and not self._running:
                self._idle.append(Worker(self._command))

    def submit(self, job: Job) -> Job:
        """Queues a job. Raises SettingError if the visitor has too many already."""
        with self._changed:
            if sum(each.visitor == job.visitor for each in [*self._queue, *self._running]) >= self._waiting:
                raise SettingError(f"{self._waiting} jobs of yours are under way; wait for one, or cancel it")
            self._queue.append(job)
            self._changed.notify()
        return job

    def ahead(self, job: Job) -> int:
        """Number of jobs that come before a waiting one."""
        with self._changed:
            return self._queue.index(job) + len(self._running) if job in self._queue else 0

    def cancel(self, job: Job) -> None:
        """Ends a job; one that has ended stays as it is. Its files are removed."""
        with self._changed:
            if job.ended:
                return
            job.state = State.CANCELLED
            if job in self._queue:
                self._queue.remove(job)
            worker = self._running.get(job)
        if worker is not None:
            worker.end()
        shutil.rmtree(job.folder, ignore_errors=True)

    def cancel_session(self, session: str, place: str = "") -> None:
        """Ends the jobs of one page of a browser, or of one `place` on it."""
        with self._changed:
            jobs = [each for each in [*self._queue, *self._running] if each.session == session and place in ("", each.place)]
        for job in jobs:
            self.cancel(job)

    def close(self) -> None:
        """Ends all jobs and all workers."""
        with self._changed:
            self._closed = True
            jobs, idle = [*self._queue, *self._running], self._idle
            self._changed.notify_all()
        for job in jobs:
            self.cancel(job)
        for worker in idle:
            worker.end()

    @property
    def processes(self) -> list[int]:
        """Process numbers of the workers."""
        with self._changed:
            return [worker.process.pid for worker in [*self._idle, *self._running.values()]]

    def _work(self) -> None:
        """Does one job after another, in a thread."""
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                job, worker = self._queue.popleft(), self._free_worker()
                self._running[job] = worker
                job.state, job.began = State.RUNNING, time.monotonic()
            worker.lines(job)
            if job.state is not State.DONE:
                shutil.rmtree(job.folder, ignore_errors=True)
            with self._changed:
                del self._running[job]
                if worker.alive and job.state is not State.CANCELLED and not self._closed:
                    self._idle.append(worker)
                    continue
            worker.end()
            self.warm()

    def _free_worker(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
        return Worker(self._command)
