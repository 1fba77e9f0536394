"""The bundled server: real processes on real folders."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from sessions_store.embedded.errors import EmbeddedServerError
from sessions_store.embedded.server import (
    EmbeddedServer,
    server_url,
    socket_path,
)
from sessions_store.redis.connections import connection_options
from tests.faults.servers import fill_disk
from tests.waiting import wait_until


@pytest.fixture
def connect() -> Iterator[Callable[[EmbeddedServer], Redis]]:
    """Returns plain clients of a server, and closes them."""
    clients: list[Redis] = []

    def to(server: EmbeddedServer) -> Redis:
        clients.append(Redis.from_url(server.url, **connection_options()))
        return clients[-1]

    yield to
    for client in clients:
        client.close()


def test_data_survives_a_restart(
    tmp_path: Path, connect: Callable[[EmbeddedServer], Redis]
) -> None:
    with EmbeddedServer(tmp_path / "data") as server:
        connect(server).set("kept", "value")
        connect(server).zadd("scores", {"one": 1795450845123})
        first_pid = server.pid
    assert _has_ended(first_pid)

    with EmbeddedServer(tmp_path / "data") as server:
        assert server.pid != first_pid
        assert connect(server).get("kept") == b"value"
        assert connect(server).zscore("scores", "one") == 1795450845123


def test_only_its_owner_reaches_the_server(
    tmp_path: Path, connect: Callable[[EmbeddedServer], Redis]
) -> None:
    with EmbeddedServer(tmp_path / "data") as server:
        assert server.url == server_url(tmp_path / "data")
        assert connect(server).config_get("port") == {"port": "0"}
        assert connect(server).config_get("appendonly") == {"appendonly": "yes"}
        assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700


def test_start_closes_the_data_folder_to_others(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    with EmbeddedServer(folder):
        pass
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)

    with EmbeddedServer(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert modes(folder) == {0o600}


def modes(folder: Path) -> set[int]:
    """Return the permissions of the files, the socket's left out."""
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


def test_files_of_the_server_are_its_owners_alone(
    tmp_path: Path, connect: Callable[[EmbeddedServer], Redis]
) -> None:
    with EmbeddedServer(tmp_path) as server:
        connect(server).set("key", "value")
        assert modes(tmp_path) == {0o600}
        connect(server).bgrewriteaof()
        wait_until(lambda: not connect(server).info("persistence")["aof_rewrite_in_progress"])

    assert modes(tmp_path) == {0o600}


def test_what_has_ended_leaves_the_disk_with_a_rewrite(
    tmp_path: Path, connect: Callable[[EmbeddedServer], Redis]
) -> None:
    def is_on_disk() -> bool:
        for path in (tmp_path / "appendonlydir").glob("*"):
            with suppress(FileNotFoundError):  # a rewrite has replaced it
                if b"credential" in path.read_bytes():
                    return True
        return False

    killed_rewrite = tmp_path / "temp-rewriteaof-bg-1.aof"
    killed_rewrite.write_text("credential")
    with EmbeddedServer(tmp_path, rewrite_seconds=0.1) as server:
        assert not killed_rewrite.exists()
        connect(server).set("session", "credential", px=50)
        wait_until(is_on_disk)

        server.keep_running()

        wait_until(lambda: not is_on_disk())


def test_folder_too_deep_for_a_socket_works(
    tmp_path: Path, connect: Callable[[EmbeddedServer], Redis]
) -> None:
    folder = tmp_path / ("deep" * 20) / ("deeper" * 20)

    with EmbeddedServer(folder) as server:
        assert server.socket.parent != folder
        assert len(os.fsencode(server.socket)) <= 103
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
        connect(server).set("kept", "value")

    with EmbeddedServer(folder) as server:
        assert connect(server).get("kept") == b"value"


def test_sockets_of_two_deep_folders_differ() -> None:
    paths = [Path("/") / ("deep" * 40) / name for name in ("one", "two")]

    assert socket_path(paths[0]) == socket_path(paths[0])
    assert socket_path(paths[0]) != socket_path(paths[1])


def test_second_server_on_the_same_folder_is_refused(
    tmp_path: Path, connect: Callable[[EmbeddedServer], Redis]
) -> None:
    with EmbeddedServer(tmp_path) as first:
        connect(first).set("kept", "value")

        with pytest.raises(EmbeddedServerError) as refusal:
            EmbeddedServer(tmp_path).start()

        assert str(tmp_path) in str(refusal.value)
        assert "already" in str(refusal.value)
        assert "DATA_DIR" in str(refusal.value)
        assert "REDIS_URL" in str(refusal.value)
        assert connect(first).get("kept") == b"value"

    with EmbeddedServer(tmp_path) as second:
        assert connect(second).get("kept") == b"value"


def test_servers_of_two_folders_share_no_data(
    tmp_path: Path, connect: Callable[[EmbeddedServer], Redis]
) -> None:
    with EmbeddedServer(tmp_path / "one") as one, EmbeddedServer(tmp_path / "two") as two:
        connect(one).set("name", "one")

        assert connect(two).get("name") is None


_SERVE_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from sessions_store.embedded.server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


def test_killed_starter_takes_its_server_along(
    tmp_path: Path, connect: Callable[[EmbeddedServer], Redis]
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE_UNTIL_KILLED, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        server_pid = int(starter.stdout.readline())
        assert not _has_ended(server_pid)
        connect(EmbeddedServer(tmp_path)).set("kept", "value")

        os.kill(starter.pid, signal.SIGKILL)

    wait_until(lambda: _has_ended(server_pid), "the server outlived the process that started it")
    with EmbeddedServer(tmp_path) as next_one:
        assert connect(next_one).get("kept") == b"value"


def test_paused_server_can_be_stopped(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)

    server.stop()

    assert _has_ended(pid)


def test_second_stop_does_nothing(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()
    server.stop()

    server.stop()

    with EmbeddedServer(tmp_path):
        pass


def test_failed_start_names_the_log_and_frees_the_lock(
    tmp_path: Path,
) -> None:
    with pytest.raises(EmbeddedServerError, match="did not start") as refusal:
        EmbeddedServer(tmp_path, {"no-such-option": "1"}).start()

    assert str(tmp_path / "valkey.log") in str(refusal.value)
    with EmbeddedServer(tmp_path):
        pass


def test_file_in_place_of_the_data_folder_is_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").write_text("a file")

    with pytest.raises(EmbeddedServerError, match="cannot be used"):
        EmbeddedServer(tmp_path / "data").start()


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which is mounted read-only."""
    command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_read_only_data_folder_is_a_sentence(read_only_folder: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="cannot be used: Read-only file system"):
        EmbeddedServer(read_only_folder).start()


def test_unusable_file_in_the_data_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "valkey.lock").mkdir()

    with pytest.raises(EmbeddedServerError, match="cannot be used: Is a directory"):
        EmbeddedServer(tmp_path).start()


def test_server_starts_over_the_socket_of_a_crashed_one(
    tmp_path: Path, connect: Callable[[EmbeddedServer], Redis]
) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    assert server.socket.exists()

    with EmbeddedServer(tmp_path) as next_one:
        assert connect(next_one).ping()


def test_acknowledged_writes_survive_a_stop_on_a_full_disk(
    small_disk: Path, connect: Callable[[EmbeddedServer], Redis]
) -> None:
    acknowledged = []
    with EmbeddedServer(small_disk / "data") as server:
        client = connect(server)
        filler = fill_disk(small_disk)
        with pytest.raises(ResponseError, match="MISCONF"):  # noqa: PT012  # at one of them
            for number in range(10_000):
                client.set(f"key-{number}", "x" * 3_000)
                acknowledged.append(f"key-{number}")
        assert client.info("persistence")["aof_buffer_length"] > 0  # acknowledged, not on disk
    filler.unlink()

    with EmbeddedServer(small_disk / "data") as server:
        assert acknowledged
        assert connect(server).exists(*acknowledged) == len(acknowledged)


def test_freed_space_heals_a_server_on_a_full_disk(
    small_disk: Path, connect: Callable[[EmbeddedServer], Redis]
) -> None:
    with EmbeddedServer(small_disk / "data") as server:
        client = connect(server)
        filler = fill_disk(small_disk)
        with suppress(ResponseError):
            for _ in range(10_000):
                client.set("key", "x" * 3_000)
        filler.unlink()

        def takes_writes() -> bool:
            with suppress(ResponseError):
                return bool(client.set("key", "value"))
            return False

        wait_until(takes_writes)


def test_full_disk_is_named_when_the_server_cannot_start(small_disk: Path) -> None:
    (small_disk / "data").mkdir()
    fill_disk(small_disk)

    with pytest.raises(EmbeddedServerError, match=f"The disk of {small_disk}/data is full"):
        EmbeddedServer(small_disk / "data").start()


def _has_ended(pid: int) -> bool:
    """Whether a process is gone, or a zombie that only its parent has yet to collect."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
