"""The circuit breaker: closed while Redis replies, open after a timeout."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.circuit_breaker import PATIENCE_SECONDS, PAUSE_SECONDS, CircuitBreaker


def test_breaker_refuses_nobody_while_redis_replies() -> None:
    breaker = CircuitBreaker(max_waiting=2)

    def call_redis(_: int) -> None:
        for _ in range(5):
            breaker.enter()
            time.sleep(PATIENCE_SECONDS / 20)
            breaker.leave()
            breaker.answered()

    # Together they take several times as long as a request waits for a Redis that hangs.
    with ThreadPoolExecutor(32) as threads:
        list(threads.map(call_redis, range(32)))


def test_breaker_without_a_free_place_refuses_requests() -> None:
    breaker = CircuitBreaker(max_waiting=1)
    hanging = threading.Event()

    def hang() -> None:
        breaker.enter()
        hanging.wait()
        breaker.leave()

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        with pytest.raises(StoreUnavailableError):
            breaker.enter()
    finally:
        hanging.set()
        thread.join()

    breaker.enter()
    breaker.leave()


def test_breaker_opens_on_a_timeout_and_closes_on_a_reply() -> None:
    breaker = CircuitBreaker(max_waiting=8)
    breaker.enter()
    breaker.timed_out()
    breaker.leave()

    with pytest.raises(StoreUnavailableError):
        breaker.enter()
    time.sleep(PAUSE_SECONDS)
    breaker.enter()
    with pytest.raises(StoreUnavailableError):
        breaker.enter()
    breaker.leave()
    breaker.answered()
    breaker.enter()


def test_waiting_request_is_refused_when_the_breaker_opens() -> None:
    breaker = CircuitBreaker(max_waiting=1)
    breaker.enter()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(breaker.enter)
        time.sleep(PATIENCE_SECONDS / 5)
        breaker.timed_out()
        breaker.leave()

        with pytest.raises(StoreUnavailableError):
            waiting.result()
