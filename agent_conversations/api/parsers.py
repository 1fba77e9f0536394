"""How a request's body is read: JSON that can be kept as it is, and nothing else."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from agent_conversations.api.exceptions import RequestTooLargeError, WebhookTooLargeError
from agent_conversations.api.media_types import MAX_WEBHOOK_BYTES
from sessions_store.errors import InvalidRequestError
from sessions_store.redis import deadline
from sessions_store.wire import json_codec

_MOST_DISCARDED = 1024 * 1024
"""Bytes of a body that is too large. A proxy is to let through so many more than the limit."""


class JsonParser(BaseParser):
    """Reads ``request.data``: the JSON object of a body; ``{}`` where there is no body.

    Raises:
        RequestTooLargeError: over 1 MiB.
        UnsupportedMediaType: not ``application/json`` in UTF-8, or a ``Content-Encoding``.
        InvalidRequestError: not JSON (``sessions_store.wire.json_codec`` says what counts as such),
            not an object, or shorter than announced.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        request = (parser_context or {})["request"]
        body = _read(stream, request, settings.DATA_UPLOAD_MAX_MEMORY_SIZE, RequestTooLargeError)
        request.typed = body  # a page's form shows it again where it is refused
        encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity")
        if media_type != self.media_type or encoding.lower() != "identity":
            raise UnsupportedMediaType(media_type or "")
        try:
            value = json_codec.decode(body)
        except json_codec.InvalidJsonError as error:
            raise _invalid_body(f"The body cannot be read as JSON: {error}") from None
        if not isinstance(value, dict):
            raise _invalid_body("The body must be a JSON object")
        return value


class WebhookParser(BaseParser):
    """Reads ``request.data``: in ``body`` the bytes of a webhook, over which it is signed.

    Raises:
        WebhookTooLargeError: over ``MAX_WEBHOOK_BYTES``.
        InvalidRequestError: shorter than announced.
    """

    media_type = "*/*"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, bytes]:
        request = (parser_context or {})["request"]
        return {"body": _read(stream, request, MAX_WEBHOOK_BYTES, WebhookTooLargeError)}


def _read(stream: IO[bytes], request: Request, limit: int, error: type[Exception]) -> bytes:
    body = stream.read(limit + 1)
    deadline.begin()  # anew: however slow the client was, there is time for Redis
    if len(body) > limit:
        # A proxy that cannot send on takes that for a failure of ours: its client would see a 502.
        # Of a body that it lets through, this is the rest.
        stream.read(_MOST_DISCARDED)
        raise error
    # An empty rest of a body that was cut off would create a conversation. Of one in chunks,
    # nobody says how long it is; but JSON that is cut off shows it, and so does nothing.
    headers = request.META
    expected = 1 if "HTTP_TRANSFER_ENCODING" in headers else int(headers["CONTENT_LENGTH"])
    if len(body) < expected:
        raise _invalid_body("The body ended before all of it had come")
    return body


def _invalid_body(sentence: str) -> InvalidRequestError:
    return InvalidRequestError(sentence, {"body": [sentence]})
