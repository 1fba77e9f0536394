"""One server becomes the first node of a Cluster, and shares its slots, while many write."""

import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from redis import Redis
from redis.crc import key_slot

from agent_conversations.store import keys
from sessions_store.embedded.server import EmbeddedServer
from tests.deployments import FAILURE_MS, HOST, SLOTS
from tests.faults.result import Advance, Result, ignore
from tests.faults.scenarios.kills import Writer, count, writing
from tests.faults.servers import Service, free_port, temporary_folder
from tests.waiting import wait_until

_DURABLE = {"bind": HOST, "appendonly": "yes", "appendfsync": "always"}
_CONVERSATIONS = tuple(f"talk-{number}" for number in range(6))


class _Node:
    """A server on a port of its own, which can be started as a node of a Cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.bus_port = free_port(), free_port()
        self.client: Any = Redis(host=HOST, port=self.port, protocol=2)
        self._running: EmbeddedServer | None = None

    def start(self, *, in_cluster: bool) -> None:
        options = {**_DURABLE, "port": str(self.port)}
        if in_cluster:
            timeout = {"cluster-node-timeout": str(FAILURE_MS)}
            options |= {"cluster-enabled": "yes", "cluster-port": str(self.bus_port), **timeout}
        self._running = EmbeddedServer(self.folder, options)
        self._running.start()

    def stop(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None

    def state(self) -> str:
        return str(self.client.execute_command("CLUSTER INFO")["cluster_state"])


def become_a_cluster(*, repeats: int = 1, writers: int = 6, advance: Advance = ignore) -> Result:
    """A server with data becomes a node with all slots, and gives a second one half of them."""
    result = Result("One server becomes a Cluster under writers", "as [Moving](moving.md) says")
    for _ in range(repeats):
        with ExitStack() as stack:
            folder = stack.enter_context(temporary_folder())
            first, second, prepared = (_Node(folder / name) for name in ("1", "2", "3"))
            for node in (first, second, prepared):
                stack.callback(node.stop)
                stack.callback(node.client.close)
            first.start(in_cluster=False)
            service = Service(folder / "service", f"redis://{HOST}:{first.port}/0")
            stack.callback(service.stop)
            service.start()
            for conversation_id in _CONVERSATIONS:
                assert service.api.create(conversation_id).succeeded
            written = [Writer(number, one) for number, one in enumerate(_CONVERSATIONS[:writers])]
            with writing(service.api, written):
                time.sleep(0.3)
                _become_node(first, prepared)
                service.stop()
                service.redis_url = f"redis+cluster://{HOST}:{first.port}"
                service.start()
                time.sleep(0.3)
                _share_slots(first, second)
                time.sleep(0.3)
            count(result, service.api, written, _CONVERSATIONS)
            listed = service.api.send("GET", "/agent-conversations/api/list?messageLimit=0")
            if len(listed.body["conversations"]) != len(_CONVERSATIONS):
                result.problems.append("the list lacks conversations")
        result.repeats += 1
        advance()
    result.figures["refused_requests"] = result.attempted - result.acknowledged
    return result


def _become_node(server: _Node, prepared: _Node) -> None:
    prepared.start(in_cluster=True)
    prepared.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
    prepared.stop()
    server.stop()
    shutil.copy(prepared.folder / "nodes.conf", server.folder)
    server.start(in_cluster=True)
    wait_until(lambda: server.state() == "ok")


def _share_slots(source: _Node, target: _Node) -> None:
    """Give a new node half of the slots, and those of half of the conversations."""
    target.start(in_cluster=True)
    target.client.execute_command("CLUSTER MEET", HOST, source.port, source.bus_port)
    name = target.client.execute_command("CLUSTER MYID").decode()
    wait_until(lambda: name in _nodes_known_to(source))
    half = SLOTS // 2
    ranges = ["SLOTSRANGE", 0, half - 1, "NODE", name]
    source.client.execute_command("CLUSTER MIGRATESLOTS", *ranges)
    wait_until(lambda: _has_slots_up_to(target, half - 1))
    slots = {key_slot(keys.conversation_key(one).encode()) for one in _CONVERSATIONS}
    assert {slot < half for slot in slots} == {True, False}, "all of them on one node"


def _nodes_known_to(node: _Node) -> set[str]:
    return {one["node_id"] for one in node.client.execute_command("CLUSTER NODES").values()}


def _has_slots_up_to(node: _Node, last: int) -> bool:
    ranges = node.client.execute_command("CLUSTER SLOTS")
    return any(end == last and port == node.port for _, end, (_, port, *_), *_ in ranges)
