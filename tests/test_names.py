"""A test's name is a plain sentence that says the rule in at most ten words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
MAX_WORDS = 10
OTHER_DIALECT = re.compile(r"test_(given|when)_|test_.*_when_.*_then_")


def names_of_tests() -> Iterator[tuple[str, str]]:
    """Yield the path of a module under ``tests`` and the name of each test in it."""
    for path in sorted(TESTS.rglob("test_*.py")):
        module = path.relative_to(TESTS).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield module, node.name


def test_name_of_a_test_has_at_most_ten_words() -> None:
    names = list(names_of_tests())

    assert names
    assert [name for name in names if len(name[1].split("_")[1:]) > MAX_WORDS] == []


def test_name_of_a_test_is_a_plain_sentence() -> None:
    assert [name for name in names_of_tests() if OTHER_DIALECT.match(name[1])] == []
