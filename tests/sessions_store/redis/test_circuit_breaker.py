"""Who may ask Redis: everyone while it answers, hardly anyone while it does not."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.circuit_breaker import PATIENCE_SECONDS, PAUSE_SECONDS, CircuitBreaker


def test_breaker_refuses_nobody_while_redis_replies() -> None:
    admission = CircuitBreaker(max_waiting=2)

    def ask(_: int) -> None:
        for _ in range(5):
            admission.enter()
            time.sleep(PATIENCE_SECONDS / 20)
            admission.leave()
            admission.answered()

    # Together they take several times as long as anyone waits for a store that hangs.
    with ThreadPoolExecutor(32) as threads:
        list(threads.map(ask, range(32)))


def test_breaker_without_a_free_place_refuses_requests() -> None:
    admission = CircuitBreaker(max_waiting=1)
    hanging = threading.Event()

    def hang() -> None:
        admission.enter()
        hanging.wait()
        admission.leave()

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        with pytest.raises(StoreUnavailableError):
            admission.enter()
    finally:
        hanging.set()
        thread.join()

    admission.enter()
    admission.leave()


def test_breaker_opens_on_a_timeout_and_closes_on_a_reply() -> None:
    admission = CircuitBreaker(max_waiting=8)
    admission.enter()
    admission.timed_out()
    admission.leave()

    with pytest.raises(StoreUnavailableError):
        admission.enter()
    time.sleep(PAUSE_SECONDS)
    admission.enter()
    with pytest.raises(StoreUnavailableError):
        admission.enter()
    admission.leave()
    admission.answered()
    admission.enter()


def test_waiting_request_is_refused_when_the_breaker_opens() -> None:
    admission = CircuitBreaker(max_waiting=1)
    admission.enter()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(admission.enter)
        time.sleep(PATIENCE_SECONDS / 5)
        admission.timed_out()
        admission.leave()

        with pytest.raises(StoreUnavailableError):
            waiting.result()
