"""Public weights by name: downloaded from a server on this machine, resumed, compared, converted."""

import contextlib
import dataclasses
import hashlib
import http.server
import threading
from types import SimpleNamespace

import pytest
import torch

from sfumato.cli import main
from sfumato.core.errors import CheckpointError, DownloadError, SettingError, UnknownNameError
from sfumato.store import catalogue, checkpoint, public
from sfumato.store.catalogue import CATALOGUE, get_weights


class Files(http.server.BaseHTTPRequestHandler):
    """Serves the files of `self.server.plan`; breaks off after `breaks` bytes once."""

    def do_GET(self):
        plan = self.server.plan
        plan.ranges.append(self.headers.get("Range"))
        content = plan.files.get(self.path[1:])
        if content is None:
            return self.send_error(404)
        start = int(self.headers["Range"][6:-1]) if "Range" in self.headers else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = start + plan.breaks.pop() if plan.breaks else len(content)
        with contextlib.suppress(OSError):
            self.wfile.write(content[start:stop])
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server whose files stand for the release of the grey FFDNet, with an empty cache."""
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    served.plan = SimpleNamespace(files={}, breaks=[], ranges=[])
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SFUMATO_WEIGHTS", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    sizes = [(64, 5), *[(64, 64)] * 13, (4, 64)]
    state = {f"model.{2 * i}.weight": torch.zeros(*size, 3, 3) for i, size in enumerate(sizes)}
    state |= {f"model.{2 * i}.bias": torch.zeros(size[0]) for i, size in enumerate(sizes)}
    for value in (state[f"model.{2 * i}.weight"] for i in range(len(sizes))):
        value[range(4), range(4), 1, 1] = 1.0  # so that pictures come back as they are
    torch.save(state, tmp_path / "theirs.pth")
    served.plan.files["ffdnet_gray.pth"] = (tmp_path / "theirs.pth").read_bytes()
    use(monkeypatch, served, sha256="")
    yield served
    served.shutdown()
    served.server_close()


def use(monkeypatch, served, *, sha256):
    """Lets the catalogue name the server, and this SHA-256."""
    entry = CATALOGUE["ffdnet-gray"]
    file = dataclasses.replace(entry.files[0], folder=f"http://127.0.0.1:{served.server_port}", sha256=sha256)
    monkeypatch.setitem(catalogue.CATALOGUE, "ffdnet-gray", dataclasses.replace(entry, files=(file,)))


@pytest.mark.parametrize("published", [True, False])
def test_weights_become_a_model_file_with_their_source(server, published, monkeypatch):
    content = server.plan.files["ffdnet_gray.pth"]
    digest = hashlib.sha256(content).hexdigest()
    use(monkeypatch, server, sha256=digest if published else "")
    obtained = get_weights("ffdnet-gray")
    assert obtained.published == published
    model = checkpoint.load(obtained.path)
    assert model.card.imported.sha256 == digest
    tensors = {tuple(value.shape) for value in model.network.state_dict().values()}
    assert (64, 5, 3, 3) in tensors


@pytest.mark.parametrize("published", [True, False])
def test_an_interrupted_download_is_resumed(server, published, monkeypatch):
    content = server.plan.files["ffdnet_gray.pth"]
    use(monkeypatch, server, sha256=hashlib.sha256(content).hexdigest() if published else "")
    monkeypatch.setattr("sfumato.data.download.time.sleep", lambda seconds: None)
    server.plan.breaks = [1000]
    assert get_weights("ffdnet-gray").model.card.imported.sha256 == hashlib.sha256(content).hexdigest()
    assert server.plan.ranges == [None, "bytes=1000-"]


def test_a_wrong_hash_is_refused_and_nothing_is_kept(server, tmp_path, monkeypatch):
    use(monkeypatch, server, sha256="0" * 64)
    with pytest.raises(DownloadError, match="wrong content, expected SHA-256 0000"):
        get_weights("ffdnet-gray")
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".safetensors", ".part")]


def test_a_page_in_the_place_of_the_file_is_refused_and_the_next_call_repairs_it(server):
    good = server.plan.files["ffdnet_gray.pth"]
    server.plan.files["ffdnet_gray.pth"] = b"<html>moved</html>"
    with pytest.raises(CheckpointError):
        get_weights("ffdnet-gray")
    server.plan.files["ffdnet_gray.pth"] = good
    assert get_weights("ffdnet-gray").path.is_file()


def test_a_missing_file_is_one_line(server, capsys):
    server.plan.files.clear()
    with pytest.raises(SystemExit) as ended:
        main(["get", "ffdnet-gray"])
    assert ended.value.code == 2
    assert "404" in capsys.readouterr().err


def test_the_list_names_address_licence_and_hash_of_every_file(capsys):
    main(["get", "--list"])
    shown = capsys.readouterr().out
    for entry in CATALOGUE.values():
        assert f"{entry.name}: " in shown
        for file in entry.files:
            assert f"{file.folder}/{file.name}" in shown
            assert f"licence: {file.terms}; sha256: {file.sha256 or 'not published'}" in shown


def test_every_entry_has_an_address_and_a_licence_and_a_hash_that_is_one():
    assert set(public.NAMES) < set(CATALOGUE)
    for entry in CATALOGUE.values():
        assert entry.licence
        for file in entry.files:
            assert file.folder.startswith("https://")
            assert file.sha256 == "" or len(bytes.fromhex(file.sha256)) == 32


def test_what_is_not_in_the_catalogue_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match="ffdnet-gray"):
        get_weights("ffdnet-grey")
    with pytest.raises(SettingError, match=r"must end in|safetensors"):
        get_weights("ffdnet-gray", "out.onnx")
    for words in (["get"], ["get", "ffdnet-gray", "--list"]):
        with pytest.raises(SystemExit):
            main(words)
