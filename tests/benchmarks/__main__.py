"""``python -m tests.benchmarks``: measure, print, write; ``--check`` only the kept ratios."""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import Progress

from config.env import PROJECT_DIR
from tests.benchmarks import over_http, ratios, report
from tests.benchmarks.workplace import Workplace, django_application, workplace


def measure_ratios(place: Workplace) -> Iterator[ratios.Ratio]:
    with TemporaryDirectory() as folder:
        application = django_application(place.url, folder)
        yield from ratios.over_the_floor(place, application)
        yield from ratios.growth(place)
        yield from ratios.over_the_plain_way(place)


def measure_memory(running: over_http.Service, route: over_http.Route) -> ratios.Ratio:
    """What the workers take after 100,000 requests over what they took after 1,000."""

    def send(requests: int) -> None:
        done = 0.0
        while done < requests:
            seconds = 1 if requests <= 1_000 else 5
            found = over_http.drive(running, route, connections=16, seconds=seconds)
            done += found.requests_per_second * seconds

    send(1_000)
    before = running.worker_kib()
    send(100_000)
    after = running.worker_kib()
    return ratios.Ratio(
        "memory of the workers after 100,000 requests, over after 1,000",
        after / before,
        1.05,
        True,
        "KiB",
        after,
        before,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="only the ratios; exit 1 if one is missed"
    )
    parser.add_argument("--seconds", type=float, default=4, help="for each route (default 4)")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is missing: apt-get install wrk, or brew install wrk.", file=sys.stderr)  # noqa: T201  # a command
        return 2
    console, found, throughput = Console(width=110), [], []
    with Progress(console=Console(stderr=True)) as bar, workplace() as place:
        task = bar.add_task("Ratios", total=12)
        for ratio in measure_ratios(place):
            found.append(ratio)
            bar.update(task, advance=1, description=ratio.name)
        place.redis.flushall()
        for process in (0, place.server_pid):
            os.sched_setaffinity(process, range(os.cpu_count() or 1))
        with over_http.service(place.url) as running:
            driven = over_http.routes(place)
            if not arguments.check:
                task_http = bar.add_task("HTTP", total=len(driven) * len(over_http.CONNECTIONS))
                for route in driven:
                    for connections in over_http.CONNECTIONS:
                        bar.update(task_http, advance=1, description=f"{route.name}, {connections}")
                        one = over_http.drive(
                            running, route, connections=connections, seconds=arguments.seconds
                        )
                        throughput.append(one)
            bar.update(task, description="memory")
            found.append(measure_memory(running, driven[0]))
            bar.update(task, advance=1)
    report.print_ratios(console, found)
    if throughput:
        report.print_throughput(console, throughput)
        report.write(Path(PROJECT_DIR) / "docs" / "benchmarks", found, throughput)
    short = [ratio for ratio in found if not ratio.kept]
    for ratio in short:
        console.print(f"Falls short: {ratio.name}: {ratio.value:.2f}, target {ratio.target:g}")
    return 1 if short and arguments.check else 0


if __name__ == "__main__":
    os.chdir(PROJECT_DIR)
    sys.exit(main())
