"""Files spoilt at random, as accidents and attackers spoil them: what reads them must refuse them in one line, or make sense of them."""

import copy
import json
import random
import struct

DEEP, LONG_NUMBER, HUGE = "@deep@", "@digits@", "@huge@"
"""Stand for what Python's own writer would not write."""
WRITTEN = {DEEP: "[" * 100_000 + "]" * 100_000, LONG_NUMBER: "9" * 5000, HUGE: "1e999"}
HOSTILE = "x/../../../victim\x1b[2J\x1b]0;owned\x07\u202e\x00\r"
ODD = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), float("-inf"), "",
    "0", "nan", "\udcff", HOSTILE, "/dev/zero", "x" * 100_000, [], {}, [[]], [None], [0] * 1000, {"": 0}, {"is": "vae"}, DEEP,
    LONG_NUMBER, HUGE,
)  # fmt: skip


def spoil_bytes(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to four accidents."""
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 16, 64))
        how = rng.choice(("flip", "set", "insert", "delete", "cut", "splice", "number"))
        if how == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        elif how == "set":
            data = data[:at] + bytes([rng.choice((0, 1, 127, 128, 255))]) * length + data[at + length :]
        elif how == "insert":
            data = data[:at] + rng.randbytes(length) + data[at:]
        elif how == "delete":
            data = data[:at] + data[at + length :]
        elif how == "cut" and rng.random() < 0.3:
            data = data[:at]
        elif how == "splice":
            begin = rng.randrange(len(data) + 1)
            data = data[:at] + data[begin : begin + 4 * length] + data[at:]
        elif how == "number":
            value = rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x10000))
            data = data[:at] + struct.pack(rng.choice("<>") + "I", value) + data[at + 4 :]
    return data


def spoil_tree(tree: object, rng: random.Random) -> object:
    """A copy of what JSON can hold, with one or two values retyped, gone, nested, renamed or doubled."""
    root = [copy.deepcopy(tree)]
    for _ in range(rng.randint(1, 2)):
        holder, key = rng.choice(_places(root))
        how = rng.choice(("odd", "odd", "odd", "delete", "nest", "rename", "double"))
        if how == "delete" and holder is not root:
            del holder[key]
        elif how == "nest":
            holder[key] = rng.choice(([holder[key]], {"a": holder[key]}))
        elif how == "rename" and isinstance(holder, dict):
            holder[rng.choice((HOSTILE, "", f"{key}x", key.upper()))] = holder.pop(key)
        elif how == "double" and isinstance(holder[key], list | str):
            holder[key] = holder[key] * 2
        else:
            holder[key] = copy.deepcopy(rng.choice(ODD))
    return root[0]


def text_of(tree: object) -> str:
    """JSON, with what Python would not write written out."""
    text = json.dumps(tree)
    for mark, written in WRITTEN.items():
        text = text.replace(f'"{mark}"', written)
    return text


def spoil_json(data: bytes, rng: random.Random) -> bytes:
    """A JSON file with other values in it, or, one time in five, other bytes."""
    return spoil_bytes(data, rng) if rng.random() < 0.2 else text_of(spoil_tree(json.loads(data), rng)).encode()


def spoil_lines(data: bytes, rng: random.Random) -> bytes:
    """A file of JSON lines, one of them spoilt."""
    lines = data.splitlines()
    which = rng.randrange(len(lines))
    return b"\n".join([*lines[:which], spoil_json(lines[which], rng), *lines[which + 1 :]]) + b"\n"


def spoil_header(data: bytes, rng: random.Random) -> bytes:
    """A .safetensors file whose own text in the header is spoilt, or, one time in five, the table of its tensors."""
    length = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + length])
    if rng.random() < 0.2:
        text = text_of(spoil_tree(table, rng))
    else:
        told = spoil_tree(json.loads(table["__metadata__"]["sfumato"]), rng)
        text = json.dumps({**table, "__metadata__": {"sfumato": text_of(told)}})
    return struct.pack("<Q", len(text)) + text.encode() + data[8 + length :]


def _places(tree: object) -> list[tuple]:
    """Every list or object inside, with each of its keys."""
    found, level = [], [tree]
    while level:
        holder = level.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                level.append(holder[key])
    return found
