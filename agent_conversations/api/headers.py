"""The headers of the API: how each is described, read and written."""

from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from agent_conversations.types import IdempotencyKey
from sessions_store.errors import InvalidRequestError
from sessions_store.wire.fields import MAX_IDENTIFIER_CHARACTERS


def _describe(
    name: str, description: str, *statuses: int, schema: dict[str, object] | None = None
) -> OpenApiParameter:
    """Return the description of a request's header, or of that of responses with ``statuses``."""
    return OpenApiParameter(
        name,
        schema or {"type": "string"},
        OpenApiParameter.HEADER,
        description=description,
        response=list(statuses) or False,
    )


LOCATION = _describe("Location", "The path of the conversation.", 200, 201)
ETAG = _describe("ETag", "Changes with every change of the content.", 200, 201)
IF_MATCH = _describe("If-Match", "Only if the ETag is this one still, or its weak form; else 412.")
REPLAYED = _describe(
    "Idempotency-Replayed",
    "This response repeats an earlier one; nothing was written.",
    200,
    schema={"type": "string", "const": "true"},
)
IDEMPOTENCY = (
    _describe(
        "Idempotency-Key",
        "The same request with the same key counts once.",
        schema={"type": "string", "minLength": 1, "maxLength": MAX_IDENTIFIER_CHARACTERS},
    ),
    REPLAYED,
)
RETRY_AFTER = _describe(
    "Retry-After",
    "Seconds to wait; with store_unavailable and rate_limited.",
    429,
    503,
    schema={"type": "integer"},
)


def idempotency_key(request: Request) -> str | None:
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key == "":
        # What the server makes of a value that is not ASCII, too.
        raise InvalidRequestError.of_field(
            "Idempotency-Key", "Idempotency-Key must not be empty, and must be ASCII"
        )
    return None if key is None else IdempotencyKey.parse({"Idempotency-Key": key}).idempotency_key


def if_match(request: Request) -> list[str] | None:
    """Return the tags that ``If-Match`` allows (RFC 9110, 13.1.1), ``*`` for any, ``None`` without.

    Raises:
        InvalidRequestError: neither ``*`` nor a list of quoted ETags.
    """
    header = request.META.get("HTTP_IF_MATCH")
    if header is None:
        return None
    if header.strip() == "*":
        return ["*"]
    tags = parse_etags(header)
    if not tags:
        raise InvalidRequestError.of_field(
            "If-Match", 'If-Match must be * or quoted ETags, such as "9f2c41d07be3a510"'
        )
    # The comparison should be the strong one, but compressing proxies weaken the tags they pass.
    allowed = (tag.removeprefix("W/").strip('"') for tag in tags)
    return [tag for tag in allowed if tag != "*"]  # a quoted one is a tag, and not ours
