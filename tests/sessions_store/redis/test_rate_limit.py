"""The rate limit of session registrations: exact under concurrency."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sessions_store.redis.client import StoreClient
from sessions_store.redis.rate_limit import RateLimiter, parse_rate


def test_limit_is_exact_under_concurrency(real_store: StoreClient) -> None:
    limiter = RateLimiter(real_store, "sessions", "10/min")

    with ThreadPoolExecutor(16) as threads:
        waits = list(threads.map(lambda _: limiter.seconds_to_wait("client"), range(120)))

    assert sum(wait == 0 for wait in waits) == 10
    assert all(0 < wait <= 61 for wait in waits if wait)


def test_each_client_has_its_own_limit(real_store: StoreClient) -> None:
    limiter = RateLimiter(real_store, "sessions", "1/min")

    assert limiter.seconds_to_wait("one") == 0
    assert limiter.seconds_to_wait("other") == 0
    assert limiter.seconds_to_wait("one") > 0


def test_limiters_of_several_processes_share_the_count(real_store: StoreClient) -> None:
    first = RateLimiter(real_store, "sessions", "1/min")
    second = RateLimiter(real_store, "sessions", "1/min")

    assert first.seconds_to_wait("client") == 0
    assert second.seconds_to_wait("client") > 0


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [
        ("60/min", 60, 60),
        ("60/minute", 60, 60),
        ("5/s", 5, 1),
        ("5/sec", 5, 1),
        ("100/h", 100, 3600),
        ("3 per 5 seconds", 3, 5),
    ],
)
def test_usual_notations_of_a_rate_are_parsed(text: str, amount: int, seconds: int) -> None:
    rate = parse_rate(text)

    assert (rate.amount, rate.get_expiry()) == (amount, seconds)


def test_invalid_rate_is_refused() -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_rate("often")
