"""The circuit breaker: closed while Redis replies, open after a timeout."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis import circuit_breaker
from sessions_store.redis.circuit_breaker import OPEN_SECONDS, PATIENCE_SECONDS, CircuitBreaker


def test_breaker_refuses_nobody_while_redis_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    patience_seconds = 1.0  # longer than a busy machine leaves a thread without a turn
    monkeypatch.setattr(circuit_breaker, "PATIENCE_SECONDS", patience_seconds)
    breaker = CircuitBreaker(max_waiting=2)

    def call_redis(_: int) -> None:
        for _ in range(3):
            breaker.acquire()
            time.sleep(patience_seconds / 20)
            breaker.release()
            breaker.record_reply()

    # Together they take several times as long as a request waits for a Redis that hangs.
    with ThreadPoolExecutor(32) as threads:
        list(threads.map(call_redis, range(32)))


def test_breaker_without_a_free_place_refuses_requests() -> None:
    breaker = CircuitBreaker(max_waiting=1)
    hanging = threading.Event()

    def hang() -> None:
        breaker.acquire()
        hanging.wait()
        breaker.release()

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        with pytest.raises(StoreUnavailableError):
            breaker.acquire()
    finally:
        hanging.set()
        thread.join()

    breaker.acquire()
    breaker.release()


def test_breaker_opens_on_a_timeout_and_closes_on_a_reply() -> None:
    breaker = CircuitBreaker(max_waiting=8)
    breaker.acquire()
    breaker.record_timeout()
    breaker.release()

    with pytest.raises(StoreUnavailableError):
        breaker.acquire()
    time.sleep(OPEN_SECONDS)
    breaker.acquire()
    with pytest.raises(StoreUnavailableError):
        breaker.acquire()
    breaker.release()
    breaker.record_reply()
    breaker.acquire()


def test_waiting_request_is_refused_when_the_breaker_opens() -> None:
    breaker = CircuitBreaker(max_waiting=1)
    breaker.acquire()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(breaker.acquire)
        time.sleep(PATIENCE_SECONDS / 5)
        breaker.record_timeout()
        breaker.release()

        with pytest.raises(StoreUnavailableError):
            waiting.result()
