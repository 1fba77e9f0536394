"""One piece of work at a time; little waits; who waits for the same shares it."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis import turn
from sessions_store.redis.turn import Turn
from tests.waiting import wait_until


class Held:
    """Work that goes on until ``done`` is set, in a thread of its own."""

    def __init__(self, reading: Turn[int], threads: ThreadPoolExecutor) -> None:
        self.done = threading.Event()
        began = threading.Event()

        def work() -> int:
            began.set()
            self.done.wait()
            return 0

        threads.submit(reading.share, "held", work)
        began.wait()


def test_turn_does_one_piece_of_work_at_a_time() -> None:
    reading = Turn[None](max_waiting=8)
    inside: list[int] = []

    def read(number: int) -> None:
        inside.append(number)
        assert inside == [number]
        inside.remove(number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: reading.share(number, lambda: read(number)), range(8)))


def test_those_who_wait_share_work_that_begins_later() -> None:
    reading = Turn[int](max_waiting=2)
    begun: list[int] = []

    def work() -> int:
        begun.append(len(begun) + 1)
        return begun[-1]

    def wait(count: int) -> list[Future[int]]:
        waiting = [threads.submit(reading.share, "held", work) for _ in range(count)]
        wait_until(lambda: sum(one.running() for one in waiting) == count)
        return waiting

    with ThreadPoolExecutor(8) as threads:
        held = Held(reading, threads)
        waiting = wait(5)
        held.done.set()

    assert {one.result() for one in waiting} == {1}
    assert reading.share("held", work) == 2


def test_those_who_wait_share_an_error() -> None:
    reading = Turn[int](max_waiting=2)

    def work() -> int:
        raise StoreUnavailableError("gone")

    with ThreadPoolExecutor(8) as threads:
        held = Held(reading, threads)
        waiting = [threads.submit(reading.share, "other", work) for _ in range(5)]
        held.done.set()
        for one in waiting:
            with pytest.raises(StoreUnavailableError) as raised:
                one.result()
            assert raised.value.cause == "gone"


@pytest.mark.parametrize(("max_waiting", "patience_seconds"), [(1, 60.0), (2, 0.01)])
def test_turn_refuses_who_would_wait_too_long(
    monkeypatch: pytest.MonkeyPatch, max_waiting: int, patience_seconds: float
) -> None:
    monkeypatch.setattr(turn, "LONGEST_WAIT_SECONDS", patience_seconds)
    reading = Turn[int](max_waiting)

    with ThreadPoolExecutor(1) as threads:
        held = Held(reading, threads)
        try:
            with pytest.raises(StoreUnavailableError):
                reading.share("other", lambda: 1)
        finally:
            held.done.set()
    assert reading.share("other", lambda: 1) == 1
