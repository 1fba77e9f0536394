"""A child that does not outlive its parent, however the parent ends.

Also a program, for a child that is not ours: ``parent_process.py PARENT_PID COMMAND …`` asks to end
with its parent, and becomes the command. (``subprocess`` has ``preexec_fn`` for this, which is
unsafe beside threads.)
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(parent_pid: int, by: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send this process a signal when the thread that started it ends.

    On Linux; elsewhere a child outlives a parent that was killed. Ends this process at once where
    the parent has ended already.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent_pid:
        os._exit(1)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  # our own server
