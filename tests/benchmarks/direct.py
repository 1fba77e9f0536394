"""Calls without HTTP: the floor and the plain way, from as many callers as wrk has connections."""

import multiprocessing
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from redis import Redis

from sessions_store.redis.connections import connection_options
from tests.benchmarks.cases import Action, Case, cases
from tests.benchmarks.load import Load
from tests.benchmarks.workplace import Workplace


def drive(url: str, name: str, what: str, *, callers: int, seconds: float) -> Load:
    """Call one action of the case called ``name`` (its ``floor`` or ``plain``) without pause.

    The callers are threads of as many processes as there are cores, as the service's own are.
    """
    processes = min(callers, os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        share = partial(_call_for, url, name, what, callers // processes)
        found = pool.map(share, [seconds] * processes)
    times = sorted(one for part in found for one in part)
    return Load(
        len(times) / seconds,
        statistics.median(times) * 1e3,
        times[int(len(times) * 0.99)] * 1e3,
    )


def _call_for(url: str, name: str, what: str, threads: int, seconds: float) -> list[float]:
    client = Redis.from_url(url, **connection_options())
    place = Workplace.on(url, 0, client, name=str(os.getpid()))
    case: Case = next(case for case in cases(place) if case.name == name)
    action: Action = getattr(case, what)
    action()
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda _: _times(action, seconds), range(threads))
        return [one for times in found for one in times]


def _times(action: Action, seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        action()
        times.append(time.perf_counter() - start)
    return times
