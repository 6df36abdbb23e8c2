"""Changes the source in one small place at a time and asks whether a test fails: the share of such mutants that the tests kill.

python -m scripts.mutate --rooms restoration analysis --count 100 --seed 0 --out mutants.jsonl

The tests of `tests/ROOM` and the examples in the docstrings of `sfumato/ROOM` run once with a trace, which says which test runs which line.
Each mutant is then written into a copy of the tree, and the tests that run its line are run until one fails: first those of the file that
mirrors the module, then the quickest. A mutant whose tests take much longer than they did counts as killed. Mutants and their order depend
only on the seed and on the source around them, not on line numbers. A row is written after each mutant, and the same command goes on from
the rows of an earlier one; `--again` repeats the mutants that survived.
"""

import argparse
import ast
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

PRELOADED = ("numpy", "PIL.Image", "torch", "torch.utils.checkpoint", "safetensors.torch", "tyro", "rich", "cv2", "skimage.metrics")
"""Imported once: each mutant's tests run in a fork that has them."""
LIMIT = (5.0, 30.0)
"""A mutant's tests may take so many times as long as without it, and so many seconds more."""

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {"min": "max", "amin": "amax", "clamp_min": "clamp_max", "any": "all", "minimum": "maximum", "floor": "ceil", "argmin": "argmax"}
NAMES |= {after: before for before, after in NAMES.items()}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change of one place of a file."""

    path: str
    scope: str
    """The function or class around it."""
    line: int
    span: tuple[int, int]
    """First byte of the file that is replaced, and the one after the last."""
    before: str
    after: str
    turn: int
    """How many changes alike come before it in its scope."""
    imported: bool
    """Whether the place runs when the module is imported, not when a function is called."""

    @property
    def key(self) -> str:
        return "|".join((self.path, self.scope, self.before, self.after, str(self.turn)))


def mutants(path: Path, root: Path) -> list[Mutant]:
    """Every mutant of a file."""
    source = path.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    every: list[Mutant] = []
    count: dict[tuple[str, str, str], int] = {}
    for scope, imported, node, change in changes(ast.parse(source)):
        assert node.end_lineno
        assert node.end_col_offset is not None
        span = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        before, after = " ".join(source[slice(*span)].decode().split()), change if isinstance(change, str) else ast.unparse(change)
        after = after if isinstance(change, str) or isinstance(node, ast.stmt) else f"({after})"
        turn = count[scope, before, after] = count.get((scope, before, after), -1) + 1
        name = str(path.relative_to(root))
        every.append(Mutant(path=name, scope=scope, line=node.lineno, span=span, before=before, after=after, turn=turn, imported=imported))
    return every


def changes(tree: ast.AST, scope: str = "", imported: bool = True) -> Iterator[tuple[str, bool, Any, ast.AST | str]]:
    """For each place of `tree` that is no text or type: its scope, whether it runs on import, the node to replace, its replacement."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom) or _documents(node) or _typing(node):
            continue
        inner = f"{scope}.{node.name}".strip(".") if isinstance(node, ast.FunctionDef | ast.ClassDef) else scope
        yield from ((scope, imported, *change) for change in _changes(node))
        for part in _parts(node):
            yield from changes(ast.Expression(body=part), inner, imported)
        yield from changes(_without_types(node), inner, imported and not isinstance(node, ast.FunctionDef | ast.Lambda))


def _documents(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _typing(node: ast.AST) -> bool:
    """Whether a node is a type, or gives one a name."""
    if isinstance(node, ast.Assign):
        (target, *_) = node.targets
        return isinstance(target, ast.Name) and target.id.lstrip("_")[:1].isupper() and not target.id.isupper() and not _number(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return any(_is_type(side) for side in (node.left, node.right))
    return False


def _number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def _is_type(node: ast.AST) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    plain = name in ("int", "float", "str", "bool", "dict", "list", "tuple", "bytes") or (name[:1].isupper() and not name.isupper())
    return plain or (isinstance(node, ast.Constant) and node.value is None)


def _parts(node: ast.AST) -> Iterable[ast.AST]:
    """Values that a node without its types would lose: that of an annotated assignment, and the defaults of arguments."""
    if isinstance(node, ast.AnnAssign) and node.value is not None and not isinstance(node.value, ast.JoinedStr):
        return [node.value]
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        return [default for default in (*node.args.defaults, *node.args.kw_defaults) if default is not None]
    return []


def _without_types(node: ast.AST) -> ast.AST:
    """`node` for walking into: without decorators, arguments and annotations."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return ast.Module(body=node.body, type_ignores=[])
    if isinstance(node, ast.Lambda):
        return ast.Expression(body=node.body)
    return ast.Module(body=[], type_ignores=[]) if isinstance(node, ast.AnnAssign) else node


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST | str]]:
    """The ways to change one node, each as what is replaced and what replaces it."""
    match node:
        case ast.Compare(ops=ops):
            yield from ((node, _with(node, ops=[*ops[:i], SWAPS[type(op)](), *ops[i + 1 :]])) for i, op in enumerate(ops))
        case ast.BinOp(op=op, left=left, right=right) if type(op) in SWAPS and not (_text(left) or _text(right)):
            yield node, _with(node, op=SWAPS[type(op)]())
        case ast.BoolOp(op=op):
            yield node, _with(node, op=SWAPS[type(op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield node, operand
        case ast.Constant(value=bool(value)):
            yield node, ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield from ((node, ast.Constant(value + step)) for step in (1, -1))
        case ast.Constant(value=float(value)):
            yield from ((node, ast.Constant(changed)) for changed in ({value + 1, value - 1} if value.is_integer() else {value * 2}))
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield test, ast.UnaryOp(ast.Not(), test)
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield node, "return None"
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Break() | ast.Continue():
            yield node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, "pass"
        case ast.Slice():
            yield from _slices(node)
        case ast.Call(func=(ast.Name(id=name) | ast.Attribute(attr=name)) as called) if name in NAMES:
            yield called, _with(called, **{"id" if isinstance(called, ast.Name) else "attr": NAMES[name]})


def _slices(node: ast.Slice) -> Iterator[tuple[ast.AST, ast.AST | str]]:
    for bound in (node.lower, node.upper):
        if bound is not None and not _number(bound):
            yield bound, ast.BinOp(bound, ast.Add(), ast.Constant(1))


def _text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _with(node: ast.AST, **fields: Any) -> ast.AST:
    return type(node)(**dict(ast.iter_fields(node)) | fields)


def sample(rooms: list[str], count: int, seed: int, root: Path) -> list[Mutant]:
    """`count` mutants, as many of each room."""
    chosen: list[Mutant] = []
    for room in rooms:
        every = [mutant for path in sorted((root / "sfumato" / room).rglob("*.py")) for mutant in mutants(path, root)]
        every.sort(key=lambda mutant: hashlib.sha256(f"{seed} {mutant.key}".encode()).digest())
        chosen += every[: count // len(rooms)]
    return chosen


@dataclass(kw_only=True)
class Trace:
    """A plugin of pytest: the lines of some files that each test runs, and how long it takes."""

    files: set[str]
    lines: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        for module in [module for name, module in sys.modules.items() if name.startswith("sfumato.")]:
            for value in list(vars(module).values()):
                if callable(clear := getattr(value, "cache_clear", None)):
                    clear()  # of which the other tests would not be known to depend on it
        lines = self.lines[item.nodeid] = set()

        def local(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
            lines.add((frame.f_code.co_filename, frame.f_lineno))
            return local

        def called(frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
            return local(frame, event, _) if frame.f_code.co_filename in self.files else None

        began = time.perf_counter()
        threading.settrace(called)
        sys.settrace(called)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            self.seconds[item.nodeid] = time.perf_counter() - began


@dataclass(kw_only=True)
class Verdict:
    """A plugin of pytest: the first test that failed."""

    failed: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(f"{report.nodeid} cannot be imported")


def forked(tree: Path, work: Callable[[], Any], limit: float | None = None) -> Any:
    """What `work` returns in a fork of this process that lives in `tree`; None if it takes more than `limit` seconds or dies."""
    answer, log = tree.parent / "answer.json", tree.parent / "log.txt"
    answer.unlink(missing_ok=True)
    if not (child := os.fork()):
        try:
            os.setsid()
            os.chdir(tree)
            sys.path[:] = [str(tree), *(entry for entry in sys.path if entry not in ("", str(Path(__file__).parents[1])))]
            sys.modules.pop("scripts", None)
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
    try:
        os.killpg(child, signal.SIGKILL)  # what the tests started goes with them
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
    return json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else None


def traced(tree: Path, tests: list[str], files: set[str]) -> tuple[dict[str, list[list[Any]]], dict[str, float]]:
    """Which lines each test runs, and in how many seconds. Ends the program if a test fails without any mutant."""

    def work() -> tuple[int, dict[str, list[tuple[str, int]]], dict[str, float]]:
        trace = Trace(files=files)
        rc = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests], plugins=[trace])
        return int(rc), {test: sorted(lines) for test, lines in trace.lines.items()}, trace.seconds

    answer = forked(tree, work)
    if answer is None or answer[0]:
        sys.exit((tree.parent / "log.txt").read_text(encoding="utf-8") + "\nthe tests fail without any mutant")
    return answer[1], answer[2]


def judged(tree: Path, mutant: Mutant, tests: list[str], limit: float) -> str | None:
    """The test that kills a mutant, or "time limit" or "the process ended"; None if it survives."""

    def work() -> list[str]:
        sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
        verdict = Verdict()
        options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-seed=0"]
        rc = pytest.main([*options, *tests], plugins=[verdict])
        return verdict.failed or ([f"pytest ended with {rc}"] if rc else [])

    path = tree / mutant.path
    source = path.read_bytes()
    start, stop = mutant.span
    try:
        path.write_bytes(source[:start] + mutant.after.encode() + source[stop:])
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
        began = time.monotonic()
        failed = forked(tree, work, limit)
        if failed is None:
            return "time limit" if time.monotonic() - began >= limit else "the process ended"
        return failed[0] if failed else None
    finally:
        path.write_bytes(source)


def selected(mutant: Mutant, tree: Path, lines: dict[str, list[list[Any]]], seconds: dict[str, float]) -> list[str]:
    """The tests that run the mutant's line; of a line that runs on import those that use its file.

    A later line of a statement may be folded into the first one: then those count that run the nearest line before.
    """
    name = str(tree / mutant.path)
    here = {test: {line for file, line in each if file == name} for test, each in lines.items()}
    before = [line for each in here.values() for line in each if line <= mutant.line]
    tests = [test for test, each in here.items() if each and (mutant.imported or (before and max(before) in each))]
    mirror = f"test_{Path(mutant.path).stem}.py"
    return sorted(tests, key=lambda test: (mirror not in test, seconds[test]))


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
    parser.add_argument("--tests", nargs="*", default=[], help="files of tests beside those of the rooms")
    parser.add_argument("--again", action="store_true", help="repeat the mutants that survived")
    arguments = parser.parse_args()
    os.nice(10)
    random.seed(arguments.seed)
    rows = [json.loads(line) for line in arguments.out.read_text(encoding="utf-8").splitlines()] if arguments.out.is_file() else []
    if arguments.again:
        rows = [row for row in rows if row["killed_by"] is not None]
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary).resolve() / "tree"
        copy(root, tree)
        rows = run(tree, sample(arguments.rooms, arguments.count, arguments.seed, tree), rows, arguments)
    report(rows, arguments.rooms)


def run(tree: Path, chosen: list[Mutant], earlier: list[dict[str, Any]], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each of the chosen mutants, of which those of `earlier` are not run again."""
    os.environ["PYTHONPATH"] = str(tree)
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    tests = [f"tests/{room}" for room in arguments.rooms if (tree / "tests" / room).is_dir()]
    tests += [f"sfumato/{room}" for room in arguments.rooms] + arguments.tests
    done = {row["key"]: row for row in earlier}
    rows = [done[mutant.key] for mutant in chosen if mutant.key in done]
    arguments.out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    lines, seconds = traced(tree, tests, {str(tree / mutant.path) for mutant in chosen})
    for mutant in chosen:
        if mutant.key in done:
            continue
        began, relevant = time.monotonic(), selected(mutant, tree, lines, seconds)
        limit = LIMIT[0] * sum(seconds[test] for test in relevant) + LIMIT[1]
        killer = judged(tree, mutant, relevant, limit) if relevant else None
        row = {"key": mutant.key, "path": mutant.path, "line": mutant.line, "before": mutant.before, "after": mutant.after}
        row |= {"killed_by": killer, "tests": len(relevant), "seconds": round(time.monotonic() - began, 1)}
        rows.append(row)
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{'killed  ' if killer else 'SURVIVED'} {mutant.path}:{mutant.line}: {mutant.before}  ->  {mutant.after}", flush=True)
    return rows


if __name__ == "__main__":
    main()
