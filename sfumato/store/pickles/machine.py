"""A pickle is a program for a small stack machine. This one runs it on data alone: it imports nothing and calls nothing of the file's.

Names are looked up in a table; what stands there makes plain values, or objects that only hold what they were given. Attributes are
never read or set by a name from the file.
"""

import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from sfumato.store import unsupported
from sfumato.store.pickles.source import OBJECT, Source, Stream

Call: TypeAlias = Callable[[Source, tuple[object, ...]], object]
"""What a name of the file makes of a tuple of arguments."""


@dataclass(frozen=True)
class Name:
    """What stands for a callable of the file: what comes of calling it with a tuple, and of making one of it without arguments."""

    title: str
    call: Call | None = None
    new: Callable[[], object] | None = None


Known: TypeAlias = Mapping[str, object]
"""By dotted name: a Name, or a value that may stand wherever the file likes."""
_NAMES = {step.code: step.name for step in pickletools.opcodes}


class Buildable:
    """Can be given a state after it was made."""

    def build(self, source: Source, state: object) -> None:
        """Takes the state that a pickle gives to the object. Raises what `source.refuse` makes for a state of another form."""
        raise NotImplementedError


def run(stream: Stream, table: Known, fetch: Callable[[object], object] | None = None) -> object:
    """What the pickle makes; `stream` is left behind its end. Bytes come as Span, unread.

    `fetch` answers persistent ids. Raises CheckpointError for a name that is not in `table`, for steps that no writer of weights
    takes, and for damage.
    """
    machine = _Machine(stream, table, fetch)
    while True:
        stream.source.spend(OBJECT)
        place, code = stream.at, chr(stream.number(1))
        if code == ".":
            return machine.result()
        if code not in _NAMES:
            raise stream.source.damaged(f"at byte {place} its pickle is broken: no instruction has the code {ord(code)}")
        step = _STEPS.get(_NAMES[code])
        if step is None:
            raise stream.source.refuse(f"it uses the step {_NAMES[code]}, which is not among those of protocols 2 to 5 that are read")
        step(machine)


Container = TypeVar("Container")


class _Machine:
    def __init__(self, stream: Stream, table: Known, fetch: Callable[[object], object] | None) -> None:
        self.stream, self.source, self.table, self.fetch = stream, stream.source, table, fetch
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}

    def result(self) -> object:
        value = self.pop()
        if self.stack or self.marks:
            raise self.source.damaged("a pickle ends with values left over")
        return value

    def pop(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.source.damaged(f"at byte {self.stream.at} its pickle is broken: an instruction lacks its value")
        return self.stack.pop()

    def top(self, kind: type[Container]) -> Container:
        value = self.pop()
        if not isinstance(value, kind):
            raise self.source.damaged(f"at byte {self.stream.at} a {type(value).__name__} stands for a {kind.__name__}")
        self.stack.append(value)
        return value

    def since_mark(self) -> list[object]:
        if not self.marks:
            raise self.source.damaged(f"at byte {self.stream.at} no mark was set")
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items


def key(source: Source, value: object) -> object:
    """`value`, if it is quick to hash, as text and small numbers are. Raises CheckpointError if not."""
    if value is None or isinstance(value, str) or (isinstance(value, int) and abs(value) < 1 << 60):
        return value
    raise source.refuse(f"it uses a {type(value).__name__} as a key")


def _protocol(m: _Machine) -> None:
    version = m.stream.number(1)
    if not 2 <= version <= 5:
        raise m.source.refuse(f"its pickle is of protocol {version}; 2 to 5 are read")


def _frame(m: _Machine) -> None:
    length = m.stream.number(8)
    if length > m.stream.end - m.stream.at:
        raise m.source.damaged(f"cut short: a frame claims {length} bytes at byte {m.stream.at}")


def _drop(m: _Machine) -> None:
    if m.marks and m.marks[-1] == len(m.stack):
        m.marks.pop()
    else:
        m.pop()


def _dup(m: _Machine) -> None:
    value = m.pop()
    m.stack += [value, value]


def _text(width: int) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(m.stream.text(m.stream.number(width)))


def _bytes(width: int) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(m.stream.skip(m.stream.number(width)))


def _int(width: int, *, signed: bool = False) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(m.stream.number(width, signed=signed))


def _tuple(count: int) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(tuple(reversed([m.pop() for _ in range(count)])))


def _set(m: _Machine) -> None:
    m.source.spend(2 * OBJECT)
    m.stack.append(set())


def _append(m: _Machine) -> None:
    value = m.pop()
    m.top(list).append(value)


def _appends(m: _Machine) -> None:
    items = m.since_mark()
    m.top(list).extend(items)


def _add_items(m: _Machine) -> None:
    items = [key(m.source, item) for item in m.since_mark()]
    m.top(set).update(items)


def _frozen(m: _Machine) -> None:
    m.source.spend(2 * OBJECT)
    m.stack.append(frozenset(key(m.source, item) for item in m.since_mark()))


def _set_item(m: _Machine) -> None:
    value, name = m.pop(), key(m.source, m.pop())
    m.top(dict)[name] = value


def _set_items(m: _Machine) -> None:
    items = m.since_mark()
    if len(items) % 2:
        raise m.source.damaged(f"at byte {m.stream.at} a key has no value")
    target = m.top(dict)
    for i in range(0, len(items), 2):
        target[key(m.source, items[i])] = items[i + 1]


def _look_up(m: _Machine, title: str) -> None:
    value = m.table.get(title)
    if value is None:
        advice = unsupported.asked_for(title)
        raise m.source.refuse(f"it asks for {ascii(title)[1:-1][:120]}, which is code" + (f": {advice}" if advice else ""))
    m.stack.append(value)


def _global(m: _Machine) -> None:
    module, name = m.stream.line(), m.stream.line()
    _look_up(m, f"{module}.{name}")


def _stack_global(m: _Machine) -> None:
    name, module = m.pop(), m.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise m.source.damaged(f"at byte {m.stream.at} a name is no text")
    _look_up(m, f"{module}.{name}")


def _reduce(m: _Machine) -> None:
    args, name = m.pop(), m.pop()
    if not isinstance(name, Name) or name.call is None or not isinstance(args, tuple):
        raise m.source.refuse(f"it calls {name.title if isinstance(name, Name) else f'a {type(name).__name__}'}, which is never called")
    m.stack.append(name.call(m.source, args))


def _new(m: _Machine) -> None:
    args, name = m.pop(), m.pop()
    if not isinstance(name, Name) or name.new is None or args != ():
        raise m.source.refuse(f"it makes a {name.title if isinstance(name, Name) else type(name).__name__} in a way that is not read")
    m.stack.append(name.new())


def _build(m: _Machine) -> None:
    state, value = m.pop(), m.pop()
    if isinstance(value, Buildable):
        value.build(m.source, state)
    elif type(value) is not dict:  # an OrderedDict's attributes, such as the versions in a state dict, say nothing here
        raise m.source.refuse(f"it gives a state to {value.title if isinstance(value, Name) else f'a {type(value).__name__}'}")
    m.stack.append(value)


def _put(width: int) -> Callable[[_Machine], None]:
    def put(m: _Machine) -> None:
        value = m.pop()
        m.stack.append(value)
        m.memo[m.stream.number(width) if width else len(m.memo)] = value

    return put


def _get(width: int) -> Callable[[_Machine], None]:
    def get(m: _Machine) -> None:
        place = m.stream.number(width)
        if place not in m.memo:
            raise m.source.damaged(f"value {place} was never kept")
        m.stack.append(m.memo[place])

    return get


def _fetch(m: _Machine) -> None:
    if m.fetch is None:
        raise m.source.refuse("it asks for a persistent id where none is known")
    m.stack.append(m.fetch(m.pop()))


def _inst(m: _Machine) -> None:
    module, name = m.stream.line(), m.stream.line()
    raise m.source.refuse(f"it asks for {ascii(f'{module}.{name}')[1:-1]}, which is code")


_STEPS: dict[str, Callable[[_Machine], None]] = {
    "PROTO": _protocol,
    "FRAME": _frame,
    "MARK": lambda m: m.marks.append(len(m.stack)),
    "POP": _drop,
    "POP_MARK": lambda m: m.since_mark().clear(),
    "DUP": _dup,
    "NONE": lambda m: m.stack.append(None),
    "NEWTRUE": lambda m: m.stack.append(True),
    "NEWFALSE": lambda m: m.stack.append(False),
    "BININT": _int(4, signed=True),
    "BININT1": _int(1),
    "BININT2": _int(2),
    "LONG1": lambda m: m.stack.append(m.stream.number(m.stream.number(1), signed=True)),
    "BINFLOAT": lambda m: m.stack.append(struct.unpack(">d", m.stream.take(8))[0]),
    "BINUNICODE": _text(4),
    "SHORT_BINUNICODE": _text(1),
    "BINUNICODE8": _text(8),
    "BINSTRING": _text(4),
    "SHORT_BINSTRING": _text(1),
    "BINBYTES": _bytes(4),
    "SHORT_BINBYTES": _bytes(1),
    "BINBYTES8": _bytes(8),
    "BYTEARRAY8": _bytes(8),
    "EMPTY_TUPLE": _tuple(0),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "TUPLE": lambda m: m.stack.append(tuple(m.since_mark())),
    "EMPTY_LIST": lambda m: m.stack.append([]),
    "EMPTY_DICT": lambda m: m.stack.append({}),
    "EMPTY_SET": _set,
    "APPEND": _append,
    "APPENDS": _appends,
    "ADDITEMS": _add_items,
    "FROZENSET": _frozen,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "INST": _inst,
    "REDUCE": _reduce,
    "NEWOBJ": _new,
    "BUILD": _build,
    "BINPUT": _put(1),
    "LONG_BINPUT": _put(4),
    "MEMOIZE": _put(0),
    "BINGET": _get(1),
    "LONG_BINGET": _get(4),
    "BINPERSID": _fetch,
}
