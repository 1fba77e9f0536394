"""What this process counts, and how the processes of a service are added up.

A request leaves a note of what it was, and so does a call to Redis. A thread makes numbers of the
notes and writes all numbers of the process to a file, every ``INTERVAL_SECONDS`` and once more when
the process ends. Who is asked adds the files up. A process that ended leaves its file: what it has
counted stays; what it had, such as viewers, does not. One that is killed loses what it counted
since it last wrote.

A label's value is one of a few words, or the pattern of a path: never what a client has sent.
docs/decisions/0016-metrics.md says why this is not prometheus-client's own way.
"""

import re
import secrets
import threading
import time
from bisect import bisect_left
from collections import Counter as Counts
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from pydantic.alias_generators import to_camel

from sessions_store.push_types import PushState
from sessions_store.repository import SessionEvent
from sessions_store.wire import json_codec

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
INTERVAL_SECONDS = 1.0
GONE_SECONDS = 5.0
"""A process whose file is older has ended, or hangs."""

MAX_NOTES = 100_000
"""That are kept where no thread takes them, as in a command of ``manage.py``."""

DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "other"

# Samples of when a series began: of several processes, they are of no use.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client's
REGISTRY = CollectorRegistry()


# --- What is rare is counted at once --------------------------------------------------------------

SESSIONS = Counter(
    "agent_sessions",
    "Sessions that were registered or deleted, and looked for: found or missed.",
    ["event"],
    registry=REGISTRY,
)
SESSION_SECONDS = Histogram(
    "agent_session_remaining_seconds",
    "The time that a session had left when it was found.",
    buckets=(5, 15, 30, 60, 120, 300, 450, 600),
    registry=REGISTRY,
)
PUSHES = Counter(
    "agent_pushes",
    "Pushes that became queued, sent, delivered or failed; the others are told by nobody.",
    ["state"],
    registry=REGISTRY,
)
WEBHOOKS = Counter(
    "elevenlabs_webhooks",
    "Webhooks of ElevenLabs, and what became of them.",
    ["type", "outcome"],
    registry=REGISTRY,
)
REPLAYS = Counter(
    "agent_replays",
    "Writes that were repeated: they were responded to, and nothing was written.",
    registry=REGISTRY,
)
ERRORS = Counter(
    "agent_errors",
    "Errors that were responded, by their code: conflicts are message_conflict and others.",
    ["code"],
    registry=REGISTRY,
)
REDIS_CONNECTIONS = Gauge(
    "redis_connections", "Connections to Redis that are open.", registry=REGISTRY
)
REDIS_WAITING = Gauge(
    "redis_commands_waiting",
    "Calls to Redis that wait: as many go on as may at the same time.",
    registry=REGISTRY,
)
LIVE_VIEWERS = Gauge(
    "live_viewers", "WebSockets that are open at the live process.", registry=REGISTRY
)
LIVE_FRAMES = Counter(
    "live_frames", "Frames that were sent to viewers, each counted.", ["type"], registry=REGISTRY
)
LIVE_DROPS = Counter(
    "live_drops", "Viewers that were dropped because they did not read.", registry=REGISTRY
)

WEBHOOK_TYPES = {"post_call_transcription", "post_call_audio", "call_initiation_failure"}

# A series that is there from the start, with 0, shows its first event as an increase. And to look
# one up by its label takes longer than to count.
_sessions = {event: SESSIONS.labels(event) for event in get_args(SessionEvent)}
for _state in ("queued", "sent", "delivered", "failed"):
    PUSHES.labels(_state)


def count_session(event: SessionEvent, seconds_left: int | None) -> None:
    _sessions[event].inc()
    if seconds_left is not None:
        SESSION_SECONDS.observe(seconds_left)


def count_push(state: PushState) -> None:
    PUSHES.labels(state).inc()


def count_webhook(kind: str, outcome: str) -> None:
    WEBHOOKS.labels(kind if kind in WEBHOOK_TYPES else OTHER, outcome).inc()


# --- What is frequent leaves a note ---------------------------------------------------------------

# Appending is atomic: no request waits for a lock.
requests: deque[tuple[str | None, str, str, float]] = deque(maxlen=MAX_NOTES)
"""Of each request: Django's pattern of its path, if it has one, method, status and seconds."""
commands: deque[tuple[str, str]] = deque(maxlen=MAX_NOTES)
"""Of each call to Redis: its name and its outcome, ``ok`` or the cause of the failure."""


class _Noted(Collector):
    """The numbers that are made of the notes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counts[tuple[str | None, str, str, int]] = Counts()
        """By pattern, method, status and the number of the bucket."""
        self._seconds: dict[str | None, float] = defaultdict(float)
        self._commands: Counts[tuple[str, str]] = Counts()

    def fold(self) -> None:
        """Make numbers of the notes there are."""
        with self._lock:
            taken = [requests.popleft() for _ in range(len(requests))]
            for pattern, method, status, seconds in taken:
                known_method = method if method in METHODS else OTHER
                bucket = bisect_left(DURATION_BUCKETS, seconds)
                self._requests[pattern, known_method, status, bucket] += 1
                self._seconds[pattern] += seconds
            self._commands.update([commands.popleft() for _ in range(len(commands))])

    def collect(self) -> Iterable[Metric]:
        self.fold()
        counted = CounterMetricFamily(
            "http_requests",
            "Requests that were responded to.",
            labels=["route", "method", "status"],
        )
        lasted = HistogramMetricFamily(
            "http_request_duration_seconds", "Until the response was ready.", labels=["route"]
        )
        asked = CounterMetricFamily(
            "redis_commands",
            "Calls to Redis by what they do, and whether they succeeded or why not.",
            labels=["operation", "outcome"],
        )
        with self._lock:
            by_labels: Counts[tuple[str, str, str]] = Counts()
            bounds = [*map(str, DURATION_BUCKETS), "+Inf"]
            by_bucket: dict[str | None, list[int]] = defaultdict(lambda: [0] * len(bounds))
            for (pattern, method, status, bucket), count in self._requests.items():
                by_labels[route_of(pattern), method, status] += count
                by_bucket[pattern][bucket] += count
            for labels, count in by_labels.items():
                counted.add_metric(labels, count)
            for pattern, counts in by_bucket.items():
                buckets = list(zip(bounds, accumulate(counts), strict=True))
                lasted.add_metric([route_of(pattern)], buckets, self._seconds[pattern])
            for pair, count in self._commands.items():
                asked.add_metric(pair, count)
        return counted, lasted, asked


@cache
def route_of(pattern: str | None) -> str:
    """Return the path as docs/api.md has it: ``<str:message_id>`` is ``{messageId}``."""
    if pattern is None:
        return OTHER
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda name: f"{{{to_camel(name[1])}}}", pattern)


_noted = _Noted()
REGISTRY.register(_noted)


# --- The processes of a service -------------------------------------------------------------------


class SharedMetrics:
    """The numbers of this process, and of those that write theirs to the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / f"{secrets.token_hex(8)}.json"

    def start(self) -> None:
        """Start the thread that writes. No daemon: Python waits for it when the process ends."""
        threading.Thread(target=self.run, name="metrics", daemon=False).start()

    def run(self) -> None:
        """Write until the main thread has ended, and what was counted until then."""
        main_thread = threading.main_thread()
        while main_thread.is_alive():
            main_thread.join(INTERVAL_SECONDS)
            self.write()

    def write(self) -> None:
        """Replace the file of this process; where the disk is full, the old one stays."""
        temporary = self._path.with_suffix(".new")
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_bytes(json_codec.encode([_to_json(one) for one in REGISTRY.collect()]))
            temporary.replace(self._path)

    def exposition(self, further: Iterable[Metric] = ()) -> bytes:
        """Return all numbers in Prometheus' text format.

        Args:
            further: what is no process' own.
        """
        families = _added_up([*REGISTRY.collect(), *self._others()])
        return generate_latest(_Families([*families, *further]))

    def _others(self) -> Iterable[Metric]:
        for path in self._folder.glob("*.json"):
            # Written by us; one may be removed meanwhile.
            with suppress(OSError):
                is_gone = path.stat().st_mtime < time.time() - GONE_SECONDS
                if path != self._path:
                    families = map(_from_json, json_codec.decode(path.read_bytes()))
                    yield from (one for one in families if one.type != "gauge" or not is_gone)


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _to_json(family: Metric) -> Sequence[Any]:
    samples = [(sample.name, sample.labels, sample.value) for sample in family.samples]
    return family.name, family.documentation, family.type, samples


def _from_json(value: Sequence[Any]) -> Metric:
    name, documentation, kind, samples = value
    family = Metric(name, documentation, kind)
    for sample in samples:
        family.add_sample(*sample)
    return family


def _added_up(families: Iterable[Metric]) -> Iterable[Metric]:
    """Return each family once, each of its samples with the sum of its values."""
    documented: dict[str, Metric] = {}
    sums: dict[str, dict[tuple[str, frozenset[tuple[str, str]]], float]] = defaultdict(dict)
    for family in families:
        documented.setdefault(family.name, family)
        values = sums[family.name]
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            values[key] = values.get(key, 0) + sample.value
    for name, family in documented.items():
        added = Metric(name, family.documentation, family.type)
        for (sample_name, labels), value in sums[name].items():
            added.add_sample(sample_name, dict(labels), value)
        yield added
