"""Who gets JSON and who the browsable API."""

from collections.abc import Iterable
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from agent_conversations.api.exceptions import header_too_long
from agent_conversations.api.media_types import MAX_HEADER_CHARACTERS, qualities

_JSON = "application/json"
_HTML = "text/html"


class JsonUnlessBrowser(BaseContentNegotiation):
    """JSON for everyone, but for a browser that asks for ``text/html`` by name.

    A client that names no type that we have gets JSON too; only one that refuses JSON in so many
    words (``application/json;q=0``) gets a 406.

    Raises:
        NotAcceptable: JSON is refused and HTML not asked for; or the header cannot be read.
        InvalidRequestError: the header is too long.
    """

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        # The only one: it refuses what it cannot read, by charset and Content-Encoding too.
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        by_type: dict[Any, BaseRenderer] = {renderer.media_type: renderer for renderer in renderers}
        accept = request.META.get("HTTP_ACCEPT", "*/*")
        if accept in ("*/*", _JSON):  # nearly every program's
            return by_type[_JSON], _JSON
        if len(accept) > MAX_HEADER_CHARACTERS:
            raise header_too_long("Accept")
        quality = qualities(accept)
        if quality is None:
            raise NotAcceptable
        html = quality.get(_HTML, 0.0)
        json = quality.get(_JSON, quality.get("application/*", quality.get("*/*", 1.0)))
        if html > 0 and _HTML in by_type and html >= quality.get(_JSON, 0.0):
            return by_type[_HTML], _HTML
        if json <= 0:
            raise NotAcceptable
        return by_type[_JSON], _JSON


class FirstRenderer(BaseContentNegotiation):
    """For a document that exists in one form only: that form, with any ``Accept``."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)
