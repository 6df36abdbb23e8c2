"""Events for TensorBoard, in a file whose name does not say on which machine they were written."""

import importlib
import itertools
import time
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor


class Events:
    """A new file of events in a folder, which is created if needed; `tensorboard --logdir` finds it from any folder above.

    With `purge`, TensorBoard drops the events of earlier files of the folder from that step on.
    """

    def __init__(self, folder: Path, *, purge: int | None = None) -> None:
        # Slow to import, and only runs with a folder need it.
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils.tensorboard import summary

        protocol = importlib.import_module("tensorboard.compat.proto.event_pb2")  # its classes are made when it is imported
        self._event, self._summary = protocol.Event, summary
        folder.mkdir(parents=True, exist_ok=True)
        began = f"events.out.tfevents.{int(time.time()):010d}.sfumato"
        self.path = next(path for i in itertools.count() if not (path := folder / f"{began}.{i}").exists())
        self._records = RecordWriter(self.path.open("xb"))
        self._add(file_version="brain.Event:2")
        if purge is not None:
            self._add(step=purge, file_version="brain.Event:2")
            self._add(step=purge, session_log=protocol.SessionLog(status=protocol.SessionLog.START))

    def scalar(self, name: str, value: float, step: int) -> None:
        """Adds a point to the curve `name`."""
        self._add(step=step, summary=self._summary.scalar(name, value))

    def image(self, name: str, pixels: UInt8[Tensor, "h w c"], step: int) -> None:
        """Adds a picture under `name`."""
        self._add(step=step, summary=self._summary.image(name, pixels.numpy(), dataformats="HWC"))

    def flush(self) -> None:
        """Writes all events so far to the file."""
        self._records.flush()

    def close(self) -> None:
        """Closes the file."""
        self._records.close()

    def _add(self, **content: object) -> None:
        self._records.write(self._event(wall_time=time.time(), **content).SerializeToString())
