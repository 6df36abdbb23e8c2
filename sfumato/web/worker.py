"""The process that does the work of the pages: reads a job as a line of JSON, reports progress and the result as lines of JSON.

    {"task": "restore", "arguments": {...}, "folder": "..."}  ─>  {"moment": [share, text]} ... {"result": {...}} or {"error": "..."}

It ends when its input ends, so that it never outlives the server.
"""

import contextlib
import io
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from sfumato.core.errors import SfumatoError
from sfumato.core.json_value import Json, JsonObject
from sfumato.core.paths import without_places
from sfumato.core.progress import Moment, heard
from sfumato.web.tasks.values import on_preview

_EVERY = 0.1
"""Least seconds between two reports of progress."""


class Reporter:
    """Writes the lines of one job."""

    def __init__(self, output: io.TextIOBase) -> None:
        self._output, self._last = output, 0.0

    def send(self, message: JsonObject) -> None:
        """Writes one line. The process ends if nobody reads any more, as when the server has ended."""
        try:
            self._output.write(json.dumps(message) + "\n")
            self._output.flush()
        except BrokenPipeError:
            os._exit(0)

    def moment(self, moment: Moment) -> None:
        """Reports progress, unless it was reported a moment ago."""
        now = time.monotonic()
        if now - self._last >= _EVERY or moment.share >= 1:
            self._last = now
            self.send({"moment": [moment.share, moment.seconds_left, moment.text]})

    def preview(self, path: str) -> None:
        """Reports a picture of the work so far."""
        self.send({"preview": path})

    def remark(self, text: str) -> None:
        """Reports a sentence for a person."""
        self.send({"remark": text})


def done(job: JsonObject, reporter: Reporter, find: Callable[[str], Callable[[JsonObject, Path], JsonObject]]) -> JsonObject:
    """Does one job and returns its last message: the result, or an error in one line."""
    try:
        task = find(str(job["task"]))
        arguments = job["arguments"]
        assert isinstance(arguments, dict)
        on_preview.set(reporter.preview)
        with heard(reporter.moment, remark=reporter.remark):
            return {"result": task(arguments, Path(str(job["folder"])))}
    except SfumatoError as error:
        return {"error": without_places(" ".join(str(error).split()))}
    except MemoryError:
        return {"error": "not enough memory; use a smaller picture, or fewer at once"}
    except Exception as error:  # a fault of ours must end the job and not the worker
        if any(words in str(error) for words in ("allocate memory", "out of memory")):
            return {"error": "not enough memory; use a smaller picture, or fewer at once"}
        traceback.print_exc()
        return {"error": f"internal error: {type(error).__name__}: {' '.join(str(error).split())[:300]}", "internal": True}


def main(threads: str = "") -> None:
    """Works until the input ends."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not come between the messages
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        """Passes the lines of the input on; at its end the whole process ends, whatever it does."""
        with contextlib.suppress(OSError, ValueError):
            for line in sys.stdin:
                jobs.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    import warnings

    from sfumato.core.device import keep_memory, set_threads
    from sfumato.web.tasks import task

    keep_memory()
    set_threads(int(threads) if threads else None)
    reporter = Reporter(output)
    reporter.send({"ready": os.getpid()})
    while True:
        job: Json = json.loads(jobs.get())
        assert isinstance(job, dict)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reporter.send(done(job, reporter, task))


if __name__ == "__main__":
    main(*sys.argv[1:])
