"""The secret key of a local run: generated once, kept in the data folder."""

import os
import secrets
import tempfile
from pathlib import Path


def secret_key(data_dir: Path) -> str:
    """Return the key in ``data_dir``, made on the first call; only its owner may read it.

    Where the folder, or the key in it, cannot be used, a key for this process alone: nothing that
    outlives it is signed. (``serve``, which needs the folder, reports it.)
    """
    try:
        return _kept(data_dir)
    except (OSError, UnicodeDecodeError):
        return secrets.token_urlsafe(50)


def _kept(data_dir: Path) -> str:
    path = data_dir / "secret_key"
    try:
        return path.read_text("ascii")
    except FileNotFoundError:
        pass
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written aside and linked into place: two processes that start together agree on one key.
    descriptor, aside = tempfile.mkstemp(dir=data_dir, prefix="secret_key.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        Path(aside).unlink()
    return path.read_text("ascii")
