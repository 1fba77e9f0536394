"""Rate limits that hold exactly under concurrency: counting is one atomic step in Redis."""

import time
from typing import Any

from limits import RateLimitItem, parse
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from sessions_store.redis.client import StoreClient

_PREFIX = "elevenlabs:limit"
_MAX_USES = 10**9
_MAX_SECONDS = 10**9
# The library knows them by their whole names.
_SHORT_UNITS = {"s": "second", "sec": "second", "m": "minute", "min": "minute", "h": "hour"}


class RateLimiter:
    """A moving window for each client, whichever process and thread it comes through.

    Args:
        name: what is limited; part of the key ``elevenlabs:limit/<name>/<client>/…``.
        rate: such as ``60/minute``.
    """

    def __init__(self, store: StoreClient, name: str, rate: str) -> None:
        self._store = store
        self._name = name
        self._rate = parse_rate(rate)
        self._limiters: dict[Any, MovingWindowRateLimiter] = {}
        """By the connections to the server that counts."""

    def seconds_to_wait(self, client: str) -> float:
        """Count one use by ``client`` and return 0, or, if it has none left, the seconds to wait.

        Raises:
            StoreUnavailableError: Redis is unavailable, or the connection broke before its reply:
                whether the use was counted is then unknown.
        """
        key = f"{_PREFIX}:{self._rate.key_for(self._name, client)}"
        # Not repeatable: after a lost reply, the second attempt would count the use once more.
        if self._store.call(
            lambda redis: self._on(redis).hit(self._rate, self._name, client),
            key=key,
            operation="rate_limit",
        ):
            return 0.0
        window = self._store.call(
            lambda redis: self._on(redis).get_window_stats(self._rate, self._name, client),
            key=key,
            operation="rate_limit",
            repeatable=True,  # reads
        )
        return max(1.0, window.reset_time - time.time())

    def _on(self, redis: Any) -> MovingWindowRateLimiter:
        pool = redis.connection_pool
        if pool not in self._limiters:
            storage = RedisStorage("redis://", connection_pool=pool, key_prefix=_PREFIX)
            self._limiters[pool] = MovingWindowRateLimiter(storage)
        return self._limiters[pool]


def parse_rate(rate: str) -> RateLimitItem:
    """Return the rate in a text such as ``60/min`` or ``10 per 5 seconds``.

    Raises:
        ValueError: not a rate, or one whose uses or seconds are 0 or over 10**9.
    """
    count, slash, unit = rate.rpartition("/")
    item = parse(count + slash + _SHORT_UNITS.get(unit, unit))
    if not (1 <= item.amount <= _MAX_USES and 1 <= item.get_expiry() <= _MAX_SECONDS):
        raise ValueError("out of range")
    return item
