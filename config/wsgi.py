"""The entry point of WSGI servers: ``config.wsgi:application``."""

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest

from agent_conversations.api.media_types import MAX_WEBHOOK_BYTES, NO_LENGTH, plain_type
from agent_conversations.served_requests import (
    REQUEST_ID_HEADER,
    SERVED,
    ServedRequest,
    current,
)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

_django = get_wsgi_application()

from agent_conversations.api.exceptions import error_view  # noqa: E402  # once Django is set up

# Of what it holds, pages make addresses: nothing that leads to another host.
_is_path = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+").fullmatch


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Serve a request under its id, which the response has as well, and every line of the log."""
    served = environ[SERVED] = ServedRequest(
        environ.get("HTTP_X_REQUEST_ID"),
        environ.get("HTTP_TRACEPARENT"),
        environ["REQUEST_METHOD"],
        environ["PATH_INFO"],
    )

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        served.status = status[:3]
        headers.append((REQUEST_ID_HEADER, served.request_id))
        return start_response(status, headers, *rest)

    token = current.set(served)
    try:
        return _serve(environ, start)
    finally:
        current.reset(token)
        served.end()


def _serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Serve a request below the path prefix that a trusted proxy has taken off.

    What Django would fail at, or take for something else, while it builds the request is put right
    before. A body is not read here: whoever may not enter is told so without waiting for it.
    """
    content_type = environ.get("CONTENT_TYPE")
    if content_type and content_type != "application/json":
        environ["CONTENT_TYPE"] = plain_type(content_type)
    if not environ.get("CONTENT_LENGTH"):
        # Django takes a body without a Content-Length for an empty one.
        if "HTTP_TRANSFER_ENCODING" in environ:
            # One byte more than any path allows: whatever comes, up to its own limit, is read.
            environ["CONTENT_LENGTH"] = str(MAX_WEBHOOK_BYTES + 1)
        elif content_type and environ["SERVER_PROTOCOL"] != "HTTP/1.1":
            environ["CONTENT_TYPE"] = NO_LENGTH
    prefix = environ.get("HTTP_X_FORWARDED_PREFIX", "").rstrip("/")
    if prefix and settings.TRUSTED_PROXIES and _is_path(prefix):
        environ["SCRIPT_NAME"] = prefix
    try:
        return _django(environ, start_response)
    except Exception as error:  # a server would log its text, and send no envelope
        response = error_view(HttpRequest(), error)
        start_response(f"{response.status_code} {response.reason_phrase}", [*response.items()])
        return response
