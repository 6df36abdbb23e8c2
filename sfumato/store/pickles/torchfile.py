"""What `torch.save` writes: since 2020 a zip of a pickle and a file per storage, before that pickles and storages in a row.

legacy:  magic ─ 1001 ─ system ─ tree ─ keys ─ (count ─ numbers) for each key      also the form of each storage in a plain pickle
archive: name/data.pkl  name/byteorder  name/data/0  name/data/1 ...                stored, never compressed
"""

from sfumato.store.pickles.machine import Known, run
from sfumato.store.pickles.source import OBJECT, Source, Span, Stream
from sfumato.store.pickles.tensors import STORAGES, Storage, record
from sfumato.store.pickles.values import named

MAGIC = 0x1950A86A20F9469CFC6C
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How a legacy stream begins."""
ARCHIVE = b"PK\x03\x04"
"""How a zip begins."""
_FAR = 0xFFFFFFFF


def root(source: Source, table: Known) -> dict[object, object]:
    """The dictionary that a file of either form, or a plain pickle, holds. Tensors are checked, not loaded."""
    stream = Stream(source, 0, source.size)
    head = stream.take(min(source.size, len(LEGACY)))
    stream = Stream(source, 0, source.size)
    if head.startswith(ARCHIVE):
        tree = archive(source, table)
    elif head == LEGACY:
        tree = legacy(stream, table)
    else:
        tree = _ended(stream, run(stream, table))
    if not isinstance(tree, dict):
        raise source.refuse(f"it holds a {type(tree).__name__}, no dictionary of networks or tensors")
    return tree


def legacy(stream: Stream, table: Known) -> object:
    """The tree in a legacy stream, which must reach to the end of `stream`."""
    source, storages = stream.source, dict[str, Storage]()
    if run(stream, {}) != MAGIC or run(stream, {}) != 1001:
        raise source.damaged("a torch stream of another version")
    system = run(stream, {})
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise source.refuse("its numbers lie highest byte first")
    tree = run(stream, table, lambda entry: _storage(source, storages, entry))
    keys = run(stream, {})
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise source.damaged("its storages are not those that it lists")
    for key in keys:
        storage = storages[key]
        if stream.number(8, signed=True) != storage.count:
            raise source.damaged(f"storage {ascii(key)[:40]} is not of the {storage.count} numbers that it claims")
        storage.span = stream.skip(storage.count * storage.dtype.itemsize)
    if stream.at != stream.end:
        raise source.refuse(f"{stream.end - stream.at} bytes follow after its end")
    return tree


def archive(source: Source, table: Known) -> object:
    """The tree in a zip that `torch.save` wrote."""
    files = _entries(source)
    roots = [name.removesuffix("data.pkl") for name in files if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise source.damaged(f"a zip with {len(roots)} files data.pkl")
    order = files.get(f"{roots[0]}byteorder")
    if order is not None and (order.length > 8 or _content(source, order).take(order.length) != b"little"):
        raise source.refuse("its numbers lie highest byte first")

    def fetch(entry: object) -> Storage:
        key, storage = record(source, entry)
        held = files.get(f"{roots[0]}data/{key}")
        if held is None or held.length != storage.count * storage.dtype.itemsize:
            raise source.refuse(f"storage {ascii(key)[:40]} of {storage.count} numbers is not in it with that length")
        storage.span = Span(_content(source, held).at, held.length)
        return storage

    stream = _content(source, files[f"{roots[0]}data.pkl"])
    return _ended(stream, run(stream, table, fetch))


def _ended(stream: Stream, tree: object) -> object:
    """`tree`. Raises CheckpointError if anything follows in `stream`."""
    if stream.at != stream.end:
        raise stream.source.refuse(f"{stream.end - stream.at} bytes follow after the end of its pickle")
    return tree


def _storage(source: Source, storages: dict[str, Storage], entry: object) -> Storage:
    key, storage = record(source, entry)
    held = storages.setdefault(key, storage)
    if (held.dtype, held.count) != (storage.dtype, storage.count):
        raise source.refuse(f"storage {ascii(key)[:40]} is claimed twice, as two different ones")
    return held


def _nested(source: Source, args: tuple[object, ...]) -> Storage:
    if len(args) != 1 or not isinstance(args[0], Span):
        raise source.refuse("a storage is made of something else than bytes")
    storage = legacy(Stream(source, args[0].start, args[0].start + args[0].length), STORAGES)
    if not isinstance(storage, Storage):
        raise source.refuse("a nested stream holds something else than a storage")
    return storage


NESTED: Known = named("torch.storage._load_from_bytes", call=_nested)
"""Names of what storages in a plain pickle are made with."""


def _entries(source: Source) -> dict[str, Span]:
    """Files of a zip by name: where the header of each begins, and how long its content is."""
    tail = Stream(source, max(source.size - 22, 0), source.size)
    if tail.take(min(source.size, 22))[:4] != b"PK\x05\x06":
        raise source.damaged("cut short: its list of contents is missing")
    count, length, start = _fields(source, source.size - 12, 2, 4, 4)
    if start == _FAR or count == 0xFFFF:
        (place,) = _fields(source, source.size - 34, 8)
        count, length, start = _fields(source, place + 32, 8, 8, 8)
    listed, spans = _from(source, start).inner(length), dict[str, Span]()
    for _ in range(count):
        source.spend(4 * OBJECT)
        name, span = _entry(listed)
        if name in spans:
            raise source.refuse(f"it holds {ascii(name)[:60]} twice")
        spans[name] = span
    return spans


def _entry(listed: Stream) -> tuple[str, Span]:
    head = listed.take(46)
    number = [
        int.from_bytes(head[at : at + size], "little") for at, size in ((10, 2), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4))
    ]
    method, packed, length, named_by, more, comment, start = number
    if head[:4] != b"PK\x01\x02":
        raise listed.source.damaged("its list of contents is none")
    name, end = listed.text(named_by), listed.at + more
    while listed.at + 4 <= end:
        tag, size = listed.number(2), listed.number(2)
        fields = listed.inner(size)
        if tag == 1:  # what did not fit in four bytes, in this order
            length, packed, start = (fields.number(8) if value == _FAR else value for value in (length, packed, start))
    listed.skip(max(end - listed.at, 0) + comment)
    if method or packed != length:
        raise listed.source.refuse(f"{ascii(name)[:60]} is compressed, which torch.save never does")
    return name, Span(start, length)


def _content(source: Source, span: Span) -> Stream:
    """What follows the header that begins at `span`."""
    if _from(source, span.start).take(4) != ARCHIVE:
        raise source.damaged(f"no file begins at byte {span.start}")
    name, more = _fields(source, span.start + 26, 2, 2)
    return _from(source, span.start + 30 + name + more).inner(span.length)


def _from(source: Source, start: int) -> Stream:
    stream = Stream(source, 0, source.size)
    stream.skip(start)
    return stream


def _fields(source: Source, start: int, *sizes: int) -> list[int]:
    stream = _from(source, start)
    return [stream.number(size) for size in sizes]
