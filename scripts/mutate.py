"""Changes the source in one small place at a time and asks whether a test fails: the share of such mutants that the tests kill.

python -m scripts.mutate --rooms restoration analysis --count 100 --seed 0 --out mutants.jsonl

The tests of `tests/ROOM` and the examples in the docstrings of `sfumato/ROOM` run once with a trace, which says which test runs which line.
For each mutant (`scripts/mutants.py`) the tests that run its line are run until one fails: first those of the file that mirrors the module,
then the quickest. Of a mutant inside a function only the function's code is exchanged, in a fork of the process that has collected the
tests, so that nothing is imported again. A mutant whose tests take much longer than they did counts as killed. Which mutants are drawn
depends only on the seed and on the source around them, not on line numbers. A row is written after each mutant and after each trace, and
the same command goes on from the rows of an earlier one; `--again` repeats the mutants that survived. The tree itself is never changed:
all happens in a copy. Run on a few quick files of tests (`--tests`), it says in a minute at least how many mutants these kill.
"""

import argparse
import contextlib
import functools
import gc
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest

from scripts.mutants import Mutant, sample

LIMIT = (5.0, 30.0)
"""A mutant's tests may take so many times as long as without it, and so many seconds more."""


@dataclass(kw_only=True)
class Judge:
    """A plugin of pytest: in place of one run of the tests that were collected, runs some of them for each mutant, each time in a fork."""

    tree: Path
    chosen: list[Mutant]
    out: Path
    rows: list[dict[str, Any]]
    failed: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        answer = forked(self.tree, lambda: self._traced(list(items.values())))
        if answer is None or answer["failed"]:
            print((self.tree.parent / "log.txt").read_text(encoding="utf-8"))
            pytest.exit("the tests fail without any mutant", returncode=1)
        done = {row["key"] for row in self.rows}
        for mutant in self.chosen:
            if mutant.key not in done:
                self._note(mutant, selected(mutant, answer["traces"]), items, answer["traces"])
        return True

    def _note(self, mutant: Mutant, tests: list[str], items: dict[str, pytest.Item], traces: dict[str, Any]) -> None:
        """Judges a mutant, and adds its row."""
        began, limit = time.monotonic(), LIMIT[0] * sum(traces[test]["seconds"] for test in tests) + LIMIT[1]
        killer = self._killer(mutant, [items[test] for test in tests], limit) if tests else None
        row = {"key": mutant.key, "path": mutant.path, "line": mutant.line, "before": mutant.before, "after": mutant.after}
        self.rows.append(row | {"killed_by": killer, "tests": len(tests), "seconds": round(time.monotonic() - began, 1)})
        with self.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.rows[-1]) + "\n")
        print(f"{'killed  ' if killer else 'SURVIVED'} {mutant.path}:{mutant.line}: {mutant.before}  ->  {mutant.after}", flush=True)

    def _killer(self, mutant: Mutant, items: list[pytest.Item], limit: float) -> str | None:
        """The test that kills a mutant, or "time limit" or "the process ended"; None if it survives."""
        path = self.tree / mutant.path
        source = path.read_bytes()
        mutated = source[: mutant.span[0]] + mutant.after.encode() + source[mutant.span[1] :]

        def work() -> list[str]:
            if mutant.imported or not exchanged(path, source, mutated):
                return afresh(path, [item.nodeid for item in items])
            forget()
            self._run(items)
            return self.failed

        try:
            path.write_bytes(mutated)
            began = time.monotonic()
            failed = forked(self.tree, work, limit)
            if failed is None:
                return "time limit" if time.monotonic() - began >= limit else "the process ended"
            return failed[0] if failed else None
        finally:
            path.write_bytes(source)

    def _run(self, items: list[pytest.Item]) -> None:
        """Runs tests until one fails."""
        for item, following in zip(items, [*items[1:], None], strict=True):
            if not self.failed:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    def _traced(self, items: list[pytest.Item]) -> dict[str, Any]:
        """Which lines of the files of mutants each test runs, in how many seconds, and which tests fail."""
        files, traces = {str(self.tree / mutant.path) for mutant in self.chosen}, self._traces(items)
        items = [item for item in items if item.nodeid not in traces]
        for item, following in zip(items, [*items[1:], None], strict=True):
            own: set[tuple[str, int]] = set()

            def local(frame: FrameType, event: str, _: Any, own: set[tuple[str, int]] = own) -> Callable[..., Any]:
                own.add((frame.f_code.co_filename, frame.f_lineno))
                return local

            def called(frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
                return local(frame, event, _) if frame.f_code.co_filename in files else None

            forget()  # of a value in a cache the other tests would not be known to depend on it
            began = time.perf_counter()
            threading.settrace(called)
            sys.settrace(called)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            sys.settrace(None)
            lines = sorted((str(Path(file).relative_to(self.tree)), line) for file, line in own)
            trace = {"test": item.nodeid, "state": self._state(item), "lines": lines, "seconds": time.perf_counter() - began}
            if self.failed:
                break
            traces[item.nodeid] = trace
            with self._trace_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(trace) + "\n")
        return {"traces": traces, "failed": self.failed}

    @property
    def _trace_file(self) -> Path:
        return self.out.with_suffix(".trace.jsonl")

    def _traces(self, items: list[pytest.Item]) -> dict[str, Any]:
        """Traces of an earlier run of tests that have not changed since, nor has what they test."""
        if not self._trace_file.is_file():
            return {}
        traces = {row["test"]: row for row in map(json.loads, self._trace_file.read_text(encoding="utf-8").splitlines())}
        return {item.nodeid: traces[item.nodeid] for item in items if traces.get(item.nodeid, {}).get("state") == self._state(item)}

    @functools.cached_property
    def _sources(self) -> bytes:
        return b"".join((self.tree / path).read_bytes() for path in sorted({mutant.path for mutant in self.chosen}))

    def _state(self, item: pytest.Item) -> str:
        """A digest of a test's file and of the files whose mutants are judged."""
        return hashlib.sha256(item.path.read_bytes() + self._sources).hexdigest()


def forget() -> None:
    """Empties the caches of all functions of the package."""
    for module in [module for name, module in sys.modules.items() if name.startswith("sfumato.")]:
        for value in list(vars(module).values()):
            if callable(clear := getattr(value, "cache_clear", None)):
                clear()


def exchanged(path: Path, source: bytes, mutated: bytes) -> bool:
    """Gives the functions of a module that is imported already the code of its mutant; whether that was possible."""
    before, after = (_codes(compile(text, str(path), "exec")) for text in (source, mutated))
    live: dict[str, dict[int, list[FunctionType]]] = {}
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__code__.co_filename == str(path):
            live.setdefault(each.__code__.co_qualname, {}).setdefault(each.__code__.co_firstlineno, []).append(each)
    count = 0
    for name, codes in after.items():
        same = [functions for _, functions in sorted(live.get(name, {}).items())]
        for old, new, functions in zip(before[name], codes, same, strict=False):
            if old != new and len(same) == len(codes):
                for each in functions:
                    each.__code__ = new
                    count += 1
    return count > 0


def _codes(code: CodeType) -> dict[str, list[CodeType]]:
    """Every function's code in `code`, by its name."""
    every: dict[str, list[CodeType]] = {}
    for inner in (each for each in code.co_consts if isinstance(each, CodeType)):
        every.setdefault(inner.co_qualname, []).append(inner)
        for name, codes in _codes(inner).items():
            every.setdefault(name, []).extend(codes)
    return every


def afresh(path: Path, tests: list[str]) -> list[str]:
    """The first of `tests` that fails in a new process, which imports the file at `path` as it is now."""
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "--hypothesis-seed=0", "-p", "no:cacheprovider", *tests]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)
    return [failed[1] if failed else f"pytest ended with {ended.returncode}"] if ended.returncode else []


def forked(tree: Path, work: Callable[[], Any], limit: float | None = None) -> Any:
    """What `work` returns in a fork of this process; None if it takes more than `limit` seconds or dies."""
    answer, log = tree.parent / "answer.json", tree.parent / "log.txt"
    answer.unlink(missing_ok=True)
    sys.stdout.flush()
    if not (child := os.fork()):
        try:
            os.setsid()
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for stream in (1, 2):
                os.dup2(descriptor, stream)
            answer.write_text(json.dumps(work()), encoding="utf-8")
        except BaseException:
            traceback.print_exc(file=sys.stdout)
        finally:
            sys.stdout.flush()
            os._exit(0)
    end = time.monotonic() + (limit or 1e9)
    while time.monotonic() < end and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.killpg(child, signal.SIGKILL)  # what the tests started goes with them
        os.waitpid(child, 0)
    return json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else None


def selected(mutant: Mutant, traces: dict[str, Any]) -> list[str]:
    """The tests that run the mutant's line; of a line that runs on import those that use its file.

    A later line of a statement may be folded into the first one: then those count that run the nearest line before.
    """
    here = {test: {line for file, line in each["lines"] if file == mutant.path} for test, each in traces.items()}
    before = [line for each in here.values() for line in each if line <= mutant.line]
    tests = [test for test, each in here.items() if each and (mutant.imported or (before and max(before) in each))]
    mirror = f"test_{Path(mutant.path).stem}.py"
    return sorted(tests, key=lambda test: (mirror not in test, traces[test]["seconds"]))


def copy(root: Path, tree: Path) -> None:
    """The files of `root` that git knows or does not ignore, and beside them the folder that stands beside it, `shared`."""
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (root / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, tree / name)
    if (root.parent / "shared").is_dir():
        (tree.parent / "shared").symlink_to(root.parent / "shared")


def report(rows: list[dict[str, Any]], rooms: list[str]) -> None:
    for room in rooms:
        here = [row for row in rows if row["path"].startswith(f"sfumato/{room}/")]
        killed = sum(row["killed_by"] is not None for row in here)
        print(f"{room}: {killed} of {len(here)} killed ({killed / max(1, len(here)):.0%})")
        for row in here:
            if row["killed_by"] is None:
                print(f"  survived: {row['path']}:{row['line']}: {row['before']}  ->  {row['after']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", nargs="+", required=True)
    parser.add_argument("--count", type=int, default=100, help="mutants over all, as many of each room")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("mutants.jsonl"), help="a row of JSON for each mutant")
    parser.add_argument("--tests", nargs="*", default=[], help="files of tests; by default all of the rooms")
    parser.add_argument("--again", action="store_true", help="repeat the mutants that survived")
    arguments = parser.parse_args()
    os.nice(max(0, 10 - os.nice(0)))  # unless it was started so
    rows = [json.loads(line) for line in arguments.out.read_text(encoding="utf-8").splitlines()] if arguments.out.is_file() else []
    root, out = Path(__file__).resolve().parents[1], arguments.out.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary).resolve() / "tree"
        copy(root, tree)
        chosen = sample(arguments.rooms, arguments.count, arguments.seed, tree)
        keys = {mutant.key for mutant in chosen}
        rows = [row for row in rows if row["key"] in keys and not (arguments.again and row["killed_by"] is None)]
        out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        os.chdir(tree)
        sys.path[:] = [str(tree), *(entry for entry in sys.path if Path(entry).resolve() != root)]
        os.environ["PYTHONPATH"] = str(tree)
        sys.modules.pop("scripts", None)
        tests = arguments.tests or [f"{place}/{room}" for room in arguments.rooms for place in ("tests", "sfumato")]
        judge = Judge(tree=tree, chosen=chosen, out=out, rows=rows)
        if pytest.main(["-q", "-s", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests], plugins=[judge]):
            sys.exit("the tests cannot be collected")
        report(judge.rows, arguments.rooms)


if __name__ == "__main__":
    main()
