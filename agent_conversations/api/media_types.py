"""The two headers that name media types, read strictly, in one pass and without remembering any.

Django's and Django REST Framework's own ways to read them take a time that grows with the square of
a header's length, ask Python for any codec by name (Python keeps each name), and raise for others.
"""

import re
from collections.abc import Mapping

MAX_HEADER_CHARACTERS = 4096
"""Of Content-Type, Accept, Origin and Host each; the server bounds a request's headers together."""
MAX_WEBHOOK_BYTES = 32 * 1024 * 1024
"""Of a call's transcript; a request of the API has DATA_UPLOAD_MAX_MEMORY_SIZE."""
NO_TYPE = ""
TOO_LONG = "too long"
UNREADABLE = "unreadable"
NO_LENGTH = "no length"

_WORD = r"[!#$%&'*+.^`|~\w-]+"
# No asterisk: a parameter with a character set of its own (RFC 8187) is for other headers.
_PARAMETERS = rf"""(?:[ \t]*;[ \t]*[\w.-]+=(?:{_WORD}|"[^"\\]*"))*"""
_TYPE = re.compile(rf"({_WORD}/{_WORD})({_PARAMETERS})[ \t]*;?[ \t]*", re.ASCII)
# A lone * is what Java's HttpURLConnection sends for */*.
_RANGE = re.compile(rf"[ \t]*(?:({_WORD}/{_WORD}|\*)({_PARAMETERS}))?[ \t]*(?:,|\Z)", re.ASCII)
_CHARSET = re.compile(r""";[ \t]*charset=["']*([^;"']*)""")
_QUALITY = re.compile(r";[ \t]*q=([^;]*)")
_NUMBER = re.compile(r"0?\.\d+|0\.?|1(?:\.0*)?", re.ASCII)


def plain_type(content_type: str) -> str:
    """Return the media type that a ``Content-Type`` names, in small letters, without parameters.

    Returns ``UNREADABLE`` for what names none, or another character set than UTF-8; ``TOO_LONG``.
    """
    if len(content_type) > MAX_HEADER_CHARACTERS:
        return TOO_LONG
    found = _TYPE.fullmatch(content_type.lower())
    if not found:
        return UNREADABLE if content_type.strip() else NO_TYPE
    if not set(_CHARSET.findall(found[2])) <= {"utf-8", "utf8"}:
        return UNREADABLE
    return found[1]


def qualities(accept: str) -> Mapping[str, float] | None:
    """Return the quality of each media type in an ``Accept``, from 0 to 1; ``None``: unreadable."""
    found: dict[str, float] = {}
    text, position = accept.lower(), 0
    while position < len(text):
        part = _RANGE.match(text, position)
        if not part:
            return None
        position = part.end()
        quality = (_QUALITY.findall(part[2] or "") or ["1"])[0]
        if not _NUMBER.fullmatch(quality):
            return None
        if part[1]:
            found.setdefault("*/*" if part[1] == "*" else part[1], float(quality))
    return found
