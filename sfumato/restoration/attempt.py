"""One picture of a run of many: whether it needs repair, the repair, and its entry in the manifest.

claim the place ─ repairing ─ Work, done together with that of others ─ write, if the place is unchanged ─> Entry
"""

import contextlib
import functools
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

from sfumato.batch.items import Item
from sfumato.batch.manifest import Entry, Manifest
from sfumato.batch.place import Place
from sfumato.core.tensors import Maps
from sfumato.restoration.batch import Work
from sfumato.restoration.networks import Networks
from sfumato.restoration.plan import RestorationPlan
from sfumato.restoration.repair import repairing
from sfumato.restoration.request import RestorationRequest


class Worked(NamedTuple):
    """The repaired picture, and the seconds of its work: its share of the time of a group."""

    images: Maps
    seconds: float


Attempt = Generator[Work, Worked, Entry]
"""The repair of one picture: yields its `Work` if there is any, is sent the result or thrown the error, and returns its entry."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The settings that all pictures of a run share."""

    manifest: Manifest
    overwrite: bool
    request: RestorationRequest
    networks: Networks


def attempt(item: Item, run: Run) -> Attempt:
    """Repairs one picture, unless an earlier run did; `Place` has the rules for files that are there already.

    An error is in the entry; an error that the next picture would meet too is raised, after it was noted in the manifest.
    """
    place = Place(item=item, manifest=run.manifest, overwrite=run.overwrite, memory_advice="give less --memory")
    try:
        with place.opened(), contextlib.ExitStack() as held:
            file = None
            with contextlib.suppress(OSError):  # the repair reports the error
                file = held.enter_context(place.path.open("rb"))
            if earlier := place.earlier(file):
                return earlier
            place.claim()
            steps = repairing(
                place.path,
                item.target,
                run.request,
                mask=item.companion,
                check=functools.partial(place.settle, item.target),
                networks=run.networks,
                pixels=item.pixels,
                file=file,
            )
            try:
                work = next(steps)
                held.close()  # many pictures wait for each other's work
                spent = time.perf_counter() - place.began
                images, seconds = yield work
                place.began = time.perf_counter() - spent - seconds
                steps.send(images)
                raise AssertionError("a repair ends after its work")
            except StopIteration as end:
                plan: RestorationPlan = end.value
        return place.done(plan.summary, damage=plan.damage, nothing=plan.nothing)
    except GeneratorExit:  # the run ended before this picture's work
        raise
    except BaseException as error:
        return place.failed(error)
