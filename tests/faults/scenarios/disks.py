"""The disk of the bundled server is full, or a power cut has damaged its file."""

from collections.abc import Callable
from pathlib import Path

from tests.faults.result import Advance, Result, ignore
from tests.faults.scenarios.outages import read_message_ids
from tests.faults.servers import Service, fill_disk, mounted_small_disk, temporary_folder

_MESSAGES = 200


def full_disk(*, repeats: int = 1, advance: Advance = ignore) -> Result:
    """It fills up under a writer; the service is stopped, space is freed, the service started."""
    result = Result("The disk is full under a writer", "a small disk, then a stop and a start")

    def fault(service: Service, folder: Path) -> list[str]:
        with mounted_small_disk(folder):
            service.start()
            assert service.api.create("talk").succeeded
            filler = fill_disk(folder)
            acknowledged = _append(service, result, until_refused=True)
            ready = service.api.send("GET", "/health/ready")
            if ready.status != 503 or "disk is full" not in str(ready.body):
                result.problems.append(f"/health/ready: {ready}")
            service.stop()
            filler.unlink()
            service.start()
            _count(service, result, acknowledged)
            if not service.api.append("talk", "later").succeeded:
                result.problems.append("freed space did not heal it")
            service.stop()
        return acknowledged

    try:
        return _repeat(result, fault, repeats, advance)
    except PermissionError as error:
        result.caused_by = f"not caused: {error}"
        return result


def damaged_end(*, repeats: int = 1, advance: Advance = ignore) -> Result:
    """The service is killed, and zeros follow what its server has written."""
    result = Result(
        "A power cut damages the end of the file",
        "SIGKILL, zeros at the end, then a start",
        promised_seconds=None,
    )

    def fault(service: Service, folder: Path) -> list[str]:
        service.start()
        assert service.api.create("talk").succeeded
        acknowledged = _append(service, result)
        service.kill()
        with (folder / "appendonlydir" / "appendonly.aof.1.incr.aof").open("ab") as file:
            file.write(bytes(4096))
        service.start()
        _count(service, result, acknowledged)
        if len(list(folder.glob("*.damaged-*"))) != 1:
            result.problems.append("the damaged file was not kept")
        service.stop()
        return acknowledged

    return _repeat(result, fault, repeats, advance)


def _repeat(
    result: Result,
    fault: Callable[[Service, Path], list[str]],
    repeats: int,
    advance: Advance,
) -> Result:
    for _ in range(repeats):
        with temporary_folder() as folder:
            service = Service(folder / "service")
            (folder / "service").mkdir()
            try:
                result.acknowledged += len(fault(service, folder / "service"))
            finally:
                service.stop()
        result.repeats += 1
        advance()
    return result


def _append(service: Service, result: Result, *, until_refused: bool = False) -> list[str]:
    acknowledged = []
    for number in range(_MESSAGES):
        message_id = f"{number:06d}"
        response = service.api.append("talk", message_id, content="x" * 3_000)
        result.attempted += 1
        result.slowest_seconds = max(result.slowest_seconds, response.seconds)
        if response.succeeded:
            acknowledged.append(message_id)
            continue
        if not (until_refused and response.is_unavailable):
            result.problems.append(f"{message_id}: {response}")
        break
    return acknowledged


def _count(service: Service, result: Result, acknowledged: list[str]) -> None:
    stored = read_message_ids(service.api, "talk")
    result.found += len(set(acknowledged) & set(stored))
    result.lost += len(set(acknowledged) - set(stored))
    result.doubled += len(stored) - len(set(stored))
