"""The checklist of a release, as a script: ``make release``.

It changes nothing but docs/licences.md, and writes the wheel and the bill of materials (CycloneDX)
into ``dist``. What a person has to do is printed at the end. The exit status is 1 where something
is not as it has to be.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from config.environment import PROJECT_DIR
from tests.reference import DOCS, with_reference

DIST = PROJECT_DIR / "dist"
LICENCES = DOCS / "licences.md"
VERSION: str = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text())["project"]["version"]
_VENV = PROJECT_DIR / ".venv"
_CLASSIFIER = "License :: OSI Approved :: "
_SAID_OTHERWISE = {"uritemplate": "BSD-3-Clause OR Apache-2.0"}
"""By a text that CycloneDX does not take for a licence's name."""

_NOT_OURS = ("pip", "setuptools")
"""What a new virtual environment has by itself."""


class NotReadyError(Exception):
    """Something is not as a release has to be; the text says what, and what to do."""


def run(*command: str | Path) -> str:
    """Return what a command printed.

    Raises:
        NotReadyError: it failed.
    """
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        raise NotReadyError(f"{' '.join(map(str, command))} failed:\n" + "\n".join(lines[-15:]))
    return done.stdout


def is_committed() -> None:
    if changed := run("git", "status", "--porcelain"):
        raise NotReadyError(f"commit or remove:\n{changed}")


def has_its_changelog() -> None:
    headings = re.findall(r"^## (.*)$", (PROJECT_DIR / "CHANGELOG.md").read_text(), re.MULTILINE)
    wanted = f"{VERSION} \N{EN DASH} {datetime.now(UTC).date()}"
    if headings[0] != wanted:
        raise NotReadyError(f"CHANGELOG.md begins with {headings[0]!r}; it has to be {wanted!r}")


def has_its_schema() -> None:
    for name in ("openapi.yaml", "asyncapi.yaml"):
        if f"\n  version: {VERSION}\n" not in (PROJECT_DIR / name).read_text():
            raise NotReadyError(f"{name} is of another version: make openapi")


def is_new() -> None:
    if run("git", "tag", "--list", f"v{VERSION}"):
        raise NotReadyError(f"v{VERSION} is a tag already: raise the version in pyproject.toml")


def is_built() -> None:
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", DIST, ".")


def is_inventoried() -> None:
    """Install what the service needs into an environment of its own, and write down what it is."""
    only_run = _VENV / "only-run"
    run(sys.executable, "-m", "venv", "--clear", only_run)
    run(
        only_run / "bin" / "python", "-m", "pip", "install", "--quiet", "--require-hashes",
        "--only-binary", ":all:", "-r", "requirements/base.txt",
    )  # fmt: skip
    bill = DIST / f"elevenlabs_agent-{VERSION}.cdx.json"
    run(
        _VENV / "release" / "bin" / "cyclonedx-py", "environment", "--output-reproducible",
        "--pyproject", "pyproject.toml", "--output-file", bill, only_run / "bin" / "python",
    )  # fmt: skip
    rows = list(licence_rows(json.loads(bill.read_text())["components"]))
    LICENCES.write_text(with_reference(LICENCES.read_text(), rows))
    if without := [row for row in rows if row.endswith("|  |")]:
        raise NotReadyError("without a licence: " + "\n".join(without))


def licence_rows(components: Iterable[dict[str, Any]]) -> Iterable[str]:
    """Yield the lines of the table of packages, their versions and licences."""
    yield "| package | version | licence |"
    yield "|---|---|---|"
    for one in sorted(components, key=lambda component: str(component["name"]).lower()):
        if one["name"] not in _NOT_OURS:
            names = sorted({_licence(found) for found in one.get("licenses", [])})
            said = ", ".join(names) or _SAID_OTHERWISE.get(one["name"], "")
            yield f"| {one['name']} | {one['version']} | {said} |"


def _licence(found: dict[str, Any]) -> str:
    licence = found.get("license", {})
    name = found.get("expression") or licence.get("id") or licence["name"]
    return str(name).removeprefix(_CLASSIFIER)


CHECKS: list[tuple[str, Callable[[], object]]] = [
    ("everything is committed", is_committed),
    ("the version is new", is_new),
    ("the changelog begins with it, and is of today", has_its_changelog),
    ("openapi.yaml and asyncapi.yaml are of it", has_its_schema),
    ("make check", lambda: run("make", "check")),
    ("make docs", lambda: run("make", "docs")),
    ("make types", lambda: run("make", "types")),
    ("make test", lambda: run("make", "test")),
    ("make faults", lambda: run("make", "faults")),
    ("make bench-check", lambda: run("make", "bench-check")),
    ("the wheel is in dist", is_built),
    ("the bill of materials is in dist, docs/licences.md is of it", is_inventoried),
    ("nothing has changed", is_committed),
]
BY_HAND = f"""
By hand:
  - make run in a fresh clone, as the README says it
  - docker compose --env-file deploy/single.env up --build
  - pip-audit --require-hashes --disable-pip -r requirements/base.txt: known faults of packages
  - git tag --sign v{VERSION} && git push --tags; the files of dist go with it
"""


def main() -> int:
    console = Console(highlight=False)
    failed = 0
    DIST.mkdir(exist_ok=True)
    console.print(f"elevenlabs-agent {VERSION}")
    for name, check in CHECKS:
        try:
            with console.status(name):
                check()
            console.print(f"  [green]✓[/] {name}")
        except NotReadyError as error:
            failed += 1
            console.print(f"  [red]✗[/] {name}")
            console.print(f"{error}", markup=False)
    console.print(BY_HAND if not failed else f"{failed} to mend.", markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
