"""Scripts are called by the names that their Lua files give to keys and arguments."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sessions_store.redis.client import StoreClient
from sessions_store.redis.script import Script

WriteScript = Callable[..., Script]

PAIR = """-- Purpose: return what it was given.
local first_key = KEYS[1]
local other_keys = { unpack(KEYS, 2) }
local low = ARGV[1]
local high = ARGV[2]
local values = { unpack(ARGV, 3) }

return { first_key, other_keys, low, high, values }
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package whose scripts a test writes."""
    name = f"package_{tmp_path.name}"
    (tmp_path / name / "lua" / "includes").mkdir(parents=True)
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture
def write_script(package: str, tmp_path: Path) -> WriteScript:
    """Write a script and its includes, and load it."""

    def write(text: str, **includes: str) -> Script:
        folder = tmp_path / package / "lua"
        (folder / "example.lua").write_text(text)
        for name, include in includes.items():
            (folder / "includes" / f"{name}.lua").write_text(include)
        return Script(package, "example")

    return write


@pytest.mark.usefixtures("write_script")
def test_script_is_called_by_names_in_any_order(
    store: StoreClient, package: str, write_script: WriteScript
) -> None:
    write_script(PAIR)
    run = store.script(package, "example")

    reply = run(high=9, low=1, values=["a", b"b"], other_keys=["{k}2", "{k}3"], first_key="{k}1")

    assert reply == [b"{k}1", [b"{k}2", b"{k}3"], b"1", b"9", [b"a", b"b"]]


def test_rest_of_keys_and_arguments_may_be_empty(
    store: StoreClient, package: str, write_script: WriteScript
) -> None:
    write_script(PAIR)

    reply = store.script(package, "example")(first_key="k", other_keys=[], low=1, high=2, values=[])

    assert reply == [b"k", [], b"1", b"2", []]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"low": 1}, r"missing \['high'\], unknown \[\]"),
        ({"low": 1, "high": 2, "middle": 3}, r"missing \[\], unknown \['middle'\]"),
        ({"low": 1, "hihg": 2}, r"missing \['high'\], unknown \['hihg'\]"),
    ],
)
def test_script_refuses_missing_and_unknown_names(
    write_script: WriteScript, names: dict[str, Any], message: str
) -> None:
    script = write_script(PAIR)

    with pytest.raises(TypeError, match=f"^example.lua: {message}$"):
        script.arrange({"first_key": "k", "other_keys": [], "values": [], **names})


def test_rest_may_be_longer_than_unpack_allows(
    real_store: StoreClient, package: str, write_script: WriteScript
) -> None:
    write_script(
        "local values = {} for i = 1, #ARGV do values[#values + 1] = ARGV[i] end\n\n"
        "return #values\n"
    )

    assert real_store.script(package, "example")(values=["x"] * 20_000) == 20_000


def test_includes_are_resolved_once_and_in_order(write_script: WriteScript) -> None:
    script = write_script(
        'local key = KEYS[1]\n\n--- @include "one"\n--- @include "two"\nreturn two()\n',
        one='--- @include "two"\nlocal function one() end\n',
        two="local function two() end\n",
    )

    functions = [line for line in script.source.splitlines() if "function" in line]
    assert functions == ["local function two() end", "local function one() end"]


def test_unknown_include_is_refused(write_script: WriteScript) -> None:
    with pytest.raises(FileNotFoundError):
        write_script('--- @include "nowhere"\n')


@pytest.mark.parametrize(
    "names",
    [
        "local a = ARGV[1]\nlocal b = ARGV[3]\n",
        "local a = ARGV[1]\nlocal b = ARGV[1]\n",
        "local a = ARGV[2]\n",
        "local a = { unpack(ARGV, 1) }\nlocal b = ARGV[2]\n",
        "local a = KEYS[1]\nlocal b = { unpack(KEYS, 3) }\n",
    ],
)
def test_skipped_or_repeated_position_is_refused(write_script: WriteScript, names: str) -> None:
    with pytest.raises(ValueError, match="is not the next position"):
        write_script(names)


def test_unloaded_script_is_sent_whole(
    store: StoreClient, package: str, write_script: WriteScript
) -> None:
    write_script("local key = KEYS[1]\n\nreturn key\n")
    run = store.script(package, "example")

    assert run(key="k") == b"k"
    store.bare(lambda client: client.script_flush())
    assert run(key="k") == b"k"
