"""How commands show records: a table that fits the terminal, tabs in a pipe, JSON for programs."""

import shutil
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

from django.core.management.base import CommandParser, OutputWrapper
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from agent_conversations.management.commands._store_command import printable
from sessions_store.wire import json_codec

ROWS_AT_ONCE = 200
"""Of a table on a terminal: its columns are as wide as what is in it."""


def add_json_argument(parser: CommandParser, what: str) -> None:
    parser.add_argument("--json", action="store_true", help=f"for programs: {what}")


def write_json(out: OutputWrapper, value: Any) -> None:
    """Write a line of JSON; bytes are JSON already."""
    out.write((value if isinstance(value, bytes) else json_codec.encode(value)).decode())


def write_table(
    out: OutputWrapper, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> int:
    """Write rows as they come; return how many. In a pipe they are lines with tabs between."""
    written = 0
    waiting: list[Sequence[str]] = []
    for row in rows:
        written += 1
        cells = [printable("" if cell is None else str(cell)) for cell in row]
        if not out.isatty():
            out.write("\t".join(cells))
            continue
        waiting.append(cells)
        if len(waiting) == ROWS_AT_ONCE:
            show(out, _table(columns, waiting))
            waiting.clear()
    if waiting:
        show(out, _table(columns, waiting))
    return written


def write_sentence(out: OutputWrapper, text: str) -> None:
    """Write a line; on a terminal, broken between its words."""
    if out.isatty():
        show(out, Text(text))
    else:
        out.write(text)


def show(out: OutputWrapper, what: RenderableType) -> None:
    """Write what rich draws, as wide as the terminal; colours only there."""
    drawn = StringIO()
    width = shutil.get_terminal_size().columns
    Console(file=drawn, width=width, force_terminal=out.isatty()).print(what)
    out.write(drawn.getvalue(), ending="")


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        # The first is what one selects, to look further: the others are broken before it is.
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
