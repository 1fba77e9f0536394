"""The server takes fewer connections than the service would open."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.client import Response
from tests.faults.result import Advance, Result, ignore
from tests.faults.servers import START_SECONDS, RedisServer, Service

CLIENTS = 16


def few_connections(*, requests: int = 600, repeats: int = 1, advance: Advance = ignore) -> Result:
    """Two workers and the live process share 8 connections under 16 clients."""
    result = Result("Redis takes 8 connections", "`maxclients 8`")
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            redis = RedisServer(Path(folder) / "redis")
            service = Service(Path(folder) / "service", redis.url, live=True, WORKERS="2")
            try:
                redis.begin_start(maxclients="8").result(START_SECONDS)
                service.start()
                _send(service, result, requests)
            finally:
                service.stop()
                redis.close()
        result.repeats += 1
        advance()
    return result


def _send(service: Service, result: Result, requests: int) -> None:
    service.api.create("talk")

    def append_or_read(number: int) -> Response:
        if number % 2:
            return service.api.append("talk", f"m{number}", "Hello")
        return service.api.get("talk")

    with ThreadPoolExecutor(CLIENTS) as clients:
        responses = list(clients.map(append_or_read, range(requests)))
    result.attempted += requests
    result.slowest_seconds = max([result.slowest_seconds, *(one.seconds for one in responses)])
    result.problems += [str(one) for one in responses if not one.succeeded]
    written = [one for one in responses if one.status == 201]
    ids = [one["messageId"] for one in service.api.get("talk").body["messages"]]
    result.acknowledged += len(written)
    result.found += len({one.body["messageId"] for one in written} & {*ids})
    result.lost = result.acknowledged - result.found
    result.doubled += len(ids) - len({*ids})
