"""Tasks of the tests, in a module that other processes can import."""

import dataclasses
import functools
import hashlib
import os
import signal
import time
from pathlib import Path

from sfumato.batch import units
from sfumato.batch.task import FileTask
from sfumato.core import atomic_io


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hashing(FileTask):
    """Writes the hash of each file. A file that begins with `bad` fails, and one with `kill` ends its process, the first `kills` times."""

    overwrite: bool = False
    kills: int = 0
    seconds: float = 0.0
    notes: str = ""
    """Folder in which a file for each result that was computed and for each kill is left."""

    def open(self):
        return self._convert

    def _convert(self, item, path, settle):
        content = path.read_bytes()
        time.sleep(self.seconds)
        if content.startswith(b"bad"):
            raise ValueError("is bad")
        if content.startswith(b"kill") and len(list(Path(self.notes).glob(f"{path.name}-*"))) < self.kills:
            Path(self.notes, f"{path.name}-{os.getpid()}").touch()
            with atomic_io.whole(item.target) as part:  # in the middle of the result
                part.write_text("half")
                os.kill(os.getpid(), signal.SIGKILL)
        text = hashlib.sha256(content).hexdigest()
        atomic_io.write(item.target, text, check=functools.partial(settle, item.target))
        return text[:8]


class Broken(Hashing):
    """Ends its process before it is ready."""

    def open(self):
        os._exit(3)


def take_units(folder, seconds, pipe):
    """Takes units as fast as it can for so many seconds, and sends how many items each of them had."""
    pipe.send("ready")
    counts, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        if (path := units.claim(folder, "p1")) is not None:
            counts.append(len(units.read(path)))
            path.unlink()
    pipe.send(counts)
