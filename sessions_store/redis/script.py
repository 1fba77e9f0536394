"""Lua scripts that are called by the names of their keys and arguments.

A script, ``lua/<verb_noun>.lua`` of a package, names after its header what it is given, and then
says what it includes::

    local record_key = KEYS[1]
    local index_keys = { unpack(KEYS, 2) }
    local now_ms = ARGV[1]
    local fields = { unpack(ARGV, 2) }

    --- @include "find_conflict"

Only these lines know the order: Python passes the names as keywords, ``fields`` and ``index_keys``
as sequences. An include is ``lua/includes/<name>.lua``, and may include others.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

Argument = str | bytes | int

_NAMING_LINE = re.compile(r"^local (\w+) = (.*\b(KEYS|ARGV)\b.*)$", re.MULTILINE)
_INCLUDE_LINE = re.compile(r'^--- @include "(\w+)"$', re.MULTILINE)


class Script:
    """A script with its includes. A position that is skipped is a ``ValueError``.

    Args:
        guard: what comes before it, and may end it: ``lua/guards/<guard>.lua``. Its one argument,
            which has its name, is the last one, and is taken away before the script looks.
    """

    def __init__(self, package: str, name: str, guard: str = "") -> None:
        folder = files(package).joinpath("lua")
        text = folder.joinpath(f"{name}.lua").read_text("utf-8")
        self.name = name
        self.guard = guard
        self.source = _with_includes(folder, text, set())
        if guard:
            before = folder.joinpath("guards", f"{guard}.lua").read_text("utf-8")
            self.source = before + self.source
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        self.keys, self.rest_of_keys = _names(name, text, "KEYS")
        self.arguments, self.rest_of_arguments = _names(name, text, "ARGV")
        rests = {self.rest_of_keys, self.rest_of_arguments}
        self.names = {*self.keys, *self.arguments, *rests, guard} - {""}

    def arrange(self, named: Mapping[str, Any]) -> tuple[int, Sequence[Argument]]:
        """Return the number of keys, and the keys and arguments in the script's order.

        A missing or unknown name is a ``TypeError``.
        """
        if named.keys() != self.names:
            missing, unknown = sorted(self.names - named.keys()), sorted(named.keys() - self.names)
            raise TypeError(f"{self.name}.lua: missing {missing}, unknown {unknown}")
        keys = [named[name] for name in self.keys]
        keys += named.get(self.rest_of_keys, ())
        arguments = [named[name] for name in self.arguments]
        arguments += named.get(self.rest_of_arguments, ())
        if self.guard:
            arguments.append(named[self.guard])
        return len(keys), keys + arguments


def _with_includes(folder: Traversable, text: str, included: set[str]) -> str:
    def include(line: re.Match[str]) -> str:
        if line[1] in included:
            return ""
        included.add(line[1])
        part = folder.joinpath("includes", f"{line[1]}.lua").read_text("utf-8")
        return _with_includes(folder, part, included)

    return _INCLUDE_LINE.sub(include, text)


def _names(script: str, text: str, table: str) -> tuple[Sequence[str], str]:
    """Return the names of the table's values, and that of the rest, if it has one."""
    names: list[str] = []
    rest = ""
    for name, value, its_table in _NAMING_LINE.findall(text):
        if its_table != table:
            continue
        position = int(re.findall(r"\d+", value)[0])
        if rest or position != len(names) + 1:
            raise ValueError(f"{script}.lua: {table}[{position}] is not the next position")
        if value == f"{table}[{position}]":
            names.append(name)
        else:
            rest = name
    return names, rest
