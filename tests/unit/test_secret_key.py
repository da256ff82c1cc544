"""The secret: made once, by whoever is first; its owner's alone; never a short one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from irss_core.adapters.local.secret_key import load_secret
from irss_core.errors import InvalidOptionError, StoreUnavailableError
from tests.killed_writes import ROOT, killed_at_every_call

AT_ONCE = """
import sys
from pathlib import Path
from irss_core.adapters.local.secret_key import load_secret
print("ready", flush=True)
sys.stdin.readline()
print(load_secret(Path(sys.argv[1])).hex())
"""


def test_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret.key"
    secret = load_secret(path)
    assert len(secret) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_secret(path) == secret
    assert load_secret(tmp_path / "other.key") != secret
    assert [each.name for each in path.parent.iterdir()] == ["secret.key"]


def test_processes_that_start_at_once_get_the_same_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    command = [sys.executable, "-c", AT_ONCE, str(path)]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    secrets = {process.communicate(timeout=20)[0] for process in started}
    assert secrets == {f"{load_secret(path).hex()}\n"}
    assert [each.name for each in tmp_path.iterdir()] == ["secret.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o777])
def test_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret.key"
    load_secret(path)
    path.chmod(mode)
    with pytest.raises(InvalidOptionError, match="chmod 600"):
        load_secret(path)
    path.chmod(0o400)
    load_secret(path)


@pytest.mark.parametrize("length", [0, 1, 31])
def test_short_secret_is_refused_and_not_told(tmp_path: Path, length: int) -> None:
    path = tmp_path / "secret.key"
    path.touch(mode=0o600)
    path.write_bytes(b"s" * length)
    with pytest.raises(InvalidOptionError, match=rf"has {length} bytes.*Delete it"):
        load_secret(path)
    assert path.read_bytes() == b"s" * length


def test_longer_secret_is_taken_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.touch(mode=0o600)
    path.write_bytes(b"s" * 64)
    assert load_secret(path) == b"s" * 64


def test_secret_that_cannot_be_made_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailableError, match="IRSS_DATA_DIR"):
        load_secret(tmp_path / "data" / "secret.key")


def test_killed_at_any_call_leaves_a_whole_secret_or_none(tmp_path: Path) -> None:
    there = []
    for folder in killed_at_every_call("secret", tmp_path):
        path = folder / "secret.key"
        there.append(path.exists())
        before = path.read_bytes() if path.exists() else None
        assert len(load_secret(path)) == 32
        assert before in (None, path.read_bytes())
    assert there == sorted(there)
    assert set(there) == {False, True}
