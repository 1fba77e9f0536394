"""The live process: what a viewer takes, how soon it has its frame, what watching costs the API."""

import http.client
import json
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sessions_store.keys import changes_channel
from tests.benchmarks.over_http import Service
from tests.benchmarks.ratios import Ratio, at_most
from tests.benchmarks.rounds import Comparison, compare
from tests.benchmarks.viewers import Arrivals, ViewersError, most_connections, viewers
from tests.benchmarks.workplace import API, MESSAGE, Workplace

IDLE = 10_000
_IDLE_SECONDS = 25.0
"""Until each idle viewer has been sent a ping, and has answered."""

P99_MS = 50.0
"""To reach: from an append's response to the frame."""

_CLIENTS = 8
_LAST_SECONDS = 2.0


@dataclass(frozen=True)
class Situation:
    """``viewers`` watch each of ``conversations``, to which so many appends go together."""

    conversations: int
    viewers: int
    appends_per_second: int
    mode: str

    @property
    def query(self) -> str:
        return "&mode=delta" if self.mode == "delta" else ""

    def __str__(self) -> str:
        if self.conversations > 1:
            return f"{self.conversations} conversations, {self.viewers} viewer each"
        return f"1 conversation, {self.viewers} viewer{'s' if self.viewers > 1 else ''}"


SITUATIONS = [
    Situation(conversations, count, per_second, mode)
    for mode in ("delta", "whole")
    for conversations, count, per_second in ((1, 1, 20), (1, 500, 20), (200, 1, 200))
]


@dataclass(frozen=True)
class Seen:
    """From an append's response to the frame with its message, for each append and viewer.

    A frame that came before the response counts as 0 ms.
    """

    name: str
    mode: str
    appends_per_second: int
    appends: int
    frames: int
    p50_ms: float
    p99_ms: float
    slowest_ms: float


class Client:
    """Appends over HTTP, on a connection that stays open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def append(self, conversation_id: str) -> int:
        """Return how many messages there are now."""
        body = json.dumps({"role": MESSAGE.role, "content": MESSAGE.content, "source": "voice"})
        path = f"{API}/{conversation_id}/message"
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        count: int = json.loads(response.read())["messageCount"]
        return count


def memory(running: Service, place: Workplace, count: int = IDLE) -> Ratio:
    """What the live process takes for each viewer of a conversation of its own."""
    count = min(count, most_connections())
    place.many("idle", count, messages=2)
    before = running.live_kib()
    with viewers(running.live_port, [f"idle-{number:06d}" for number in range(count)]):
        time.sleep(_IDLE_SECONDS)
        after = running.live_kib()
    name = f"memory of the live process for each of {count:,} idle viewers, in KiB"
    return Ratio(name, (after - before) / count, 25.0, True, "KiB", after, before)


def watched_append(running: Service, place: Workplace) -> Ratio:
    """An append to a conversation with a viewer, over one to a conversation without."""
    with viewers(running.live_port, [place.conversation("watched", 10)]):
        found = _compare_appends(running, place, "watched")
    return at_most("append while it is watched, over while it is not, by HTTP", 1.15, found)


def heard_append(running: Service, place: Workplace) -> Ratio:
    """The same where the live process is on another machine, and takes no processor's time of this.

    Thus what watching costs Redis and the API.
    """
    place.conversation("heard", 10)
    with place.redis.pubsub() as elsewhere:  # type: ignore[no-untyped-call]  # redis-py's
        elsewhere.subscribe(changes_channel("heard"))
        found = _compare_appends(running, place, "heard")
    return at_most("the same with the live process on another machine", 1.05, found)


def _compare_appends(running: Service, place: Workplace, watched: str) -> Comparison:
    client = Client(running.port)
    other = place.conversation("unwatched", 10)
    return compare(
        lambda: client.append(watched),
        lambda: client.append(other),
        calls=200,
        pause_seconds=0.005,
    )


def latencies(running: Service, place: Workplace, seconds: float) -> Iterator[Seen]:
    for number, situation in enumerate(SITUATIONS):
        names = [f"seen-{number}-{one:06d}" for one in range(situation.conversations)]
        place.many(f"seen-{number}", situation.conversations, messages=10)
        watching = [name for name in names for _ in range(situation.viewers)]
        with viewers(running.live_port, watching, situation.query) as connected:
            responses = _append(running.port, names, situation.appends_per_second, seconds)
            time.sleep(_LAST_SECONDS)
            arrivals = connected.leave()
        yield _seen(situation, watching, responses, arrivals)


Responses = dict[str, list[tuple[int, float]]]
"""Of each conversation: how many messages there were, and when the response that said so came."""


def _append(port: int, names: Sequence[str], per_second: int, seconds: float) -> Responses:
    """Append at a rate, whatever the responses take; from several connections, in turn."""
    responses: Responses = {name: [] for name in names}
    began = time.monotonic()

    def send(first: int) -> None:
        client = Client(port)
        for number in range(first, int(per_second * seconds), _CLIENTS):
            time.sleep(max(0.0, began + number / per_second - time.monotonic()))
            name = names[number % len(names)]
            count = client.append(name)
            responses[name].append((count, time.monotonic()))

    with ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(send, range(_CLIENTS)))
    return responses


def _seen(
    situation: Situation,
    watching: Sequence[str],
    responses: Responses,
    arrivals: Sequence[Arrivals],
) -> Seen:
    times: list[float] = []
    for name, frames in zip(watching, arrivals, strict=True):
        counts = [count for count, _ in frames]
        for count, responded in responses[name]:
            # The first frame with at least so many messages; one may join several.
            place = bisect_left(counts, count)
            if place == len(frames):
                raise ViewersError("a message was not seen")
            _, came = frames[place]
            times.append(max(0.0, came - responded) * 1e3)
    times.sort()
    return Seen(
        str(situation),
        situation.mode,
        situation.appends_per_second,
        sum(map(len, responses.values())),
        sum(map(len, arrivals)),
        times[len(times) // 2],
        times[int(len(times) * 0.99)],
        times[-1],
    )
