"""The package that ``pip install .`` gives another project: sessions_store, with its types."""

import subprocess
import sys
import sysconfig
import textwrap
import tomllib
import zipfile
from pathlib import Path

import pytest

from sessions_store.embedded.server import EmbeddedServer

PROJECT_DIR = Path(__file__).parent.parent
PROJECT = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir"]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(folder), str(PROJECT_DIR)]
    subprocess.run(command, check=True, timeout=120)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder with the package, as another project has it in its environment."""
    folder = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed: Path, program: str, *arguments: str) -> str:
    """Run a program that finds the package there and libraries here, but not this project."""
    paths = [str(installed), sysconfig.get_path("purelib")]
    script = f"import sys\nsys.path[:0] = {paths!r}\n" + textwrap.dedent(program)
    command = [sys.executable, "-I", "-c", script, *arguments]
    done = subprocess.run(
        command, cwd=installed, check=True, timeout=60, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def test_package_has_the_scripts_and_its_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {"sessions_store/py.typed", "sessions_store/lua/create_push.lua"} <= set(names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "sessions_store",
        "elevenlabs_agent",  # its metadata
    }


def test_requirements_are_those_of_the_service() -> None:
    listed = (PROJECT_DIR / "requirements" / "base.in").read_text().splitlines()

    assert set(PROJECT["dependencies"]) <= set(listed)
    assert set(PROJECT["optional-dependencies"]["embedded"]) <= set(listed)


def test_callback_service_needs_a_redis_url_only(installed: Path, server: EmbeddedServer) -> None:
    printed = run(
        installed,
        """
        from sessions_store.pushes import PushRepository
        from sessions_store.redis.client import StoreClient
        from sessions_store.repository import SessionRepository
        from sessions_store.types import AgentSession

        store = StoreClient.from_url(sys.argv[1])
        sessions = SessionRepository(store)
        body = {"sessionUrl": "wss://host/?token=t", "sessionId": "s-1"}
        sessions.set("c-package", AgentSession.from_registration(body))
        pushes = PushRepository(store, sessions)
        push = pushes.push("c-package", "It is done.", wait_seconds=0.2)
        sessions.delete("c-package")
        import sessions_store.direct_push
        print(push.state, sorted({"django", "agent_conversations", "config"} & sys.modules.keys()))
        """,
        server.url,
    )

    assert printed == "queued []\n"


def test_type_checker_sees_the_types(installed: Path, tmp_path: Path) -> None:
    program = tmp_path / "service.py"
    program.write_text(
        "from sessions_store.pushes import PushRepository\n\n\n"
        "def done(pushes: PushRepository) -> str:\n"
        '    state: int = pushes.push("c", "It is done.", wait_seconds=1).state\n'
        "    return state\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-incremental"]

    checked = subprocess.run(
        [*command, str(program)],
        cwd=tmp_path,
        env={"MYPYPATH": "", "PYTHONPATH": str(installed), "PATH": ""},
        check=False,
        timeout=240,
        stdout=subprocess.PIPE,
        text=True,
    )

    assert "Literal['queued', 'sent'" in checked.stdout
    assert "import-untyped" not in checked.stdout
