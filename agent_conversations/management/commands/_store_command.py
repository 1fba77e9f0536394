"""The base class of the commands that use Redis, and their progress bar."""

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sessions_store.errors import StoreUnavailableError
from sessions_store.redis.deployment import without_credentials


class StoreCommand(BaseCommand):
    """A command that fails with a sentence, not a traceback, if Redis is unavailable."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return self._execute(*args, **options)
        except CommandError as error:
            if not self.stderr.isatty():
                raise
            raise CommandError(_broken(str(error)), returncode=error.returncode) from None

    def _execute(self, *args: Any, **options: Any) -> str | None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # as JSON is, and what people say has to be
                stream.reconfigure(encoding="utf-8")
        try:
            try:
                return super().execute(*args, **options)
            finally:
                sys.stdout.flush()
        except StoreUnavailableError as error:
            hint = "Is the service running (make run), or should REDIS_URL be set?"
            if settings.ENVIRONMENT.redis_url:
                hint = "Check REDIS_URL: the address, the password, the number of the database."
            where = without_credentials(settings.REDIS_URL)
            raise CommandError(f"Redis at {where} is unavailable ({error.cause}). {hint}") from None
        except BrokenPipeError:
            # The reader of the output, such as head, has ended.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)


def _broken(sentence: str) -> str:
    """Return what Django writes behind its own word, broken between words."""
    before = f"{CommandError.__name__}: "
    width = shutil.get_terminal_size().columns
    lines = textwrap.wrap(before + sentence, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).removeprefix(before)


def printable(text: str, and_also: str = "") -> str:
    """Return text that anyone may have written as a terminal may show it.

    Args:
        and_also: characters that it may have, although they are invisible.
    """
    return "".join(
        one if one.isprintable() or one in and_also else ascii(one)[1:-1] for one in text
    )


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error.

    Yields a function to call with the size of each batch done; ``total`` may be a guess.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total)
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            known = None if total is None else max(total, done)
            bar.update(task, completed=done, total=known)

        yield advance
        bar.update(task, completed=done, total=done)
