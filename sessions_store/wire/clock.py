"""Times: milliseconds since 1970 in Redis, ISO 8601 UTC with ``Z`` in JSON."""

import time
from datetime import UTC, datetime
from functools import lru_cache


def now_ms() -> int:
    return time.time_ns() // 1_000_000


LAST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, after which there are no ISO 8601 dates."""


def iso_from_ms(milliseconds: int) -> str:
    """Return such as ``2026-11-23T16:20:45.123Z``.

    Raises:
        ValueError: not in the years 1 to 9999.
    """
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_iso_of_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=1024)
def _iso_of_second(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
    except (OverflowError, OSError):
        raise ValueError("not in the years 1 to 9999") from None


def ms_from_iso(text: str, *, assume_utc: bool = False) -> int:
    """Return the milliseconds of an ISO 8601 date and time; finer digits are cut off.

    Raises:
        ValueError: not a date and time, or one without an offset while ``assume_utc`` is off.
    """
    # fromisoformat also takes a bare date, a bare hour and any separator; the wire format has a T,
    # and minutes at least.
    if len(text) < 16 or text[10] not in "Tt " or text[13] != ":":
        raise ValueError("not an ISO 8601 date and time")
    moment = datetime.fromisoformat(text.upper())
    if moment.tzinfo is None:
        if not assume_utc:
            raise ValueError("a date and time without an offset")
        moment = moment.replace(tzinfo=UTC)
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    milliseconds = (elapsed.days * 86_400 + elapsed.seconds) * 1000 + elapsed.microseconds // 1000
    iso_from_ms(milliseconds)  # refuses what an offset pushed out of the years 1 to 9999
    return milliseconds
