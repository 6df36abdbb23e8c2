"""Several processes as one (launched by `torchrun`): each takes its share of every batch, gradients are averaged by hand.

Averaging after the backward pass, instead of wrapping the network, leaves gradient penalties and lazy phases exactly as they
are in one process.
"""

import gc
import itertools
import os
from collections.abc import Iterable

import torch
from torch import distributed, nn

from sfumato.core.errors import ProcessError, SettingError, SfumatoError

_openings = itertools.count()
_CONNECTION = ("peer", "connection", "broken pipe", "timed out", "timeout", "socket", "rendezvous", "remote process")
"""Words of which one is in every message of a backend that has lost another process; its errors have no class of their own."""


class World:
    """The processes of this run, while it is open; in an ordinary run, one."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.size, self.rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        self.joined = self.size > 1
        self._ours = self.joined and not distributed.is_initialized()

    def __enter__(self) -> "World":
        """Joins the other processes. Raises SettingError without torchrun's variables, ProcessError if the others do not come."""
        if self._ours:
            if "MASTER_ADDR" not in os.environ or "MASTER_PORT" not in os.environ:
                raise SettingError(f"WORLD_SIZE = {self.size}, but no MASTER_ADDR and MASTER_PORT: start several processes with torchrun")
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
            try:
                # Each group has a name of its own: the store still holds the addresses of the one before.
                store, rank, size = next(distributed.rendezvous("env://"))  # pyright: ignore[reportPrivateImportUsage]
                board = distributed.PrefixStore(f"run {next(_openings)}", store)  # pyright: ignore[reportPrivateImportUsage]
                backend = "nccl" if self.device.type == "cuda" else "gloo"
                distributed.init_process_group(backend, store=board, rank=rank, world_size=size)
            except RuntimeError as error:
                self._explain(error)
                raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Ends the group. Without an error all processes leave together; after one no process is waited for, so that the others fail too.

        Raises ProcessError in the place of the backend's error if another process has ended.
        """
        if not self._ours:
            return
        try:
            if error is None:
                gc.collect()
                distributed.barrier()
        except RuntimeError as lost:
            error = lost
            raise
        finally:
            distributed.destroy_process_group()
            self._explain(error)

    def _explain(self, error: BaseException | None) -> None:
        """Raises ProcessError if `error` is an error of the backend because another process has ended."""
        message = " ".join(str(error).split())
        if isinstance(error, RuntimeError) and not isinstance(error, SfumatoError) and any(word in message.lower() for word in _CONNECTION):
            raise ProcessError(
                f"process {self.rank} of {self.size}: another process of this run has ended or cannot be reached "
                f"({_reason(message)}). Read the output of that process; the same command goes on from the last saved state"
            ) from error

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and the messages."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """The part of a batch that falls to this process. Raises SettingError if it does not divide."""
        if batch % self.size:
            raise SettingError(f"batch = {batch} cannot be shared by {self.size} processes; make it a multiple of {self.size}")
        each = batch // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def average(self, tensors: list[torch.Tensor]) -> None:
        """Replaces each tensor by its mean over the processes."""
        if not self.joined or not tensors:
            return
        flat = torch.cat([t.reshape(-1).float() for t in tensors])
        distributed.all_reduce(flat)
        flat /= self.size
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.reshape(tensor.shape))

    def average_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Gradients as if one process had seen the whole batch."""
        self.average([w.grad for w in weights if w.grad is not None])

    def agree(self, number: float) -> float:
        """The largest `number` that any process has."""
        if not self.joined:
            return number
        value = torch.tensor([number], dtype=torch.float32 if self.device.type == "mps" else torch.float64, device=self.device)
        distributed.all_reduce(value, op=distributed.ReduceOp.MAX)
        return value.item()

    def wait(self) -> None:
        """Waits until every process has come to this call."""
        if self.joined:
            distributed.barrier()


def _reason(output: str) -> str:
    """The first sentence of a backend's message, without the place in the backend's source."""
    return output.partition("] ")[2].partition(". ")[0][:120] if output.startswith("[") else output.partition(". ")[0][:120]
