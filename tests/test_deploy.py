"""The files that deploy the service: what they mount is run, what they name is there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from agent_conversations.store.keys import READINESS_KEYS
from config.environment import Environment
from sessions_store.embedded.server import EmbeddedServer, server_binary
from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.client import StoreClient
from sessions_store.redis.server_checks import ServerProblem, check_server
from tests.faults.servers import free_port
from tests.waiting import wait_until

PROJECT_DIR = Path(__file__).resolve().parent.parent
DEPLOY = PROJECT_DIR / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT_DIR / "compose.yaml").read_text())
UNIT = DEPLOY / "elevenlabs-agent@.service"
KINDS = ["single", "sentinel", "cluster"]


def variables_of(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", path.read_text(), re.MULTILINE))


def copied_into_the_image() -> list[str]:
    dockerfile = (PROJECT_DIR / "Dockerfile").read_text()
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
    return [path for paths in copies for path in paths.split()]


def test_image_has_all_that_the_service_needs(tmp_path: Path) -> None:
    for path in copied_into_the_image():
        source = PROJECT_DIR / path
        if source.is_dir():
            shutil.copytree(source, tmp_path / path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path)

    checked = subprocess.run(
        [sys.executable, "manage.py", "check", "--fail-level", "WARNING"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr


def test_what_the_image_copies_is_not_ignored() -> None:
    lines = (PROJECT_DIR / ".dockerignore").read_text().splitlines()

    assert {line[1:] for line in lines if line.startswith("!")} == set(copied_into_the_image())


@pytest.mark.parametrize("kind", KINDS)
def test_kind_of_deployment_names_servers_that_are_started(kind: str) -> None:
    variables = variables_of(DEPLOY / f"{kind}.env")
    url = variables["REDIS_URL"]
    started = {
        name
        for name, service in COMPOSE["services"].items()
        if variables["COMPOSE_PROFILES"] in service.get("profiles", [])
    }

    StoreClient.from_url(url)
    hosts = re.findall(r"([\w-]+):\d+", urlsplit(url).netloc)
    assert set(hosts) <= started
    if kind == "sentinel":
        assert "sentinel monitor agent redis 6379 2" in (DEPLOY / "sentinel.conf").read_text()
        assert urlsplit(url).path == "/agent/0"
        assert "redis" in started


def test_deployment_sets_only_settings_that_there_are() -> None:
    known = {name.upper() for name in Environment.model_fields}
    unit = re.findall(
        r"([A-Z_]+)=", "".join(re.findall(r"^Environment=(.*)$", UNIT.read_text(), re.MULTILINE))
    )

    assert set(COMPOSE["x-service"]["environment"]) <= known
    assert variables_of(DEPLOY / "elevenlabs-agent.env").keys() <= known
    assert set(unit) - {"PYTHONUNBUFFERED"} == {"DATA_DIR"}
    for kind in KINDS:
        assert variables_of(DEPLOY / f"{kind}.env").keys() <= known | {"COMPOSE_PROFILES"}


def options_of_the_server() -> dict[str, str]:
    lines = (DEPLOY / "valkey.conf").read_text().splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def problems_of(url: str) -> list[ServerProblem]:
    return check_server(StoreClient.from_url(url), READINESS_KEYS, conversations_expire=False)


def test_server_of_compose_has_no_problem(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path, options_of_the_server()) as server:
        assert problems_of(server.url) == []


def test_sentinel_of_compose_leads_to_the_primary(tmp_path: Path) -> None:
    port, primary_port = free_port(), free_port()
    settings = tmp_path / "sentinel.conf"
    text = (DEPLOY / "sentinel.conf").read_text()
    text = text.replace("port 26379", f"port {port}\nbind 127.0.0.1\ndir {tmp_path}")
    settings.write_text(text.replace("agent redis 6379", f"agent localhost {primary_port}"))
    options = {"port": str(primary_port), "bind": "127.0.0.1", **options_of_the_server()}

    def is_ready() -> bool:
        try:
            return problems_of(f"redis+sentinel://localhost:{port}/agent/0") == []
        except StoreUnavailableError:  # it has not started
            return False

    with (
        EmbeddedServer(tmp_path / "primary", options),
        subprocess.Popen(
            [server_binary(), settings, "--sentinel"], stdout=subprocess.DEVNULL
        ) as process,
    ):
        try:
            wait_until(is_ready)
        finally:
            process.terminate()


def test_unit_is_one_that_systemd_understands(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        assert os.environ.get("CI") != "true", "systemd-analyze is missing: CI installs it"
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / UNIT.name
    unit.write_text(
        UNIT.read_text().replace("/opt/elevenlabs-agent/.venv/bin/python", sys.executable)
    )

    verified = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )

    assert (verified.returncode, verified.stderr) == (0, "")
