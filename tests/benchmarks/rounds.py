"""Fair comparisons on a noisy machine: interleaved rounds, medians, ratios."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Action = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """Median microseconds of two actions, and the median of the rounds' ratios."""

    ratio: float
    microseconds: float
    other_microseconds: float


def compare(
    action: Action,
    other: Action,
    *,
    calls: int,
    burst: int = 1,
    rounds: int = 7,
    pause_seconds: float = 0.0,
) -> Comparison:
    """Time two actions in turn, in bursts of so many calls, so that both meet the same machine.

    Call by call (a burst of one) also means that both find the processor's caches in the same
    state: called in a tight loop, a Redis command takes less time than it ever does inside of a
    request. Two ways of doing the same, of which a machine runs one or the other, are compared in
    longer bursts: neither is to pay for what the other pushed out of the caches.

    Args:
        pause_seconds: before each call, so that what another process does because of one call is
            over before the next.
    """
    _times(action, max(5, calls // 10), pause_seconds)
    _times(other, max(5, calls // 10), pause_seconds)
    ratios, ones, others = [], [], []
    for _ in range(rounds):
        one_times: list[float] = []
        other_times: list[float] = []
        for _ in range(calls // burst):
            one_times += _times(action, burst, pause_seconds)
            other_times += _times(other, burst, pause_seconds)
        one, two = statistics.median(one_times), statistics.median(other_times)
        ratios.append(one / two)
        ones.append(one * 1e6)
        others.append(two * 1e6)
    return Comparison(statistics.median(ratios), statistics.median(ones), statistics.median(others))


def _times(action: Action, calls: int, pause_seconds: float) -> list[float]:
    times = []
    for _ in range(calls):
        if pause_seconds:
            time.sleep(pause_seconds)
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return times
