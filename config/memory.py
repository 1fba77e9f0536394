"""How glibc manages the memory of this process, and of those that it starts."""

import os
import sys

GLIBC_VARIABLES = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(16 * 1024 * 1024),
}
"""Keep the memory that a long response took, for the next one.

By default glibc returns blocks of some hundred kilobytes to the system at once, and the next
response takes them again page by page: a seventh of the time that reading a conversation of 1,000
messages takes. One arena for all threads keeps the sum small; Python's threads take turns anyway.
"""


def restart_with_glibc_variables() -> None:
    """Replace this process by the same command with these variables, where they are not set.

    glibc reads them when a program starts, so that setting them in ``os.environ`` comes too late,
    for forked workers too. Other C libraries ignore them.
    """
    if not os.environ.keys() >= GLIBC_VARIABLES.keys():
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, {**GLIBC_VARIABLES, **os.environ})  # noqa: S606  # itself
