"""Storages and the tensors cut out of them: everything is checked when it is read, bytes are fetched when a tensor is asked for."""

from dataclasses import dataclass, replace
from math import prod
from typing import TypeGuard

import torch

from sfumato.store.pickles.machine import Known
from sfumato.store.pickles.source import OBJECT, Source, Span
from sfumato.store.pickles.values import named

_DTYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
STORAGES: Known = {f"torch.{name}Storage": dtype for name, dtype in _DTYPES.items()}
"""All that a stream of one storage may name."""


@dataclass
class Storage:
    """Numbers in a row; `span` is None until the place of their bytes is known."""

    dtype: torch.dtype
    count: int
    span: Span | None = None

    def load(self, source: Source) -> torch.Tensor:
        """The numbers; asked again, the same memory, but for booleans."""
        if self.span is None:
            raise source.damaged("a storage without bytes")
        flat = source.load(self.span)
        if self.dtype == torch.bool:
            source.spend(self.span.length)
            return flat != 0
        return flat.view(self.dtype)


@dataclass(frozen=True, slots=True)
class Strided:
    """A tensor that lies in a storage, not yet loaded."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def load(self, source: Source) -> torch.Tensor:
        """The tensor, with the strides that it was saved with; tensors of one storage share its memory."""
        source.spend(8 * OBJECT)
        source.name(prod(self.size) * self.storage.dtype.itemsize)
        return torch.as_strided(self.storage.load(source), self.size, self.stride, self.offset)


def record(source: Source, entry: object) -> tuple[str, Storage]:
    """Key and storage of a torch file's persistent id. Raises CheckpointError if it claims more bytes than the file has."""
    if not isinstance(entry, tuple) or len(entry) not in (5, 6) or entry[0] != "storage" or entry[5:] not in ((), (None,)):
        raise source.refuse("its persistent id names no storage")
    _, dtype, key, _, count = entry[:5]
    if not isinstance(dtype, torch.dtype) or not isinstance(key, str) or type(count) is not int or count < 0:
        raise source.refuse("its persistent id names no storage")
    if count * dtype.itemsize > source.size:
        raise source.refuse(f"a storage claims {count * dtype.itemsize} bytes, and the whole file has {source.size}")
    return key, Storage(dtype, count)


def _tensor(source: Source, args: tuple[object, ...]) -> Strided:
    if len(args) not in (4, 6, 7) or not isinstance(args[0], Storage):
        raise source.refuse("a tensor is made of something else than a storage")
    storage, (offset, size, stride) = args[0], args[1:4]
    shown = f"a tensor of size {_short(size)}, stride {_short(stride)} and offset {_short(offset)}"
    if not _is_count(offset) or not _are_counts(size) or not _are_counts(stride) or len(size) != len(stride):
        raise source.refuse(f"{shown}, which is none")
    number, last = prod(size), offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if number == 0:
        return Strided(storage, 0, size, (0,) * len(size))
    if last >= storage.count or number > storage.count:
        raise source.refuse(f"{shown} reaches out of its storage of {storage.count} numbers")
    return Strided(storage, offset, size, tuple(step if n > 1 else 1 for n, step in zip(size, stride, strict=True)))


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 1 << 40


def _are_counts(value: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(value, tuple) and len(value) <= 8 and all(map(_is_count, value))


def _short(value: object) -> str:
    numbers = value[:9] if isinstance(value, tuple) else (value,)
    return str(value)[:60] if all(isinstance(n, int) for n in numbers) else "of no numbers"


def _parameter(source: Source, args: tuple[object, ...]) -> Strided:
    if not args or not isinstance(args[0], Strided):
        raise source.refuse("a parameter is made of something else than a tensor")
    return replace(args[0])


TENSORS: Known = {
    **named("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", call=_tensor),
    **named("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state", call=_parameter),
}
"""Names of what tensors are made with."""
