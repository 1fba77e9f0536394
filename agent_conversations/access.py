"""Who may use the service: tokens, what each may do, and the tickets of pages in their place."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, LiteralString, get_args

from django.core.signing import BadSignature, TimestampSigner

Scope = Literal["read", "write", "push", "erase", "metrics"]
"""What an operation needs; each is declared with its operation."""

SCOPES: frozenset[str] = frozenset(get_args(Scope))
TICKET_SECONDS = 12 * 60 * 60


@dataclass(frozen=True)
class Client:
    """Who has a token, and what it may do."""

    name: str
    scopes: frozenset[str] = SCOPES


class EntryError(ValueError):
    """An entry of ``API_TOKENS`` cannot be used: what it ``must``, how, and the id of the check."""

    def __init__(self, check_id: LiteralString, must: LiteralString, hint: LiteralString) -> None:
        super().__init__(must)
        self.check_id = check_id
        self.must = must
        self.hint = hint


def parse_entry(entry: str, default_name: str) -> tuple[str, Client]:
    """Return the token of ``name:token:scopes``, and whose it is.

    Without scopes it may do everything.

    Args:
        default_name: where the entry is a token alone, or has an empty name.

    Raises:
        EntryError: it never quotes the entry.
    """
    parts = [part.strip() for part in entry.split(":")]
    name, token, *rest = parts if len(parts) > 1 else ["", *parts]
    if not token:
        raise EntryError("E007", "have a token", "Write name:token, or the token alone.")
    if not re.fullmatch("[!-~]+", token):
        raise EntryError(
            "E008",
            "have a token that a header can carry",
            "Use ASCII letters, digits and signs, without spaces.",
        )
    scopes = frozenset(rest[0].split("+")) if rest else SCOPES
    if len(rest) > 1 or not scopes <= SCOPES:
        raise EntryError(
            "E015",
            "have scopes among read, write, push, erase and metrics",
            "Write name:token:read+write; name:token may do everything. A name has no colon.",
        )
    return token, Client(name or default_name, scopes)


class Tokens:
    """The tokens of all clients; false where there are none, and everyone may do everything.

    A token is found by its digest: the time that takes says nothing about the tokens, and does not
    grow with them.
    """

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self._known = {_digest(token): (token, client) for token, client in clients.items()}

    def __bool__(self) -> bool:
        return bool(self._known)

    def find(self, sent: str) -> Client | None:
        """Return the client of the token that was sent, or of the ticket."""
        if not sent:
            return None
        if found := self._known.get(_digest(sent)):
            return found[1]
        token, client = self._known.get(sent.partition(".")[0], ("", None))
        return client if client and _is_ticket(sent, token) else None

    def shortest(self) -> int:
        """Return the number of characters of the shortest token."""
        return min(len(token) for token, _ in self._known.values())


def ticket_of(token: str) -> str:
    """Return what a page of the service itself sends in place of the token that opened it.

    A browser sends a password (RFC 7617) only to paths below the one that asked for it, and not to
    the live process. The ticket is the token's digest and the time, signed with the token; its
    characters may stand in the name of a subprotocol (RFC 6455, 4.1).
    """
    return _signer(token).sign(_digest(token))


def _is_ticket(sent: str, token: str) -> bool:
    try:
        return _signer(token).unsign(sent, max_age=TICKET_SECONDS) == _digest(token)
    except BadSignature:
        return False


def _signer(token: str) -> TimestampSigner:
    # Not with the secret key, which a live process on another machine need not have.
    return TimestampSigner(key=token, sep=".", salt=__name__, fallback_keys=[])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
