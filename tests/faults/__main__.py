"""All faults at length, and a table of what came of them.

    python -m tests.faults [--markdown]

The exit status is 1 where anything was lost, doubled or slower than promised, or a response was one
that the contract does not allow.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.faults.result import Result
from tests.faults.scenarios import disks, pushing, races, watching, webhooks
from tests.faults.scenarios.connections import few_connections
from tests.faults.scenarios.deployments import kill_primary, move_slots
from tests.faults.scenarios.encryption import reencrypt_under_writers
from tests.faults.scenarios.hostile import hostile_requests
from tests.faults.scenarios.index import reindex_under_writers, stopped_between_steps
from tests.faults.scenarios.kills import fail_over, kill_redis, kill_service, kill_worker
from tests.faults.scenarios.moving import become_a_cluster
from tests.faults.scenarios.outages import OUTAGES, crowd_while_hanging, outage
from tests.faults.scenarios.recording import recorded_calls
from tests.faults.scenarios.replies import lost_replies, slow_replies
from tests.faults.servers import Rig, rig

COLUMNS = (
    "fault",
    "caused by",
    "repeats",
    "attempted",
    "acknowledged",
    "found",
    "lost",
    "doubled",
    "slowest response",
)

WATCHED = {name: 1 if name == "stopped" else 3 for name in watching.FAULTS}
"""How often each fault is caused while viewers watch; one of them takes a minute."""


@dataclass(frozen=True)
class Run:
    """A scenario and how often it is repeated; ``run`` is called with that and with a callback."""

    name: str
    run: Callable[..., Result]
    repeats: int


def plan(direct: Rig, relayed: Rig, watched: Rig) -> Sequence[Run]:
    kinds = [
        Run(kind.fault, partial(outage, direct, kind, one_by_one=True), 3)
        for kind in OUTAGES.values()
    ]
    return [
        *kinds,
        Run("hangs under many clients", partial(crowd_while_hanging, direct), 3),
        Run("few connections", few_connections, 3),
        Run("slow", partial(slow_replies, relayed), 2),
        Run("a reply lost", partial(lost_replies, relayed), 10),
        Run("two replies lost", partial(lost_replies, relayed, cuts=2), 6),
        Run("three replies lost", partial(lost_replies, relayed, cuts=3), 6),
        Run("no reply", partial(lost_replies, relayed, fault="swallow"), 1),
        Run("Redis killed", partial(kill_redis, direct), 25),
        Run("failover", partial(fail_over, relayed), 10),
        Run("worker killed", partial(kill_worker, direct), 4),
        Run("service killed", kill_service, 5),
        Run("disk full", disks.full_disk, 5),
        Run("file's end damaged", disks.damaged_end, 5),
        Run("registrations", partial(races.registrations, direct), 300),
        Run("late delete", partial(races.late_delete, direct), 300),
        Run("held delete", partial(races.held_delete, relayed), 50),
        Run("against a delete", partial(races.against_delete, direct), 300),
        Run("creations", partial(races.creations, direct), 300),
        Run("conditional updates", partial(races.conditional_updates, direct), 300),
        Run("appends", partial(races.appends, direct), 200),
        Run("bad HTTP", partial(hostile_requests, direct), 40),
        *(
            Run(name, partial(watching.watch, watched, watching.FAULTS[name]), repeats)
            for name, repeats in WATCHED.items()
        ),
        *(
            Run(f"pushes: {name}", partial(pushing.pushes, watched, fault), 3)
            for name, fault in pushing.FAULTS.items()
        ),
        Run("nonsense", partial(watching.nonsense, watched), 1),
        Run("dead viewer", partial(watching.dead_peer, watched), 1),
        Run("stop with viewers", partial(watching.stop_with_silent_viewers, watched), 3),
        Run("webhooks, Redis killed", partial(webhooks.killed_redis, direct), 15),
        Run("webhooks, worker killed", partial(webhooks.killed_worker, direct), 4),
        Run("webhooks, replies lost", partial(webhooks.lost_replies, relayed), 15),
        Run("recorded calls", recorded_calls, 10),
        Run("reencrypted", reencrypt_under_writers, 3),
        Run("between two steps", stopped_between_steps, 5),
        Run("reindex", reindex_under_writers, 10),
        *(
            Run(f"{kind}, acks {acks}", partial(kill_primary, kind, acks=acks), 5)
            for kind in ("sentinel", "cluster")
            for acks in (0, 1)
        ),
        Run("slots moved by key", move_slots, 5),
        Run("slots moved at once", partial(move_slots, at_once=True), 5),
        Run("one server to a cluster", become_a_cluster, 3),
        Run("reindex on a cluster", partial(reindex_under_writers, index_in_same_step=False), 10),
        Run("reindex to shards", partial(reindex_under_writers, shards=8), 10),
        Run(
            "the same on a cluster",
            partial(reindex_under_writers, index_in_same_step=False, shards=8),
            10,
        ),
    ]


def run_all(console: Console) -> list[Result]:
    progress = Progress(
        TextColumn("{task.description:<26}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    with ExitStack() as stack:
        direct, relayed = stack.enter_context(rig()), stack.enter_context(rig(relayed=True))
        watched = stack.enter_context(rig(relayed=True, live=True))
        stack.enter_context(progress)
        runs = plan(direct, relayed, watched)
        task = progress.add_task("", total=sum(run.repeats for run in runs))
        results = []
        for run in runs:
            progress.update(task, description=run.name)
            results.append(run.run(repeats=run.repeats, advance=partial(progress.advance, task)))
        return results


def _cells(result: Result) -> list[str]:
    numbers = (
        result.repeats,
        result.attempted,
        result.acknowledged,
        result.found,
        result.lost,
        result.doubled,
    )
    slowest = f"{result.slowest_seconds:.2f} s" if result.slowest_seconds else "-"
    return [result.fault, result.caused_by, *(f"{number:,}" for number in numbers), slowest]


def print_markdown(results: Sequence[Result]) -> None:
    align = ["---", "---", *("---:" for _ in COLUMNS[2:])]
    for row in (COLUMNS, align, *map(_cells, results)):
        sys.stdout.write(f"| {' | '.join(row)} |\n")


def print_table(results: Sequence[Result]) -> None:
    table = Table()
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if number < 2 else "right")
    for result in results:
        table.add_row(*_cells(result), style="red" if result.faults else "")
    # Wrapped at the width of a small terminal, ten columns cannot be read.
    Console(width=max(Console().width, 150)).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description="Cause every fault, and count what is left."
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    arguments = parser.parse_args()
    errors = Console(stderr=True)
    began = time.monotonic()
    results = run_all(errors)
    (print_markdown if arguments.markdown else print_table)(results)
    for result in results:
        for name, value in result.figures.items():
            errors.print(f"{result.fault}: {name.replace('_', ' ')}: {value:.3f}", style="dim")
    failed = [f"{result.fault}: {fault}" for result in results for fault in result.faults]
    for line in failed:
        errors.print(line, style="red", markup=False)
    errors.print(f"{len(results)} scenarios in {time.monotonic() - began:.0f} s", style="dim")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
