"""Every Lua file of the project has the form that ``sessions_store/redis/script.py`` describes."""

import re
from pathlib import Path

import pytest

from sessions_store.redis.script import Script
from sessions_store.wire.clock import LAST_MS

PROJECT_DIR = Path(__file__).parent.parent
LUA = [*PROJECT_DIR.glob("*/lua"), *PROJECT_DIR.glob("*/*/lua")]
SCRIPTS = [script for path in LUA for script in sorted(path.glob("*.lua"))]
INCLUDES = [include for path in LUA for include in sorted(path.glob("includes/*.lua"))]

KEY_TYPES = {"string", "hash", "list", "zset"}
UNITS = {"text", "bytes", "ms", "seconds", "count", "rank", "index"}
HEADER_LINE = re.compile(r"^-- ((?:KEYS|ARGV)\[\d+(?:\.\.)?\]) +(\w+) +(\w+)", re.MULTILINE)
NAMING_LINES = [
    re.compile(r"local (\w+) = ((KEYS|ARGV)\[\d+\])"),
    re.compile(r"local (\w+) = \{ unpack\((KEYS|ARGV), (\d+)\) \}"),
    re.compile(r"local (\w+) = \{\} for i = (\d+), #ARGV do \1\[#\1 \+ 1\] = ARGV\[i\] end.*"),
]


def named(line: str) -> tuple[str, str] | None:
    """Return the position, as a header writes it, and the name that a naming line gives it."""
    one, rest, long_rest = (pattern.fullmatch(line) for pattern in NAMING_LINES)
    if one:
        return one[2], one[1]
    if rest:
        return f"{rest[2]}[{rest[3]}..]", rest[1]
    if long_rest:
        return f"ARGV[{long_rest[2]}..]", long_rest[1]
    return None


def sections(path: Path) -> tuple[list[str], list[str], list[str]]:
    """Return the lines of the header, those that follow it without a gap, and the rest."""
    lines = path.read_text("utf-8").splitlines()
    body = next(number for number, line in enumerate(lines) if not line.startswith("--"))
    gap = lines.index("", body)
    return lines[:body], lines[body:gap], lines[gap:]


def loaded(path: Path) -> Script:
    return Script(".".join(path.parent.parent.relative_to(PROJECT_DIR).parts), path.stem)


def code(path: Path) -> str:
    return re.sub(r"--.*", "", path.read_text("utf-8"))


def by_name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


every_script = pytest.mark.parametrize("path", SCRIPTS, ids=by_name)
every_include = pytest.mark.parametrize("path", INCLUDES, ids=by_name)


def test_scripts_and_includes_are_found() -> None:
    assert len(SCRIPTS) > 10
    assert len(INCLUDES) > 4


@every_script
def test_header_and_names_agree(path: Path) -> None:
    header, names, _ = sections(path)

    documented = HEADER_LINE.findall("\n".join(header))

    assert [named(line) for line in names] == [(place, name) for place, name, _ in documented]
    for place, _, kind in documented:
        assert kind in (KEY_TYPES if place.startswith("KEYS") else UNITS)


@every_script
def test_header_has_purpose_and_returns(path: Path) -> None:
    header, _, _ = sections(path)

    assert header[0].startswith("-- Purpose: ")
    assert any(line.startswith("-- Returns ") for line in header)


@every_script
def test_body_uses_the_names_only(path: Path) -> None:
    _, names, body = sections(path)

    assert not re.search(r"\b(KEYS|ARGV)\b", "\n".join(body))
    for line in names:
        place_and_name = named(line)
        assert place_and_name
        assert re.search(rf"\b{place_and_name[1]}\b", loaded(path).source.replace(line, ""))


@every_script
def test_includes_have_the_names_that_they_use(path: Path) -> None:
    uses = re.findall(r"^-- Uses: ([\w ]+)", loaded(path).source, re.MULTILINE)

    assert {name for line in uses for name in line.split()} <= loaded(path).names


@every_include
def test_include_says_what_it_uses(path: Path) -> None:
    text = path.read_text("utf-8")
    listed = set(" ".join(re.findall(r"^-- Uses: ([\w ]+)", text, re.MULTILINE)).split())
    given = {name for script in SCRIPTS for name in loaded(script).names}

    assert text.startswith(f"-- {path.stem}(")
    assert not re.search(r"\b(KEYS|ARGV)\b", code(path))
    assert given & set(re.findall(r"\w+", code(path))) <= listed


@pytest.mark.parametrize("path", [*SCRIPTS, *INCLUDES], ids=by_name)
def test_no_script_decodes_json(path: Path) -> None:
    assert "cjson" not in code(path)


def test_last_millisecond_is_the_clocks() -> None:
    (include,) = [path for path in INCLUDES if "LAST_MS" in path.read_text("utf-8")]

    assert f"local LAST_MS = {LAST_MS}\n" in include.read_text("utf-8")
