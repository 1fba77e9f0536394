"""Who may ask Redis: everyone while it answers, hardly anyone while it does not."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.circuit_breaker import OPEN_SECONDS, PATIENCE_SECONDS, CircuitBreaker


def test_a_store_that_answers_refuses_nobody_however_many_ask() -> None:
    breaker = CircuitBreaker(max_waiting=2)

    def ask(_: int) -> None:
        for _ in range(5):
            breaker.acquire()
            time.sleep(PATIENCE_SECONDS / 20)
            breaker.release()
            breaker.record_reply()

    # Together they take several times as long as anyone waits for a store that hangs.
    with ThreadPoolExecutor(32) as threads:
        list(threads.map(ask, range(32)))


def test_those_who_find_every_place_taken_by_a_store_that_hangs_are_refused() -> None:
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


def test_after_a_timeout_all_are_refused_then_one_asks_until_it_is_settled() -> None:
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


def test_who_waits_for_a_place_is_refused_when_a_timeout_comes() -> None:
    breaker = CircuitBreaker(max_waiting=1)
    breaker.acquire()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(breaker.acquire)
        time.sleep(PATIENCE_SECONDS / 5)
        breaker.record_timeout()
        breaker.release()

        with pytest.raises(StoreUnavailableError):
            waiting.result()
