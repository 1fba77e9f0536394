#!/usr/bin/env python
"""Django's command line: ``manage.py serve``, ``manage.py shell``, ``manage.py help``."""

import os
import sys

from config.memory import restart_with_glibc_variables


def main() -> None:
    # Imported here, so that a process that restarts has not loaded Django in vain.
    from config.command_line import CommandLine  # noqa: PLC0415
    from config.environment import InvalidEnvironmentError, read_environment  # noqa: PLC0415

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        # Without settings Django would still run its own commands: its shell, its help.
        read_environment()
    except InvalidEnvironmentError as error:
        sys.exit(str(error))
    CommandLine(sys.argv).execute()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        restart_with_glibc_variables()
    main()
