"""The append-only file of the bundled server, where a power cut or a hand has damaged it.

Valkey keeps it in several parts, in a folder of their own: a base (the data as of the last
rewrite), an increment (each write since then), and a manifest that lists both.
"""

import logging
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

from sessions_store.embedded.errors import EmbeddedServerError

FOLDER = "appendonlydir"
_MANIFEST = "appendonly.aof.manifest"
_PART_NAME = re.compile(r"appendonly\.aof\.(\d+)\.(base|incr)\.(rdb|aof)")
_LISTED_INCREMENT = re.compile(r"^file (\S+) seq \d+ type i", re.MULTILINE)
_COMMAND = re.compile(rb"\r\n\*[1-9]\d*\r\n\$\d+\r\n")
_TRANSACTION = b"*1\r\n$5\r\nMULTI\r\n"
_END_OF_TRANSACTION = re.compile(rb"\r\n\*1\r\n\$4\r\nEXEC\r\n")

_logger = logging.getLogger(__name__)


def restore_manifest(data_dir: Path) -> None:
    """Write the manifest anew where it is lost: without it, Valkey would overwrite what it listed.

    Raises:
        EmbeddedServerError: which parts it listed cannot be told from their names.
    """
    folder = data_dir / FOLDER
    manifest = folder / _MANIFEST
    names = [_PART_NAME.fullmatch(path.name) for path in folder.glob("appendonly.aof.*")]
    parts = sorted((name for name in names if name), key=lambda part: part[2])
    # A power cut can leave zeros in place of a new file's content.
    if not parts or (manifest.exists() and manifest.read_bytes().strip(b"\0")):
        return
    if [part[2] for part in parts] != ["base", "incr"]:
        raise EmbeddedServerError(
            f"{manifest} is missing beside {len(parts)} files with data, more or fewer than one "
            f"base and one increment. Restore {folder} from a backup, or move it aside to begin "
            "without data."
        )
    lines = [f"file {part[0]} seq {part[1]} type {part[2][0]}\n" for part in parts]
    written = manifest.with_suffix(".restored")
    written.write_text("".join(lines), "utf-8")
    written.replace(manifest)
    _logger.warning("%s was missing and is written anew, for the 2 files beside it", manifest)


def cut_damaged_end(data_dir: Path, server_binary: Path) -> bool:
    """Cut off what cannot be read at the end of the last increment, and keep a copy of it all.

    Returns:
        Whether there was anything to cut.

    Raises:
        EmbeddedServerError: further writes follow the damage; the text says what can be done.
    """
    folder = data_dir / FOLDER
    manifest = folder / _MANIFEST
    listed = _LISTED_INCREMENT.findall(manifest.read_text("utf-8")) if manifest.exists() else []
    for name in listed:
        path = folder / name
        size = path.stat().st_size if path.exists() else 0
        readable = _readable_bytes(path, server_binary) if size else 0
        if readable == size:
            continue
        if name != listed[-1] or _goes_on_after_damage(path, readable):
            raise EmbeddedServerError(
                f"{path} is damaged in its middle, at byte {readable} of {size}, and further "
                f"writes follow. Restore {folder} from a backup; or copy the file, and keep what "
                f"is before the damage: truncate -s {readable} {shlex.quote(str(path))}"
            )
        _cut(
            path,
            readable,
            data_dir / f"{name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}",
        )
        return True
    return False


def _readable_bytes(path: Path, server_binary: Path) -> int:
    # The server's binary is Valkey's check tool too, under that name. Given the manifest, it
    # refuses bases that this release has written.
    as_check_tool = ["valkey-check-aof", str(path)]
    report = subprocess.run(  # noqa: S603  # our own binary
        as_check_tool, executable=server_binary, capture_output=True, check=False
    ).stdout
    found = re.search(rb"ok_up_to=(\d+)", report)
    return int(found[1]) if found else path.stat().st_size


def _goes_on_after_damage(path: Path, readable: int) -> bool:
    with path.open("rb") as file:
        file.seek(readable)
        rest = file.read()
    # Commands of a transaction that was cut off are no further writes: it never took place.
    further = _END_OF_TRANSACTION if rest.startswith(_TRANSACTION) else _COMMAND
    return further.search(rest, 1) is not None


def _cut(path: Path, readable: int, aside: Path) -> None:
    size = path.stat().st_size
    try:
        shutil.copyfile(path, aside)
        aside.chmod(0o600)
        with path.open("r+b") as file:
            file.truncate(readable)
    except OSError as error:
        raise EmbeddedServerError(
            f"The end of {path} is damaged, and a copy of it cannot be kept as {aside}: "
            f"{error.strerror}."
        ) from error
    _logger.warning(
        "The last %d of %d bytes of %s cannot be read, as after a power cut; all before them is "
        "there",
        size - readable,
        size,
        path,
    )
    _logger.warning("%d bytes lie aside: the damaged file is kept as %s", size, aside)
