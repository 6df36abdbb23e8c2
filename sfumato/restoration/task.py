"""Restoration as a task of the batch engine."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sfumato.batch.items import Item
from sfumato.batch.manifest import Manifest
from sfumato.batch.task import OnEntry, Work
from sfumato.restoration.attempt import Run, attempt
from sfumato.restoration.networks import Networks
from sfumato.restoration.queue import Queue, Waiting
from sfumato.restoration.request import RestorationRequest


@dataclass(frozen=True, kw_only=True)
class RestorationTask:
    """A restoration of pictures."""

    settings: RestorationRequest
    request: Mapping[str, object]
    """The settings and the hashes of the weights, as `request_facts` returns them."""
    overwrite: bool
    together: bool = True
    """Whether small pictures of one size share a batch of the network, in which rounding may differ."""
    networks: Networks | None = field(default=None, compare=False, repr=False)
    """Networks that this process has opened, for work in this process; other processes open their own."""

    def work(self) -> Work:
        """The function that repairs items; the networks are loaded with the first picture that needs them."""
        networks = self.networks or Networks(self.settings.backend)

        def each(items: Sequence[Item], manifest: Manifest, on_entry: OnEntry) -> None:
            run = Run(request=self.settings, manifest=manifest, overwrite=self.overwrite, networks=networks)
            waiting = [Waiting(item.pixels, functools.partial(attempt, item, run)) for item in items]
            Queue(run, lambda entry, _, __: on_entry(entry), together=self.together).repaired(waiting)

        return each
