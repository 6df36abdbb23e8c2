"""Fetched whole or not at all, whatever the server does."""

import contextlib
import gzip
import hashlib
import http.server
import struct
import threading
from types import SimpleNamespace

import pytest

from sfumato.core.atomic_io import digest
from sfumato.core.errors import DownloadError, StorageError
from sfumato.data.download import fetch
from sfumato.data.load import load
from sfumato.data.public_sets import PUBLIC, File, PublicSet

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `self.server.plan`: files, and how to misbehave."""

    def do_GET(self):
        plan = self.server.plan
        plan.requests.append(self.headers.get("Range"))
        if plan.silent:
            plan.over.wait()
            return
        content = plan.files.get(self.path[1:])
        if content is None:
            self.send_error(404)
            return
        start = int(self.headers["Range"][6:-1]) if plan.ranges and "Range" in self.headers else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if plan.length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = start + plan.breaks.pop(0) if plan.breaks else len(content)
        with contextlib.suppress(OSError):
            self.wfile.write(content[start:stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    """Starts a loopback server; what it was asked for (the Range headers) is in `requests`."""
    servers = []

    def start(files, *, breaks=(), ranges=True, length=True, silent=False, closed=False):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        plan = SimpleNamespace(
            files=files, breaks=list(breaks), ranges=ranges, length=length, silent=silent, requests=[], over=threading.Event()
        )
        plan.url = f"http://127.0.0.1:{server.server_port}/"
        server.plan = plan
        if closed:
            server.server_close()
            return plan
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return plan

    yield start
    for server, thread in servers:
        server.plan.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def get(target, *urls, digest=DIGEST, **options):
    return fetch(urls, target, sha256=digest, pause=0.01, timeout=60, **options)


def left(tmp_path):
    return sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("."))


def test_whole(tmp_path, serve):
    server, reports = serve({"x": CONTENT}), []
    target = get(tmp_path / "deep" / "x", server.url + "x", progress=lambda have, total: reports.append((have, total)))
    assert target.read_bytes() == CONTENT
    assert digest(target) == DIGEST
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    assert left(target.parent) == ["x"]
    get(target, server.url + "x")
    assert len(server.requests) == 1


def test_a_file_that_went_bad_is_fetched_again(tmp_path, serve):
    (tmp_path / "x").write_bytes(b"bad")
    assert get(tmp_path / "x", serve({"x": CONTENT}).url + "x").read_bytes() == CONTENT


def test_wrong_content_is_deleted_and_said(tmp_path, serve):
    with pytest.raises(DownloadError, match=f"expected SHA-256 {'0' * 64}, got {DIGEST}"):
        get(tmp_path / "x", serve({"x": CONTENT}).url + "x", digest="0" * 64)
    assert left(tmp_path) == []


def test_wrong_content_on_one_mirror_only(tmp_path, serve):
    assert get(tmp_path / "x", serve({"x": b"login page"}).url + "x", serve({"x": CONTENT}).url + "x").read_bytes() == CONTENT


def test_broken_off_and_resumed(tmp_path, serve):
    server = serve({"x": CONTENT}, breaks=[300_000, 200_000])
    assert get(tmp_path / "x", server.url + "x").read_bytes() == CONTENT
    assert server.requests == [None, "bytes=300000-", "bytes=500000-"]


def test_broken_for_good_keeps_what_came_and_the_next_call_goes_on(tmp_path, serve):
    server = serve({"x": CONTENT}, breaks=[100_000] * 3)
    with pytest.raises(DownloadError, match=r"broke off after 300000 of 1024000 bytes.*300000 bytes are kept, run the command again"):
        get(tmp_path / "x", server.url + "x")
    assert left(tmp_path) == ["x.part"]
    assert get(tmp_path / "x", server.url + "x").read_bytes() == CONTENT
    assert server.requests[-1] == "bytes=300000-"
    assert left(tmp_path) == ["x"]


def test_a_server_that_knows_no_ranges_starts_over(tmp_path, serve):
    server = serve({"x": CONTENT}, breaks=[300_000], ranges=False)
    assert get(tmp_path / "x", server.url + "x").read_bytes() == CONTENT


def test_no_length_stated(tmp_path, serve):
    assert get(tmp_path / "x", serve({"x": CONTENT}, length=False).url + "x").read_bytes() == CONTENT


def test_killed_between_the_last_byte_and_the_name(tmp_path, serve):
    (tmp_path / "x.part").write_bytes(CONTENT)
    server = serve({"x": CONTENT})
    assert get(tmp_path / "x", server.url + "x").read_bytes() == CONTENT
    assert server.requests == []


def test_a_part_longer_than_the_file(tmp_path, serve):
    (tmp_path / "x.part").write_bytes(CONTENT + b"more")
    assert get(tmp_path / "x", serve({"x": CONTENT}).url + "x").read_bytes() == CONTENT


def test_absent_here_present_there(tmp_path, serve):
    empty, full = serve({}), serve({"x": CONTENT})
    assert get(tmp_path / "x", empty.url + "x", full.url + "x").read_bytes() == CONTENT
    assert len(empty.requests) == 1  # nobody asks three times for what is not there


def test_all_mirrors_dead(tmp_path, serve):
    closed = serve({}, closed=True)
    with pytest.raises(DownloadError, match=r"x could not be downloaded .*404 Not Found.*refused.*run the same command again") as caught:
        get(tmp_path / "x", serve({}).url + "x", closed.url + "x")
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == []


def test_a_silent_server_is_given_up(tmp_path, serve):
    with pytest.raises(DownloadError, match="timed out"):
        fetch([serve({"x": CONTENT}, silent=True).url + "x"], tmp_path / "x", sha256=DIGEST, tries=1, timeout=0.2)


def test_a_disk_that_refuses(tmp_path, serve):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot be written .*SFUMATO_CACHE"):
        get(tmp_path / "file" / "x", serve({"x": CONTENT}).url + "x")


def test_a_download_end_to_end(tmp_path, monkeypatch, serve):
    images = struct.pack(">4B3I", 0, 0, 8, 3, 2, 4, 4) + bytes(range(32))
    labels = struct.pack(">4B1I", 0, 0, 8, 1, 2) + bytes([1, 0])
    files = {f"{n}.gz": gzip.compress(c) for n, c in {"a": images, "b": labels, "c": images, "d": labels}.items()}
    server = serve(files)
    facts = tuple(File(name=n, bytes=len(c), sha256=hashlib.sha256(c).hexdigest()) for n, c in files.items())
    tiny = PublicSet(classes=("x", "y"), terms="none", mirrors=(server.url,), files=facts, read=PUBLIC["mnist"].read)
    monkeypatch.setitem(PUBLIC, "mnist", tiny)
    monkeypatch.delenv("SFUMATO_DATA", raising=False)
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path))
    data = load("mnist")
    assert data.pixels.flatten().tolist() == list(range(32))
    assert data.labels.tolist() == [1, 0]
    requests_before = len(server.requests)
    assert load("mnist", part="test").fingerprint == data.fingerprint
    assert len(server.requests) == requests_before == 4
    (tmp_path / "mnist" / "a.gz").unlink()
    server.files.clear()
    with pytest.raises(DownloadError, match=r"a\.gz could not be downloaded"):
        load("mnist")
