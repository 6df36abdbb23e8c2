"""A studio: its workers, folders and limits, without the pages that show them."""

import os
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.core.errors import SettingError, StorageError
from sfumato.core.extras import check_installed
from sfumato.core.json_value import Json, JsonObject
from sfumato.web.gate import LOOPBACK
from sfumato.web.jobs import Job, State, Workshop
from sfumato.web.limits import Limits
from sfumato.web.places import ChosenFolders, Shelter
from sfumato.web.trainings import Trainings

PASSWORD = "SFUMATO_STUDIO_PASSWORD"
"""The environment variable with the password."""
_SHORTEST = 8
_GRADIO = "6.10"
"""First version of gradio that has what the pages need."""
_OWN = "studio"
"""The visitor whose jobs are those of the studio itself."""


@dataclass(frozen=True, kw_only=True)
class StudioSettings:
    """How a studio is started."""

    host: str = "127.0.0.1"
    port: int = 7860
    folders: tuple[Path, ...] = ()
    """Folders of the machine whose pictures the pages Search and Train may use."""
    runs: Path = Path("runs")
    """Folder with runs of one's own."""
    codec: str = "codec"
    """Model of the page Compress."""
    password_file: Path | None = None
    threads: int | None = None
    workers: int = 1
    """Number of jobs that run at the same time."""
    open_browser: bool = True
    limits: Limits = field(default_factory=Limits)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the studio."""
        return self.host in LOOPBACK

    def password(self) -> str:
        """The password; empty on loopback without one. Raises SettingError if the host is reachable by others and there is none."""
        text = _secret(self.password_file) if self.password_file is not None else os.environ.get(PASSWORD, "")
        if not text and not self.is_local:
            raise SettingError(
                f"--host {self.host} can be reached by others, so that a password is needed; give --password-file FILE, or set {PASSWORD}"
            )
        if text and len(text) < _SHORTEST:
            raise SettingError(f"the password has {len(text)} characters; give at least {_SHORTEST}")
        return text

    def check(self) -> None:
        """Raises SettingError and StorageError for settings that cannot be used, MissingExtraError without gradio."""
        if not 0 <= self.port <= 65535:
            raise SettingError(f"port = {self.port} is outside 0 to 65535; 0 takes a free one")
        if not 1 <= self.workers <= 64:
            raise SettingError(f"workers = {self.workers} is outside 1 to 64")
        self.password()
        ChosenFolders(self.folders)
        check_gradio()


def check_gradio() -> None:
    """Raises MissingExtraError if gradio is not installed, or is older than the pages need."""
    check_installed("the studio needs", "gradio", least=_GRADIO)


def _secret(path: Path) -> str:
    """The first line of a file that only its owner may read. Raises StorageError for no file, SettingError if others may read it."""
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: the password cannot be read ({error})") from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingError(f"{path} can be read by others; run `chmod 600 {path}`")
    return (text.splitlines() or [""])[0].strip()


class Catalogue:
    """The models at hand, listed by a worker: building the server loads no network."""

    def __init__(self) -> None:
        self.models: list[JsonObject] = []
        self.recipes: list[str] = []
        self._ready = threading.Event()

    def take(self, job: Job) -> None:
        """Takes the result of a job."""
        if job.state is State.DONE:
            self.refresh(job.result)
        self._ready.set()

    def refresh(self, result: JsonObject) -> None:
        """Takes a new listing."""
        models, recipes = result.get("models"), result.get("recipes")
        if isinstance(models, list) and isinstance(recipes, list):
            self.models = [each for each in models if isinstance(each, dict)]
            self.recipes = [str(each) for each in recipes]

    @property
    def ready(self) -> bool:
        """Whether it has been listed once."""
        return self._ready.is_set()

    def names(self, kind: str) -> list[str]:
        """Names of the models of a kind that can be read."""
        return [str(each["name"]) for each in self.models if each["kind"] == kind and not each["problem"]]

    def model(self, name: str) -> JsonObject:
        """The facts about the model called `name`; empty if there is none."""
        return next((each for each in self.models if each["name"] == name), {})

    def classes(self, name: str) -> list[str]:
        """Names of the classes of a model."""
        classes: Json = self.model(name).get("classes")
        return [str(each) for each in classes] if isinstance(classes, list) else []


@dataclass
class Studio:
    """What all pages share."""

    settings: StudioSettings
    shelter: Shelter
    workshop: Workshop
    folders: ChosenFolders
    trainings: Trainings
    catalogue: Catalogue = field(default_factory=Catalogue)

    @classmethod
    def opened(cls, settings: StudioSettings) -> "Studio":
        """A studio, ready for jobs. Raises as `StudioSettings.check`."""
        limits = settings.limits
        return cls(
            settings=settings,
            shelter=Shelter(),
            workshop=Workshop(workers=settings.workers, threads=settings.threads, waiting=limits.waiting),
            folders=ChosenFolders(settings.folders),
            trainings=Trainings(settings.runs),
        )

    @property
    def limits(self) -> Limits:
        """The limits of uploads."""
        return self.settings.limits

    def submit(self, task: str, arguments: JsonObject, *, visitor: str, session: str, place: str) -> Job:
        """Queues a job of a visitor. Raises SettingError if there are too many already."""
        folder = self.shelter.job_folder(visitor)
        return self.workshop.submit(Job(task, arguments, folder, visitor, session, place))

    def list_models(self) -> Job:
        """Queues the listing of the models, whose result the catalogue takes."""
        return self.submit("catalogue", {"runs": str(self.settings.runs)}, visitor=_OWN, session=_OWN, place="models")

    def close(self) -> None:
        """Ends all jobs and removes all files of visitors. Trainings go on."""
        self.workshop.close()
        self.shelter.close()
