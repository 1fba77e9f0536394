"""Who a token belongs to, and the tickets that pages have in place of one."""

import hmac
from collections.abc import Mapping

from django.core.signing import BadSignature, TimestampSigner

TICKET_SECONDS = 12 * 60 * 60
_PAGE = "page"


def token_name(sent: str, tokens: Mapping[str, str]) -> str | None:
    """Return the name of the token that was sent, or that a ticket is of.

    Every one is compared, in constant time.

    Args:
        tokens: each token with its name.
    """
    if not sent:
        return None
    found = None
    for token, name in tokens.items():
        if hmac.compare_digest(sent.encode(), token.encode()):
            found = name
    return found or next((name for token, name in tokens.items() if _is_ticket(sent, token)), None)


def ticket_of(token: str) -> str:
    """Return what a page of the service itself sends in place of the token that opened it.

    A browser sends a password (RFC 7617) only to paths below the one that asked for it, and not to
    the live process. The ticket is the time, signed with the token; its characters may stand in the
    name of a subprotocol (RFC 6455, 4.1).
    """
    return _signer(token).sign(_PAGE)


def _is_ticket(sent: str, token: str) -> bool:
    try:
        return _signer(token).unsign(sent, max_age=TICKET_SECONDS) == _PAGE
    except BadSignature:
        return False


def _signer(token: str) -> TimestampSigner:
    # Not with the secret key, which a live process on another machine need not have.
    return TimestampSigner(key=token, sep=".", salt=__name__, fallback_keys=[])
