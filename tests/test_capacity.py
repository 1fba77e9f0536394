"""docs/capacity.md has the tables that the script measures."""

from tests.capacity import PAGE, Table, tables


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_capacity_page_has_each_row_of_the_measured_tables() -> None:
    lines = [cells(line) for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]

    measured = tables(conversations=20, repeats=20, members=(1_000,))

    def is_there(table: Table) -> bool:
        first = lines.index([*table.heading])
        rows = lines[first + 2 :]
        return all(any(row[0] == line[0] for line in rows) for row in table.rows)

    assert [table.heading for table in measured if not is_there(table)] == []
