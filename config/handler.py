"""Django's WSGI handler, with a short way for a program's request to the API."""

from collections.abc import Callable
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from agent_conversations.api.negotiation import wants_nothing_but_json
from agent_conversations.api.urls import FoundView, find_view


class ProgramRequest(WSGIRequest):
    """A request to the API by a program, whose view is known already."""

    def __init__(self, environ: dict[str, Any], view: FoundView) -> None:
        super().__init__(environ)
        self.view = view


class ServiceHandler(WSGIHandler):
    """Leaves out of a program's request to the API what Django does there for other services.

    That is: to note a script prefix and a URLconf for ``reverse()``, which no answer to a program
    needs; to try one URL pattern after the other; to look for asynchronous views, transactions,
    template responses, cookies and middleware of views, of which this service has none; to log an
    error, which api/errors.py has done; to send ``request_started`` (``request_finished`` is sent
    when the answer is closed). Middleware and the REST framework are passed as ever.

    Every other request, a browser's among them, takes Django's own way.
    """

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> HttpResponseBase:
        view = None
        if wants_nothing_but_json(environ.get("HTTP_ACCEPT", "")):
            view = find_view(environ.get("PATH_INFO", ""))
        if view is None:
            return super().__call__(environ, start_response)
        request = ProgramRequest(environ, view)
        response: HttpResponseBase = self._middleware_chain(request)  # type: ignore[attr-defined]  # missing in the stubs
        # The pairs as they were given; headers.items() looks each one up again. The attribute is
        # private: the comparison with Django's own way in the tests tells when it is gone.
        headers = list(response.headers._store.values())
        start_response(f"{response.status_code} {response.reason_phrase}", headers)
        return response

    def _get_response(self, request: HttpRequest) -> HttpResponseBase:
        if isinstance(request, ProgramRequest):
            callback, keywords = request.view
            return callback(request, **keywords)
        return super()._get_response(request)  # type: ignore[no-any-return,misc]  # missing in the stubs
