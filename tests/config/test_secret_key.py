import stat
from pathlib import Path

from config.secret_key import secret_key


def test_secret_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    first = secret_key(tmp_path / "data")

    assert len(first) >= 50
    assert secret_key(tmp_path / "data") == first
    assert stat.S_IMODE((tmp_path / "data" / "secret_key").stat().st_mode) == 0o600


def test_unusable_key_file_still_yields_a_secret_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "secret_key").write_bytes(b"\xff\xfe")

    for folder in (tmp_path / "file", tmp_path):
        assert len(secret_key(folder)) >= 50
