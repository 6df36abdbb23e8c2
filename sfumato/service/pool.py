"""The processes that compute, seen from the server, and the queue in front of them.

    admitted (429 beyond the bound) ─ body ─ run: wait for a free process (503) ─ message ─ its answer (504 if it takes too long)

A process that takes too long is killed, and one that ends by itself, for want of memory for example, refuses its one request with 503;
both are started anew in the background.
"""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sfumato.core.errors import SettingError
from sfumato.core.json_value import Json, JsonObject
from sfumato.service import frames
from sfumato.service.answers import Answer, RefusalError
from sfumato.service.metrics import Metrics
from sfumato.service.settings import ServiceSettings

Result = TypeVar("Result")
COMMAND = (sys.executable, "-P", "-m", "sfumato.service.worker")
"""Starts a process that computes."""
_LONGEST_PAUSE = 30.0
"""Seconds between two starts of a process that does not begin to work."""
_STOP_SECONDS = 5.0
"""Seconds that a process has to end by itself."""


@dataclass
class _Worker:
    """One process."""

    process: Process
    verbs: tuple[str, ...] = ()
    running: bool = False
    """Whether it computes a request."""

    async def ask(self, header: Mapping[str, Json], body: bytes) -> tuple[JsonObject, bytes]:
        """The answer to a message. Raises EOFError or OSError if the process ends."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(frames.packed(header, body))
        await self.process.stdin.drain()
        return await frames.receive(self.process.stdout)


class Pool:
    """The processes of one service."""

    def __init__(self, settings: ServiceSettings, setup: Mapping[str, Json], metrics: Metrics, command: Sequence[str] = COMMAND) -> None:
        """`setup` is the first message to each process, and `command` starts one."""
        self.settings = settings
        self._setup, self._metrics, self._command = dict(setup), metrics, tuple(command)
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._workers: list[_Worker] = []
        self._tasks = set[asyncio.Task[object]]()
        self._admitted = 0
        self.verbs: tuple[str, ...] = ()
        """The verbs that the processes offer; empty before the start."""

    async def start(self) -> None:
        """Starts all processes, and returns when each has loaded its models. Raises SettingError, in the words of one that cannot."""
        try:
            for worker in await asyncio.gather(*(self._started() for _ in range(self.settings.jobs))):
                self._add(worker)
        except BaseException:
            await self.stop()
            raise

    @property
    def ready(self) -> bool:
        """Whether there is a process that works or waits for work."""
        return bool(self._workers)

    @property
    def processes(self) -> list[int]:
        """The ids of the processes."""
        return [worker.process.pid for worker in self._workers]

    @property
    def gauges(self) -> dict[str, float]:
        """Present values for the metrics."""
        running = sum(worker.running for worker in self._workers)
        return {
            "sfumato_processes": len(self._workers),
            "sfumato_running_requests": running,
            "sfumato_waiting_requests": max(0, self._admitted - running),
            "sfumato_places": self.settings.jobs + self.settings.queue,
        }

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Inside, the request has one of the places. Raises RefusalError 429 if none is free."""
        if self._admitted >= self.settings.jobs + self.settings.queue:
            raise RefusalError(429, "all places are taken; try again later", {"Retry-After": "1"})
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def run(self, header: Mapping[str, Json], body: bytes) -> Answer:
        """The answer of a process to a request. Cancelled, a request that waits is dropped, and one that is computed is completed.

        Raises RefusalError: 503 if no process is free in time or the process ends, 504 if the computation takes too long.
        """
        try:
            async with asyncio.timeout(self.settings.timeout):
                worker = await self._idle.get()
        except TimeoutError as error:
            reason = f"no process was free within {self.settings.timeout:g} seconds; try again later"
            raise RefusalError(503, reason, {"Retry-After": "5"}) from error
        return await asyncio.shield(self._spawn(self._computed(worker, header, body)))

    async def stop(self) -> None:
        """Ends all processes; those that still compute are killed, for nobody waits for their answers."""
        for task in self._tasks:
            task.cancel()
        for worker in self._workers:
            await _ended(worker.process, at_once=worker.running)
        self._workers.clear()

    async def _computed(self, worker: _Worker, header: Mapping[str, Json], body: bytes) -> Answer:
        worker.running = True
        try:
            async with asyncio.timeout(self.settings.timeout):
                answer, content = await worker.ask(header, body)
        except TimeoutError as error:
            self._replace(worker, "timeout")
            raise RefusalError(504, f"the computation took more than {self.settings.timeout:g} seconds and was ended") from error
        except (EOFError, OSError) as error:
            self._replace(worker, "ended")
            raise RefusalError(503, "the process that computed this has ended, perhaps for want of memory") from error
        worker.running = False
        self._idle.put_nowait(worker)
        return _answer(answer, content)

    def _replace(self, worker: _Worker, reason: str) -> None:
        """Kills a process and starts another one in the background."""
        self._workers.remove(worker)
        with contextlib.suppress(ProcessLookupError):
            worker.process.kill()
        self._metrics.restart(reason)
        self._spawn(self._restarted(worker.process))

    async def _restarted(self, former: Process) -> None:
        """Waits for the end of a process, and starts another one until one begins to work."""
        await former.wait()
        pause = 1.0
        while True:
            try:
                self._add(await self._started())
                return
            except SettingError:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _started(self) -> _Worker:
        """A new process that has loaded its models. Raises SettingError, in its words, if it cannot."""
        paths = os.pathsep.join(each or os.getcwd() for each in sys.path)
        # A session of its own: an interruption from the terminal reaches the server alone, which lets the processes finish.
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, start_new_session=True, env={**os.environ, "PYTHONPATH": paths}
        )
        worker = _Worker(process)
        try:
            ready, _ = await worker.ask(self._setup, b"")
        except (EOFError, OSError) as error:
            await _ended(process)
            raise SettingError(f"a process of the service ended before it began to work (code {process.returncode})") from error
        except BaseException:
            await _ended(process)
            raise
        if (problem := ready.get("error")) is not None:
            await _ended(process)
            raise SettingError(str(problem))
        verbs = ready.get("verbs")
        worker.verbs = tuple(map(str, verbs)) if isinstance(verbs, list) else ()
        return worker

    def _add(self, worker: _Worker) -> None:
        self._workers.append(worker)
        self.verbs = worker.verbs
        self._idle.put_nowait(worker)

    def _spawn(self, work: Coroutine[object, object, Result]) -> "asyncio.Task[Result]":
        """Runs `work` in the background, where nobody's departure ends it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _ended(process: Process, *, at_once: bool = False) -> None:
    """Closes the pipe of a process, which ends it, and kills it if it does not end in a few seconds, or `at_once`."""
    if process.stdin is not None:
        process.stdin.close()
    if at_once:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _answer(header: JsonObject, body: bytes) -> Answer:
    """The answer in a message of a process. Raises RefusalError for a refusal."""
    status, reason = header.get("status", 500), header.get("error")
    assert isinstance(status, int)
    if reason is not None:
        raise RefusalError(status, str(reason))
    headers = header.get("headers", {})
    assert isinstance(headers, dict)
    return Answer(status=status, kind=str(header["kind"]), body=body, headers={name: str(value) for name, value in headers.items()})
