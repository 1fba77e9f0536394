"""The access log: what a line says, and that none is lost or torn."""

import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.test import RequestFactory
from redis import Redis
from websockets.sync.client import connect

from agent_conversations.served_requests import SERVED, ServedRequest
from agent_conversations.services import conversations
from agent_conversations.types import NewConversation
from config import access_log
from config.access_log import AccessLog, start_access_log
from config.environment import PROJECT_DIR
from config.wsgi import application
from sessions_store.embedded.server import EmbeddedServer
from tests.agent_conversations.api.routes import PREFIX
from tests.config.test_serve import children_of, is_free, is_gone, name_of
from tests.faults.servers import free_port
from tests.waiting import wait_until


def respond(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return []


def request(log: AccessLog, path: str, method: str = "GET", application: Any = respond) -> None:
    """Send a request through the log, as ``config.wsgi`` does."""
    served = ServedRequest(None, None, method, path)
    environ = {SERVED: served}
    log.wrap(application)(environ, lambda *_: setattr(served, "status", "204"))


class Logged:
    """The served application with the access log; gives what is written of a request."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._log = AccessLog()
        self._serve = self._log.wrap(application)
        self._capfd = capfd

    def __call__(self, method: str, path: str, **headers: str) -> dict[str, Any]:
        path, _, query = path.partition("?")
        request = RequestFactory().generic(method, path, QUERY_STRING=query, headers=headers)
        self._serve(request.environ, lambda *_: None)
        self._log.write()
        line: dict[str, Any] = json.loads(self._capfd.readouterr().err)
        return line


@pytest.fixture
def logged(real_service: Redis, capfd: pytest.CaptureFixture[str]) -> Logged:
    conversations().create(NewConversation(conversation_id="c-1"))
    return Logged(capfd)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is handed to the operating system, call by call."""
    found: list[bytes] = []

    def write(_: int, block: bytes) -> int:
        found.append(block)
        return len(block)

    monkeypatch.setattr("config.access_log.os.write", write)
    return found


def test_line_says_what_a_request_was_and_took(logged: Logged) -> None:
    line = logged("GET", f"{PREFIX}/c-1?sessionId=MARK", **{"X-Request-ID": "r-1"})

    took, on_redis = line.pop("ms"), line.pop("redis_ms")
    assert 0 < on_redis < took < 30_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {
        "event": f"GET {PREFIX}/{{conversationId}} 200",
        "request_id": "r-1",
        "method": "GET",
        "route": f"{PREFIX}/{{conversationId}}",
        "status": 200,
        "conversation_id": "c-1",
        "level": "info",
        "logger": "granian.access",
    }


@pytest.mark.parametrize(
    ("request_line", "headers", "route", "status"),
    [
        ("PUT /c-1/messages/MARK", {}, "/{conversationId}/messages/{messageId}", 400),
        ("GET /c-9/push/MARK", {}, "/{conversationId}/push/{pushId}", 404),
        ("GET /-MARK", {}, "/{conversationId}", 400),
        ("GET /c-1/messages/MARK", {"Host": "MARK.example"}, None, 400),
        ("DELETE /c-1/session", {"Origin": "https://mark.example"}, None, 403),
    ],
)
def test_ids_of_a_path_are_not_logged(
    logged: Logged, request_line: str, headers: dict[str, str], route: str | None, status: int
) -> None:
    method, path = request_line.split()

    line = logged(method, PREFIX + path, **headers)

    assert line["status"] == status
    assert "MARK" not in str(line).upper()
    assert route is None or line["route"] == PREFIX + route


def test_redis_time_is_that_of_the_request_alone(logged: Logged) -> None:
    assert logged("GET", f"{PREFIX}/list")["redis_ms"] > 0
    assert logged("GET", "/health/live")["redis_ms"] == 0


def test_line_is_written_once(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog()
    request(log, "/")

    log.write()
    log.write()

    assert capfd.readouterr().err.count("\n") == 1


def test_exception_is_logged_as_the_500_that_it_becomes(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise RuntimeError

    log = AccessLog()
    with pytest.raises(RuntimeError):
        request(log, "/", application=fail)

    log.write()

    assert json.loads(capfd.readouterr().err)["event"] == "GET / 500"


@pytest.mark.parametrize("terminal", [False, True])
def test_path_cannot_forge_a_line_or_steer_a_terminal(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    log = AccessLog()
    request(log, '/"\n{}\r\x1b[31mFORGED\x07\x7f\x85\x9b', method="\x1b[31mFORGED")

    log.write()

    written = capfd.readouterr().err
    assert written.count("\n") == 1
    assert not re.search(r"[\r\x07\x7f-\x9f]|\x1b\[31mF", written)
    assert ("\x1b[" in written) is terminal, "colours of ours, for people"


def test_line_fits_into_one_write_however_long_the_path(writes: list[bytes]) -> None:
    log = AccessLog()
    request(log, "/" + "\x9b" * 65_000, method="X" * 65_000)

    log.write()

    assert len(writes) == 1
    assert len(writes[0]) <= select.PIPE_BUF


def test_every_write_has_whole_lines_and_is_atomic(writes: list[bytes]) -> None:
    log = AccessLog()
    for number in range(1_000):
        request(log, f"/{number}/{'x' * (number % 400)}")

    log.write()

    assert all(block.endswith(b"\n") and len(block) <= select.PIPE_BUF for block in writes)
    lines = b"".join(writes).splitlines()
    assert [json.loads(line)["event"].split("/")[1] for line in lines] == list(
        map(str, range(1_000))
    )
    assert len(writes) < 150, "many lines in one write"


def test_rest_of_a_partial_write_follows(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    log = AccessLog()
    request(log, "/c-1")
    write = os.write
    monkeypatch.setattr("config.access_log.os.write", lambda fd, block: write(fd, block[:7]))

    log.write()

    assert json.loads(capfd.readouterr().err)["event"] == "GET /c-1 204"


def test_requests_beyond_the_limit_are_counted(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(access_log, "MAX_NOTES", 3)
    log = AccessLog()
    for number in range(5):
        request(log, f"/{number}")

    log.write()
    log.write()

    lines = capfd.readouterr().err.splitlines()
    assert [line.split("/")[1][0] for line in lines if "granian.access" in line] == list("012")
    assert [record.__dict__["lines"] for record in caplog.records] == [2]


def test_lines_that_cannot_be_written_are_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log = AccessLog()
    request(log, "/1")
    request(log, "/2")

    with os.fdopen(writer, "w") as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        log.write()

    assert [record.__dict__["lines"] for record in caplog.records] == [2]


@pytest.mark.parametrize(("level", "logged"), [("INFO", True), ("WARNING", False)])
def test_level_switches_the_log(
    level: str, logged: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threading.Thread.start", lambda _: None)
    caplog.set_level(level, "granian.access")

    assert (start_access_log() is not None) is logged


class Service:
    """The service with two workers, whose standard error nobody reads before ``read``."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.port = free_port()
        self.answered: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", *arguments],
            cwd=PROJECT_DIR,
            env={
                "PATH": os.environ["PATH"],
                "DATA_DIR": str(folder),
                "PORT": str(self.port),
                "WORKERS": "2",
                **environment,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def workers(self) -> list[int]:
        return [pid for pid in children_of(self.process.pid) if name_of(pid) == "python"]

    def send_requests(self, client: int) -> None:
        """Send requests until the service is gone; fewer than its workers keep notes of."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            for number in range(1_000):
                path = f"/nowhere/{client}-{number}"
                connection.request("GET", path)
                response = connection.getresponse()
                response.read()
                assert response.status == 404
                self.answered.append(path)
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def read(self) -> list[dict[str, Any]]:
        """Read standard error to its end; return the lines of the access log.

        Raises:
            ValueError: a line is not whole.
        """
        assert self.process.stderr is not None
        lines = [json.loads(line) for line in self.process.stderr]
        return [line for line in lines if line["logger"] == "granian.access"]

    def end(self) -> None:
        self.process.terminate()
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.process.wait(30)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data", "--only", "rest")
    yield service
    service.end()


def terminate(service: Service) -> None:
    service.process.terminate()


def interrupt(service: Service) -> None:
    """Do as Ctrl-C in a terminal, which signals the whole group."""
    os.killpg(service.process.pid, signal.SIGINT)


def terminate_workers(service: Service) -> None:
    """Do as granian where it replaces a worker."""
    for pid in service.workers():
        os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize("stop", [terminate, interrupt, terminate_workers])
def test_every_response_has_a_whole_line_after_a_stop(
    service: Service, stop: Callable[[Service], None]
) -> None:
    wait_until(lambda: not is_free(service.port))
    with ThreadPoolExecutor(9) as pool:
        for client in range(8):
            pool.submit(service.send_requests, client)
        # Their lines are several times what a pipe holds, which nobody reads: no request waits.
        wait_until(lambda: len(service.answered) > 2_000)
        workers = service.workers()

        stop(service)
        lines = pool.submit(service.read)
        wait_until(lambda: all(map(is_gone, workers)))
        service.process.kill()

    paths = Counter(line["event"].split()[1] for line in lines.result())
    assert [path for path in service.answered if path not in paths] == []
    assert set(paths.values()) == {1}
    assert len(workers) == 2


def test_live_process_logs_its_connections(server: EmbeddedServer, tmp_path: Path) -> None:
    port = free_port()
    environment = {
        "REDIS_URL": server.url,
        "LIVE_PORT": str(port),
        "ELEVENLABS_AGENT_ENABLED": "true",
    }
    service = Service(tmp_path, "--only", "live", **environment)
    try:
        wait_until(lambda: not is_free(port))
        with connect(f"ws://127.0.0.1:{port}{PREFIX}/ws?conversationId=c-1") as viewer:
            viewer.recv(10)
            service.process.terminate()
            opened, closed = service.read()
    finally:
        service.end()

    assert (opened["event"], closed["event"]) == ("Connection opened", "Connection closed")
    assert opened["connection"] == closed["connection"]
    assert (closed["conversation_id"], closed["frames"], closed["code"]) == ("c-1", 1, 1001)
