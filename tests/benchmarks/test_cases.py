"""Each case of the benchmark can be run; how long it takes is for ``make bench`` to say."""

import json

from redis import Redis

from config.wsgi import application
from sessions_store.embedded.server import EmbeddedServer
from tests.benchmarks.cases import cases, prepare
from tests.benchmarks.workplace import Workplace, ordinary_application, request


def test_each_case_does_what_its_floor_and_plain_way_do(
    server: EmbeddedServer, real_service: Redis
) -> None:
    place = Workplace.on(server.url, server.pid, real_service)
    prepare(place, listed=20)

    for case in cases(place):
        path, _, query = case.path.partition("?")
        request(application, case.method, path, (case.body or "").encode(), query)
        for action in (case.floor, case.plain):
            if action is not None:
                action()

    assert place.conversations.get("bench-10").message_count == 12


def test_ordinary_views_respond_to_each_case_compared(
    server: EmbeddedServer, real_service: Redis
) -> None:
    place = Workplace.on(server.url, server.pid, real_service)
    prepare(place, listed=20)
    compared = [case for case in cases(place) if case.ordinary_path]
    ordinary = ordinary_application({case.name: case.floor for case in compared if case.floor})

    bodies = {
        case.name: json.loads(
            request(ordinary, case.method, case.ordinary_path, (case.body or "").encode())
        )
        for case in compared
    }

    assert len(bodies["read 100 messages"]["messages"]) == 100
    assert len(bodies) == 7
    assert place.conversations.get("bench-10").message_count == 11
    assert place.sessions.get("floor") is not None
