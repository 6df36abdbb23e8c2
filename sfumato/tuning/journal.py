"""The journal of a search on disk: a study of Optuna that several processes share, and that outlives each of them.

A trial of a process that was killed stays marked as running. It is marked as failed, and its values are tried again: its run folder is
still there, so that the training goes on from its last save.
"""

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, final

from sfumato.core import schema
from sfumato.core.config import Range
from sfumato.core.errors import CheckpointError, SettingError, StorageError
from sfumato.core.extras import missing
from sfumato.core.json_value import JsonObject
from sfumato.core.text import MOST_QUOTED, quoted
from sfumato.tuning.plan import FACTOR
from sfumato.tuning.space import Value

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages.journal import JournalFileSymlinkLock
    from optuna.trial import FrozenTrial

GRACE_S = 60.0
"""Without a sign of life, a process on another machine counts as ended so long after the time at which its run should have been over."""
NAME, LOG, TRIALS = "tune", "journal.log", "trials"
"""The name of the study, that of its file, and that of the folder of runs."""


class Claim(TypedDict):
    """The process that trains a trial."""

    worker: str
    host: str
    """Stands for the machine, and does not tell its name: a folder of a search may be shared."""
    pid: Annotated[int, Range(1, 2**31 - 1)]
    until: schema.Finite
    """Time at which the run should be over, in seconds since 1970."""


class Attributes(TypedDict, total=False):
    """The facts about a trial that Optuna does not know."""

    values: dict[str, Value]
    figures: list[schema.Finite]
    seconds: schema.Finite
    default: bool
    folder: str
    claim: Claim


@final
class Journal:
    """The trials in the folder of a search."""

    def __init__(self, folder: Path, *, facts: JsonObject, higher: bool, worker: str, seed: int) -> None:
        """Opens the journal, or begins one. `facts` describe the search, `worker` is the name of this process among those that share it.

        Raises MissingExtraError without Optuna; SettingError if the folder holds a search with other facts, CheckpointError if its journal
        cannot be read.
        """
        self.folder, self.worker, self._seed, self._higher = folder, worker, seed, higher
        self.study = self._opened()
        earlier, new = self.study.user_attrs.get("facts"), json.loads(json.dumps(facts))
        if earlier is None:
            self.study.set_user_attr("facts", new)
        elif not isinstance(earlier, dict):
            raise self._damaged("the facts about the search are none")
        elif earlier != new:
            name = next(name for name in [*earlier, *new] if earlier.get(name) != new.get(name))
            raise SettingError(
                f"{folder} holds a search with another {name}: {quoted(earlier.get(name))}; choose another folder with --out"
            )

    def _opened(self) -> "Study":
        try:
            import optuna
            from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
        except ImportError:
            raise missing("tune needs", "Optuna") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder.mkdir(parents=True, exist_ok=True)
        path, direction = self.folder / LOG, "maximize" if self._higher else "minimize"
        try:
            lock = JournalFileSymlinkLock(str(path))
            _drop_torn_line(path, lock)
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
            study = optuna.create_study(study_name=NAME, storage=storage, direction=direction, load_if_exists=True)
            if [each.name.lower() for each in study.directions] != [direction]:
                raise ValueError("it is of another direction")
            for trial in study.get_trials(deepcopy=False):
                _check(trial)
        except OSError as error:
            raise StorageError(f"{path}: cannot be read and written ({error.strerror or error})") from error
        except Exception as error:  # Optuna checks no line, and fails with any error on lines that it did not write
            raise self._damaged(" ".join(str(error).split())[:MOST_QUOTED]) from error
        # Neither is in the journal. Another seed at each start: a resumed search does not draw the same values again.
        study.sampler = optuna.samplers.TPESampler(seed=self._seed + len(study.trials))
        study.pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=FACTOR)
        return study

    def _damaged(self, reason: str) -> CheckpointError:
        return CheckpointError(f"{self.folder / LOG} is damaged, or no journal of a search ({reason}); choose another folder with --out")

    @property
    def spent(self) -> float:
        """Seconds that trials of this worker have taken."""
        trials = [trial.user_attrs for trial in self.study.get_trials(deepcopy=False)]
        return sum(facts.get("seconds", 0.0) for facts in trials if facts.get("claim", {}).get("worker") == self.worker)

    def retry_stale(self) -> int:
        """Marks the trials of ended processes as failed and puts their values in the queue. Returns their number."""
        from optuna.trial import TrialState

        stale = [trial for trial in self.study.get_trials(states=(TrialState.RUNNING,)) if _ended(trial)]
        for trial in stale:
            self.study.tell(trial.number, state=TrialState.FAIL)
            kept = {name: trial.user_attrs[name] for name in ("default", "folder", "figures") if name in trial.user_attrs}
            self.study.enqueue_trial(trial.params, user_attrs=kept)
        return len(stale)

    @contextlib.contextmanager
    def claimed(self, trial: "Trial") -> Iterator[Path]:
        """Gives the run folder of `trial`, which is that of the interrupted trial that it repeats.

        Raises CheckpointError if the journal names a folder elsewhere, which would be written into and removed.
        """
        folder = trial.user_attrs.get("folder", f"{trial.number:04d}")
        _check_folder(folder)
        trial.set_user_attr("folder", folder)
        yield self.folder / TRIALS / folder

    def lease(self, trial: "Trial", seconds: float) -> None:
        """Notes that this process trains, and that the run of `trial` should be over after `seconds`."""
        until = time.time() + 2 * seconds
        trial.set_user_attr("claim", {"worker": self.worker, "host": _machine(), "pid": os.getpid(), "until": until})


def _check(trial: "FrozenTrial") -> None:
    """Raises FormatError or CheckpointError for a trial whose facts no search has written."""
    facts = schema.checked(trial.user_attrs, Attributes, f"trial {trial.number}")
    _check_folder(facts.get("folder", "0"))


def _check_folder(name: str) -> None:
    """Raises CheckpointError for the name of a run folder that is no number of a trial."""
    if not (name.isascii() and name.isdigit()):
        raise CheckpointError(f"the journal names {quoted(name)} as the folder of a trial; choose another folder with --out")


def _machine() -> str:
    """Stands for this machine among others, and does not tell its name."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]


def _drop_torn_line(path: Path, lock: "JournalFileSymlinkLock") -> None:
    """Removes a last line that a crash cut off: the next line would be joined to it. Raises ValueError if there is no whole line."""
    if not path.exists():
        return
    lock.acquire()
    try:
        with path.open("rb+") as file:
            text = file.read()
            if text and not text.endswith(b"\n"):
                if b"\n" not in text:
                    raise ValueError("it has no whole line")
                file.truncate(text.rindex(b"\n") + 1)
    finally:
        lock.release()


def _ended(trial: "FrozenTrial") -> bool:
    """Whether the process of a running trial has ended."""
    facts = trial.user_attrs.get("claim", {})
    if facts.get("host") == _machine():
        return facts.get("pid") == os.getpid() or not _alive(facts.get("pid", 0))
    began = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() > facts.get("until", began) + GRACE_S


def _alive(pid: int) -> bool:
    """Whether there is a process with this number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
