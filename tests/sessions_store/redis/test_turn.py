"""One thread at a time; few wait."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis import turn
from sessions_store.redis.turn import Turn


def test_turn_lets_one_thread_at_a_time_through() -> None:
    reading = Turn(max_waiting=8)
    inside: list[int] = []

    def read(number: int) -> None:
        with reading.take():
            inside.append(number)
            assert inside == [number]
            inside.remove(number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(read, range(8)))


@pytest.mark.parametrize(("max_waiting", "patience_seconds"), [(1, 60.0), (2, 0.01)])
def test_turn_refuses_who_would_wait_too_long(
    monkeypatch: pytest.MonkeyPatch, max_waiting: int, patience_seconds: float
) -> None:
    monkeypatch.setattr(turn, "LONGEST_WAIT_SECONDS", patience_seconds)
    reading = Turn(max_waiting)
    taken, done = threading.Event(), threading.Event()

    def read() -> None:
        with reading.take():
            taken.set()
            done.wait()

    with ThreadPoolExecutor(1) as threads:
        threads.submit(read)
        taken.wait()
        try:
            with pytest.raises(StoreUnavailableError), reading.take():
                pass
        finally:
            done.set()
    with reading.take():
        pass
