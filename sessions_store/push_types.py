"""Pushes: what a caller sends, what a tab is given, and what is known of them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from sessions_store.wire.fields import ConversationId, Identifier, StoredTimestamp
from sessions_store.wire.model import WireModel

MAX_PUSH_BYTES = 16 * 1024
DEFAULT_EXPIRES_IN_SECONDS = 60
MAX_EXPIRES_IN_SECONDS = 600

PushKind = Literal["user_message", "contextual_update"]
PushState = Literal["queued", "sent", "delivered", "failed", "expired", "unknown"]


def _as_push_text(value: str) -> str:
    if len(value.encode()) > MAX_PUSH_BYTES:
        raise PydanticCustomError(
            "push_text",
            "must have at most {max_bytes} bytes in UTF-8",
            {"max_bytes": MAX_PUSH_BYTES},
        )
    return value


def _as_lifetime(value: object) -> int:
    """Return the whole number; JSON has 5.0 for one as well."""
    match value:
        case bool():
            pass
        case int() | float() if 1 <= value <= MAX_EXPIRES_IN_SECONDS and value % 1 == 0:
            return int(value)
    raise PydanticCustomError(
        "lifetime",
        "must be a whole number from 1 to {max_seconds}",
        {"max_seconds": MAX_EXPIRES_IN_SECONDS},
    )


PushText = Annotated[
    str,
    StringConstraints(min_length=1),
    AfterValidator(_as_push_text),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_PUSH_BYTES}),
]
_Lifetime = Annotated[
    int,
    PlainValidator(_as_lifetime),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_EXPIRES_IN_SECONDS}),
]


class PushContent(WireModel):
    """What a tab is given. ``repr`` leaves out the text: it is people's words."""

    kind: PushKind
    text: PushText = Field(repr=False)
    context_id: Identifier | None = None


class AgentPushRequest(WireModel):
    """The body of ``POST /{conversationId}/push``."""

    text: PushText = Field(
        repr=False, description=f"At most {MAX_PUSH_BYTES:,} bytes in UTF-8, which it may be."
    )
    kind: PushKind | None = Field(default=None, description="Without it, `user_message`.")
    context_id: Identifier | None = Field(
        default=None, description="For the tab's ElevenLabs client, with a `contextual_update`."
    )
    push_id: Identifier | None = Field(
        default=None, description="Under which it counts once, however often it is sent."
    )
    expires_in_seconds: _Lifetime | None = Field(
        default=None,
        description="How long it waits for a tab. "
        f"Without it, {DEFAULT_EXPIRES_IN_SECONDS} seconds.",
    )

    def content(self) -> PushContent:
        return PushContent(
            kind=self.kind or "user_message", text=self.text, context_id=self.context_id
        )


class AgentPush(WireModel):
    """What is known of a push; that the agent *heard* it, nobody can say.

    ``queued``: no tab has taken it yet. ``sent``: a tab was given it and has not said what became
    of it. ``delivered``: the tab says that it handed the text to its ElevenLabs client. ``failed``:
    it says that it could not, ``reason`` has its words. ``expired``: nobody took it in time.
    ``unknown``: a tab was given it and went away without a word.
    """

    conversation_id: ConversationId
    push_id: Identifier
    state: PushState
    created_at: StoredTimestamp
    expires_at: StoredTimestamp
    reason: str | None = Field(default=None, repr=False)
