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


def compare(action: Action, other: Action, *, calls: int, rounds: int = 7) -> Comparison:
    """Time two actions in turn, call by call, so that both meet the same machine.

    Call by call also means that both find the processor's caches in the same state: called in a
    tight loop, a Redis command takes less time than it ever does inside of a request.
    """
    for _ in range(max(5, calls // 10)):
        action()
        other()
    ratios, ones, others = [], [], []
    for _ in range(rounds):
        one_times, other_times = [], []
        for _ in range(calls):
            start = time.perf_counter()
            action()
            middle = time.perf_counter()
            other()
            end = time.perf_counter()
            one_times.append(middle - start)
            other_times.append(end - middle)
        one, two = statistics.median(one_times), statistics.median(other_times)
        ratios.append(one / two)
        ones.append(one * 1e6)
        others.append(two * 1e6)
    return Comparison(statistics.median(ratios), statistics.median(ones), statistics.median(others))
