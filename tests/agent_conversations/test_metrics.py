"""What a process counts, and how those of several are added up."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent_conversations import metrics
from agent_conversations.metrics import GONE_SECONDS, SharedMetrics
from tests.faults.servers import fill_disk

OTHERS = (
    b'[["agent_pushes", "", "counter", [["agent_pushes_total", {"state": "sent"}, 5]]],'
    b' ["live_viewers", "", "gauge", [["live_viewers", {}, 3]]]]'
)


def samples_of(text: bytes) -> Mapping[str, float]:
    """Return the values by name and labels, as Prometheus writes them."""
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.fixture
def shared(tmp_path: Path) -> SharedMetrics:
    return SharedMetrics(tmp_path)


def value(shared: SharedMetrics, name: str, **labels: str) -> float:
    return samples_of(shared.exposition()).get(name + str(sorted(labels.items())), 0)


def test_request_is_counted_by_route_method_status_and_seconds(shared: SharedMetrics) -> None:
    labels = {"route": "/c/{messageId}", "method": "GET", "status": "201"}
    metrics.requests.append(("c/<str:message_id>", "GET", "201", 0.0025))
    metrics.requests.append(("c/<str:message_id>", "GET", "201", 0.3))
    metrics.requests.append(("c/<str:message_id>", "GET", "201", 60.0))

    assert value(shared, "http_requests_total", **labels) == 3
    route = {"route": "/c/{messageId}"}
    duration = "http_request_duration_seconds"
    assert value(shared, f"{duration}_bucket", le="0.001", **route) == 0
    assert value(shared, f"{duration}_bucket", le="0.0025", **route) == 1
    assert value(shared, f"{duration}_bucket", le="0.5", **route) == 2
    assert value(shared, f"{duration}_bucket", le="5.0", **route) == 2
    assert value(shared, f"{duration}_bucket", le="+Inf", **route) == 3
    assert value(shared, f"{duration}_count", **route) == 3
    assert value(shared, f"{duration}_sum", **route) == pytest.approx(60.3025)


def test_unknown_method_and_path_are_one_label(shared: SharedMetrics) -> None:
    labels = {"route": "other", "method": "other", "status": "404"}
    before = value(shared, "http_requests_total", **labels)
    for method in ("BREW", "WHEN", ""):
        metrics.requests.append((None, method, "404", 0.001))

    assert value(shared, "http_requests_total", **labels) == before + 3


def test_command_is_counted_by_operation_and_outcome(shared: SharedMetrics) -> None:
    metrics.commands.extend([("tested", "ok"), ("tested", "OOM"), ("tested", "ok")])

    assert value(shared, "redis_commands_total", operation="tested", outcome="ok") == 2
    assert value(shared, "redis_commands_total", operation="tested", outcome="OOM") == 1


def test_unknown_type_of_webhook_is_other(shared: SharedMetrics) -> None:
    labels = {"type": "other", "outcome": "ignored"}
    before = value(shared, "elevenlabs_webhooks_total", **labels)

    metrics.count_webhook("what somebody sent", "ignored")

    assert value(shared, "elevenlabs_webhooks_total", **labels) == before + 1


def test_processes_are_added_up(shared: SharedMetrics, tmp_path: Path) -> None:
    before = value(shared, "agent_pushes_total", state="sent")
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_bytes(OTHERS)

    assert value(shared, "agent_pushes_total", state="sent") == before + 10
    assert value(shared, "live_viewers") == 6


def test_process_that_ended_keeps_what_it_counted(shared: SharedMetrics, tmp_path: Path) -> None:
    before = value(shared, "agent_pushes_total", state="sent")
    path = tmp_path / "ended.json"
    path.write_bytes(OTHERS)
    ended = time.time() - GONE_SECONDS - 1
    os.utime(path, (ended, ended))

    assert value(shared, "agent_pushes_total", state="sent") == before + 5
    assert value(shared, "live_viewers") == 0


def test_process_counts_itself_once(shared: SharedMetrics) -> None:
    before = value(shared, "agent_pushes_total", state="sent")
    shared.write()

    assert value(shared, "agent_pushes_total", state="sent") == before


def test_other_process_reads_what_was_written(shared: SharedMetrics, tmp_path: Path) -> None:
    metrics.count_push("delivered")
    own = value(shared, "agent_pushes_total", state="delivered")
    shared.write()

    # Of the same process, so that it adds the same numbers.
    other = SharedMetrics(tmp_path)
    assert value(other, "agent_pushes_total", state="delivered") == 2 * own


def test_full_disk_leaves_the_last_whole_file(small_disk: Path) -> None:
    shared, other = SharedMetrics(small_disk), SharedMetrics(small_disk)
    shared.write()
    written = value(other, "agent_pushes_total", state="failed")
    fill_disk(small_disk)
    metrics.count_push("failed")
    own = value(shared, "agent_pushes_total", state="failed")
    shared.write()

    assert value(other, "agent_pushes_total", state="failed") == written + 1
    assert own > 0


def test_what_is_counted_last_is_written_at_the_end(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from agent_conversations.metrics import *\n"
        f"SharedMetrics(Path({str(tmp_path)!r})).start()\n"
        "count_push('delivered')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

    (path,) = tmp_path.glob("*.json")
    assert b'["agent_pushes_total",{"state":"delivered"},1.0]' in path.read_bytes()
