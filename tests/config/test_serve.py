"""``manage.py serve``, as a process of its own: what it says, refuses, keeps and leaves behind."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from config.environment import PROJECT_DIR, read_environment
from config.management.commands.serve import check_access
from sessions_store.embedded.server import EmbeddedServer
from tests.deployments import ClusterServers
from tests.faults.servers import free_port
from tests.waiting import wait_until

API = "/agent-conversations/api"


class Service:
    """One run of the service on a data folder."""

    def __init__(self, data_dir: Path, **variables: str) -> None:
        self.port = free_port()
        self.live_port = free_port()
        self.data_dir = data_dir
        self.output = data_dir.parent / f"{data_dir.name}.log"
        environment = {
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(data_dir),
            "PORT": str(self.port),
            "LIVE_PORT": str(self.live_port),
            "ELEVENLABS_AGENT_ENABLED": "true",
            **variables,
        }
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"],
                cwd=PROJECT_DIR,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def answers(self) -> bool:
        with suppress(OSError):
            return self.request("GET", "/health/live")[0] == 200
        return False

    def until_up(self) -> "Service":
        wait_until(self.answers)
        return self

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(30)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def children_of(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found.append(int(status.parent.name))
    return found


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip().partition("3")[0]


def kept_on_disk(service: Service) -> bool:
    """Tell whether the append-only file, written each second, has the conversation."""
    files = service.data_dir.glob("appendonlydir/*.incr.aof")
    return any(b"c-1" in file.read_bytes() for file in files)


def is_gone(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services on one data folder; those still running are ended with the test."""
    started: list[Service] = []

    def begin(**variables: str) -> Service:
        service = Service(tmp_path / "data", **variables)
        started.append(service)
        return service

    yield begin
    for service in started:
        service.end()


def test_serve_prints_where_everything_is(start: Callable[..., Service]) -> None:
    service = start().until_up()

    said = service.output.read_text()

    assert f"http://127.0.0.1:{service.port}\n" in said
    assert f"http://127.0.0.1:{service.port}/docs" in said
    assert "bundled Valkey" in said
    assert "Feature flag      on" in said


def test_data_survives_a_stop_and_a_start(start: Callable[..., Service]) -> None:
    first = start().until_up()
    first.request("POST", f"{API}/new", b'{"conversationId": "c-1"}')
    first.request("POST", f"{API}/c-1/message", b'{"role": "user", "content": "kept"}')
    first.end()

    second = start().until_up()
    status, body = second.request("GET", f"{API}/c-1")

    assert first.process.returncode == 0
    assert status == 200
    assert [message["content"] for message in json.loads(body)["messages"]] == ["kept"]


def test_killed_service_leaves_no_process_and_starts_again(
    start: Callable[..., Service],
) -> None:
    service = start(WORKERS="2").until_up()
    service.request("POST", f"{API}/new", b'{"conversationId": "c-1"}')
    children = children_of(service.process.pid)

    service.end(signal.SIGKILL)

    assert len(children) == 4, "two workers, the live process and the bundled server"
    wait_until(lambda: all(map(is_gone, children)))
    wait_until(lambda: is_free(service.port))
    assert start().until_up().request("GET", f"{API}/c-1")[0] == 200


def test_killed_bundled_server_is_started_again(
    start: Callable[..., Service],
) -> None:
    service = start().until_up()
    service.request("POST", f"{API}/new", b'{"conversationId": "c-1"}')
    wait_until(lambda: kept_on_disk(service))
    server = next(pid for pid in children_of(service.process.pid) if name_of(pid) != "python")

    os.kill(server, signal.SIGKILL)

    wait_until(lambda: is_gone(server))
    wait_until(lambda: service.request("GET", f"{API}/c-1")[0] == 200)
    service.end()
    assert service.process.returncode == 0
    assert children_of(service.process.pid) == []


def test_second_service_on_the_same_data_is_refused(start: Callable[..., Service]) -> None:
    start().until_up()

    second = start()
    second.process.wait(30)

    assert second.process.returncode == 1
    assert "Another service runs on" in second.output.read_text()


def test_port_in_use_is_reported_in_a_sentence(start: Callable[..., Service]) -> None:
    first = start().until_up()

    second = start(PORT=str(first.port), REDIS_URL="redis://127.0.0.1:1/0")
    second.process.wait(30)

    assert second.process.returncode == 1
    assert "Choose another port with PORT" in second.output.read_text()


ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # nothing listens on it: the service is to refuse


def test_open_service_does_not_listen_beyond_loopback(start: Callable[..., Service]) -> None:
    service = start(HOST=ANY_ADDRESS)
    service.process.wait(30)

    assert service.process.returncode == 1
    assert "without API_TOKENS" in service.output.read_text()


def test_host_may_be_a_name(start: Callable[..., Service]) -> None:
    service = start(HOST="localhost").until_up()

    assert service.request("GET", f"{API}/list")[0] == 200


@pytest.mark.parametrize("name", ["a#b", "a?b", "a%41b", "a b", "a\nb"], ids=ascii)
def test_data_dir_may_have_any_name(tmp_path: Path, name: str) -> None:
    service = Service(tmp_path / name)
    try:
        service.until_up()
        assert service.request("POST", f"{API}/new", b"{}")[0] == 201
    finally:
        service.end()


@pytest.mark.parametrize(
    "variables",
    [
        {"ALLOW_ANONYMOUS": "true"},
        {"API_TOKENS": "frontend:a-long-enough-token"},
        {"ELEVENLABS_AGENT_ENABLED": "false"},
        {"HOST": "127.0.0.2"},
        {"HOST": "::1"},
        {"HOST": "localhost"},
    ],
    ids=str,
)
def test_access_check_accepts_these_settings(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, variables: dict[str, str]
) -> None:
    for name, value in {"HOST": ANY_ADDRESS, **variables}.items():
        monkeypatch.setenv(name, value)
    environment = read_environment()
    settings.API_TOKENS = environment.tokens()
    settings.ELEVENLABS_AGENT_ENABLED = variables.get("ELEVENLABS_AGENT_ENABLED") != "false"

    check_access(environment)


def test_credentials_of_the_redis_url_are_not_shown(start: Callable[..., Service]) -> None:
    service = start(REDIS_URL="redis://me:MARK@127.0.0.1:1/0?password=MARK").until_up()

    service.request("GET", f"{API}/list")
    service.end()

    assert "MARK" not in service.output.read_text()


def test_idle_connections_keep_nobody_out(start: Callable[..., Service]) -> None:
    service = start(WORKERS="1", THREADS="2").until_up()

    with ExitStack() as idle:
        for _ in range(40):
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
            idle.callback(connection.close)
            connection.request("GET", "/health/live")
            assert connection.getresponse().read()

        assert service.request("GET", f"{API}/list")[0] == 200


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_stops_the_service_and_its_children(
    start: Callable[..., Service], times: int
) -> None:
    # A terminal sends SIGINT to the whole group: to this process and, were they in it, its workers.
    service = start(WORKERS="2").until_up()
    workers = children_of(service.process.pid)

    os.killpg(service.process.pid, signal.SIGINT)
    if times == 2:
        service.process.send_signal(signal.SIGINT)

    assert service.process.wait(30) is not None
    wait_until(lambda: all(is_gone(pid) for pid in workers))
    assert len(workers) >= 2


def test_ctrl_c_ends_workers_that_are_not_up_yet(start: Callable[..., Service]) -> None:
    service = start(WORKERS="2", LOG_LEVEL="debug")
    wait_until(lambda: "Spawning worker-2" in service.output.read_text())

    os.killpg(service.process.pid, signal.SIGINT)

    assert service.process.wait(30) == 0
    assert "Killing worker" not in service.output.read_text()


def test_live_process_leaves_the_processor_to_requests(start: Callable[..., Service]) -> None:
    service = start().until_up()

    def yielding() -> list[int]:
        pids = children_of(service.process.pid)
        return [pid for pid in pids if os.sched_getscheduler(pid) == os.SCHED_BATCH]

    wait_until(yielding)
    (live,) = yielding()
    assert b"live" in Path(f"/proc/{live}/cmdline").read_bytes()


def test_workers_are_out_of_ctrl_cs_reach(start: Callable[..., Service]) -> None:
    service = start().until_up()

    workers = [pid for pid in children_of(service.process.pid) if name_of(pid) == "python"]

    assert workers
    assert all(os.getpgid(pid) != os.getpgid(service.process.pid) for pid in workers)


def glibc_variables(pid: int) -> dict[str, str]:
    """Return what a process had in its environment when it, or whoever forked it, was started."""
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair.startswith("MALLOC_"))


@pytest.mark.parametrize("set_by_user", [{}, {"MALLOC_ARENA_MAX": "3"}], ids=str)
def test_workers_start_with_glibcs_variables_unless_set(
    start: Callable[..., Service], set_by_user: dict[str, str]
) -> None:
    service = start(**set_by_user).until_up()

    workers = [pid for pid in children_of(service.process.pid) if name_of(pid) == "python"]

    assert workers
    for pid in workers:
        assert glibc_variables(pid) == {
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_MMAP_THRESHOLD_": "4194304",
            "MALLOC_TRIM_THRESHOLD_": "16777216",
            **set_by_user,
        }


def test_unavailable_redis_is_reported_at_the_start(start: Callable[..., Service]) -> None:
    service = start(REDIS_URL="redis://127.0.0.1:1/0").until_up()

    assert "Redis is unavailable (NotConnectedError)" in service.output.read_text()


def test_what_is_wrong_with_redis_is_reported_at_the_start(
    start: Callable[..., Service], stoppable_server: EmbeddedServer
) -> None:
    with Redis.from_url(stoppable_server.url) as redis:
        redis.config_set("min-replicas-to-write", 1)

    service = start(REDIS_URL=stoppable_server.url).until_up()

    assert "Redis: NOREPLICAS: The server has fewer replicas" in service.output.read_text()


def test_cluster_node_named_as_one_server_stops_the_start(
    start: Callable[..., Service], cluster: ClusterServers
) -> None:
    address = cluster.servers[0].address

    service = start(REDIS_URL=f"redis://{address}/0")

    assert service.process.wait(30) == 1
    assert f"Write redis+cluster://{address} (" in service.output.read_text()


def test_service_on_a_cluster_starts_and_stores(
    start: Callable[..., Service], cluster: ClusterServers
) -> None:
    cluster.flush()
    service = start(REDIS_URL=cluster.url).until_up()

    assert service.request("POST", f"{API}/new", b'{"conversationId": "c-1"}')[0] == 201
    assert service.request("GET", f"{API}/c-1")[0] == 200
    assert service.request("GET", "/health/ready")[0] == 200
    output = service.output.read_text()
    assert f"Redis             {cluster.url} (REDIS_URL)" in output
    assert f"Redis: {cluster.primaries()[0].address}: The server keeps nothing on disk" in output


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"PORT": "99999"}, "PORT must be a whole number from 1 to 65535, not '99999'"),
        (
            {"HOST": "nowhere.invalid", "API_TOKENS": "a:0123456789abcdef"},
            "HOST must be an address",
        ),
        ({"DATA_DIR": "/dev/null/x"}, "/dev/null/x cannot be used"),
        ({"API_TOKENS": "alice:"}, "Entry 1 of API_TOKENS must have a token"),
        ({"REDIS_URL": "redis://127.0.0.1/0?foo=bar"}, "REDIS_URL must be the URL"),
        ({"REDIS_URL": "unix:///x.sock?db=abc"}, "REDIS_URL must be the URL"),
        ({"REDIS_URL": "rediss://127.0.0.1:1?ssl_cert_reqs=foo"}, "REDIS_URL must be the URL"),
        (
            {"CORS_ALLOWED_ORIGINS": "http://[a"},
            "Entry 1 of CORS_ALLOWED_ORIGINS must be an origin",
        ),
    ],
    ids=str,
)
def test_invalid_setting_is_reported_in_a_sentence(
    start: Callable[..., Service], variables: dict[str, str], sentence: str
) -> None:
    service = start(**variables)
    service.process.wait(30)

    assert service.process.returncode == 1
    assert sentence in service.output.read_text()
    assert "Traceback" not in service.output.read_text()


@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: 50\r\n\r\n",
        b"Content-Length: 50\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_truncated_body_creates_nothing(start: Callable[..., Service], sent: bytes) -> None:
    service = start().until_up()
    head = b"POST %b/new HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(head % API.encode() + b"Idempotency-Key: k\r\n" + sent)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65_536)

    assert json.loads(service.request("GET", f"{API}/list")[1])["conversations"] == []
    whole = b'{"agentId": "a"}'
    assert service.request("POST", f"{API}/new", whole, **{"Idempotency-Key": "k"})[0] == 201


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ((b'{"role": "user", ', b'"content": "in chunks"}'), 201),
        ((b'{"role": "user", "content": "', *[b"x" * 65_536] * 17, b'"}'), 413),
        ((b'{"role": "user"',), 400),
    ],
    ids=["whole", "over 1 MiB", "cut off"],
)
def test_bodies_in_chunks_are_read_like_others(
    start: Callable[..., Service], parts: tuple[bytes, ...], status: int
) -> None:
    service = start().until_up()
    service.request("POST", f"{API}/new", b'{"conversationId": "c-1"}')

    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    connection.putrequest("POST", f"{API}/c-1/message")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.send(chunks(*parts))
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()

    assert response.status == status
    assert body["success"] is (status == 201)
    stored = json.loads(service.request("GET", f"{API}/c-1")[1])["messages"]
    assert [message["content"] for message in stored] == (["in chunks"] if status == 201 else [])


@pytest.mark.parametrize("path", [f"{API}/new", "/webhooks/elevenlabs"])
def test_sender_of_a_large_body_is_told_so(start: Callable[..., Service], path: str) -> None:
    service = start(ELEVENLABS_WEBHOOK_SECRETS="wsec_played").until_up()
    limit = 1024 * 1024 if path.startswith(API) else 32 * 1024 * 1024
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % (limit + 900_000))
        client.sendall(b" " * limit)
        for _ in range(9):  # raises an exception where nobody reads on
            client.sendall(b" " * 100_000)
            time.sleep(0.02)
        response = client.recv(100)

    assert response.startswith(b"HTTP/1.1 413 ")


HALVES = {
    "a body": b"Content-Length: 50\r\n\r\n{",
    "a body in chunks": b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
}


@pytest.fixture
def send_half() -> Iterator[Callable[[Service, str], socket.socket]]:
    """Begin a request to create a conversation, with half a body, and leave it so."""
    with ExitStack() as stack:

        def send(service: Service, half: str) -> socket.socket:
            head = b"POST %b/new HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            address = ("127.0.0.1", service.port)
            client = stack.enter_context(socket.create_connection(address, timeout=10))
            client.sendall(head % API.encode() + HALVES[half])
            return client

        yield send


@pytest.mark.parametrize("half", HALVES)
def test_half_bodies_hold_nobody_else_up(
    start: Callable[..., Service], send_half: Callable[[Service, str], socket.socket], half: str
) -> None:
    service = start(WORKERS="1", THREADS="2").until_up()
    for _ in range(32):
        send_half(service, half)

    assert service.request("GET", "/health/live")[0] == 200
    assert service.request("POST", f"{API}/new", b"{}")[0] == 201


@pytest.mark.parametrize("half", HALVES)
def test_stranger_is_refused_before_the_body_is_read(
    start: Callable[..., Service], send_half: Callable[[Service, str], socket.socket], half: str
) -> None:
    service = start(WORKERS="1", THREADS="2", API_TOKENS="a:0123456789abcdef").until_up()

    clients = [send_half(service, half) for _ in range(6)]

    assert {client.recv(100).split(b"\r\n")[0] for client in clients} == {
        b"HTTP/1.1 401 Unauthorized"
    }


def test_slow_body_leaves_time_for_redis(
    start: Callable[..., Service], send_half: Callable[[Service, str], socket.socket]
) -> None:
    service = start().until_up()
    client = send_half(service, "a body")

    time.sleep(1.5)  # longer than a request may go on sending commands
    client.sendall(b"}" + b" " * 48)

    assert client.recv(100).startswith(b"HTTP/1.1 201 ")


def test_idle_connection_is_kept_as_the_setting_says(start: Callable[..., Service]) -> None:
    service = start(KEEP_ALIVE_SECONDS="1").until_up()
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with client.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 200 ")
            answer.read()  # returns when the server has closed the connection


def http2_frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return b"%b%c%c%b%b" % (
        len(payload).to_bytes(3, "big"),
        kind,
        flags,
        stream.to_bytes(4, "big"),
        payload,
    )


def http2_post(body: bytes, *, ends: bool, **headers: str) -> bytes:
    """Return what a client of HTTP/2 without TLS sends to create a conversation (RFC 9113)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"{API}/new",
        ":authority": "localhost",
        "content-type": "application/json",
        **headers,
    }
    # RFC 7541, section 6.2.2: literal fields, which need no table and no Huffman code.
    block = b"".join(
        b"\0%c%b%c%b" % (len(name), name.encode(), len(value), value.encode())
        for name, value in fields.items()
    )
    settings, headers_frame, data = 0x4, 0x1, 0x0
    end_headers, end_stream = 0x4, 0x1
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + http2_frame(settings, 0, 0)
        + http2_frame(headers_frame, end_headers, 1, block)
        + http2_frame(data, end_stream if ends else 0, 1, body)
    )


def sent_raw(service: Service, request: bytes) -> bytes:
    """Send bytes and close; return what came back before."""
    received = b""
    # Half a second of silence: whoever takes the request has given it to a thread by then.
    with socket.create_connection(("127.0.0.1", service.port), timeout=0.5) as connection:
        connection.sendall(request)
        with suppress(TimeoutError, ConnectionResetError):
            while part := connection.recv(65_536):
                received += part
    return received


def test_half_a_body_over_http2_holds_no_thread(start: Callable[..., Service]) -> None:
    service = start(WORKERS="1", THREADS="4").until_up()
    half = http2_post(b'{"agent', ends=False, **{"content-length": "100"})

    received = [sent_raw(service, half) for _ in range(6)]

    assert service.request("GET", "/health/live")[0] == 200
    assert set(received) == {b""}


def test_no_body_is_dropped_over_http2(start: Callable[..., Service]) -> None:
    service = start().until_up()

    received = sent_raw(service, http2_post(b'{"conversationId": "c-1"}', ends=True))

    assert received == b"", "the protocol is refused, so nothing claims to be created"
    assert json.loads(service.request("GET", f"{API}/list")[1])["conversations"] == []
