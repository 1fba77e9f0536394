"""The shell examples of all pages, run as a reader runs them.

A page's console blocks run in their order, in one shell. Ids, times, ports and folders differ from
the page's: the first time that one is printed, it is remembered beside the page's own, which it has
to stand for from then on, in later commands too.
"""

import http.client
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sessions_store.embedded.server import EmbeddedServer
from sessions_store.redis.client import StoreClient
from sessions_store.repository import SessionRepository
from sessions_store.types import AgentSession
from tests.faults.servers import free_port
from tests.sessions_store.other_end import serving
from tests.waiting import wait_until

PROJECT_DIR = Path(__file__).resolve().parent.parent
CONTRIBUTING, CALLBACKS = "CONTRIBUTING.md", "docs/callback-services.md"
PAGES = [
    "README.md",
    CONTRIBUTING,
    *(str(page.relative_to(PROJECT_DIR)) for page in sorted((PROJECT_DIR / "docs").rglob("*.md"))),
]
NOT_RUN = {
    "make test": "it is what runs this test",
    "make check": "it takes a minute, and CI runs it",
    "git clone": "this is the clone",
    "cd elevenlabs-agent": "this is the folder",
    "export API_TOKENS": "for docker compose",
    "docker compose": "it needs Docker; test_deploy.py runs what it mounts",
    "make -C": "it installs into /opt",
    "install -m": "it installs into /etc",
    "valkey-server": "make faults does the same without redis-cli",
    "redis-cli --cluster": "make faults does the same without redis-cli",
    "systemd-run": "it needs systemd",
    "systemctl": "it needs systemd; test_deploy.py has the unit verified",
    "npx openapi-typescript": "it needs Node.js; make types does the same with the same schema",
    "import type": "make types compiles it, in tests/typescript/documented.ts",
    "import { follow }": "a page in a browser runs it, in test_watching_in_browser.py",
    "import { Conversation }": "a page in a browser runs it, in test_recording_in_browser.py",
    "follow({": "a page in a browser runs it, in test_watching_in_browser.py",
    "const socket": "a page in a browser runs it, in test_watching_in_browser.py",
    "from agent_conversations.recorder": "test_recorder.py calls it; a call needs the SDK",
    "flowchart": "a picture, which make architecture draws",
    '{"success": false': "the body of a response",
    "rule_files": "test_monitoring.py checks it with promtool",
    "options:": "what a command's --help prints, which make reference writes",
    "positional arguments:": "what a command's --help prints, which make reference writes",
    "agent.example.com {": "tests/test_proxies.py runs it",
    "http:": "tests/test_proxies.py runs it",
}
"""How a command, or a block of another language, begins; and why it is not run."""
RECIPES = "Add a"
"""The headings under which blocks are not run, because each is to be put into a file."""

_BLOCK = re.compile(
    r"^#+ (?P<heading>.*)$|^[ \d.]*```(?P<language>\w*)\n(?P<text>(?:.*\n)*?) *```$", re.MULTILINE
)
_VOLATILE = re.compile(r"(?:agent|msg)-\d{13}-[a-z0-9]{11,}|\d{4}-\d\d-\d\dT[\d:.]+Z")
_REMAINING = re.compile(r"((?:expiresInSeconds\W+|expires_in_seconds=))\d+")
_END = "--- end of the output, status "
_START_SECONDS = 60
_CONSOLE = """
import code
console = code.InteractiveConsole(globals())
for statement in {statements!r}:
    console.push(statement)
    print({end!r} + "0", flush=True)
"""


@dataclass(frozen=True)
class Block:
    page: str
    heading: str
    language: str
    text: str

    @property
    def is_recipe(self) -> bool:
        return self.page == CONTRIBUTING and self.heading.startswith(RECIPES)


@dataclass
class Example:
    """A command or a statement, and what the page shows below it."""

    command: str
    output: str = ""
    statements: "list[Example]" = field(default_factory=list)


def why_not_run(text: str) -> str:
    return next((why for start, why in NOT_RUN.items() if text.startswith(start)), "")


def blocks_of(page: str) -> Iterator[Block]:
    heading = ""
    for found in _BLOCK.finditer((PROJECT_DIR / page).read_text()):
        if found["heading"]:
            heading = found["heading"]
        else:
            yield Block(page, heading, found["language"], textwrap.dedent(found["text"]))


def examples_of(page: str) -> Iterator[Example]:
    for block in blocks_of(page):
        if block.language == "console" and not block.is_recipe:
            yield from _examples_in(block.text)


def _examples_in(text: str) -> Iterator[Example]:
    commands: list[Example] = []
    shown = Example("")
    for line in text.splitlines():
        if line.startswith("$ "):
            shown = Example(line[2:])
            commands.append(shown)
        elif line.startswith(">>> "):
            shown = Example(line[4:])
            commands[-1].statements.append(shown)
        else:
            shown.output += f"{line}\n"
    yield from commands


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PAGES_WITH_EXAMPLES = [page for page in PAGES if any(True for _ in examples_of(page))]


def is_set_up_by_make() -> bool:
    """Whether ``make run`` starts this test's Python, without installing anything first."""
    if Path(sys.prefix) != PROJECT_DIR / ".venv" or shutil.which("make") is None:
        return False
    stamp = ["make", "--question", "--silent", ".venv/run.stamp"]
    return subprocess.run(stamp, cwd=PROJECT_DIR, env=_environment(), check=False).returncode == 0


def _environment(**variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **variables}


class Service:
    """A command that serves until it is stopped."""

    def __init__(
        self, command: str, output: Path, port: int, live_port: int, data_dir: Path
    ) -> None:
        self._output = output
        self._port = port
        assigned = [word for word in shlex.split(command) if re.match(r"[A-Z_]+=", word)]
        words = [word for word in shlex.split(command) if word not in assigned]
        variables = {"PORT": str(port), "LIVE_PORT": str(live_port), "DATA_DIR": str(data_dir)}
        variables |= dict(word.split("=", 1) for word in assigned)
        if words == ["make", "run"] and is_set_up_by_make():
            words += [f"PORT={port}", f"DATA_DIR={data_dir}"]
        elif words == ["make", "run"]:
            words = [sys.executable, "manage.py", "serve"]
            variables = {"ELEVENLABS_AGENT_ENABLED": "true", **variables}
        with output.open("w") as written:
            self._process = subprocess.Popen(
                words,
                cwd=PROJECT_DIR,
                env=_environment(**variables),
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> str:
        """Return what was printed before the service was ready, and its store with it."""
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            has_ended = self._process.poll() is not None
            if has_ended or time.monotonic() > deadline:
                pytest.fail(f"not ready: {self._output.read_text()}")
            time.sleep(0.05)
        return self._output.read_text()

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        # A signal to its group, of which it is the leader, as from Ctrl-C in a terminal.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(_START_SECONDS)


class Reader:
    """Runs examples, compares what they print with the page, and stops what they started.

    Args:
        folder: for data and logs.
        redis_port: of the server that the page calls ``localhost:6379``.
    """

    def __init__(self, folder: Path, redis_port: int) -> None:
        self._folder = folder
        self._data_dir = folder / "data"
        self._ports = {port: free_port() for port in ("8000", "8001", "8010")}
        self._ours = {
            ".venv/bin/python": sys.executable,
            "…/.data": str(self._data_dir),
            "/etc/elevenlabs-agent.tokens": str(folder / "tokens"),
            "localhost:6379": f"localhost:{redis_port}",
            **{f"127.0.0.1:{page}": f"127.0.0.1:{ours}" for page, ours in self._ports.items()},
            **{f"runserver {page}": f"runserver {ours}" for page, ours in self._ports.items()},
        }
        self._services: dict[int, Service] = {}
        (folder / ".curlrc").write_text("max-time = 60\n")
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=PROJECT_DIR,
            env=_environment(DATA_DIR=str(self._data_dir), CURL_HOME=str(folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def close(self) -> None:
        self._shell.communicate()
        for service in self._services.values():
            service.stop()

    def follow(self, example: Example) -> None:
        command = self._translate(example.command)
        if example.statements:
            self._type(command, example.statements)
        elif command.endswith(("make run", f"runserver {self._ports['8010']}")):
            self._serve(command, example.output)
        elif not why_not_run(command):
            assert self._shell.stdin is not None
            print(command, f"printf '\\n{_END}%s\\n' $?", sep="\n", file=self._shell.stdin)
            self._shell.stdin.flush()
            self._compare(example, self._shell)

    def _serve(self, command: str, shown: str) -> None:
        """Start a service, in the place of the one on its port."""
        port = self._ports["8000" if command.endswith("make run") else "8010"]
        if port in self._services:
            self._services.pop(port).stop()
        log = self._folder / f"{port}.log"
        service = Service(command, log, port, self._ports["8001"], self._data_dir)
        self._services[port] = service
        printed = service.wait_until_ready()
        assert self._translate(shown) in printed
        if "REDIS_URL=" in command:
            assert f"redis://{self._ours['localhost:6379']}/0 (REDIS_URL)" in printed

    def _type(self, command: str, statements: list[Example]) -> None:
        """Give statements to a Python shell, whose prompt needs a terminal."""
        typed = [self._translate(statement.command) for statement in statements]
        with subprocess.Popen(
            [*shlex.split(command), "--command", _CONSOLE.format(statements=typed, end=_END)],
            cwd=PROJECT_DIR,
            env=_environment(DATA_DIR=str(self._data_dir)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as shell:
            for statement in statements:
                self._compare(statement, shell)

    def _compare(self, example: Example, process: "subprocess.Popen[str]") -> None:
        """Compare the next output; where the page shows none, nothing may have failed."""
        printed = ""
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(_END):
                assert line == f"{_END}0\n", printed
                break
            printed += line.replace("\r", "")
        else:
            pytest.fail(f"{example.command} ended early: {printed}")
        shown = _without_blank_lines(example.output)
        printed = _without_blank_lines(printed)
        if not shown:
            assert '"success":false' not in printed, example.command
            assert "Error" not in printed, example.command
            return
        for token, ours in zip(_VOLATILE.findall(shown), _VOLATILE.findall(printed), strict=False):
            self._ours.setdefault(token, ours)
        assert printed == self._translate(shown), example.command

    def _translate(self, text: str) -> str:
        """Put this run's ids, times and places in the place of the page's."""
        known = "|".join(map(re.escape, self._ours))
        return re.sub(known, lambda found: self._ours[found[0]], text)


def _without_blank_lines(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return "\n".join(_REMAINING.sub(r"\1…", line) for line in lines)


@pytest.fixture
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server on TCP, such as a reader has at localhost:6379."""
    options = {"port": str(free_port()), "bind": "127.0.0.1", "appendonly": "no"}
    with EmbeddedServer(tmp_path_factory.mktemp("redis"), options):
        yield int(options["port"])


@pytest.fixture
def reader(tmp_path: Path, redis_port: int) -> Iterator[Reader]:
    # What a reader has, but a machine for development may lack; where CI is set, it is an error.
    for tool in ("bash", "curl", "make"):
        if shutil.which(tool) is None and "CI" not in os.environ:
            pytest.skip(f"{tool} is not installed")
    reading = Reader(tmp_path, redis_port)
    yield reading
    reading.close()


@pytest.mark.parametrize("page", PAGES_WITH_EXAMPLES)
def test_examples_print_what_their_page_shows(reader: Reader, page: str) -> None:
    for example in examples_of(page):
        reader.follow(example)


PROGRAMS = [block.text for block in blocks_of(CALLBACKS) if block.language == "python"]


def test_examples_of_callback_services_push_and_find_the_session(
    redis_port: int, tmp_path: Path
) -> None:
    url = f"redis://localhost:{redis_port}/0"
    ws_url = "wss://api.elevenlabs.io/v1/convai/conversation?token=abc123"
    session = AgentSession.from_registration({"wsUrl": ws_url, "sessionId": "s-1"})
    SessionRepository(StoreClient.from_url(url)).set("c-1", session)
    pushing, reading, _ = PROGRAMS

    ended = subprocess.run(
        [sys.executable, "-"],
        input='conversation_id = "c-1"\n'
        + (pushing + reading).replace("redis://localhost:6379/0", url).replace("=10)", "=0.1)")
        + "print(session.ws_url)\n",
        cwd=tmp_path,
        env=_environment(PYTHONPATH=str(PROJECT_DIR)),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.stdout, ended.stderr) == (f"queued\n{ws_url}\n", "")


def test_example_of_the_ways_past_the_tab_sends_both() -> None:
    *_, program = PROGRAMS
    with serving() as other:
        program = program.replace("api_key=api_key", f"api_key='sk', base_url={other.url!r}")
        payload = {"wsUrl": f"{other.url}/join"}
        exec(  # noqa: S102  # the page's own
            program, {"call_id": "conv_1", "session": AgentSession.from_registration(payload)}
        )

        wait_until(lambda: len(other.frames) == 2)
        assert {frame.get("type") for frame in other.frames} == {None, "input_text"}


def test_every_block_is_run_or_has_a_reason() -> None:
    others = [
        block
        for block in BLOCKS
        if block.language != "console" and (block.page, block.language) != (CALLBACKS, "python")
    ]

    assert [one for one in others if not one.is_recipe and not why_not_run(one.text)] == []


def test_documented_types_are_those_that_are_compiled() -> None:
    (documented,) = (block.text for block in BLOCKS if block.language == "ts")
    compiled = (PROJECT_DIR / "tests/typescript/documented.ts").read_text()

    assert documented.replace('"./agent-api"', '"./schema"') in compiled


def test_every_reason_belongs_to_an_example() -> None:
    texts = [one.command for page in PAGES for one in examples_of(page)]
    texts += [block.text for block in BLOCKS]

    assert [start for start in NOT_RUN if not any(text.startswith(start) for text in texts)] == []


def test_reader_notices_an_output_that_differs(reader: Reader) -> None:
    with pytest.raises(AssertionError):
        reader.follow(Example("echo 2 messages", "3 messages\n"))


def test_reader_notices_another_id_under_the_same_name(reader: Reader) -> None:
    shown, *printed = (f"agent-1795454550624-e8gqxu6c1jd{letter}" for letter in "pqr")
    reader.follow(Example(f"echo {printed[0]}", shown))

    with pytest.raises(AssertionError):
        reader.follow(Example(f"echo {printed[1]}", shown))


def test_reader_notices_a_command_that_fails(reader: Reader) -> None:
    with pytest.raises(AssertionError):
        reader.follow(Example("false"))
