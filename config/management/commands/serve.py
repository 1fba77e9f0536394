import asyncio
import ipaddress
import multiprocessing
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from agent_conversations import API_PREFIX
from agent_conversations.live import server as live
from agent_conversations.services import metrics, server_problems
from config.access_log import start_access_log
from config.environment import Environment
from config.live import LiveProcess
from sessions_store.embedded.errors import EmbeddedServerError
from sessions_store.embedded.server import EmbeddedServer
from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.deployment import without_credentials
from sessions_store.redis.server_checks import OTHER_KIND

MAX_CONNECTIONS = 500
"""That one worker has open at the same time; further ones wait in the kernel's backlog."""

MAX_HEAD_BYTES = 16 * 1024
"""Of a request's line and headers together; of more, the server responds with 431."""


class Command(BaseCommand):
    help = "Serves the API and the live process; without REDIS_URL, on the bundled Valkey server."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--only",
            choices=["rest", "live"],
            help="one of the two: the API with the bundled server, or the live process",
        )

    def handle(self, *args: Any, only: str | None, verbosity: int, **options: Any) -> None:
        environment: Environment = settings.ENVIRONMENT
        check_access(environment)
        if only == "live":
            _server_reports()
            address = _free_address(environment.host, settings.LIVE_PORT, "LIVE_PORT")
            if verbosity:
                self._print([("Live", _live_address(environment))])
            metrics().start()
            asyncio.run(_serve_live(address))
            return
        address = _free_address(environment.host, environment.port, "PORT")
        shutil.rmtree(settings.METRICS_DIR, ignore_errors=True)
        with ExitStack() as stack:
            if only is None:
                _free_address(environment.host, settings.LIVE_PORT, "LIVE_PORT")
            if not environment.redis_url:
                try:
                    stack.enter_context(EmbeddedServer(environment.data_dir)).keep_running()
                except EmbeddedServerError as error:
                    raise CommandError(str(error)) from error
            reports = _server_reports()
            if only is None:
                stack.enter_context(LiveProcess())
            self._print_summary(environment, with_live=only is None)
            for report in reports:
                self.stderr.write(report)
            # From here on a signal ends the server, and the server's end unwinds the stack.
            _server(environment, address).serve()

    def _print(self, lines: Iterable[tuple[str, str]]) -> None:
        for name, value in lines:
            self.stdout.write(f"  {name:<17} {value}")
        self.stdout.write("  Ctrl-C stops it.\n\n")
        self.stdout.flush()

    def _print_summary(self, environment: Environment, *, with_live: bool) -> None:
        address = f"http://{_host(environment)}:{environment.port}"
        if environment.redis_url:
            redis = f"{without_credentials(environment.redis_url)} (REDIS_URL)"
        else:
            redis = f"bundled Valkey, data in {environment.data_dir} (set REDIS_URL for your own)"
        off = "off: the API responds with 503 (ELEVENLABS_AGENT_ENABLED=true)"
        live = _live_address(environment) if with_live else "not here (serve --only live)"
        self._print(
            [
                ("elevenlabs-agent", address),
                ("API", address + API_PREFIX + "/list"),
                ("Live", live),
                ("Docs", f"{address}/docs"),
                ("Redis", redis),
                ("Feature flag", "on" if settings.ELEVENLABS_AGENT_ENABLED else off),
                ("Access", _access(environment)),
            ]
        )


def _server_reports() -> list[str]:
    """Return what is to be told about the Redis server.

    Raises:
        CommandError: it is of another kind than REDIS_URL says, so that nothing would work.
    """
    try:
        problems = server_problems()
    except StoreUnavailableError as error:
        return [
            f"Redis is unavailable ({error.cause}); until it is back, the API responds with 503."
        ]
    for problem in problems:
        if problem.code in OTHER_KIND:
            raise CommandError(problem.message)
    return [f"Redis: {problem.message}" for problem in problems]


def check_access(environment: Environment) -> None:
    """Refuse to open every conversation to a network by mistake.

    Raises:
        CommandError: beyond loopback, with the flag on, and neither API_TOKENS nor ALLOW_ANONYMOUS.
    """
    is_open = settings.ELEVENLABS_AGENT_ENABLED and not settings.API_TOKENS.are_needed
    if is_open and not environment.allow_anonymous and not _is_loopback(environment.host):
        raise CommandError(
            f"Not listening on {environment.host} without API_TOKENS: anyone who reaches that "
            "address could read every conversation. Set API_TOKENS=name:token, or "
            "ALLOW_ANONYMOUS=true if something in front of the service controls access."
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _access(environment: Environment) -> str:
    names = ("API_TOKENS", "API_TOKENS_FILE")
    given = [name for name in names if getattr(environment, name.lower())]
    return " and ".join(given) or "open: no API_TOKENS"


def _host(environment: Environment) -> str:
    return f"[{environment.host}]" if ":" in environment.host else environment.host


def _live_address(environment: Environment) -> str:
    return f"ws://{_host(environment)}:{settings.LIVE_PORT}{API_PREFIX}/ws"


async def _serve_live(address: str) -> None:
    if sys.platform == "linux":
        # What is written wakes it up, and it would often take the processor that the response to
        # the writer needs: decision 11.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    log = start_access_log()
    await live.run(address, settings.LIVE_PORT, stop, log.add if log else None)


def _free_address(host: str, port: int, variable: str) -> str:
    """Return the IP address of a host, where the port is free.

    Args:
        variable: the one that the port is of.

    Raises:
        CommandError: the host is not of this machine, or the port is in use or not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise CommandError(
            f"Cannot listen on {host}: HOST must be an address or name of this machine."
        ) from error
    # Of a name with both, the IPv4 address: what most mean by localhost.
    family, *_, name = min(found, key=lambda one: one[0] != socket.AF_INET)
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(name)
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {host}:{port}: {error.strerror}. "
                f"Choose another port with {variable}."
            ) from error
    return str(name[0])


class _Server(MPServer):
    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        if multiprocessing.parent_process():
            # A worker has this handler too, until it is up: it would go on, and be killed after
            # workers_kill_timeout. It has nothing to save. Ctrl-C it leaves to its parent.
            if signal.SIGTERM in args:
                os._exit(0)
            return
        # A second Ctrl-C that comes while the first is handled would wait for ever for a lock that
        # the first one's handler, below it on the stack, holds.
        if not self.interrupt_signal:
            super().signal_handler_interrupt(*args, **kwargs)  # type: ignore[no-untyped-call]  # granian's


def _server(environment: Environment, address: str) -> MPServer:
    level = environment.log_level.lower()
    return _Server(
        "config.worker:application",
        address=address,
        port=environment.port,
        interface=Interfaces.WSGI,
        # granian 2.8 also speaks HTTP/2 without TLS by default. There, a request whose body never
        # ends leaves its thread spinning after the client is gone, and a body without a
        # Content-Length reaches WSGI as an empty one. HTTP/2 ends at a proxy, where it has TLS.
        http=HTTPModes.http1,
        workers=environment.workers,
        websockets=False,
        http1_settings=HTTP1Settings(
            # Also how long it waits for the headers of a connection's next request.
            header_read_timeout=environment.keep_alive_seconds * 1000,
            max_buffer_size=MAX_HEAD_BYTES,
        ),
        # As many as clients that may be slow; config/connections.py keeps to THREADS.
        blocking_threads=MAX_CONNECTIONS,
        # A worker that was killed comes back; one that dies again within seconds ends the service.
        respawn_failed_workers=True,
        # Seconds; the longest request takes half of them.
        workers_kill_timeout=5,
        # Connections, not requests: with no more of them than threads, a few browsers that keep
        # theirs open would shut everyone else out.
        backpressure=MAX_CONNECTIONS,
        # Its own start-up lines repeat ours, and it takes threads that wait for Redis for a fault.
        log_level=LogLevels.debug if level == "debug" else LogLevels.error,
        # Its access log costs a quarter of the requests a second; ours is in config/access_log.py.
        log_access=False,
        log_dictconfig=settings.LOGGING,
    )
