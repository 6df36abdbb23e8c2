"""What all pages share: labels in two languages, and an area that runs jobs, shows their progress and cancels them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from types import ModuleType
from typing import Protocol, runtime_checkable

from sfumato.core.errors import SettingError, SfumatoError
from sfumato.core.json_value import JsonObject
from sfumato.core.progress import clock
from sfumato.web.gate import COOKIE
from sfumato.web.jobs import Job, State
from sfumato.web.limits import PICTURES
from sfumato.web.studio import Studio
from sfumato.web.words import both, escaped

_TICK = 0.15
"""Seconds between two looks at a job."""


@runtime_checkable
class Request(Protocol):
    """The request behind an event, as gradio gives it."""

    session_hash: str | None
    cookies: dict[str, str]


class Desk:
    """Gradio, the studio and the labels, for the builders of pages."""

    def __init__(self, gr: ModuleType, studio: Studio, label: Callable[[str], object]) -> None:
        """`label` gives the text called by a key in the language of the browser."""
        self.gr, self.studio, self.label = gr, studio, label
        self.tabs: object = None
        """The tabs of all pages."""
        self.generated: tuple[object, object] | None = None
        """Of the page Generate, once it is built: the gallery and its items."""

    def handler(self, function: Callable[..., object], *, request: bool = True, event: bool = False) -> Callable[..., object]:
        """`function` with its parameters `request`, and after it `event` (a selection), filled in by gradio."""
        kinds = ({"request": self.gr.Request} if request else {}) | ({"event": self.gr.SelectData} if event else {})
        function.__annotations__ = {name: kind for name, kind in function.__annotations__.items() if name not in (*kinds, "return")} | kinds
        return function

    def note(self, key: str, *, name: str = "") -> None:
        """A sentence about the page, in both languages."""
        self.gr.HTML(f'<div class="note"{f" id={name}" if name else ""}>{both(key)}</div>')

    def upload(self, key: str, name: str, *, several: bool = False) -> object:
        """Where pictures are dropped."""
        count = "multiple" if several else "single"
        return self.gr.File(label=self.label(key), file_count=count, file_types=list(PICTURES), height=130, elem_id=name)

    def downloads(self, key: str, name: str) -> object:
        """Files for download, which are hidden as long as there are none."""
        options = {"file_count": "multiple", "interactive": False, "visible": False}
        return self.gr.File(label=self.label(key), elem_id=name, **options)

    def gallery(self, key: str, name: str, *, preview: bool = False) -> object:
        """Pictures with names, whose pixels stay sharp squares."""
        options = {"columns": 6, "object_fit": "contain", "interactive": False, "height": "auto", "elem_classes": "pixels"}
        return self.gr.Gallery(label=self.label(key), elem_id=name, allow_preview=preview, **options)

    def picture(self, key: str, name: str) -> object:
        """One picture."""
        options = {"type": "filepath", "interactive": False, "buttons": [], "elem_classes": "pixels"}
        return self.gr.Image(label=self.label(key), elem_id=name, **options)

    def pair(self, name: str) -> object:
        """Two pictures, before and after, with a slider."""
        options = {"type": "filepath", "interactive": False, "max_height": 640}
        return self.gr.ImageSlider(label=self.label("before_after"), elem_id=name, **options)

    def whole(self, key: str, name: str, value: int = 0) -> object:
        """A whole number from 0 on, such as a seed."""
        return self.gr.Number(value, precision=0, minimum=0, maximum=2**31, label=self.label(key), elem_id=name, min_width=120)

    def when_listed(self, values: Callable[[], Sequence[object]], outputs: Sequence[object]) -> None:
        """Sets `outputs` to `values()` once the models are listed, on every page that is opened."""
        catalogue = self.studio.catalogue

        async def wait() -> object:
            while not catalogue.ready:
                await asyncio.sleep(_TICK)
            ready = tuple(values())
            return ready if len(outputs) > 1 else next(iter(ready))

        options = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
        self.gr.on(None, wait, None, list(outputs), **options)  # without a trigger: when the page is opened

    def choices(self, keys: dict[str, str]) -> list[tuple[object, str]]:
        """Choices with labels: for each value the key of its text."""
        return [(self.label(key), value) for value, key in keys.items()]


def visitor_of(request: Request) -> str:
    """The name of the visitor who asks."""
    return request.cookies[COOKIE]


def session_of(request: Request) -> str:
    """The page of the browser that asks."""
    return request.session_hash or visitor_of(request)


def sentence(content: str, *, kind: str = "") -> str:
    """A line of the status, as HTML."""
    return f'<div class="status" role="status" aria-live="polite"><div class="{kind}">{content}</div></div>'


def error_line(error: object) -> str:
    """The status of work that was refused or has failed."""
    return sentence(both("failed", error=str(error)), kind="bad")


def status_of(job: Job, ahead: int = 0) -> str:
    """The status of a job as HTML, with a bar while it runs."""
    if job.state is State.FAILED:
        return error_line(job.error)
    if job.state is State.CANCELLED:
        return sentence(both("cancelled"))
    if job.state is State.DONE:
        return sentence("") if not job.remarks else sentence(f'<div class="remark">{"<br>".join(map(escaped, job.remarks))}</div>')
    if job.state is State.WAITING:
        return sentence(both("waiting", count=ahead) if ahead else both("starting"))
    percent = round(100 * job.share)
    left = "" if job.seconds_left is None else clock(job.seconds_left)
    words = (
        both("running_left", percent=percent, text=job.text, left=left)
        if left and percent
        else both("running", percent=percent, text=job.text)
    )
    bar = f'<progress max="100" value="{percent}" aria-label="{percent} %"></progress>' if percent else "<progress></progress>"
    return sentence(f"{both('starting') if not job.text else words}{bar}")


Prepare = Callable[..., JsonObject]
"""Makes the arguments of a task from the values of the page. Raises SfumatoError for values that cannot be used."""
Finish = Callable[..., Sequence[object]]
"""Makes the values of the outputs from the result of a task, the job, and the values of the page."""


Work = Callable[[Request, Callable[[], JsonObject], Sequence[object]], AsyncIterator[tuple[object, ...]]]
"""Runs a task for a request, with what makes its arguments, and the values of the page: yields values of all outputs."""


class Runner:
    """The status of one place on a page, with a button that cancels what runs there."""

    def __init__(self, desk: Desk, place: str) -> None:
        self._desk, self._place, gr = desk, place, desk.gr
        self.status = gr.HTML(sentence(""), elem_id=f"{place}-status")
        self.cancel = gr.Button(desk.label("cancel"), visible=False, size="sm", variant="stop", elem_id=f"{place}-cancel")

        def cancel(request: Request) -> None:
            desk.studio.workshop.cancel_session(session_of(request), place)

        self.cancel.click(desk.handler(cancel), None, None, concurrency_limit=None, show_progress="hidden", api_visibility="private")

    def connect(
        self,
        trigger: Callable[..., object],
        task: str,
        prepare: Prepare,
        finish: Finish,
        inputs: Sequence[object],
        outputs: Sequence[object],
        *,
        preview: Callable[[Job], Sequence[object] | None] = lambda _: None,
        end: Callable[[Job], str] = lambda _: "",
        event: bool = False,
        last_only: bool = False,
    ) -> None:
        """Runs the task after the event `trigger`.

        `prepare` gets the values of `inputs`; `finish` gives the values of `outputs` at the end; `preview` those while the job runs, and
        None for no change; `end` gives a sentence for the end. With `event`, `prepare` gets the selection first; with `last_only`, events
        that come while the task runs are replaced by the last of them.
        """
        desk, skip = self._desk, self._desk.gr.skip

        async def work(
            request: Request, arguments: Callable[[], JsonObject], values: Sequence[object]
        ) -> AsyncIterator[tuple[object, ...]]:
            rest = [skip()] * len(outputs)
            try:
                names = {"visitor": visitor_of(request), "session": session_of(request), "place": self._place}
                job = desk.studio.submit(task, arguments(), **names)
            except SfumatoError as error:
                yield error_line(error), desk.gr.update(visible=False), *rest
                return
            try:
                async for status in self._states(job):
                    partial = preview(job)
                    yield status, desk.gr.update(visible=True), *(rest if partial is None else partial)
            finally:
                desk.studio.workshop.cancel(job)  # does nothing to a job that has ended
            finished = job.state is State.DONE
            final = sentence(words) if finished and (words := end(job)) else status_of(job)
            yield final, desk.gr.update(visible=False), *(finish(job.result, job, *values) if finished else rest)

        self._listen(trigger, work, prepare, [*inputs], [*outputs], event=event, last_only=last_only)

    def _listen(
        self,
        trigger: Callable[..., object],
        work: Work,
        prepare: Prepare,
        inputs: list[object],
        outputs: list[object],
        *,
        event: bool,
        last_only: bool,
    ) -> None:
        """Connects the event with the work."""

        async def run(request: Request, *values: object) -> AsyncIterator[tuple[object, ...]]:
            async for state in work(request, lambda: prepare(*values), values):
                yield state

        async def run_selected(request: Request, event: object, *values: object) -> AsyncIterator[tuple[object, ...]]:
            async for state in work(request, lambda: prepare(event, *values), values):
                yield state

        handler = self._desk.handler(run_selected, event=True) if event else self._desk.handler(run)
        options = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
        mode = {"trigger_mode": "always_last"} if last_only else {}
        trigger(handler, inputs, [self.status, self.cancel, *outputs], **options, **mode)

    async def _states(self, job: Job) -> AsyncIterator[str]:
        """The status of the job whenever it has changed, until it has ended."""
        last = ""
        while not job.ended:
            status = status_of(job, self._desk.studio.workshop.ahead(job))
            if status != last:
                last = status
                yield status
            await asyncio.sleep(_TICK)


def listener(part: object, name: str) -> Callable[..., object]:
    """What listens to the event of this name of a part of a page."""
    connect: Callable[..., object] = getattr(part, name)
    return connect


def rows_of(result: JsonObject, name: str = "items") -> list[JsonObject]:
    """The objects in the list `name` of a result."""
    rows = result[name]
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def named(model: str | None) -> str:
    """The name of the chosen model. Raises SettingError if none is chosen, which may be so for a moment after the studio has started."""
    if not model:
        raise SettingError("choose a model; after the start of the studio it takes a moment until they are listed")
    return model
