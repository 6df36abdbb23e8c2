"""Mutants of a source file: each one small change of a place that runs, by its syntax tree.

Comparisons, arithmetic, `and` and `or`, numbers by one (fractions by two), conditions turned round, `return None`, statements left out,
`min` for `max`, and bounds of slices by one. Nothing is changed in docstrings, texts, types, decorators and imports.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
