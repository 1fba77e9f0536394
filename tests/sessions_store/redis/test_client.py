"""What the Redis client sends again, and how it reports what Redis replies."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from sessions_store.embedded.server import EmbeddedServer
from sessions_store.errors import StoreUnavailableError, WrongTypeError
from sessions_store.redis.client import StoreClient
from sessions_store.redis.rate_limit import RateLimiter
from tests.faults.relay import Relay, named


@pytest.fixture
def relay(server: EmbeddedServer, real_redis: Redis, tmp_path: Path) -> Iterator[Relay]:
    """In front of the bundled server, which is empty."""
    running = Relay(tmp_path / "relay.sock", server.socket)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def relayed(relay: Relay) -> Iterator[StoreClient]:
    """A client whose connection the relay can break."""
    client = StoreClient.from_url(relay.url)
    client.ping()
    yield client
    client.bare(lambda client: client.close())


def test_repeatable_command_is_sent_again_after_a_lost_reply(
    relay: Relay, relayed: StoreClient, real_redis: Redis
) -> None:
    with relay.losing("cut", named("INCRBY"), 1):
        assert relayed.call(lambda client: client.incr("n"), repeatable=True) == 2


def test_other_commands_are_not_sent_again(
    relay: Relay, relayed: StoreClient, real_redis: Redis
) -> None:
    with relay.losing("cut", named("INCRBY"), 1), pytest.raises(StoreUnavailableError):
        relayed.call(lambda client: client.incr("n"))

    assert real_redis.get("n") == b"1"


def test_lost_reply_does_not_count_a_use_twice(
    relay: Relay, relayed: StoreClient, real_store: StoreClient
) -> None:
    limits = [RateLimiter(store, "sessions", "3/min") for store in (relayed, real_store)]
    assert limits[0].seconds_to_wait("client") == 0

    with relay.losing("cut", named("EVALSHA"), 1), pytest.raises(StoreUnavailableError):
        limits[0].seconds_to_wait("client")

    waits = [limits[1].seconds_to_wait("client") for _ in range(2)]
    assert waits[0] == 0
    assert waits[1] > 0


def test_connection_found_dead_before_sending_is_replaced(
    server: EmbeddedServer, real_redis: Redis
) -> None:
    store = StoreClient.from_url(server.url)
    limit = RateLimiter(store, "sessions", "2/min")
    assert limit.seconds_to_wait("client") == 0
    real_redis.client_kill_filter(_type="normal", skipme=True)

    assert limit.seconds_to_wait("client") == 0
    assert limit.seconds_to_wait("client") > 0
    store.bare(lambda client: client.close())


def test_command_is_sent_again_after_a_refused_connection(
    relay: Relay, relayed: StoreClient
) -> None:
    attempts = []

    def refuse_once(client: Redis) -> int:
        attempts.append(1)
        with relay.refusing() if len(attempts) == 1 else nullcontext():
            return int(client.incr("n"))

    assert relayed.call(refuse_once) == 1
    assert len(attempts) == 2


def test_command_that_broke_while_written_is_sent_again(
    real_store: StoreClient, real_redis: Redis
) -> None:
    # Such a client does not look whether its connection is closed before it writes.
    held = real_store.bare(
        lambda client: Redis(connection_pool=client.connection_pool, single_connection_client=True)
    )
    real_redis.client_kill_filter(_type="normal", skipme=True)

    assert real_store.call(lambda _: held.incr("n")) == 1
    held.close()


def test_refused_connection_is_an_outage(relay: Relay, relayed: StoreClient) -> None:
    with relay.refusing(), pytest.raises(StoreUnavailableError):
        relayed.call(lambda client: client.incr("n"))

    assert relayed.call(lambda client: client.incr("n")) == 1


@pytest.mark.parametrize(
    ("setting", "value", "word"),
    [("min-replicas-to-write", 1, "NOREPLICAS"), ("maxmemory", 1, "OOM")],
)
def test_cause_is_the_first_word_of_the_error(
    stoppable_store: StoreClient, setting: str, value: int, word: str
) -> None:
    stoppable_store.call(lambda client: client.config_set(setting, value))
    write = ("SET", "key", "words")

    for send in (
        lambda: stoppable_store.call(lambda client: client.set("key", "words")),
        lambda: stoppable_store.transaction([write, write]),
    ):
        with pytest.raises(StoreUnavailableError) as caught:
            send()
        assert caught.value.cause == word


@pytest.mark.parametrize("word", ["MISCONF", "OOM", "READONLY"])
def test_cause_in_a_script_is_found_on_older_servers(store: StoreClient, word: str) -> None:
    def fail(_: Redis) -> None:
        raise ResponseError(
            f"Error running script (call to f_0f): @user_script:7: @user_script: 7: -{word} words",
            status_code="ERR",
        )

    with pytest.raises(StoreUnavailableError) as caught:
        store.call(fail)

    assert caught.value.cause == word


def test_cause_of_any_other_failure_is_its_class(store: StoreClient) -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        store.read_many([("GET", "MISCONF caused error: MISCONF ", "too", "many")])

    assert caught.value.cause == "ResponseError"


@pytest.mark.parametrize("one_moment", [True, False])
def test_reads_report_a_wrong_type_in_its_place(
    store: StoreClient, raw_redis: Redis, *, one_moment: bool
) -> None:
    raw_redis.set("{one}:text", "x")
    raw_redis.hset("{one}:hash", "field", "value")
    commands = [("HGETALL", "{one}:text"), ("HGETALL", "{one}:hash"), ("LRANGE", "{one}", 0, -1)]

    wrong, right, empty = store.read_many(commands, one_moment=one_moment)

    assert isinstance(wrong, WrongTypeError)
    assert (right, empty) == ({b"field": b"value"}, [])


def test_reads_fail_with_any_other_error(store: StoreClient) -> None:
    with pytest.raises(StoreUnavailableError):
        store.read_many([("GET", "key"), ("GET", "key", "too", "many")])


def test_transaction_is_one_step(real_store: StoreClient, real_redis: Redis) -> None:
    real_redis.config_resetstat()

    replies = real_store.transaction([("SET", "a", 1), ("GET", "a"), ("INCR", "a")])

    assert replies == [True, b"1", 2]
    assert {"cmdstat_multi", "cmdstat_exec"} <= real_redis.info("commandstats").keys()


def test_observer_is_told_of_each_call_and_its_outcome(
    relay: Relay, relayed: StoreClient, real_redis: Redis
) -> None:
    told: list[tuple[str, str]] = []

    def observe(operation: str, outcome: str, seconds: float) -> None:
        assert 0 < seconds < 30
        told.append((operation, outcome))

    relayed.observe = observe
    real_redis.set("text", "no number")

    relayed.ping()
    with pytest.raises(WrongTypeError):
        relayed.call(lambda client: client.llen("text"), operation="length")
    with pytest.raises(StoreUnavailableError):
        relayed.call(lambda client: client.incr("text"))
    with relay.losing("cut", named("INCRBY"), 1), pytest.raises(StoreUnavailableError):
        relayed.call(lambda client: client.incr("n"), operation="count")
    relayed.set_many([("SET", "a", 1)])

    assert told == [
        ("ping", "ok"),
        ("length", "WRONGTYPE"),
        ("other", "ResponseError"),
        ("count", "ConnectionError"),
        ("set_many", "ok"),
    ]


@pytest.mark.parametrize(
    "url",
    ["redis:/oops", "secret", "me:secret@host", "http://me:secret@host", "redis://a:secret/0"],
)
def test_refused_url_is_not_shown_but_what_it_may_be(url: str) -> None:
    with pytest.raises(ValueError, match=r"^url must be that of a Redis server, ") as refused:
        StoreClient.from_url(url)

    assert "rediss://… for TLS" in str(refused.value)
    assert "redis+cluster://host:6379" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__, "whose texts quote it"
