"""What make would do, without doing it."""

import subprocess
from pathlib import Path

import pytest

PROJECT_DIR = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("stamp", [".venv/run.stamp", ".venv/dev.stamp"])
def test_make_installs_wheels_with_known_hashes_alone(stamp: str) -> None:
    printed = subprocess.run(
        ["make", "--dry-run", "--always-make", stamp],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    (command,) = [
        line for line in printed.replace("\\\n", "").splitlines() if "pip install" in line
    ]
    assert {"--require-hashes", "--only-binary"} <= set(command.split())
