"""``python -m tests.benchmarks``: measure, print, write; ``--check`` only the kept ratios.

``--only live`` measures the live process alone, and changes only its part of the results.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import Progress

from config.environment import PROJECT_DIR
from config.memory import restart_with_glibc_variables
from tests.benchmarks import direct, live, over_http, ratios, report
from tests.benchmarks.cases import Case, cases, prepare
from tests.benchmarks.load import Load
from tests.benchmarks.ratios import Ratio
from tests.benchmarks.report import Measured
from tests.benchmarks.workplace import Workplace, django_application, workplace

CONNECTIONS = (1, 16)


def measure_ratios(place: Workplace) -> Iterator[ratios.Ratio]:
    with TemporaryDirectory() as folder:
        application = django_application(place.url, folder)
        prepare(place)
        yield from ratios.over_others(place, application)
        yield ratios.access_log(place, application)
        yield from ratios.growth(place)
        yield from ratios.encryption(place)
        yield from ratios.over_the_plain_way(place)


def measure_loads(
    place: Workplace, running: over_http.Service, seconds: float
) -> Iterator[Measured]:
    """Load each route, and in the same breath what it is compared with."""
    for case in cases(place):
        for connections in CONNECTIONS:

            def without_http(what: str, case: Case = case, callers: int = connections) -> Load:
                return direct.drive(
                    place.url, case.name, what, callers=callers, seconds=seconds / 3
                )

            yield Measured(
                case.name,
                connections,
                over_http.drive(running, case, connections=connections, seconds=seconds),
                without_http("floor") if case.floor else None,
                without_http("plain") if case.plain else None,
            )


def measure_memory(running: over_http.Service, case: Case) -> ratios.Ratio:
    """What the workers take after 100,000 requests over what they took after 1,000."""

    def send(requests: int) -> None:
        done = 0.0
        while done < requests:
            seconds = 1 if requests <= 1_000 else 5
            found = over_http.drive(running, case, connections=16, seconds=seconds)
            done += found.per_second * seconds

    send(1_000)
    before = running.worker_kib()
    send(100_000)
    after = running.worker_kib()
    name = "memory of the workers after 100,000 requests, over after 1,000"
    return ratios.Ratio(name, after / before, 1.05, True, "KiB", after, before)


@dataclass
class Found:
    """What was measured; ``seen`` is how soon viewers have their frames."""

    ratios: list[Ratio] = field(default_factory=list)
    loads: list[Measured] = field(default_factory=list)
    seen: list[live.Seen] = field(default_factory=list)


def measure_api(place: Workplace, bar: Progress, found: Found, seconds: float) -> None:
    """Measure the ratios, and unless ``seconds`` is 0, each route under load for that long."""
    task = bar.add_task("ratios", total=30)
    for ratio in measure_ratios(place):
        found.ratios.append(ratio)
        bar.update(task, advance=1, description=ratio.name)
    place.redis.flushall()
    prepare(place)
    place.let_processors_go()
    read = cases(place)[0]
    with over_http.service(place.url) as running:
        found.ratios.append(measure_memory(running, read))
        bar.update(task, advance=1)
        if seconds:
            task = bar.add_task("load", total=len(cases(place)) * len(CONNECTIONS))
            for load in measure_loads(place, running, seconds):
                found.loads.append(load)
                bar.update(task, advance=1, description=f"{load.name}, {load.connections}")


def measure_live(place: Workplace, bar: Progress, found: Found, seconds: float) -> None:
    """Measure the live process, and unless ``seconds`` is 0, how soon viewers have their frames."""
    place.redis.flushall()
    place.let_processors_go()
    task = bar.add_task("live", total=3 + (len(live.SITUATIONS) if seconds else 0))
    with over_http.service(place.url, live=True) as running:
        for measure in (live.watched_append, live.heard_append, live.memory):
            found.ratios.append(measure(running, place))
            bar.update(task, advance=1, description=found.ratios[-1].name)
        if seconds:
            for seen in live.latencies(running, place, seconds):
                found.seen.append(seen)
                bar.update(task, advance=1, description=seen.name)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="only the ratios; exit 1 if one is missed"
    )
    parser.add_argument("--only", choices=["live"], help="the live process alone")
    parser.add_argument("--seconds", type=float, default=3, help="for each route (default 3)")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None and not arguments.only:
        print("wrk is missing: apt-get install wrk, or brew install wrk.", file=sys.stderr)  # noqa: T201  # a command
        return 2
    found = Found()
    seconds = 0 if arguments.check else arguments.seconds
    with Progress(console=Console(stderr=True)) as bar, workplace() as place:
        if not arguments.only:
            measure_api(place, bar, found, seconds)
        measure_live(place, bar, found, 2 * seconds)
    console = Console(width=132)
    report.print_ratios(console, found.ratios)
    if found.loads:
        report.print_loads(console, found.loads)
    if found.seen:
        report.print_live(console, found.seen)
    folder = Path(PROJECT_DIR) / "docs" / "benchmarks"
    if found.loads:
        report.write(folder, found.ratios, found.loads, found.seen)
    elif found.seen:
        report.write_live(folder, found.ratios, found.seen)
    short = [ratio for ratio in found.ratios if not ratio.kept]
    for ratio in short:
        console.print(f"Falls short: {ratio.name}: {ratio.value:.2f}, target {ratio.target:g}")
    return 1 if short and arguments.check else 0


if __name__ == "__main__":
    restart_with_glibc_variables()  # as manage.py does
    os.chdir(PROJECT_DIR)
    sys.exit(main())
