"""Pickles and zips written byte by byte, to do harm: all are refused, most by the name of what they want, and nothing of them runs."""

import io
import pickle  # noqa: TID251  to make what must be refused
import struct
import subprocess
import sys
import textwrap
import zipfile

import pytest
import torch

from sfumato.core.errors import CheckpointError
from sfumato.store import pickles
from sfumato.store.pickles.source import FLOOR


def refused(folder, data, saying):
    (folder / "net.pkl").write_bytes(data)
    with pytest.raises(CheckpointError, match=saying):
        pickles.read(folder / "net.pkl")


def ask(module, name, rest=b"."):
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + rest


NAMES = """builtins.eval builtins.exec builtins.getattr builtins.__import__ __builtin__.eval subprocess.Popen nt.system posix.system
importlib.import_module functools.partial operator.attrgetter copyreg._reconstructor pickle.loads runpy._run_code torch.load torch.hub.load
torch.storage.TypedStorage torch.nn.modules.module.Module torch.serialization.load numpy.load numpy.core.multiarray.dot
collections.defaultdict collections.OrderedDict.__init__.__globals__ torch_utils.persistence._src_to_module
dnnlib.util.construct_class_by_name sfumato.store.checkpoint.load . a\tb.c"""


@pytest.mark.parametrize("name", NAMES.replace("\n", " ").split(" "))
def test_a_name_outside_of_the_table_is_refused(name, tmp_path):
    module, _, inner = name.rpartition(".")
    said = ascii(f"{module}.{inner}")[1:-1].replace("\\", "\\\\")
    refused(tmp_path, ask(module, inner), f"asks for {said}, which is code")
    text = b"".join(b"\x8c" + struct.pack("B", len(part)) + part.encode() for part in (module, inner))
    refused(tmp_path, b"\x80\x04" + text + b"\x93.", f"asks for {said}, which is code")
    refused(tmp_path, b"(i" + f"{module}\n{inner}\n.".encode(), f"asks for {said}, which is code")


def test_a_tensorflow_network_is_told_the_way(tmp_path):
    refused(tmp_path, ask("dnnlib.tflib.network", "Network"), "asks for dnnlib.tflib.network.Network, which is code: it is a TensorFlow")


SET = b"c__builtin__\nset\n"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORE = b"ctorch.storage\n_load_from_bytes\n"


@pytest.mark.parametrize(
    ("body", "saying"),
    [
        (SET + b"}X\x04\x00\x00\x00callK\x01sb.", "gives a state to __builtin__.set"),
        (SET + b"N}X\x04\x00\x00\x00callK\x01s\x86b.", "gives a state to __builtin__.set"),
        (b"K\x07}b.", "gives a state to a int"),
        (b"K\x07)R.", "calls a int"),
        (b"cdnnlib.util\nEasyDict\n)R.", "calls dnnlib.util.EasyDict"),
        (b"ctorch\nfloat32\n)R.", "calls a dtype"),
        (SET + b"K\x01R.", "calls __builtin__.set"),
        (SET + b"K\x01\x85\x81.", "makes a __builtin__.set"),
        (b"cargparse\nNamespace\n)\x81K\x01b.", "gets a int for a state"),
        (b"cR3GAN.Networks\nConvolution\n)\x81]b.", "gets a list for a state"),
        (TENSOR + b"(K\x01K\x00K\x01\x85K\x01\x85\x89NtR.", "something else than a storage"),
        (TENSOR + b")R.", "something else than a storage"),
        (STORE + b"X\x01\x00\x00\x00a\x85R.", "something else than bytes"),
        (b"ctorch._utils\n_rebuild_parameter\n(K\x01\x88NtR.", "something else than a tensor"),
        (b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x85R.", "persistent class without"),
        (b"ccollections\nOrderedDict\n]K\x01a\x85R.", "makes a collections.OrderedDict"),
        (b"cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R.", "numpy dtype 'O8' is not of plain numbers"),
        (b"cnumpy\ndtype\n)R.", "numpy dtype '' is not"),
        (b"cnumpy\ndtype\n)" + b"\x85" * 50_000 + b"R.", "numpy dtype '' is not"),
        (b"\x82\x01.", "EXT1"),
        (b"\x84\x01\x00\x00\x00.", "EXT4"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"(\x92.", "NEWOBJ_EX|nothing is left"),
        (b"K\x01Q.", "persistent id where none is known"),
        (b"P1\n.", "PERSID"),
        (b"\x8b\xff\xff\xff\x7f.", "LONG4"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x0f.", "cut short"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "cut short"),
        (b"X\xff\xff\xff\xff.", "cut short"),
        (b"\x95\xff\xff\xff\xff\xff\xff\xff\xff.", "a frame claims"),
        (b"h\x07.", "value 7 was never kept"),
        (b"j\xff\xff\xff\xff.", "was never kept"),
        (b"q\x01.", "an instruction lacks its value"),
        (b"R.", "an instruction lacks its value"),
        (b"K\x01(R.", "an instruction lacks its value"),
        (b"t.", "no mark was set"),
        (b"N(K\x01u.", "a key has no value"),
        (b"NNNs.", "a NoneType stands for a dict"),
        (b"}]K\x01s.", "uses a list as a key"),
        (b"})K\x01s.", "uses a tuple as a key"),
        (b"}G\x00\x00\x00\x00\x00\x00\x00\x00K\x01s.", "uses a float as a key"),
        (b"}\x8a\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01K\x01s.", "uses a int as a key"),
        (b"NN.", "values left over"),
        (b"}.}", "1 bytes follow"),
        (b"\xff.", "no instruction has the code 255"),
        (b"c" + b"a" * 3000 + b"\nb\n.", "a name of more than"),
        (b"X\x01\x00\x00\x00\xff.", "damaged"),
    ],
)
def test_what_no_writer_does_is_refused(body, saying, tmp_path):
    refused(tmp_path, b"\x80\x04" + body, saying)


@pytest.mark.parametrize("version", [0, 1, 6, 255])
def test_other_protocols_are_refused(version, tmp_path):
    refused(tmp_path, bytes([0x80, version]) + b"}.", f"protocol {version}; 2 to 5 are read")


def nested(count=6, kept=6, told=None, record=None, tail=b"", order=True):
    """A legacy stream of one storage of six numbers, or what lies about it."""
    key = "94"
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": order})]
    middle = record or b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x02\x00\x00\x0094X\x03\x00\x00\x00cpu" + number(count) + b"NtQ."
    numbers = struct.pack("<q", count if told is None else told) + struct.pack(f"<{kept}f", *range(kept))
    return b"".join(parts) + b"\x80\x02" + middle + pickle.dumps([key], 2) + numbers + tail


def number(value):
    return pickle.dumps(value, 2)[2:-1]


def tensor(stream=None, offset=0, size=(2, 3), stride=(3, 1)):
    """A pickle of rosinality's form whose one tensor is cut out of `stream`."""
    data = nested() if stream is None else stream
    made = TENSOR + b"(" + STORE + b"\x8e" + struct.pack("<Q", len(data)) + data + b"\x85R"
    made += number(offset) + number(size) + number(stride) + b"\x89NtR"
    return b"\x80\x04}X\x05\x00\x00\x00g_ema}X\x11\x00\x00\x00conv1.conv.weight" + made + b"ss."


def test_a_tensor_written_by_hand_is_read(tmp_path):
    (tmp_path / "net.pkl").write_bytes(tensor(size=(3, 2), stride=(1, 3)))
    network = pickles.read(tmp_path / "net.pkl").networks["G_ema"]
    assert network.tensors["conv1.conv.weight"].tolist() == [[0, 3], [1, 4], [2, 5]]


OUTSIDE = (
    *((1, (2, 3), (3, 1)), (-1, (2, 3), (3, 1)), (6, (1,), (1,)), (1 << 62, (1,), (1,)), (2.5, (1,), (1,)), (None, (6,), (1,))),
    *((0, (7,), (1,)), (0, (2,), (6,)), (0, (2,), (-1,)), (5, (2,), (-1,)), (0, (2,), (1 << 63,)), (0, (2, 3), (3,))),
    *((0, (7,), (0,)), (0, (1 << 40,), (0,)), (0, (1 << 62, 4), (0, 0)), (0, (0, 1 << 62), (1, 1)), (0, (-1,), (1,))),
    *((0, (2.0, 3), (3, 1)), (0, (True,), (1,)), (0, 6, 1), (0, "66", "11"), (0, ((6,),), (1,)), (0, (1,) * 9, (1,) * 9)),
)


@pytest.mark.parametrize(("offset", "size", "stride"), OUTSIDE)
def test_a_tensor_outside_of_its_storage_is_refused(offset, size, stride, tmp_path):
    refused(tmp_path, tensor(None, offset, size, stride), "net.pkl: refused, nothing of it was run: a tensor of size")


SYSTEM = b"cposix\nsystem\nX\x04\x00\x00\x00true\x85R."


@pytest.mark.parametrize(
    ("stream", "saying"),
    [
        (nested(count=1 << 40), "a storage claims 4398046511104 bytes, and the whole file has"),
        (nested(count=1 << 62), "a storage claims"),
        (nested(count=-6), "names no storage"),
        (nested(count=12), "cut short"),
        (nested(count=12, kept=6, tail=b"\x00" * 23), "cut short"),
        (nested(count=2), "16 bytes follow after its end"),
        (nested(told=1 << 60), "is not of the 6 numbers"),
        (nested(told=-1), "is not of the 6 numbers"),
        (nested(tail=b"\x00"), "1 bytes follow"),
        (nested(order=False), "highest byte first"),
        (nested(record=SYSTEM), "asks for posix.system"),
        (nested(record=STORE + b"C\x00\x85R."), "asks for torch.storage._load_from_bytes"),
        (nested(record=b"}."), "not those that it lists"),
        (nested(record=b"(X\x06\x00\x00\x00moduleNtQ."), "names no storage"),
        (nested()[:40] + SYSTEM, "damaged|refused"),
        (b"", "cut short"),
        (SYSTEM, "asks for posix.system"),
    ],
)
def test_a_storage_that_lies_is_refused(stream, saying, tmp_path):
    refused(tmp_path, tensor(stream), saying)


def test_what_is_nested_without_end_is_refused(tmp_path):
    module = b"ctraining.networks\nGenerator\n)\x81q\x01}X\x08\x00\x00\x00_modules}X\x05\x00\x00\x00Modelh\x01ssb"
    refused(tmp_path, b"\x80\x04}X\x01\x00\x00\x00G" + module + b"s.", "modules lie more than 64 deep")
    good = tensor()[:-1]
    for opening, closing in ((b"]" * 3000, b"a" * 2999), (b"}" + b"K\x00}" * 1500, b"s" * 1500), (b")" + b"\x85" * 3000, b"")):
        refused(tmp_path, good + b"X\x01\x00\x00\x00x" + opening + closing + b"s.", "values lie more than 64 deep")
    refused(tmp_path, good + b"X\x01\x00\x00\x00x]q\x01h\x01as.", "values lie more than 64 deep")


def test_a_little_that_grows_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sfumato.store.pickles.source.FLOOR", 1 << 18)
    good = tensor()[:-1] + b"X\x01\x00\x00\x00x"
    laughs = b"]q\x00" + b"".join(b"]q" + bytes([i + 1]) + b"(" + (b"h" + bytes([i])) * 10 + b"e" for i in range(20)) + b"0" * 21
    refused(tmp_path, good + laughs + b"h\x14s.", "ask for more than 2 times their size and 262144 bytes in memory")
    refused(tmp_path, good + b"(" + b"}" * 10_000 + b"ts.", "ask for more than 2 times")
    refused(tmp_path, good + b"(" + b"X\x00\x00\x00\x00q\x00" * 10_000 + b"ts.", "ask for more than 2 times")
    wide = "\N{GRINNING FACE}".encode() + b"a" * 300_000
    refused(tmp_path, good + b"X" + struct.pack("<I", len(wide)) + wide + b"s.", "ask for more than 2 times")
    shape = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01" + number((1 << 50,))
    shape += b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x89\x88\x87R\x89C\x08abcdefghtb"
    refused(tmp_path, good + shape + b"s.", "numpy array of shape .* has 8 bytes")
    for many in (10_000, 2_000_000_000):
        empty = shape.replace(number((1 << 50,)), number((many, 0))).replace(b"C\x08abcdefgh", b"C\x00")
        refused(tmp_path, good + empty + b"s.", "ask for more than 2 times")


def test_one_storage_under_many_names_is_refused(tmp_path):
    cut = tensor(nested(600, kept=600), 0, (600,), (1,))
    start, end = cut.index(TENSOR), cut.rindex(b"ss.")
    more = b"".join(b"X\x02\x00\x00\x00%02dh\x00s" % i for i in range(60))
    data = cut[:start] + cut[start:end] + b"q\x00s" + more + b"s."
    refused(tmp_path, data.replace(b"\x80\x04}", b"\x80\x04}", 1), "its tensors, each for itself, are more than 2 times")


def zipped(changes=None, *, kept=zipfile.ZIP_STORED, count=600):
    stream = io.BytesIO()
    torch.save({"g_ema": {"conv1.conv.weight": torch.arange(float(count))}}, stream)
    out = io.BytesIO()
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(out, "w", kept) as new:
        files = {info.filename.split("/", 1)[1]: old.read(info) for info in old.infolist()}
        for title, data in {**files, **(changes or {})}.items():
            if data is not None:
                new.writestr(f"net/{title}", data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "saying"),
    [
        (zipped(kept=zipfile.ZIP_DEFLATED), "is compressed, which torch.save never does"),
        (zipped({"data.pkl": None}), "a zip with 0 files data.pkl"),
        (zipped({"more/data.pkl": b"}."}), "a zip with 2 files data.pkl"),
        (zipped({"byteorder": b"big"}), "highest byte first"),
        (zipped({"byteorder": b"x" * 1000}), "highest byte first"),
        (zipped({"data/0": b"short", "more": bytes(3000)}), "storage '0' of 600 numbers is not in it with that length"),
        (zipped({"data/0": None, "more": bytes(3000)}), "storage '0' of 600 numbers is not in it"),
        (zipped({"data.pkl": b"\x80\x02" + SYSTEM}), "asks for posix.system"),
        (zipped({"data.pkl": b"\x80\x02}.more"}), "4 bytes follow"),
        (zipped() + b"more", "list of contents is missing"),
        (zipped()[:-22] + zipped()[-22:-12] + b"\xfe\xff" + zipped()[-10:], "damaged"),
        (zipped()[:-6] + b"\xfe\xff\xff\xff\x00\x00", "damaged"),
        (zipped()[:-6] + b"\xff\xff\xff\xff\x00\x00", "damaged"),
    ],
)
def test_a_zip_that_torch_did_not_write_is_refused(data, saying, tmp_path):
    refused(tmp_path, data, saying)


def test_a_zip_written_again_is_read(tmp_path):
    (tmp_path / "net.pkl").write_bytes(zipped())
    found = pickles.read(tmp_path / "net.pkl")
    assert torch.equal(found.networks["G_ema"].tensors["conv1.conv.weight"], torch.arange(600.0))


PEAK = """
    import contextlib, os, re, sys
    from pathlib import Path
    from sfumato.core.errors import CheckpointError
    from sfumato.store import pickles
    def held(what):
        return int(re.search(what + r":\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    with contextlib.suppress(CheckpointError):
        pickles.read(Path(sys.argv[1]))
    for path in map(Path, sys.argv[2:]):
        if os.fork() == 0:
            before = held("VmRSS")
            with contextlib.suppress(CheckpointError):
                pickles.read(path)
            print(held("VmHWM") - before, path.stat().st_size, flush=True)
            os._exit(0)
        os.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much memory was held")
def test_memory_stays_below_the_limit(tmp_path):
    good = tensor()[:-1] + b"X\x01\x00\x00\x00x"
    files = {
        "warm": zipped(),
        "dictionaries": good + b"(" + b"}" * 6_000_000 + b"ts.",
        "memo": good + b"(" + b"".join(b"]r" + struct.pack("<I", i) for i in range(1_000_000)) + b"ts.",
        "sets": good + b"(" + b"\x8f" * 6_000_000 + b"ts.",
        "storage": tensor(nested(4_000_000, kept=4_000_000), 0, (4_000_000,), (1,)),
        "zip": zipped(count=4_000_000),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", textwrap.dedent(PEAK), *(str(tmp_path / name) for name in files)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for name, line in zip(list(files)[1:], lines, strict=True):
        more, size = map(int, line.split())
        assert 0 < more <= 2 * size + FLOOR, f"{name}: {more} bytes for a file of {size}"
