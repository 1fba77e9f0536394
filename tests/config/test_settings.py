import json
import os
import subprocess
import sys
import tomllib
from typing import Any

from django.conf import settings

from config.environment import PROJECT_DIR


def value_of(setting: str, **variables: str) -> Any:
    """Return a setting's value in a process with these environment variables."""
    printed = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import json; from config import settings; print(json.dumps(settings.{setting}))",
        ],
        cwd=PROJECT_DIR,
        env={"PATH": os.environ["PATH"], **variables},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(printed.stdout)


def test_variable_adds_to_the_headers_that_pages_may_send() -> None:
    allowed = value_of("CORS_ALLOW_HEADERS", CORS_ALLOW_HEADERS="x-tenant, x-device")

    assert {"x-tenant", "x-device", "content-type", "traceparent"} <= set(allowed)


def test_trusted_proxies_are_those_of_the_rest_framework() -> None:
    assert value_of("REST_FRAMEWORK", TRUSTED_PROXIES="2")["NUM_PROXIES"] == 2


def test_version_of_the_schema_is_pyprojects() -> None:
    project = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text("utf-8"))["project"]

    assert settings.SPECTACULAR_SETTINGS["VERSION"] == project["version"]
    assert project["version"] not in (PROJECT_DIR / "config" / "settings.py").read_text("utf-8")
