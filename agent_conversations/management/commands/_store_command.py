"""What the commands that talk to Redis have in common."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sessions_store.errors import StoreUnavailableError


class StoreCommand(BaseCommand):
    """A command that says in a sentence when Redis does not answer."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except StoreUnavailableError as error:
            raise CommandError(
                f"Redis does not answer ({error.cause}). Is the service running (make run), or is "
                "REDIS_URL set?"
            ) from None


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error.

    Yields a function that is told of each batch done; ``total`` may be a guess.
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
