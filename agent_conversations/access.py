"""Who a token belongs to."""

import hmac
from collections.abc import Mapping


def token_name(sent: str, tokens: Mapping[str, str]) -> str | None:
    """Return the name of the token that was sent; every one is compared, in constant time.

    Args:
        tokens: each token with its name.
    """
    found = None
    if not sent:
        return None
    for token, name in tokens.items():
        if hmac.compare_digest(sent.encode(), token.encode()):
            found = name
    return found
