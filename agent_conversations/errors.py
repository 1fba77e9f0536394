"""The errors of conversations, beside those of ``sessions_store.errors``."""

from sessions_store.errors import StoreError


class ConversationNotFoundError(StoreError):
    def __init__(self) -> None:
        super().__init__("Agent conversation not found")


class ConversationExistsError(StoreError):
    """The id, or the idempotency key, was used for a conversation with other content."""

    def __init__(self, conversation_id: str) -> None:
        super().__init__(
            f"The conversation {conversation_id} exists already, created with other content"
        )


class MessageConflictError(StoreError):
    """A message with other content has the message id."""

    def __init__(self) -> None:
        super().__init__(
            "A message with this messageId, or Idempotency-Key, exists already, with other content"
        )


class MessageNotFoundError(StoreError):
    def __init__(self) -> None:
        super().__init__("The conversation has no message with this messageId")


class ConversationFullError(StoreError):
    """``unit`` is ``messages`` or ``bytes``, of which a conversation has ``most`` at most."""

    def __init__(self, unit: str, most: int) -> None:
        super().__init__(f"The conversation is full: the most {unit} it may have is {most}")


class PreconditionFailedError(StoreError):
    """What ``If-Match`` is about changed since the client read the ETag that it sent."""

    def __init__(self) -> None:
        super().__init__("It has changed since the ETag in If-Match was read: read it again")


class AccessError(Exception):
    """The request is refused before anything is looked up."""


class FeatureDisabledError(AccessError):
    """The feature flag is off."""

    def __init__(self) -> None:
        super().__init__("The ElevenLabs agent is switched off on this server.")


class TokenRequiredError(AccessError):
    """Tokens are configured, and the request has none of them."""

    def __init__(self) -> None:
        super().__init__("Send a valid token: Authorization: Bearer <token>.")


class PermissionDeniedError(AccessError):
    """The token is valid, and is not for this."""


class ScopeMissingError(PermissionDeniedError):
    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs a token with the scope {scope}.")


class OtherUserError(PermissionDeniedError):
    """One user's client asks for another user's conversations, or would make one."""

    def __init__(self) -> None:
        super().__init__("userId must be the one that the token is bound to, or left out.")


class InvalidSignatureError(AccessError):
    """A webhook that none of the secrets has signed, or not at this time."""

    def __init__(self) -> None:
        super().__init__("The ElevenLabs-Signature is missing, wrong, or of another time.")


class OriginNotAllowedError(AccessError):
    """Another site's page made a browser send a write, or open a WebSocket."""

    def __init__(self) -> None:
        super().__init__("Pages of this origin may not use the API on this server.")


class UpgradeRequiredError(AccessError):
    """An ordinary request to the path of the WebSocket."""

    def __init__(self) -> None:
        super().__init__("This path takes a WebSocket only, at the address of the live process.")


class UnknownPathError(AccessError):
    """There is nothing at the path of the request."""

    def __init__(self) -> None:
        super().__init__("There is nothing at this path.")
