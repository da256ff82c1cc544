"""The folder of objects: nothing half, whatever happens to the process; nothing forged; nothing outside the folder."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from irss_core.adapters.local.objects import FileObjects
from irss_core.adapters.local.signing import UrlSigner
from irss_core.errors import NotFoundError, ResourceError, StoreUnavailableError
from irss_core.jobs.keys import upload_key
from tests.fakes.clock import FakeClock
from tests.killed_writes import KEY, NEW, OLD, killed_at_every_call, objects_in

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> FileObjects:
    return objects_in(tmp_path, clock)


def put(store: FileObjects, tmp_path: Path, data: bytes = b"pixels", key: str = KEY) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    store.put(key, source, content_type="image/png")


def content(store: FileObjects, folder: Path) -> bytes | None:
    """The object's bytes, read in full and checked; None if there is none."""
    if store.info(KEY) is None:
        assert store.keys("") == []
        return None
    assert store.keys("") == [KEY]
    target = folder / "got"
    target.unlink(missing_ok=True)
    info = store.get(KEY, target)
    assert info.size_bytes == target.stat().st_size
    return target.read_bytes()


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def age(folder: Path, seconds: float, clock: FakeClock) -> None:
    """Make everything below as old as that."""
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (clock.now() - seconds,) * 2)


# --- killed ---


@pytest.mark.parametrize(
    ("operation", "before", "after"),
    [("put", None, NEW), ("replace", OLD, NEW), ("delete", OLD, None), ("upload", None, NEW)],
)
def test_killed_at_any_call_leaves_the_object_as_before_or_as_after(
    tmp_path: Path, clock: FakeClock, operation: str, before: bytes | None, after: bytes | None
) -> None:
    folders = killed_at_every_call(operation, tmp_path)
    seen = [content(objects_in(folder, clock), folder) for folder in folders]
    assert len(seen) > 10
    assert set(seen) == {before, after}
    assert seen[-1] == after
    assert seen == sorted(seen, key=lambda data: data == after), "once it is done it stays done"
    for folder, data in zip(folders, seen, strict=True):
        _sweep_and_go_on(folder, data, clock)


def _sweep_and_go_on(folder: Path, data: bytes | None, clock: FakeClock) -> None:
    store = objects_in(folder, clock)
    age(folder, HOUR_S, clock)
    store.sweep_parts(60)
    assert content(store, folder) == data
    kept = [path for path in files(folder / "objects") if path.parent.parent.name != "_used"]
    assert len(kept) == (0 if data is None else 2), kept
    put(store, folder, b"again")
    assert content(store, folder) == b"again"


def test_error_in_the_middle_leaves_the_object_as_before(store: FileObjects, tmp_path: Path) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read(3)

    form = store.upload_form(KEY, content_type="image/png", max_bytes=100, expires_in_s=300)
    with pytest.raises(StoreUnavailableError, match="Input/output error"):
        store.take_upload(form.fields, Breaking(b"pixels"))
    assert files(tmp_path / "objects") == []
    store.take_upload(form.fields, io.BytesIO(b"pixels"))
    assert content(store, tmp_path) == b"pixels"


# --- sweeping ---


def test_sweep_leaves_what_is_younger(store: FileObjects, tmp_path: Path, clock: FakeClock) -> None:
    put(store, tmp_path)
    folder = tmp_path / "objects" / "processed" / "3f" / "3f"
    for name in ("result_0123456789abcdef", "other_0123456789abcdef", ".irss-0123456789abcdef.part"):
        (folder / name).write_bytes(b"left")
    (folder / "notes.txt").write_bytes(b"not ours")
    age(tmp_path / "objects", 59, clock)
    assert store.sweep_parts(60) == 0
    age(tmp_path / "objects", 61, clock)
    assert store.sweep_parts(60) == 3
    assert content(store, tmp_path) == b"pixels"
    assert (folder / "notes.txt").exists()


def test_sweep_removes_folders_that_became_empty(store: FileObjects, tmp_path: Path, clock: FakeClock) -> None:
    put(store, tmp_path)
    store.delete(KEY)
    for _ in range(4):  # a folder is younger for what went out of it
        age(tmp_path / "objects", 61, clock)
        assert store.sweep_parts(60) == 0
    assert list((tmp_path / "objects").iterdir()) == []
    put(store, tmp_path)
    assert content(store, tmp_path) == b"pixels"


def test_used_forms_are_remembered_until_long_after_their_end(
    store: FileObjects, tmp_path: Path, clock: FakeClock
) -> None:
    form = store.upload_form(KEY, content_type="image/png", max_bytes=100, expires_in_s=300)
    store.take_upload(form.fields, io.BytesIO(b"pixels"))
    used = tmp_path / "objects" / "_used"
    clock.advance(HOUR_S)
    store.sweep_parts(0)
    clock.advance(-HOUR_S)  # a clock that was set back
    with pytest.raises(NotFoundError, match="used already"):
        store.take_upload(form.fields, io.BytesIO(b"again"))
    assert len(files(used)) == 1
    clock.advance(DAY_S + 301)
    store.sweep_parts(DAY_S * 2)
    assert files(used) == []


def test_sweep_of_nothing_is_nothing(store: FileObjects) -> None:
    assert store.sweep_parts(0) == 0


# --- what the disk does ---


def test_damaged_bytes_are_not_given_out(store: FileObjects, tmp_path: Path) -> None:
    put(store, tmp_path)
    (file,) = (path for path in files(tmp_path / "objects") if not path.name.endswith(".json"))
    file.write_bytes(b"pixelZ")
    with pytest.raises(ResourceError, match="damaged") as told:
        store.get(KEY, tmp_path / "got")
    assert not isinstance(told.value, StoreUnavailableError), "waiting does not help"
    assert not (tmp_path / "got").exists()
    file.unlink()
    with pytest.raises(ResourceError, match="not its bytes"):
        store.get(KEY, tmp_path / "got")


@pytest.mark.parametrize("facts", [b"", b"{", b"[]", b"{}", b'{"file": "result_0123456789abcdef"}', b"\xff"])
def test_damaged_facts_are_an_error_of_the_disk(store: FileObjects, tmp_path: Path, facts: bytes) -> None:
    put(store, tmp_path)
    (file,) = (tmp_path / "objects").rglob("*_facts.json")
    file.write_bytes(facts)
    with pytest.raises(ResourceError, match="damaged"):
        store.info(KEY)


def test_store_that_cannot_be_written_is_unavailable_and_names_no_ids(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "objects").write_bytes(b"a file where the folder should be")
    store, job = objects_in(tmp_path, clock), "3f" * 32
    with pytest.raises(StoreUnavailableError) as told:
        put(store, tmp_path, key=f"processed/{job}/result")
    assert job not in str(told.value)
    form = store.upload_form(KEY, content_type="image/png", max_bytes=100, expires_in_s=300)
    with pytest.raises(StoreUnavailableError):
        store.take_upload(form.fields, io.BytesIO(b"x"))


def test_full_disk_leaves_the_object_as_before(store: FileObjects, tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(28, "No space left on device")

    put(store, tmp_path, b"old")
    form = store.upload_form(KEY, content_type="image/png", max_bytes=100, expires_in_s=300)
    with pytest.raises(StoreUnavailableError, match=r"No space left.*Free some space"):
        store.take_upload(form.fields, Full())
    assert content(store, tmp_path) == b"old"


# --- at once ---


def test_readers_see_whole_objects_while_they_are_replaced(store: FileObjects, tmp_path: Path) -> None:
    put(store, tmp_path, b"a" * 5000)
    stop, seen = threading.Event(), set()

    def replace() -> None:
        source = tmp_path / "other"
        for number in range(40):
            source.write_bytes(b"ab"[number % 2 : number % 2 + 1] * (5000 + number % 2))
            store.put(KEY, source, content_type="image/png")
        stop.set()

    writer = threading.Thread(target=replace)
    writer.start()
    while not stop.is_set():
        target = tmp_path / "got"
        store.get(KEY, target)  # checks the size and the SHA-256
        seen.add(target.read_bytes()[:1])
        target.unlink()
    writer.join()
    assert seen <= {b"a", b"b"}
    assert len(files(tmp_path / "objects")) == 2


def test_one_of_two_uploads_with_one_form_wins(store: FileObjects, tmp_path: Path) -> None:
    form = store.upload_form(KEY, content_type="image/png", max_bytes=100, expires_in_s=300)
    barrier, outcomes = threading.Barrier(4), []

    def upload(data: bytes) -> None:
        barrier.wait()
        try:
            store.take_upload(form.fields, io.BytesIO(data))
            outcomes.append(data)
        except NotFoundError:
            outcomes.append(None)

    threads = [threading.Thread(target=upload, args=(bytes([65 + n]) * 50,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = (data for data in outcomes if data)
    assert content(store, tmp_path) == winner


# --- forged ---


def changed(text: str) -> Iterator[str]:
    """The text with something else at its beginning, middle and end; shorter; longer; none."""
    for place in (0, len(text) // 2, len(text) - 1):
        yield text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]
    yield from (text[:-1], text + "0", text.upper() if text.upper() != text else "", "", "ä", "\ud800")


@pytest.mark.parametrize("field", ["policy", "signature"])
def test_forged_form_is_refused(store: FileObjects, field: str) -> None:
    fields = dict(store.upload_form(KEY, content_type="image/png", max_bytes=100, expires_in_s=300).fields)
    for text in changed(fields[field]):
        with pytest.raises(NotFoundError):
            store.take_upload({**fields, field: text}, io.BytesIO(b"x"))
    assert store.keys("") == []


def test_policy_of_one_form_is_not_signed_by_another(store: FileObjects) -> None:
    small = dict(store.upload_form(KEY, content_type="image/png", max_bytes=1, expires_in_s=300).fields)
    large = dict(store.upload_form(KEY, content_type="image/png", max_bytes=100, expires_in_s=300).fields)
    with pytest.raises(NotFoundError):
        store.take_upload({**small, "policy": large["policy"]}, io.BytesIO(b"xx"))


def test_forged_address_is_refused(store: FileObjects, tmp_path: Path) -> None:
    put(store, tmp_path)
    put(store, tmp_path, key=upload_key("ab"))
    query = dict(parse_qsl(urlsplit(store.download_url(KEY, filename="a.png", expires_in_s=300)).query))
    for field, value in query.items():
        for text in changed(value):
            with pytest.raises(NotFoundError):
                store.open_download(KEY, {**query, field: text})
        with pytest.raises(NotFoundError):
            store.open_download(KEY, {name: value for name, value in query.items() if name != field})
    with pytest.raises(NotFoundError):
        store.open_download(upload_key("ab"), query)
    with pytest.raises(NotFoundError):
        store.open_download("../source", query)
    path, filename, content_type = store.open_download(KEY, query)
    assert (path.read_bytes(), filename, content_type) == (b"pixels", "a.png", "image/png")


def test_signature_of_another_secret_is_refused(store: FileObjects, tmp_path: Path, clock: FakeClock) -> None:
    put(store, tmp_path)
    other = FileObjects(tmp_path / "x", signer=UrlSigner(b"o" * 32, clock), address="https://irss.test", clock=clock)
    query = dict(parse_qsl(urlsplit(other.download_url(KEY, filename="a.png", expires_in_s=300)).query))
    with pytest.raises(NotFoundError):
        store.open_download(KEY, query)
    fields = other.upload_form(KEY, content_type="image/png", max_bytes=100, expires_in_s=300).fields
    with pytest.raises(NotFoundError):
        store.take_upload(fields, io.BytesIO(b"x"))


def test_names_of_downloads_hold_no_paths_or_control_characters(store: FileObjects, tmp_path: Path) -> None:
    put(store, tmp_path)
    url = store.download_url(KEY, filename='../a"b\r\nSet-Cookie: c\x00\u202egnp.exe', expires_in_s=300)
    _, filename, _ = store.open_download(KEY, dict(parse_qsl(urlsplit(url).query)))
    assert filename == ".._a_b__Set-Cookie: c__gnp.exe"
    assert quote("\r") not in url


def test_folder_is_its_owners(store: FileObjects, tmp_path: Path) -> None:
    put(store, tmp_path)
    assert (tmp_path / "objects").stat().st_mode & 0o077 == 0
