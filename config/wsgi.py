"""The entry point of WSGI servers: ``config.wsgi:application``."""

import io
import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

_django = get_wsgi_application()
# Of what it holds, pages make addresses: nothing that leads to another host.
_is_path = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+").fullmatch


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Serve a request, below the path prefix that a trusted proxy has taken off.

    One with ``Transfer-Encoding: chunked`` gets a Content-Length first:
    Django takes a body without a Content-Length for an empty one, so that a message would be lost
    and an empty conversation created.
    """
    prefix = environ.get("HTTP_X_FORWARDED_PREFIX", "").rstrip("/")
    if prefix and settings.TRUSTED_PROXIES and _is_path(prefix):
        environ["SCRIPT_NAME"] = prefix
    if "HTTP_TRANSFER_ENCODING" in environ and not environ.get("CONTENT_LENGTH"):
        # Of a body that is too long, one byte more than is allowed makes the parser refuse it.
        body = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        environ["wsgi.input"] = io.BytesIO(body)
        # An empty one was cut off: it is announced as a byte that does not come, so that the parser
        # refuses it instead of taking the request for one without a body.
        environ["CONTENT_LENGTH"] = str(len(body) or 1)
    return _django(environ, start_response)
