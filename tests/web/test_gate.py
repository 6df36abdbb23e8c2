"""The gate: password, host, route, size, and whose file."""

import asyncio
import base64
import contextlib
import json

import pytest

from sfumato.web import gate
from sfumato.web.gate import API, COOKIE, LOOPBACK, Gate, host_of, named_files
from sfumato.web.limits import Limits
from sfumato.web.places import Shelter

ME, OTHER = "m" * 32, "o" * 32


@pytest.fixture
def shelter(tmp_path):
    return Shelter(tmp_path)


def ask(shelter, path="/", *, method="GET", headers=(), body=b"", visitor=ME, answer=b"inner", password="", hosts=LOOPBACK, limits=None):
    """Status, headers and body of the answer, and what the application behind the gate got (None if nothing)."""
    inner, messages = {}, []

    async def application(scope, receive, send):
        inner.update(scope=scope, body=(await receive()).get("body"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        messages.append(message)

    given = {"host": "127.0.0.1:7860", **({"cookie": f"{COOKIE}={visitor}"} if visitor else {}), **dict(headers)}
    if method == "POST":
        given.setdefault("content-length", str(len(body)))
    raw = [(name.encode(), value.encode()) for name, value in given.items() if value is not None]
    scope = {"type": "http", "path": path, "method": method, "headers": raw}
    asyncio.run(Gate(application, shelter, limits or Limits(), hosts=hosts, password=password)(scope, receive, send))
    start, *parts = messages
    return start["status"], dict(start["headers"]), b"".join(part["body"] for part in parts), inner or None


def test_a_new_visitor_gets_a_cookie_and_an_old_one_keeps_it(shelter):
    _, headers, _, inner = ask(shelter, visitor="")
    cookie = headers[b"set-cookie"].decode()
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    given = cookie.partition("=")[2].partition(";")[0]
    assert dict(inner["scope"]["headers"])[b"cookie"].decode() == f"{COOKIE}={given}"
    assert b"set-cookie" not in ask(shelter, visitor=given)[1]
    for forged in ("short", "x" * 100, '"'):
        assert b"set-cookie" in ask(shelter, visitor=forged)[1]


@pytest.mark.parametrize(("name", "quiet"), [("ClientDisconnect", True), ("ValueError", False)])
def test_a_page_that_is_closed_while_its_request_arrives_is_no_error(shelter, name, quiet):
    async def application(scope, receive, send):
        raise type(name, (Exception,), {})

    async def never(*_):
        raise AssertionError

    scope = {"type": "http", "path": "/", "method": "GET", "headers": [(b"host", b"127.0.0.1:7860")]}
    with contextlib.nullcontext() if quiet else pytest.raises(Exception, match=r"^$"):
        asyncio.run(Gate(application, shelter, Limits(), hosts=LOOPBACK)(scope, never, never))


def test_every_answer_asks_the_browser_to_load_nothing_from_elsewhere(shelter):
    policy = ask(shelter)[1][b"content-security-policy"].decode()
    assert "default-src 'self'" in policy
    assert "http:" not in policy
    assert "https:" not in policy


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:7860", "", "10.0.0.1"])
def test_the_studio_of_this_machine_answers_to_its_own_names_alone(shelter, host):
    assert ask(shelter, headers={"host": host})[0] == 403
    assert ask(shelter, headers={"host": host}, hosts=None)[0] == 200
    assert all(ask(shelter, headers={"host": name})[0] == 200 for name in ("localhost:1", "127.0.0.1", "[::1]:7860"))
    assert host_of("[::1]") == "::1"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
def test_requests_of_other_pages_are_refused(shelter, origin):
    assert ask(shelter, API + "queue/join", method="POST", headers={"origin": origin}, body=b"{}")[0] == 403
    assert ask(shelter, API + "queue/join", method="POST", headers={"origin": "http://127.0.0.1:7860"}, body=b"{}")[0] == 200


@pytest.mark.parametrize(
    "route", ["proxy=http://x", "vibe-edit", "process_recording", "run/predict", "api/x", "call/x", "deep_link", "file/x"]
)
def test_routes_that_the_pages_do_not_need_do_not_exist(shelter, route):
    assert ask(shelter, API + route)[0] == 404
    assert ask(shelter, "/monitoring")[0] == 404


def test_files_are_given_to_their_owner_alone(shelter, tmp_path):
    path = shelter.job_folder(ME) / "result.png"
    path.write_bytes(b"x")
    address = f"{API}file={path}"
    assert ask(shelter, address)[0] == 200
    assert ask(shelter, address, visitor=OTHER)[0] == 403
    assert ask(shelter, address, visitor="")[0] == 403
    for elsewhere in ("/etc/passwd", "http://example.org/x.png", f"{path.parent}/../../../etc/passwd", ""):
        assert ask(shelter, f"{API}file={elsewhere}")[0] == 403


def test_an_upload_belongs_to_who_sent_it_and_a_job_names_only_own_files(shelter, tmp_path):
    place = tmp_path / "hash" / "own.png"
    ask(shelter, API + "upload", method="POST", body=b"...", answer=json.dumps([str(place)]).encode())
    body = json.dumps({"data": [[{"path": str(place), "meta": {}}]]}).encode()
    status, _, _, inner = ask(shelter, API + "queue/join", method="POST", body=body)
    assert status == 200
    assert inner["body"] == body
    assert ask(shelter, API + "queue/join", method="POST", body=body, visitor=OTHER)[0] == 403
    for other in ("/etc/passwd", "http://example.org/a.png"):
        assert ask(shelter, API + "queue/join", method="POST", body=json.dumps({"data": [{"path": other}]}).encode())[0] == 403


def test_named_files_are_seen_at_any_depth():
    tree = {"path": "a", "x": [{"y": {"path": "b"}}, [[{"path": "c", "z": {"path": 1}}]]]}
    assert sorted(named_files(json.dumps(tree).encode())) == ["a", "b", "c"]
    with pytest.raises(gate.RefusedError):
        named_files(b"{")
    with pytest.raises(gate.RefusedError):
        named_files(b"[" * 100_000)


def test_uploads_are_bounded_before_they_are_read(shelter):
    limits = Limits(file_bytes=1_000_000, files=2, visitor_bytes=3_000_000)
    upload = {"method": "POST", "limits": limits}
    assert ask(shelter, API + "upload", **upload, headers={"content-length": "2000000"})[0] == 200
    assert ask(shelter, API + "upload", **upload, headers={"content-length": "3100000"})[0] == 413
    assert ask(shelter, API + "upload", **upload, headers={"content-length": None})[0] == 411
    (shelter.job_folder(ME) / "kept").write_bytes(bytes(2_500_000))
    assert ask(shelter, API + "upload", **upload, headers={"content-length": "1000000"})[0] == 413
    assert ask(shelter, API + "upload", **upload, headers={"content-length": "1000000"}, visitor=OTHER)[0] == 200
    assert ask(shelter, API + "queue/join", method="POST", body=b" " * 8_000_001)[0] == 413
    assert ask(shelter, API + "queue/join", method="POST", body=b" " * 8_000_001, headers={"content-length": "10"})[0] == 413


def test_a_password_is_needed_for_everything(shelter, monkeypatch):
    monkeypatch.setattr(gate, "_DELAY", 0)

    def basic(text):
        return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    status, headers, _, inner = ask(shelter, password="a long secret")
    assert (status, inner) == (401, None)
    assert b"www-authenticate" in headers
    for wrong in ("me:", "me:a long secre", "a long secret", "me:a long secret2"):
        assert ask(shelter, password="a long secret", headers=basic(wrong))[0] == 401
    assert ask(shelter, password="a long secret", headers={"authorization": "Basic %%"})[0] == 401
    assert ask(shelter, password="a long secret", headers={"authorization": "Bearer a long secret"})[0] == 401
    assert ask(shelter, password="a long secret", headers=basic("me:a long secret"))[0] == 200
