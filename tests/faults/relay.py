"""A relay in front of a Redis server that loses replies, or holds a command back, on demand.

It can also lead new connections to another server, as an address does after a failover, and forget
those that it has, as a balancer forgets idle ones.

It understands as much of Redis's protocol as is needed to see where a command begins and ends.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Command = Sequence[bytes]
"""The command's name and its arguments, as they were sent."""

Matches = Callable[[Command], bool]
Fault = Literal["cut", "swallow", "forget"]

HOLD_SECONDS = 10.0
"""A command that nobody lets go is let go after this long."""


def named(*names: str) -> Matches:
    """Return a predicate that is true for commands of these names."""
    wanted = {name.encode() for name in names}
    return lambda command: command[0].upper() in wanted


@dataclass
class Rule:
    """Lose the replies to the next ``left`` commands that match."""

    fault: Fault
    matches: Matches
    left: int
    done: int = 0


@dataclass
class Gate:
    """Hold the next matching command back: ``reached`` is set when it has come."""

    matches: Matches
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)


class _Connection:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        # Held while a command is on its way to the server: no reply to it is passed on before the
        # command's fault is known.
        self.lock = threading.Lock()
        self.fault: Fault | None = None

    def close(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Relay:
    """Listens on the Unix socket ``path`` and passes everything on to the one at ``upstream``."""

    def __init__(self, path: Path, upstream: Path) -> None:
        self.url = f"unix://{path}"
        self._path = path
        self._upstream = upstream
        self._listener: socket.socket | None = None
        self._connections: set[_Connection] = set()
        self._threads: list[threading.Thread] = []
        self._state = threading.Lock()
        self._rule: Rule | None = None
        self._gate: Gate | None = None
        self._delay_seconds = 0.0

    def start(self) -> None:
        with suppress(FileNotFoundError):
            self._path.unlink()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._listener.listen(128)
        self._spawn(self._accept, self._listener)

    def stop(self) -> None:
        """Refuse new connections, and cut those that there are."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut_all()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    # --- Faults -----------------------------------------------------------------------------------

    @contextmanager
    def losing(self, fault: Fault, matches: Matches, count: int) -> Iterator[Rule]:
        """Lose the replies to the next ``count`` matching commands, which Redis does carry out.

        ``cut`` breaks the connection once the reply has come; ``swallow`` lets the client wait.
        """
        rule = Rule(fault, matches, count)
        with self._state:
            self._rule = rule
        try:
            yield rule
        finally:
            with self._state:
                self._rule = None

    @contextmanager
    def holding(self, matches: Matches) -> Iterator[Gate]:
        """Hold the next matching command back until ``opened`` is set, or the block is left."""
        gate = Gate(matches)
        with self._state:
            self._gate = gate
        try:
            yield gate
        finally:
            gate.opened.set()
            with self._state:
                self._gate = None

    @contextmanager
    def delaying(self, seconds: float) -> Iterator[None]:
        """Pass each reply on this much later."""
        self._delay_seconds = seconds
        try:
            yield
        finally:
            self._delay_seconds = 0.0

    def lead_to(self, upstream: Path) -> None:
        """Lead new connections to another server; those that there are stay where they are."""
        self._upstream = upstream

    def forget_all(self) -> None:
        """Keep what comes on the connections that there are from now on, without closing them."""
        with self._state:
            connections = list(self._connections)
        for connection in connections:
            with connection.lock:
                connection.fault = "forget"

    def cut_all(self) -> None:
        """Break every connection that there is."""
        with self._state:
            connections = list(self._connections)
        for connection in connections:
            connection.close()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    # --- Threads ----------------------------------------------------------------------------------

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                server.connect(str(self._upstream))
            except OSError:
                client.close()
                server.close()
                continue
            connection = _Connection(client, server)
            with self._state:
                self._connections.add(connection)
            self._spawn(self._pass_commands, connection)
            self._spawn(self._pass_replies, connection)

    def _pass_commands(self, connection: _Connection) -> None:
        buffer = b""
        with suppress(OSError):
            while data := connection.client.recv(65536):
                buffer += data
                commands, size = _complete_commands(buffer)
                if not commands:
                    continue
                self._hold(commands)
                with connection.lock:
                    connection.fault = connection.fault or self._fault_for(commands)
                    if connection.fault != "forget":
                        connection.server.sendall(buffer[:size])
                buffer = buffer[size:]
        connection.close()

    def _pass_replies(self, connection: _Connection) -> None:
        with suppress(OSError):
            while data := connection.server.recv(65536):
                with connection.lock:
                    fault = connection.fault
                if fault == "cut":
                    break
                if fault is None:
                    time.sleep(self._delay_seconds)
                    connection.client.sendall(data)
        connection.close()
        with self._state:
            self._connections.discard(connection)
        # The other thread has seen the shutdown, or will: nothing is read from a closed number.
        connection.client.close()
        connection.server.close()

    def _fault_for(self, commands: Sequence[Command]) -> Fault | None:
        with self._state:
            rule = self._rule
            if rule is None or rule.left <= 0 or not any(map(rule.matches, commands)):
                return None
            rule.left -= 1
            rule.done += 1
            return rule.fault

    def _hold(self, commands: Sequence[Command]) -> None:
        with self._state:
            gate = self._gate
            if gate is None or gate.reached.is_set() or not any(map(gate.matches, commands)):
                return
            gate.reached.set()
        gate.opened.wait(HOLD_SECONDS)


def _complete_commands(buffer: bytes) -> tuple[list[Command], int]:
    """Return the commands that have come whole, and how many bytes they are."""
    commands: list[Command] = []
    end = 0
    while (found := _read_command(buffer, end)) is not None:
        command, end = found
        commands.append(command)
    return commands, end


def _read_command(buffer: bytes, start: int) -> tuple[Command, int] | None:
    line_end = buffer.find(b"\r\n", start)
    if line_end < 0:
        return None
    parts: list[bytes] = []
    position = line_end + 2
    for _ in range(int(buffer[start + 1 : line_end])):
        line_end = buffer.find(b"\r\n", position)
        if line_end < 0:
            return None
        first = line_end + 2
        last = first + int(buffer[position + 1 : line_end])
        if len(buffer) < last + 2:
            return None
        parts.append(buffer[first:last])
        position = last + 2
    return parts, position
