"""The journal of a search on disk: a study of Optuna that several processes share, and that outlives each of them.

A trial of a process that was killed stays marked as running. It is marked as failed, and its values are tried again: its run folder is
still there, so that the training goes on from its last save.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, final

from sfumato.core.errors import CheckpointError, SettingError
from sfumato.core.extras import missing
from sfumato.core.json_value import JsonObject
from sfumato.tuning.plan import FACTOR

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages.journal import JournalFileSymlinkLock
    from optuna.trial import FrozenTrial

GRACE_S = 60.0
"""Without a sign of life, a process on another machine counts as ended so long after the time at which its run should have been over."""
NAME, LOG, TRIALS = "tune", "journal.log", "trials"
"""The name of the study, that of its file, and that of the folder of runs."""


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
        elif earlier != new:
            name = next(name for name in [*earlier, *new] if earlier.get(name) != new.get(name))
            raise SettingError(f"{folder} holds a search with another {name}: {earlier.get(name)}; choose another folder with --out")

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
        except (ValueError, LookupError, TypeError, AssertionError) as error:  # what Optuna raises for lines that it did not write
            raise CheckpointError(f"{path} is damaged, or no journal of a search ({error}); choose another folder with --out") from error
        # Neither is in the journal. Another seed at each start: a resumed search does not draw the same values again.
        study.sampler = optuna.samplers.TPESampler(seed=self._seed + len(study.trials))
        study.pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=FACTOR)
        return study

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
        """Gives the run folder of `trial`, which is that of the interrupted trial that it repeats."""
        folder = trial.user_attrs.get("folder", f"{trial.number:04d}")
        trial.set_user_attr("folder", folder)
        yield self.folder / TRIALS / folder

    def lease(self, trial: "Trial", seconds: float) -> None:
        """Notes that this process trains, and that the run of `trial` should be over after `seconds`."""
        until = time.time() + 2 * seconds
        trial.set_user_attr("claim", {"worker": self.worker, "host": socket.gethostname(), "pid": os.getpid(), "until": until})


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
    if facts.get("host") == socket.gethostname():
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
