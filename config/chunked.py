"""Bodies that come in chunks, without a Content-Length."""

import io
from collections.abc import Callable, Iterable
from typing import Any

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def read_chunked_bodies(application: Wsgi, limit: int) -> Wsgi:
    """Give requests with ``Transfer-Encoding: chunked`` a length before Django sees them.

    Django takes a body without a Content-Length for an empty one, so that a message would be lost
    and an empty conversation created.

    Args:
        limit: bytes; of a longer body one byte more is read, which is what makes it too long.
    """

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_TRANSFER_ENCODING" in environ and not environ.get("CONTENT_LENGTH"):
            body = environ["wsgi.input"].read(limit + 1)
            environ["wsgi.input"] = io.BytesIO(body)
            # An empty one was cut off: it is announced as a byte that does not come, so that the
            # parser refuses it instead of taking the request for one without a body.
            environ["CONTENT_LENGTH"] = str(len(body) or 1)
        return application(environ, start_response)

    return serve
