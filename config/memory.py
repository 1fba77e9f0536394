"""How a worker's memory is managed."""

import ctypes
import gc

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

_MIB = 1024 * 1024


def keep_freed_memory() -> None:
    """Let glibc keep what a long answer took, for the next one; does nothing elsewhere.

    By default it gives blocks of some hundred kilobytes back to the system at once, and the next
    answer takes them again page by page: a seventh of the time that reading a conversation of 1,000
    messages takes. One arena for all threads keeps the sum small; Python's threads take turns
    anyway.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_MMAP_THRESHOLD, 4 * _MIB)
    mallopt(_M_TRIM_THRESHOLD, 16 * _MIB)


def freeze_what_is_loaded() -> None:
    """Keep the collector from looking again and again at what a worker has loaded for good.

    A twentieth more requests a second, by ``wrk`` on the reading of an empty conversation.
    """
    gc.collect()
    gc.freeze()
