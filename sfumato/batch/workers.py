"""Who works on a batch: one process, several processes, one of several machines, or the actors of a Ray cluster."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from sfumato.core.errors import SettingError

_SHARD = re.compile(r"([0-9]+)/([0-9]+)")
_MOST = 1024


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The processes that share the pictures of a run.

    The bytes of the results are the same for every choice but the default one, with which this process may compute several small pictures
    in one batch: the rounding of a network depends on the batch, and some values may differ by one level.
    """

    jobs: int | None = None
    """Number of processes, each with one thread and one copy of the network; 1 works in this process. On Ray the number of actors."""
    shard: str = ""
    """`i/n`: only the i-th of n parts of the pictures, from 1/n to n/n; empty for all pictures."""
    on: str = ""
    """`ray` for actors of Ray, `ray://host:port` for those of a cluster; empty for processes of this machine."""

    def check(self) -> None:
        """Raises SettingError for values that are not possible."""
        if self.jobs is not None and not 1 <= self.jobs <= _MOST:
            raise SettingError(f"jobs = {self.jobs} is outside [1, {_MOST}]")
        if self.on and self.on != "ray" and not self.on.startswith("ray://"):
            raise SettingError(f"on = {self.on!r} is neither ray nor ray://HOST:PORT")
        _ = self.part

    @property
    def count(self) -> int:
        """Number of processes."""
        return self.jobs or 1

    @property
    def alone(self) -> bool:
        """Whether this process does the work itself."""
        return self.count == 1 and not self.on

    @property
    def exact(self) -> bool:
        """Whether every picture is computed by itself with one thread, so that its bytes do not depend on the workers."""
        return self != Workers()

    @property
    def part(self) -> tuple[int, int] | None:
        """The number of the shard and the number of shards; None for all pictures. Raises SettingError for anything but `i/n`."""
        if not self.shard:
            return None
        matched = _SHARD.fullmatch(self.shard.strip())
        if matched is None:
            raise SettingError(f"shard = {self.shard!r} is no part; write 1/4 for the first of four")
        number, count = map(int, matched.groups())
        if not 1 <= number <= count:
            raise SettingError(f"shard = {self.shard!r}: parts are numbered from 1/{count} to {count}/{count}")
        return number, count

    def has(self, name: Path) -> bool:
        """Whether the picture whose result is called `name`, relative to the output folder, belongs to this shard.

        The name alone decides, so that machines agree even while files are added to a folder.
        """
        if self.part is None:
            return True
        number, count = self.part
        return int.from_bytes(hashlib.sha256(os.fsencode(name.as_posix())).digest()[:8]) % count == number - 1
