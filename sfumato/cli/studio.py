"""The verb `studio`: every task on a page in the browser."""

from collections.abc import Callable
from pathlib import Path

from sfumato.cli.terminal import console
from sfumato.cli.verbs import Threads


def studio(
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    folders: tuple[Path, ...] = (),
    runs: Path = Path("runs"),
    codec: str = "codec",
    password_file: Path | None = None,
    workers: int = 1,
    open: bool = True,
    threads: Threads = None,
) -> None:
    """Open all tasks as pages in the browser, on this machine alone.

    Pictures are dropped on the page and never leave the machine. Ctrl-C ends the studio; trainings that it started go on.

    Args:
        host: Address to listen at; one that other machines reach needs a password.
        port: Port to listen at; 0 takes a free one.
        folders: Folders whose pictures may be searched and trained on. Default: none.
        runs: Folder with your own runs.
        codec: Model of the page Compress: a bundled model by its name, a run folder or a model file.
        password_file: File with a password that the browser asks for, which only you may read. Default: the value of
            SFUMATO_STUDIO_PASSWORD, else none.
        workers: Number of jobs that run at the same time.
        open: Open the page in the browser.

    """
    from sfumato.web.server import serve
    from sfumato.web.studio import StudioSettings

    settings = StudioSettings(
        host=host,
        port=port,
        folders=folders,
        runs=runs,
        codec=codec,
        password_file=password_file,
        workers=workers,
        open_browser=open,
        threads=threads,
    )
    serve(settings, on_ready=lambda address: console.print(f"studio: {address}  (Ctrl-C ends it)", highlight=False))


VERBS: tuple[Callable[..., None], ...] = (studio,)
