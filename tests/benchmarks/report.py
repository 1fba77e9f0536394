"""What was measured, for people: tables and charts."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.live import P99_MS, Seen
from tests.benchmarks.load import Load
from tests.benchmarks.ratios import Ratio


@dataclass(frozen=True)
class Measured:
    """A route at a number of connections, and what it is compared with."""

    name: str
    connections: int
    http: Load
    floor: Load | None
    plain: Load | None


def print_ratios(console: Console, ratios: Sequence[Ratio]) -> None:
    table = Table(title="Ratios (medians of interleaved rounds)")
    table.add_column("what", overflow="fold")
    for column in ("measured", "target", "of", "over", "unit"):
        table.add_column(column, justify="right")
    table.add_column("")
    for ratio in ratios:
        sign = "≤" if ratio.at_most else "≥"
        table.add_row(
            ratio.name,
            f"{ratio.value:.2f}",
            "" if ratio.target is None else f"{sign} {ratio.target:g}",
            f"{ratio.one:,.0f}",
            f"{ratio.other:,.0f}",
            ratio.unit,
            "" if ratio.target is None else "kept" if ratio.kept else "[bold red]short[/]",
        )
    console.print(table)


def print_loads(console: Console, loads: Sequence[Measured]) -> None:
    table = Table(title="Under load (wrk and Redis on the same machine)")
    table.add_column("route", no_wrap=True)
    table.add_column("at once", justify="right")
    for what in ("HTTP", "floor", "plain way"):
        for figure in ("/s", "p50", "p99 ms"):
            table.add_column(f"{what}\n{figure}", justify="right")
    for load in loads:
        cells = [
            cell
            for one in (load.http, load.floor, load.plain)
            for cell in (
                ("", "", "")
                if one is None
                else (f"{one.per_second:,.0f}", f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}")
            )
        ]
        table.add_row(load.name, str(load.connections), *cells)
    console.print(table)
    errors = sum(load.http.errors for load in loads)
    console.print(
        "The floor and the plain way are called directly, without HTTP, from as many processes as "
        f"the service has workers. Responses that were no success: {errors}."
    )


def print_live(console: Console, live: Sequence[Seen]) -> None:
    table = Table(title="From an append's response to the frame (clients on the same machine)")
    table.add_column("watched", no_wrap=True)
    table.add_column("mode")
    for column in ("appends/s", "appends", "frames", "p50 ms", "p99 ms", "slowest ms"):
        table.add_column(column, justify="right")
    for seen in live:
        p99 = f"{seen.p99_ms:.1f}" if seen.p99_ms < P99_MS else f"[bold red]{seen.p99_ms:.1f}[/]"
        table.add_row(
            seen.name,
            seen.mode,
            f"{seen.appends_per_second:,}",
            f"{seen.appends:,}",
            f"{seen.frames:,}",
            f"{seen.p50_ms:.1f}",
            p99,
            f"{seen.slowest_ms:.1f}",
        )
    console.print(table)
    console.print(f"To reach: p99 < {P99_MS:g} ms. A frame before the response counts as 0 ms.")


def write_live(folder: Path, ratios: Sequence[Ratio], live: Sequence[Seen]) -> None:
    """Write what is known of the live process into ``results.json``, and leave the rest."""
    file = folder / "results.json"
    results = json.loads(file.read_text())
    new = [ratio.as_json() for ratio in ratios]
    names = {ratio["name"] for ratio in new}
    kept = [ratio for ratio in results["ratios"] if ratio["name"] not in names]
    results |= {"ratios": kept + new, "live": [asdict(seen) for seen in live]}
    _write_json(file, results)


def _write_json(file: Path, results: object) -> None:
    file.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")


def write(
    folder: Path, ratios: Sequence[Ratio], loads: Sequence[Measured], live: Sequence[Seen]
) -> None:
    """Write ``results.json`` and the charts into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "ratios": [ratio.as_json() for ratio in ratios],
        "loads": [asdict(load) for load in loads],
        "live": [asdict(seen) for seen in live],
    }
    _write_json(folder / "results.json", results)
    rows = [(load.name, load.http.per_second) for load in loads if load.connections == 16]
    (folder / "throughput.svg").write_text(
        bars("Requests per second, 16 connections", rows, "{:,.0f}")
    )
    for name, title in (
        ("over its floor", "A request's time, as a multiple of its Redis round trip"),
        ("over an ordinary view", "A request's time, as a multiple of an ordinary view's"),
    ):
        over = [
            (ratio.name.removesuffix(f", {name}"), ratio.value)
            for ratio in ratios
            if ratio.name.endswith(f", {name}")
        ]
        file = folder / f"{name.replace(' ', '-')}.svg"
        file.write_text(bars(title, over, "{:.2f} times"))
    plain = [
        (ratio.name.replace(" over the plain way, at", ","), ratio.value)
        for ratio in ratios
        if "plain way" in ratio.name
    ]
    (folder / "plain-way.svg").write_text(
        bars("Times faster than one JSON string a conversation", plain, "{:.1f} times")
    )


def bars(title: str, rows: Sequence[tuple[str, float]], number: str) -> str:
    """Return a bar chart as SVG, readable on light and dark pages."""
    widest = max(value for _, value in rows)
    height = 44 + 28 * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" role="img">',
        f"<title>{title}</title>",
        "<style>text{font:13px system-ui,sans-serif;fill:#57606a}</style>",
        "<style>@media(prefers-color-scheme:dark){text{fill:#c9d1d9}}</style>",
        f'<text x="8" y="22" font-weight="600">{title}</text>',
    ]
    for position, (name, value) in enumerate(rows):
        top = 36 + 28 * position
        width = max(2, round(280 * value / widest))
        parts.append(f'<text x="8" y="{top + 15}">{name}</text>')
        parts.append(f'<rect x="350" y="{top}" width="{width}" height="20" rx="3" fill="#2f81f7"/>')
        parts.append(f'<text x="{358 + width}" y="{top + 15}">{number.format(value)}</text>')
    return "\n".join([*parts, "</svg>", ""])
