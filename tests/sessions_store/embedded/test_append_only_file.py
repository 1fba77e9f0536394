"""A power cut or a hand has damaged the bundled server's files: real damage, real servers."""

import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from sessions_store.embedded.errors import EmbeddedServerError
from sessions_store.embedded.server import EmbeddedServer

WRITES = 20
WRITE = b"*3\r\n$6\r\nINCRBY\r\n$5\r\nwrite\r\n$1\r\n1\r\n"


@contextmanager
def running(folder: Path) -> Iterator["Redis"]:
    with EmbeddedServer(folder) as server:
        client = Redis.from_url(server.url, protocol=2)
        yield client
        client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a stopped server: a transaction, and twenty writes after it."""
    with running(tmp_path) as client:
        client.eval("redis.call('SET', 'a', '1') redis.call('SET', 'b', '2')", 0)
        for _ in range(WRITES):
            client.incr("write")
    return tmp_path


@pytest.fixture
def increment(folder: Path) -> Path:
    return folder / "appendonlydir" / "appendonly.aof.1.incr.aof"


@pytest.mark.parametrize(
    ("damage", "readable"),
    [
        (lambda whole: whole + bytes(4096), WRITES),
        (lambda whole: whole[:-5], WRITES - 1),
        (lambda whole: whole[:-5] + bytes(4096), WRITES - 1),
        (lambda whole: whole[: -2 * len(WRITE) - 5] + bytes(4096), WRITES - 3),
        (lambda whole: whole + b"*3\r\n$1", WRITES),
        (lambda whole: whole + b"\xff\x00\x17 no command", WRITES),
        (lambda whole: whole + b"*1\r\n$5\r\nMULTI\r\n" + WRITE, WRITES),
        (lambda whole: whole + b"*1\r\n$5\r\nMULTI\r\n" + WRITE * 2 + bytes(512), WRITES),
        (lambda whole: bytes(len(whole)), 0),
    ],
)
def test_server_starts_with_all_before_a_damaged_end(
    folder: Path,
    increment: Path,
    log: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
    readable: int,
) -> None:
    whole = increment.read_bytes()
    damaged = damage(whole)
    increment.write_bytes(damaged)

    with running(folder) as client:
        assert client.get("write") == (str(readable).encode() if readable else None)
        client.incr("write")

    kept = len(whole) - (WRITES - readable) * len(WRITE) if readable else 0
    (aside,) = folder.glob("*damaged*")
    assert aside.read_bytes() == damaged
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    told = [record.getMessage() for record in log.records if record.levelname == "WARNING"]
    assert len(told) == 2
    assert f"last {len(damaged) - kept} of {len(damaged)} bytes" in told[0]
    assert f"{len(damaged)} bytes lie aside" in told[1]
    assert str(aside) in told[1]
    with running(folder) as client:
        assert client.get("write") == str(readable + 1).encode()
    assert list(folder.glob("*damaged*")) == [aside]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole.replace(WRITE, bytes(len(WRITE)), 1),
        lambda whole: whole.replace(b"$5\r\nMULTI", b"$5\0\0MULTI", 1),
        lambda whole: whole.replace(b"$3\r\nSET", bytes(7), 1),
        lambda whole: whole.replace(b"$1\r\na", b"$9\r\na", 1),
    ],
)
def test_damage_in_the_middle_is_told_with_a_remedy(
    folder: Path, increment: Path, damage: Callable[[bytes], bytes]
) -> None:
    damaged = damage(increment.read_bytes())
    increment.write_bytes(damaged)

    with pytest.raises(EmbeddedServerError, match="in its middle, at byte") as refusal:
        EmbeddedServer(folder).start()

    assert increment.read_bytes() == damaged
    cut = re.search(rf"truncate -s (\d+) {increment}$", str(refusal.value))
    assert cut
    with increment.open("r+b") as file:
        file.truncate(int(cut[1]))
    with running(folder) as client:
        assert client.ping()


def test_damage_before_the_last_increment_is_in_the_middle(folder: Path, increment: Path) -> None:
    manifest = increment.with_name("appendonly.aof.manifest")
    later = increment.with_name("appendonly.aof.2.incr.aof")
    shutil.copy(increment, later)
    manifest.write_text(manifest.read_text() + f"file {later.name} seq 2 type i\n")
    increment.write_bytes(increment.read_bytes() + bytes(100))

    with pytest.raises(EmbeddedServerError, match="in its middle"):
        EmbeddedServer(folder).start()


@pytest.mark.parametrize(
    ("name", "old"),
    [("appendonly.aof.1.base.rdb", b"VALKEY"), ("appendonly.aof.1.incr.aof", b"INCRBY")],
)
def test_any_other_damage_is_told_with_a_remedy(
    folder: Path, increment: Path, name: str, old: bytes
) -> None:
    file = increment.with_name(name)
    file.write_bytes(file.read_bytes().replace(old, b"NOTHIN", 1))

    with pytest.raises(EmbeddedServerError, match="did not start") as refusal:
        EmbeddedServer(folder).start()

    assert "from a backup" in str(refusal.value)


@pytest.mark.parametrize("content", [None, b"", bytes(88)])
def test_lost_manifest_is_written_anew(
    folder: Path, increment: Path, log: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    manifest = increment.with_name("appendonly.aof.manifest")
    before = manifest.read_bytes()
    if content is None:
        manifest.unlink()
    else:
        manifest.write_bytes(content)

    with running(folder) as client:
        assert client.get("write") == str(WRITES).encode()

    assert manifest.read_bytes() == before
    assert f"{manifest} was missing" in log.text


def test_lost_manifest_of_several_increments_is_refused(folder: Path, increment: Path) -> None:
    before = increment.read_bytes()
    increment.with_name("appendonly.aof.manifest").unlink()
    shutil.copy(increment, increment.with_name("appendonly.aof.2.incr.aof"))

    with pytest.raises(EmbeddedServerError, match="manifest is missing beside 3 files"):
        EmbeddedServer(folder).start()

    assert increment.read_bytes() == before
