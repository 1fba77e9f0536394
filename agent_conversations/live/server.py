"""The WebSocket server: who may watch, and health."""

import asyncio
import logging
import re
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.request import split_domain_port
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from agent_conversations import API_PREFIX, services
from agent_conversations.access import Client, Scope
from agent_conversations.envelope import (
    INTERNAL,
    RETRY_AFTER_SECONDS,
    envelope,
    error_response,
)
from agent_conversations.errors import (
    FeatureDisabledError,
    OriginNotAllowedError,
    ScopeMissingError,
    TokenRequiredError,
    UnknownPathError,
    UpgradeRequiredError,
)
from agent_conversations.live.changes import Version
from agent_conversations.live.hub import COMPARE_SECONDS, Hub
from agent_conversations.live.viewer import (
    CLOSE_SECONDS,
    POLICY_VIOLATION,
    WRITE_LIMIT_BYTES,
    Viewer,
)
from agent_conversations.metrics import ERRORS, LIVE_VIEWERS
from agent_conversations.served_requests import (
    REQUEST_ID_HEADER,
    Fields,
    ServedRequest,
    current,
)
from agent_conversations.types import ViewerQuery
from sessions_store.errors import InvalidRequestError, StoreUnavailableError
from sessions_store.wire.model import to_json

PATH = f"{API_PREFIX}/ws"
MAX_FRAME_BYTES = 4 * 1024
"""Of a client's frame; a longer one closes the connection with 1009."""

PING_SECONDS = 20.0
OPEN_SECONDS = 5.0
STOP_SECONDS = 8.0
_BEARER = "bearer."

Log = Callable[[Fields], object]

_logger = logging.getLogger(__name__)


async def run(host: str, port: int, stop: asyncio.Event, log: Log | None = None) -> None:
    """Serve until ``stop`` is set; viewers are then closed with 1001 (going away).

    Args:
        log: is told of each viewer that comes or goes, and of each other request; must not wait.
    """
    _allow_many_connections()
    asyncio.get_running_loop().set_exception_handler(_log_fault)
    async with LiveServer(host, port, log=log):
        await stop.wait()


class LiveServer:
    """The server on an address, for use in an ``async with`` statement.

    It has the settings, the repository and the Redis client of ``services.py``.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        compare_seconds: float = COMPARE_SECONDS,
        log: Log | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._log = log or _ignore
        self._compare_seconds = compare_seconds

    async def __aenter__(self) -> "LiveServer":
        self._hub = Hub(
            services.store(),
            services.conversations(),
            services.pushes(),
            compare_seconds=self._compare_seconds,
        )
        self._running = asyncio.create_task(self._hub.run())
        self._server: Server = await serve(
            self._watch,
            self._host,
            self._port,
            create_connection=Viewer,
            process_request=self._refuse_or_accept,
            process_response=self._complete_response,
            select_subprotocol=_token_subprotocol,
            # A conversation's text is small; a compressor for each viewer would take 64 KB.
            compression=None,
            server_header=None,
            max_size=MAX_FRAME_BYTES,
            write_limit=WRITE_LIMIT_BYTES,
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
        )
        self._ending = asyncio.create_task(self._end_without_token())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._server.wait_closed()
        for task in (self._running, self._ending):
            task.cancel()
        await asyncio.wait([self._running, self._ending])

    async def _end_without_token(self) -> None:
        """End the connections of clients whose token is taken away, as long as the task runs."""
        while True:
            await asyncio.sleep(self._compare_seconds)
            clients = await asyncio.to_thread(lambda: set(settings.API_TOKENS.clients()))
            for connection in self._server.connections:
                assert isinstance(connection, Viewer)  # noqa: S101  # create_connection makes them
                if connection.client and connection.client not in clients:
                    connection.end(POLICY_VIOLATION, "The token is not valid any more.")

    async def _watch(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Viewer)  # noqa: S101  # create_connection makes them
        known: dict[str, object] = {
            "request_id": connection.served.request_id,
            "connection": str(connection.id),
            "conversation_id": connection.query.conversation_id,
        }
        self._log(partial(dict, known, event="Connection opened"))
        self._hub.join(connection)
        try:
            with LIVE_VIEWERS.track_inprogress():
                async for message in connection:
                    self._hub.pushes.take(connection, message)
        except ConnectionClosed:
            pass
        finally:
            self._hub.leave(connection)
            seconds = round(time.perf_counter() - connection.served.began, 1)
            known |= {"seconds": seconds, "frames": connection.frames}
            self._log(partial(dict, known, event="Connection closed", code=connection.close_code))

    async def _refuse_or_accept(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        assert isinstance(connection, Viewer)  # noqa: S101  # create_connection makes them
        path, _, query = request.path.partition("?")
        connection.served = _served(request, path)
        # The task is the connection's own.
        current.set(connection.served)
        try:
            if path == "/health/live":
                return _respond(connection, HTTPStatus.OK, b'{"status":"ok"}')
            if path == "/health/ready":
                return await self._report_readiness(connection)
            if path != PATH:
                raise UnknownPathError
            if settings.API_TOKENS.look_is_due:  # not here, where no frame would go out meanwhile
                await asyncio.to_thread(settings.API_TOKENS.look)
            client = _check_access(request)
            _check_upgrade(request)
            connection.query = _parse_query(query)
            _check_scope(client, "read")
            if connection.query.session_id is not None:
                # It takes pushes, as the session that it could register does.
                _check_scope(client, "write")
            connection.client = client
        except Exception as error:  # each has its row in the table of errors
            return _refuse(connection, error)
        if connection.query.after is not None and connection.query.revision is not None:
            connection.known = Version(connection.query.revision, connection.query.after)
            connection.resumes = True
        return None

    def _complete_response(
        self, connection: ServerConnection, request: Request, response: Response
    ) -> Response:
        assert isinstance(connection, Viewer)  # noqa: S101  # create_connection makes them
        response = _as_envelope(connection, response) or response
        served = connection.served
        response.headers[REQUEST_ID_HEADER] = served.request_id
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            served.status = str(response.status_code)
            served.seconds = time.perf_counter() - served.began
            self._log(served.to_log)
        return response

    async def _report_readiness(self, connection: Viewer) -> Response:
        await asyncio.to_thread(services.store().ping)
        if not self._hub.is_connected:
            raise StoreUnavailableError("not subscribed")
        body = {"status": "ok", "redis": "ok", "enabled": settings.ELEVENLABS_AGENT_ENABLED}
        return _respond(connection, HTTPStatus.OK, to_json(body))


def _ignore(_: Fields) -> None:
    """Log nothing."""


def _served(request: Request, path: str) -> ServedRequest:
    request_id, trace = (
        next(iter(request.headers.get_all(name)), None)
        for name in (REQUEST_ID_HEADER, "traceparent")
    )
    return ServedRequest(request_id, trace, "GET", path)


# --- Who may watch --------------------------------------------------------------------------------


def _check_access(request: Request) -> Client | None:
    """Return who wants to watch; ``None`` where nobody needs a token."""
    if not settings.ELEVENLABS_AGENT_ENABLED:
        raise FeatureDisabledError
    client = next(filter(None, map(settings.API_TOKENS.find, _sent_tokens(request))), None)
    if settings.API_TOKENS.are_needed and client is None:
        raise TokenRequiredError
    host = HttpRequest()
    host.META["HTTP_HOST"] = request.headers.get("Host", "")
    _check_origin(request.headers.get_all("Origin"), host.get_host())
    return client


def _check_scope(client: Client | None, scope: Scope) -> None:
    if client and scope not in client.scopes:
        raise ScopeMissingError(scope)


def _sent_tokens(request: Request) -> Iterator[str]:
    for value in request.headers.get_all("Authorization"):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer":
            yield token.strip()
    for value in request.headers.get_all("Sec-WebSocket-Protocol"):
        for offered in value.split(","):
            if offered.strip().startswith(_BEARER):
                yield offered.strip().removeprefix(_BEARER)


def _check_origin(origins: Sequence[str], host: str) -> None:
    """Refuse pages of other sites; a program sends no origin.

    Allowed are those that may use the API, and the pages of the service itself: they are at this
    address, where a proxy puts both under one, or at that of the REST side.
    """
    domain, _ = split_domain_port(host)
    own = (host, f"{domain}:{settings.PORT}")
    for origin in origins:
        if not (
            origin in settings.CORS_ALLOWED_ORIGINS
            or any(re.match(one, origin) for one in settings.CORS_ALLOWED_ORIGIN_REGEXES)
            or urlsplit(origin).netloc in own
        ):
            raise OriginNotAllowedError


def _check_upgrade(request: Request) -> None:
    words = ",".join(request.headers.get_all("Upgrade")).lower().split(",")
    if "websocket" not in map(str.strip, words):
        raise UpgradeRequiredError


def _parse_query(query: str) -> ViewerQuery:
    try:
        sent = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise InvalidRequestError("The query has too many parameters.") from None
    return ViewerQuery.parse({"conversationId": sent.get("id"), **sent})


def _token_subprotocol(
    connection: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    """Return the one that carries the token: a browser wants one of those that it has offered."""
    return next((one for one in offered if one.startswith(_BEARER)), None)


# --- Responses before the upgrade -----------------------------------------------------------------


def _refuse(connection: ServerConnection, error: Exception) -> Response:
    if isinstance(error, DisallowedHost):
        error = InvalidRequestError("This host name is not among the server's ALLOWED_HOSTS.")
    row = error_response(error)
    ERRORS.labels(row.code).inc()
    if row is INTERNAL:
        _logger.error("A request failed", exc_info=(type(error), error, error.__traceback__))
    response = _respond(connection, HTTPStatus(row.status), to_json(envelope(error, row)))
    if isinstance(error, StoreUnavailableError):
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    elif isinstance(error, TokenRequiredError):
        response.headers["WWW-Authenticate"] = 'Bearer realm="elevenlabs-agent"'
    elif isinstance(error, UpgradeRequiredError):
        response.headers["Upgrade"] = "websocket"
    return response


def _respond(connection: ServerConnection, status: HTTPStatus, body: bytes) -> Response:
    response = connection.respond(status, body.decode())
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    response.headers["Cache-Control"] = "no-store"
    return response


def _as_envelope(connection: ServerConnection, response: Response) -> Response | None:
    """Put what the library refuses into the envelope: a handshake that is none."""
    is_ours = "application/json" in response.headers.get_all("Content-Type")
    if is_ours or response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
        return None
    return _refuse(connection, InvalidRequestError("The opening handshake is not a WebSocket's."))


def _log_fault(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Log what no task has handled. asyncio itself writes exceptions out, and what they quote."""
    _logger.error("A task of the live process failed", exc_info=context.get("exception"))


def _allow_many_connections() -> None:
    """Raise the limit of open files, often 1,024, to the most that this process may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
