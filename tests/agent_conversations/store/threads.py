"""Tasks that run at the same time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def run_together(*tasks: Callable[[], object]) -> None:
    """Run the tasks in a thread each, all at once; raise what any of them raised."""
    barrier = threading.Barrier(len(tasks))

    def run(task: Callable[[], object]) -> None:
        barrier.wait()
        task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        for done in [pool.submit(run, task) for task in tasks]:
            done.result()
