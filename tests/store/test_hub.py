"""Models on a hub: pushed to and loaded from a server on this machine, and every refusal in one line."""

import base64
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("huggingface_hub", reason="a hub needs huggingface_hub")

import sfumato as sf
from sfumato.cli import main
from sfumato.core.errors import CheckpointError, DownloadError, SettingError, SfumatoError, StorageError
from sfumato.models import MODELS
from sfumato.store import checkpoint, weights
from sfumato.store.cards import DataFacts, Figure, ModelCard
from sfumato.store.hub import fetch as fetching
from sfumato.store.hub.address import HubAddress, parsed
from sfumato.store.hub.push import push

TOKEN = "hf_AnyTokenThatNobodyMaySee"
ADDRESS = "hf:someone/tiny"


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of a hub as push, load and snapshot ask for; `self.server.plan` says how it misbehaves."""

    def do_POST(self):
        plan = self.server.plan
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"error": f"no access with {self.headers.get('Authorization')}"})
        if plan.status:
            return self.answer(plan.status, {"error": f"refused {TOKEN}"})
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            plan.made.append((name, asked.get("private") or asked.get("visibility") == "private"))
            return self.answer(200, {"url": f"{plan.url}/{name}", "name": name})
        if "/preupload/" in self.path:
            files = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in json.loads(body)["files"]]
            return self.answer(200, {"files": files})
        if "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    plan.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self.answer(200, {"commitUrl": f"{plan.url}/someone/tiny/commit/{plan.commit}", "commitOid": plan.commit})
        return self.answer(200, {})

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        plan, path = self.server.plan, urllib.parse.urlsplit(self.path).path
        plan.requests.append((self.command, path))
        if plan.status:
            return self.answer(plan.status, {"error": f"refused {TOKEN}"}, code=plan.code)
        if "/tree/" in path:
            return self.answer(
                200, [{"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in plan.files.items()]
            )
        if "/revision/" in path or path.startswith("/api/models/"):
            return self.answer(200, {"id": "someone/tiny", "sha": plan.commit, "siblings": [{"rfilename": name} for name in plan.files]})
        name = path.rpartition("/")[2]
        if name not in plan.files:
            return self.answer(404, {}, code="EntryNotFound")
        content = plan.files[name]
        etag = hashlib.sha256(content).hexdigest() if plan.large else hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        sent = bytes(len(content)) if plan.wrong else content[: len(content) // 2] if plan.truncated else content
        self.send_response(200)
        for key, value in {"ETag": f'"{etag}"', "Content-Length": str(len(content)), "X-Repo-Commit": plan.commit}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(sent)
            self.close_connection = True
        return None

    def answer(self, status, content, code=""):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on this machine, with a token and an empty cache; nothing waits between attempts."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    url = f"http://127.0.0.1:{server.server_port}"
    faults = {"status": 0, "code": "", "wrong": False, "truncated": False, "large": True}
    server.plan = SimpleNamespace(url=url, files={}, made=[], requests=[], commit="c" * 40, **faults)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    fetching._fetched.cache_clear()
    yield server.plan
    fetching._fetched.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.fixture
def tiny(tmp_path):
    """A model file of a small generator."""
    config = MODELS["dcgan"](size=(16, 16), channels=1, classes=0, width=4, discriminator_width=4, latent_dim=3, lowest=4)
    figure = Figure(name="frechet", value=1.5, protocol={"features": "own | small", "images": 10})
    card = ModelCard(licence="MIT (weights)", data=DataFacts(name="letters", images=12, terms="free of any terms"), metrics=(figure,))
    path = tmp_path / "runs" / "tiny" / "model.safetensors"
    path.parent.mkdir(parents=True)
    checkpoint.save(path, config.build(), config, card)
    return path


def pushed(hub, tiny):
    push(str(tiny), "someone/tiny")
    return hub.files


def test_a_pushed_model_is_the_same_elsewhere(hub, tiny, tmp_path):
    result = push(str(tiny.parent), "someone/tiny", private=True)
    assert (hub.made, result.address) == ([("someone/tiny", True)], f"{ADDRESS}@{hub.commit}")
    assert hub.files["model.safetensors"] == tiny.read_bytes()
    script = f"""
import sys, torch, sfumato as sf
model = sf.load("{ADDRESS}")
torch.save(dict(model.network.state_dict()), sys.argv[1])
sf.generate("{ADDRESS}@main", n=3, seed=5).save(sys.argv[2])
"""
    there, sheet = tmp_path / "there.pt", tmp_path / "there.png"
    subprocess.run([sys.executable, "-c", script, str(there), str(sheet)], env=dict(os.environ), check=True, timeout=240)
    expected, state = load_file(tiny), torch.load(there, weights_only=True)  # noqa: TID251  tensors alone
    assert expected.keys() == state.keys()
    assert all(torch.equal(expected[key], state[key]) for key in expected)
    sf.generate(str(tiny), n=3, seed=5).save(tmp_path / "here.png")
    assert sheet.read_bytes() == (tmp_path / "here.png").read_bytes()


def test_the_readme_has_licence_terms_figures_with_protocol_and_commands(hub, tiny, tmp_path):
    picture = tmp_path / "sheet.png"
    sf.generate(str(tiny), n=1).save(picture)
    text = push(sf.load(str(tiny)), "hf:someone/tiny", pictures=[picture]).readme
    assert hub.files["README.md"].decode() == text
    assert hub.files["picture-1.png"] == picture.read_bytes()
    header = dict(line.split(": ", 1) for line in text.split("---\n")[1].splitlines())
    assert {key: json.loads(value) for key, value in header.items()} == {
        "library_name": "sfumato",
        "tags": ["sfumato", "dcgan"],
        "license": "mit",
        "pipeline_tag": "unconditional-image-generation",
    }
    for part in (
        "letters, 12 images. Terms: free of any terms.",
        "| frechet | 1.5 | features: own \\| small, images: 10 |",
        f"sfumato generate {ADDRESS} ",
        hashlib.sha256(hub.files["model.safetensors"]).hexdigest(),
        "](picture-1.png)",
    ):
        assert part in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize("name", ["digits-vae", "eurosat-classifier", "upscale-x2"])
def test_a_bundled_model_has_a_readme_without_gaps(name, hub):
    text = push(name, "someone/tiny").readme
    assert re.search(r"## Licence\n\nApache-2.0", text)
    assert "Terms: not stated" not in text
    assert f"{ADDRESS}" in text


def test_a_snapshot_is_a_run_folder(hub, tiny, tmp_path):
    import huggingface_hub

    pushed(hub, tiny)
    folder = huggingface_hub.snapshot_download("someone/tiny", endpoint=hub.url, cache_dir=tmp_path / "snapshots")
    assert sf.load(folder).card.licence == "MIT (weights)"


def test_the_hub_is_asked_once_in_a_process_and_not_at_all_offline(hub, tiny, monkeypatch):
    pushed(hub, tiny)
    first = weights.find(ADDRESS)
    asked = len(hub.requests)
    assert weights.find(ADDRESS) == first
    assert len(hub.requests) == asked
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert weights.find(ADDRESS) == first
    assert len(hub.requests) == asked
    with pytest.raises(DownloadError, match="not in the cache, and HF_HUB_OFFLINE"):
        weights.find("hf:someone/other")


def test_without_a_connection_the_last_file_is_taken(hub, tiny, monkeypatch):
    pushed(hub, tiny)
    first = weights.find(ADDRESS)
    fetching._fetched.cache_clear()
    hub.status = 503
    assert weights.find(ADDRESS) == first


REFUSALS = [(401, "", "HF_TOKEN"), (403, "", "does not allow"), (404, "RepoNotFound", "no such repository"), (429, "", "too many requests")]


@pytest.mark.parametrize(
    ("status", "code", "words"), [*REFUSALS, (404, "RevisionNotFound", "no such repository or revision"), (500, "", "later")]
)
def test_a_refused_load_is_one_line_without_the_token(hub, status, code, words, capsys):
    hub.status, hub.code = status, code
    with pytest.raises(SystemExit) as ended:
        main(["generate", f"{ADDRESS}@v1", "--out", "never"])
    line = capsys.readouterr().err
    assert ended.value.code == 2
    assert re.fullmatch(rf"[^\n]*{re.escape(ADDRESS)}@v1[^\n]*{words}[^\n]*{status}[^\n]*\n", " ".join(line.split()) + "\n")
    assert TOKEN not in line


@pytest.mark.parametrize(("status", "code", "words"), REFUSALS)
def test_a_refused_push_is_one_line_without_the_token(hub, tiny, status, code, words):
    hub.status = status
    with pytest.raises(StorageError, match=f"^someone/tiny: .*{words}.*{status}") as raised:
        push(str(tiny), "someone/tiny")
    assert TOKEN not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_push_without_a_token_says_so(hub, tiny, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_AnotherTokenThatNobodyMaySee")
    with pytest.raises(StorageError, match="HF_TOKEN") as raised:
        push(str(tiny), "someone/tiny")
    assert "hf_Another" not in str(raised.value)


def test_a_hub_that_is_not_there_is_one_line(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"hf:someone/tiny: .*127\.0\.0\.1:9.*look at the connection") as raised:
        weights.find(ADDRESS)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("fault", ["wrong", "truncated"])
def test_wrong_content_is_refused_and_the_next_call_repairs_it(hub, tiny, fault, large):
    pushed(hub, tiny)
    hub.large = large
    setattr(hub, fault, True)
    with pytest.raises(DownloadError, match=r"^hf:someone/tiny: ") as raised:
        weights.find(ADDRESS)
    assert "\n" not in str(raised.value)
    setattr(hub, fault, False)
    assert weights.find(ADDRESS).read_bytes() == tiny.read_bytes()


def test_files_that_can_run_code_are_refused(hub):
    hub.files["pytorch_model.bin"] = b"\x80\x04."
    with pytest.raises(CheckpointError, match=r"holds pytorch_model\.bin and no model\.safetensors; .* not opened"):
        weights.load(ADDRESS)
    assert not [path for _, path in hub.requests if path.endswith("pytorch_model.bin")]


def test_a_repository_without_a_model_says_what_it_holds(hub):
    hub.files["notes.txt"] = b"none"
    with pytest.raises(CheckpointError, match=r"holds no model\.safetensors, but notes\.txt"):
        weights.load(ADDRESS)


def test_a_model_that_lacks_a_tensor_is_refused_before_a_push_and_after_a_load(hub, tiny):
    tensors, header = checkpoint.read_tensors(tiny)
    tensors.pop(next(iter(tensors)))
    checkpoint.write_tensors(tiny, tensors, {key: header[key] for key in ("model", "card")})
    with pytest.raises(CheckpointError, match="is missing"):
        push(str(tiny), "someone/tiny")
    assert hub.made == []
    hub.files["model.safetensors"] = tiny.read_bytes()
    with pytest.raises(CheckpointError, match="is missing"):
        weights.load(ADDRESS)


@pytest.mark.parametrize("text", ["hf:", "hf:cats", "hf:a/b/c", "hf:../etc", "hf:a/..", "hf:a/b@", "hf:a/b@../x", "hf:a b/c", "hf:a/b@-x"])
def test_what_is_no_address_is_told_before_the_hub_is_asked(text, hub):
    with pytest.raises(SettingError, match="no address of a model on a hub"):
        weights.find(text)
    assert hub.requests == []


def test_addresses_are_read_and_written():
    for text in ("hf:owner/name", "hf:own-er/na.me_2@refs/pr/1", f"hf:o/n@{'a' * 40}"):
        assert str(parsed(text)) == text
    assert parsed("owner/name") == HubAddress("owner", "name")
    assert weights.short_name("hf:owner/name@v1") == "name"


def test_without_the_package_the_message_names_the_command(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: weights.find(ADDRESS), lambda: push(str(tiny), "someone/tiny")):
        with pytest.raises(SfumatoError, match="pip install huggingface_hub"):
            call()
