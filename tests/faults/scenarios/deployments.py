"""Servers of a Cluster, and of sentinels, go away or hand slots on while many clients write.

Both replicate asynchronously, so that a primary that is killed takes with it what it has
acknowledged and not yet sent on. What is lost is looked for in the killed primary's own file: only
what is there was lost by the deployment.
"""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from agent_conversations.store import keys
from sessions_store.embedded.server import EmbeddedServer
from tests.deployments import (
    FAILURE_MS,
    HOST,
    ClusterServers,
    SentinelServers,
    Server,
    cluster_servers,
    sentinel_servers,
)
from tests.faults.client import Api
from tests.faults.result import Advance, Result, ignore
from tests.faults.scenarios.kills import Writer, count, writing
from tests.faults.servers import Service, temporary_folder
from tests.waiting import wait_until

_DURABLE = {"appendonly": "yes", "appendfsync": "always"}
_CONVERSATIONS = tuple(f"talk-{number}" for number in range(6))
UNREPLICATED_SECONDS = 0.3
LONGEST_FAILOVER_SECONDS = 30.0
"""On a busy machine; with the second after which a server is taken for gone, mostly three."""


@dataclass(frozen=True)
class DeploymentRig:
    """A service on a deployment of several servers."""

    servers: ClusterServers | SentinelServers
    service: Service

    @property
    def api(self) -> Api:
        return self.service.api


@contextmanager
def deployment_rig(kind: str, *, acks: int = 0) -> Iterator[DeploymentRig]:
    """Start a service on a ``cluster`` or under ``sentinel``.

    With ``acks``, each primary has two replicas: while one of the three is away, one is left.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        servers: ClusterServers | SentinelServers
        if kind == "cluster":
            servers = stack.enter_context(
                cluster_servers(
                    folder,
                    failure_ms=FAILURE_MS,
                    replicas=6 if acks else 3,
                    options=_DURABLE,
                )
            )
        else:
            servers = stack.enter_context(
                sentinel_servers(folder, failure_ms=FAILURE_MS, options=_DURABLE)
            )
        service = Service(folder / "service", servers.url, WRITE_ACKS=str(acks))
        stack.callback(service.stop)
        service.start()
        yield DeploymentRig(servers, service)


def kill_primary(
    kind: str, *, acks: int = 0, repeats: int = 1, writers: int = 6, advance: Advance = ignore
) -> Result:
    """A primary is killed, and comes back as a replica once another has its place.

    For a moment before, its replicas hang, cut off: what it acknowledges then is on none of them.

    Args:
        acks: of replicas, for which a write waits.
    """
    setting = f", `WRITE_ACKS={acks}`" if acks else ""
    result = Result(f"A primary is killed under writers ({kind}{setting})", "SIGSTOP, SIGKILL")
    had: set[str] = set()
    with deployment_rig(kind, acks=acks) as rig:

        def kill() -> None:
            victim = random.choice(rig.servers.primaries())
            replicas = [one for one in rig.servers.servers if _follows(one, victim)]
            for one in replicas:
                os.kill(one.running.pid, signal.SIGSTOP)
            # Else what the kernel has taken for them would be theirs all the same.
            victim.client.client_kill_filter(_type="replica")
            time.sleep(UNREPLICATED_SECONDS)
            os.kill(victim.running.pid, signal.SIGKILL)
            for one in replicas:
                os.kill(one.running.pid, signal.SIGCONT)
            began = time.monotonic()
            victim.running.stop()
            _wait_for_success(rig.api, result)
            recovery = time.monotonic() - began
            slowest = max(recovery, result.figures.get("slowest_recovery", 0.0))
            result.figures["slowest_recovery"] = slowest
            had.update(_message_ids_in(victim.running.data_dir))
            if result.repeats + 1 < repeats:
                victim.running.start()
                wait_until(lambda: _is_replica(victim), "it did not become a replica")

        with _written(rig.api, result, writers):
            for _ in range(repeats):
                time.sleep(random.uniform(0.3, 0.6))
                kill()
                result.repeats += 1
                advance()
    lost_by_servers = {one for one in result.lost_ids if one in had}
    result.lost -= len(lost_by_servers)
    result.figures["lost_by_replication_messages"] = len(lost_by_servers)
    result.figures["refused_requests"] = result.attempted - result.acknowledged
    return result


def move_slots(
    *, repeats: int = 1, writers: int = 6, at_once: bool = False, advance: Advance = ignore
) -> Result:
    """The slots of all conversations, and of the list, go from node to node.

    Args:
        at_once: by Valkey's own command, with which nobody sees a part of a slot's keys; else key
            by key, with a pause between the steps.
    """
    caused_by = "`CLUSTER MIGRATESLOTS`" if at_once else "`CLUSTER SETSLOT`, `MIGRATE`"
    result = Result("Slots move under writers (cluster)", caused_by)
    slots = [key_slot(keys.conversation_key(one).encode()) for one in _CONVERSATIONS]
    slots.append(key_slot(keys.INDEX_KEYS[0].encode()))
    move = move_at_once if at_once else move_by_keys
    with deployment_rig("cluster") as rig:
        with _written(rig.api, result, writers):
            for _ in range(repeats):
                for slot in slots:
                    source = owner_of(rig.servers.servers, slot)
                    target = random.choice(
                        [one for one in rig.servers.primaries() if one is not source]
                    )
                    move(slot, source, target)
                result.repeats += 1
                advance()
        listed = rig.api.send("GET", "/agent-conversations/api/list?messageLimit=0")
        if {one["conversationId"] for one in listed.body["conversations"]} != {*_CONVERSATIONS}:
            result.problems.append("the list lacks conversations")
    result.figures["refused_requests"] = result.attempted - result.acknowledged
    return result


def owner_of(servers: Sequence[Server], slot: int) -> Server:
    port = _port_of(servers[0], slot)
    return next(one for one in servers if one.port == port)


def _port_of(asked: Server, slot: int) -> int:
    """Return the port of the node that has a slot, as another one knows it."""
    ranges = asked.client.execute_command("CLUSTER SLOTS")
    (found,) = [port for first, last, (_, port, *_), *_ in ranges if first <= slot <= last]
    return int(found)


def move_by_keys(slot: int, source: Server, target: Server) -> None:
    ids = [one.client.execute_command("CLUSTER MYID") for one in (source, target)]
    target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
    source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
    time.sleep(0.05)
    while found := source.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
        source.client.migrate(HOST, target.port, found, 0, 5000)
        time.sleep(0.05)
    for server in (target, source):
        server.client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[1])
    wait_until(lambda: _port_of(source, slot) == target.port)


def move_at_once(slot: int, source: Server, target: Server) -> None:
    name = target.client.execute_command("CLUSTER MYID")
    source.client.execute_command("CLUSTER MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", name)
    wait_until(lambda: _port_of(source, slot) == target.port)


def _follows(server: Server, primary: Server) -> bool:
    role = server.client.role()
    return bool(role[0] == b"slave" and role[2] == primary.port)


def _is_replica(server: Server) -> bool:
    try:
        return bool(server.client.info("replication").get("master_link_status") == "up")
    except RedisError:
        return False


def _wait_for_success(api: Api, result: Result) -> None:
    """Return once each conversation is written several times in a row."""
    deadline = time.monotonic() + LONGEST_FAILOVER_SECONDS
    in_a_row = 0
    while in_a_row < 3 * len(_CONVERSATIONS):
        conversation_id = _CONVERSATIONS[in_a_row % len(_CONVERSATIONS)]
        response = api.update(conversation_id, {"agentId": "a"})
        in_a_row = in_a_row + 1 if response.succeeded else 0
        if not response.succeeded:
            time.sleep(0.01)
        if time.monotonic() > deadline:
            result.problems.append(f"still refused: {response}")
            return


@contextmanager
def _written(api: Api, result: Result, writers: int) -> Iterator[None]:
    """Have writers write meanwhile, and compare afterwards."""
    for conversation_id in _CONVERSATIONS:
        assert api.create(conversation_id).succeeded
    written = [
        Writer(number, _CONVERSATIONS[number % len(_CONVERSATIONS)]) for number in range(writers)
    ]
    with writing(api, written):
        yield
        time.sleep(0.3)
    count(result, api, written, _CONVERSATIONS)


def _message_ids_in(data_dir: Path) -> set[str]:
    """Return the ids of all messages in the append-only file of a killed server."""
    with temporary_folder() as folder:
        copy = folder / "copy"
        shutil.copytree(data_dir / "appendonlydir", copy / "appendonlydir")
        with EmbeddedServer(copy) as server, Redis.from_url(server.url, protocol=2) as client:
            return {
                json.loads(raw)["messageId"]
                for one in _CONVERSATIONS
                for raw in client.lrange(keys.messages_key(one), 0, -1)
            }
