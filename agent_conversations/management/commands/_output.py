"""How commands show records: drawn for a terminal, tabs in a pipe, JSON for programs."""

import shutil
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

from django.core.management.base import CommandParser, OutputWrapper
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agent_conversations.management.commands._store_command import printable
from sessions_store.wire import json_codec

ROWS_AT_ONCE = 200
"""On a terminal: a table's columns are as wide as what is in them."""

SPACES = 2
"""Between columns, or facts in a paragraph."""
INDENT = 2
"""Of what belongs to the line above it."""

UNBROKEN = 100_000
"""The width of a pipe, in columns: more than a text that is shown has."""


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
            show(out, _fitting(columns, waiting))
            waiting.clear()
    if waiting:
        show(out, _fitting(columns, waiting))
    return written


def show(out: OutputWrapper, what: RenderableType) -> None:
    """Write what rich draws: as wide as the terminal and in colours, or unbroken into a pipe."""
    drawn = StringIO()
    width = _width() if out.isatty() else UNBROKEN
    Console(file=drawn, width=width, force_terminal=out.isatty()).print(what)
    # rich fills up lines with spaces.
    out.writelines(f"{line.rstrip(' ')}\n" for line in drawn.getvalue().splitlines())


def say(out: OutputWrapper, sentence: str) -> None:
    """Write a sentence; a terminal breaks it between words."""
    if out.isatty():
        show(out, Text(sentence))
    else:
        out.write(sentence)


def _width() -> int:
    return shutil.get_terminal_size().columns


def _fitting(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """Return a table; where the terminal is too narrow for it, a paragraph for each row."""
    widths = (max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True))
    if sum(widths) + SPACES * (len(columns) - 1) > _width():
        return Group(*(_paragraph(columns, row) for row in rows))
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _paragraph(columns: Sequence[str], row: Sequence[str]) -> RenderableType:
    facts = (f"{name}: {cell}" for name, cell in zip(columns[1:], row[1:], strict=True) if cell)
    first = Text(row[0], style="bold", overflow="fold")
    return Group(first, Padding(Text((" " * SPACES).join(facts)), (0, 0, 0, INDENT), expand=False))
