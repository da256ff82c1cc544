"""Does one thing with files over and over, killed (SIGKILL) before the first call to the system, the second, and so on.

``python -m tests.killed_writes OPERATION FOLDER``: the folders 1, 2 … in it are what was left by each. The last one
was not killed. A process of its own, because it forks.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from types import FrameType
from typing import Any

from irss_core.adapters.local.objects import FileObjects
from irss_core.adapters.local.outbox_folder import OutboxFolder
from irss_core.adapters.local.secret_key import load_secret
from irss_core.adapters.local.signing import UrlSigner
from tests.fakes.clock import FakeClock

KEY = "processed/3f/result"
OLD, NEW = b"old", b"new!" * 600_000  # several writes
MESSAGE_ID = "<mail@irss>"
ROOT = Path(__file__).resolve().parents[1]


def objects_in(folder: Path, clock: FakeClock | None = None) -> FileObjects:
    clock = clock or FakeClock()
    signer = UrlSigner(b"s" * 32, clock)
    return FileObjects(folder / "objects", signer=signer, address="https://irss.test", clock=clock)


def put(folder: Path, data: bytes) -> None:
    source = folder / "source"
    source.write_bytes(data)
    objects_in(folder).put(KEY, source, content_type="image/png")


def no_preparation(folder: Path) -> None:
    """Nothing is there yet."""


def with_old(folder: Path) -> None:
    put(folder, OLD)


def upload(folder: Path) -> None:
    store = objects_in(folder)
    form = store.upload_form(KEY, content_type="image/png", max_bytes=len(NEW), expires_in_s=300)
    store.take_upload(form.fields, io.BytesIO(NEW))


def mail(folder: Path) -> None:
    message = EmailMessage()
    message["Message-ID"], message["Date"] = MESSAGE_ID, "Fri, 15 Jan 2027 08:00:00 +0000"
    message.set_content("Hello\n")
    OutboxFolder(folder / "outbox").send(message)


OPERATIONS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "put": (no_preparation, lambda folder: put(folder, NEW)),
    "replace": (with_old, lambda folder: put(folder, NEW)),
    "delete": (with_old, lambda folder: objects_in(folder).delete(KEY)),
    "upload": (no_preparation, upload),
    "mail": (no_preparation, mail),
    "secret": (no_preparation, lambda folder: load_secret(folder / "secret.key")),
}


def killed_at_every_call(operation: str, folder: Path) -> list[Path]:
    """Return the folders that were left, the last one by the process that came through."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed_writes", operation, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [folder / str(number + 1) for number in range(int(done.stdout))]


def main() -> int:
    prepare, operate = OPERATIONS[sys.argv[1]]
    number, killed = 0, True
    while killed:
        number += 1
        folder = Path(sys.argv[2]) / str(number)
        folder.mkdir()
        prepare(folder)
        child = os.fork()
        if child == 0:
            _kill_at(number)
            operate(folder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        if not killed and status != 0:
            return 1
    sys.stdout.write(str(number))
    return 0


def _kill_at(number: int) -> None:
    left = number

    def count(frame: FrameType, event: str, called: Any) -> None:
        nonlocal left
        owner = type(getattr(called, "__self__", None)).__module__
        if event == "c_call" and (owner == "_io" or getattr(called, "__module__", None) in ("posix", "_io")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)


if __name__ == "__main__":
    sys.exit(main())
