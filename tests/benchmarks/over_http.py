"""The service as shipped, in processes of its own, driven by wrk."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from config.environment import PROJECT_DIR
from tests.benchmarks.cases import Case
from tests.benchmarks.load import Load
from tests.faults.servers import free_port

# Prints what is asked for as JSON: microseconds, requests, errors.
_WRK_SCRIPT = """
wrk.method = "%(method)s"
wrk.body = %(body)s
wrk.headers["Content-Type"] = "application/json"
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\nRESULT {"requests": %%d, "microseconds": %%d, "p50": %%d, "p99": %%d, "errors": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Service:
    port: int
    live_port: int
    pid: int

    def worker_kib(self) -> int:
        """Return the resident memory of the workers together."""
        return self._children_kib(live=False)

    def live_kib(self) -> int:
        """Return the resident memory of the live process."""
        return self._children_kib(live=True)

    def _children_kib(self, *, live: bool) -> int:
        total = 0
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                status = (process / "status").read_text()
                fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
                if int(fields["PPid"]) == self.pid and "python" in fields["Name"]:
                    is_live = b"\0--only\0live\0" in (process / "cmdline").read_bytes()
                    total += int(fields["VmRSS"].split()[0]) if is_live == live else 0
        return total


@contextmanager
def service(redis_url: str, *, live: bool = False) -> Iterator[Service]:
    """Run the API as shipped: with as many workers as cores, without the access log.

    Args:
        live: whether with the live process.
    """
    port, live_port = free_port(), free_port()
    with TemporaryDirectory() as folder:
        environment = {
            "PATH": os.environ["PATH"],
            "REDIS_URL": redis_url,
            "DATA_DIR": folder,
            "PORT": str(port),
            "LIVE_PORT": str(live_port),
            "ELEVENLABS_AGENT_ENABLED": "true",
            "LOG_LEVEL": "WARNING",
            # wrk appends more to one conversation than people ever say.
            "CONVERSATION_MAX_MESSAGES": "999999999",
        }
        environment |= {
            name: os.environ[name] for name in ("WORKERS", "THREADS") if name in os.environ
        }
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "serve", *([] if live else ["--only", "rest"])],
                cwd=PROJECT_DIR,
                env=environment,
                stdout=log,
                stderr=log,
            )
        try:
            _wait_until_up(port)
            if live:
                _wait_until_up(live_port)
            yield Service(port, live_port, process.pid)
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_up(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/health/live")
            connection.getresponse().read()
            return
        time.sleep(0.1)
    raise RuntimeError("the service did not start")


def drive(running: Service, case: Case, *, connections: int, seconds: float) -> Load:
    """Load one route from one thread of wrk."""
    with TemporaryDirectory() as folder:
        script = Path(folder) / "route.lua"
        quoted = "nil" if case.body is None else f"[==[{case.body}]==]"
        script.write_text(_WRK_SCRIPT % {"method": case.method, "body": quoted})
        output = subprocess.run(
            [
                "wrk",
                "--threads=1",
                f"--connections={connections}",
                f"--duration={seconds:.0f}s",
                f"--script={script}",
                f"http://127.0.0.1:{running.port}{case.path}",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = json.loads(output.partition("RESULT ")[2])
    return Load(
        found["requests"] / (found["microseconds"] / 1e6),
        found["p50"] / 1e3,
        found["p99"] / 1e3,
        found["errors"],
    )
