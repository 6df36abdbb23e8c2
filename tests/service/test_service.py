"""A whole service: results are those of the verbs in Python, hostile requests get 4xx, and a stop completes what was taken."""

import http.client
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sfumato as sf
from sfumato.core.errors import MissingExtraError, SettingError
from sfumato.core.tensors import to_pixels
from sfumato.embeddings.embedder import embedder
from sfumato.io import decode
from sfumato.service import server
from sfumato.service.settings import ServiceSettings
from sfumato.store import checkpoint
from tests.compression.conftest import small_codec
from tests.mutants import spoil_bytes
from tests.service.test_intake import bomb

pytest.importorskip("uvicorn", reason="the service needs uvicorn: pip install starlette uvicorn")
JPEG = {"Content-Type": "image/jpeg"}


def picture(kind="PNG", mode="RGB", **options):
    shape = (24, 32) if mode == "L" else (24, 32, len(mode))
    pixels = np.random.default_rng(0).integers(90, 160, shape, dtype=np.uint8)
    if mode == "RGBA":  # a hole in it
        pixels[..., 3], pixels[8:12, 8:12, 3] = 255, 0
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


class Service:
    """A service in a process of its own."""

    def __init__(self, folder):
        words = ["--port", "0", "--codec", str(folder / "codec.safetensors"), "--max-megapixels", "0.02", "--max-megabytes", "0.5"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "sfumato", "serve", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=Path(sf.__file__).parent.parent)
        self.address = self.process.stdout.readline().split()[-1].removeprefix("http://")

    def connection(self):
        return http.client.HTTPConnection(self.address, timeout=120)

    def ask(self, path, body=None, method="POST", headers=JPEG):
        """Status, headers and body of an answer."""
        connection = self.connection()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    codec = small_codec()
    checkpoint.save_model(folder / "codec.safetensors", codec)
    running = Service(folder)
    yield running
    running.process.kill()
    running.process.wait()
    running.process.stdout.close()


def pixels_of(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def test_a_restored_picture_is_that_of_restore(service):
    status, headers, content = service.ask("/restore?task=denoise", picture())
    expected = sf.restore(picture(), task="denoise")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert np.array_equal(pixels_of(content), np.asarray(expected))
    assert headers["Sfumato-Plan"] == expected.plans[0].summary


@pytest.mark.parametrize("form", ["jpeg", "webp", "tiff"])
def test_a_result_has_the_format_that_is_asked_for_and_its_metadata(service, form):
    status, headers, content = service.ask(f"/restore?method=median&format={form}", picture(dpi=(300, 300)))
    image = Image.open(io.BytesIO(content))
    assert (status, headers["Content-Type"], image.format) == (200, f"image/{form}", form.upper())
    assert form == "webp" or round(float(image.info["dpi"][0])) == 300


def test_transparent_pixels_are_filled_in(service):
    status, _, content = service.ask("/restore?mask=alpha&task=inpaint", picture(mode="RGBA"))
    assert (status, pixels_of(content).shape) == (200, (24, 32, 3))


def test_generated_images_are_those_of_generate(service):
    status, headers, content = service.ask("/generate?n=3&seed=5&label=bag&columns=3")
    expected = to_pixels(torch.Tensor(sf.generate("fashion", 3, seed=5, label="bag")), columns=3)
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert np.array_equal(pixels_of(content), expected[..., 0].numpy())


def test_a_compressed_picture_is_that_of_compress(service):
    status, headers, content = service.ask("/compress?quality=30", picture())
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    assert content == sf.compress(picture(), quality=30, model=small_codec())
    assert sf.decompress(content, model=small_codec()).size == (32, 24)


def test_a_vector_is_that_of_embed(service):
    status, _, content = service.ask("/embed?crop=stretch", picture())
    network = embedder("eurosat-classifier")
    pixels = decode.decode(io.BytesIO(picture()), "x", channels=3, size=network.size, crop="stretch")
    expected = network.vectors(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None])[0].tolist()
    assert (status, json.loads(content)["model"], json.loads(content)["weights"]) == (200, "eurosat-classifier", network.weights)
    assert json.loads(content)["vector"] == pytest.approx(expected, abs=1e-5)


HOSTILE = {
    "empty": b"",
    "text": b"hello, world",
    "JSON": b'{"picture": null}',
    "half a PNG": picture()[:700],
    "half a JPEG": picture("JPEG")[:300],
    "bomb by its header": bomb(),
    "cut bomb": bomb(140, 140)[:45],
    "too many bytes": bytes(600_000),
    "film": b"\x1a\x45\xdf\xa3" + bytes(5000),
}


@pytest.mark.parametrize("verb", ["restore", "compress", "embed"])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bodies_are_refused_with_a_sentence_about_nothing_of_the_server(service, verb, body):
    status, _, content = service.ask(f"/{verb}", body)
    assert 400 <= status < 500
    assert_public(json.loads(content)["error"])


def assert_public(sentence):
    """A sentence of one line that names no folder of this machine."""
    assert sentence
    assert "\n" not in sentence
    assert not [place for place in (os.getcwd(), str(Path(sf.__file__).parent), "/tmp", "site-packages") if place in sentence]


def test_spoilt_pictures_are_read_or_refused(service):
    rng = random.Random(0)
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"):
        for _ in range(6):
            status, _, content = service.ask("/restore?method=median", spoil_bytes(picture(kind, mode="L"), rng))
            assert status == 200 or 400 <= status < 500
            if status != 200:
                assert_public(json.loads(content)["error"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/restore?task=paint", 400), ("/restore?task=denoise&scale=2", 400), ("/restore?model=/etc/passwd", 400),
        ("/restore?method=deep-image-prior", 400), ("/restore?task=upscale&scale=8", 413), ("/restore?task=inpaint", 400),
        ("/restore?blur=gaussian:/etc", 400), ("/compress?quality=1&bpp=1", 400), ("/compress?max_kb=0.01", 400),
        ("/generate", 400), ("/generate?n=200", 413), ("/generate?label=/etc/passwd", 400), ("/embed?crop=no", 400), ("/etc/passwd", 404),
        ("/..%2f..%2fetc", 404),
    ],
)  # fmt: skip
def test_requests_that_cannot_be_carried_out_are_refused(service, path, status):
    body = None if "?" in path and path.startswith("/generate") else picture()
    answered, _, content = service.ask(path, body)
    assert answered == status
    assert_public(json.loads(content)["error"])


def test_other_methods_are_refused(service):
    assert service.ask("/restore", method="GET")[0] == 405


def test_what_is_offered_and_counted_can_be_read(service):
    status, _, content = service.ask("/", method="GET")
    assert (status, list(json.loads(content)["verbs"])) == (200, ["POST /restore", "POST /generate", "POST /compress", "POST /embed"])
    assert [service.ask(path, method="GET")[0] for path in ("/health", "/ready")] == [200, 200]
    status, headers, content = service.ask("/metrics", method="GET")
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    lines = [line for line in content.decode().splitlines() if not line.startswith("#")]
    values = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
    assert len(values) == len(lines), "each name and its labels come once"
    assert values["sfumato_processes"] == 1
    assert values['sfumato_process_restarts_total{reason="ended"}'] == 0, "no request ended a process"


def test_a_client_that_waits_for_a_word_is_refused_before_it_sends(service):
    with socket.create_connection(service.address.split(":"), timeout=120) as client:
        client.sendall(b"POST /restore HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_client_that_leaves_while_it_is_refused_is_counted_as_any_other(service):
    counted = b'sfumato_requests_total{verb="embed",status="413"}'
    before = service.ask("/metrics", method="GET")[2]
    with socket.create_connection(service.address.split(":"), timeout=120) as client:
        client.sendall(b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n0123456789")
    while (after := service.ask("/metrics", method="GET")[2]) and line_with(counted, after) == line_with(counted, before):
        time.sleep(0.05)


def line_with(beginning, text):
    return next((line for line in text.splitlines() if line.startswith(beginning)), b"")


def test_a_stop_completes_what_was_taken(service):
    """The last test of this service."""
    body = picture()
    with socket.create_connection(service.address.split(":"), timeout=120) as client:
        head = f"POST /restore?method=median HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body[:100])
        while b"sfumato_waiting_requests 1\n" not in service.ask("/metrics", method="GET")[2]:
            time.sleep(0.05)
        service.process.send_signal(signal.SIGTERM)
        client.sendall(body[100:])
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, len(pixels_of(answer.read()))) == (200, 24)
    assert service.process.wait(timeout=120) == 0


def test_an_address_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingError, match=f"port {taken.getsockname()[1]} cannot be"):
        server.serve(ServiceSettings(port=taken.getsockname()[1]))
    with pytest.raises(SettingError, match="no address"):
        server.serve(ServiceSettings(host="no such host."))


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_its_packages_the_command_is_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match="the service needs Starlette; install it with: pip install starlette uvicorn"):
        server.serve(ServiceSettings())
