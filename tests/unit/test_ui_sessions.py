"""Visitors' folders: private, unguessable, cleaned; and the switch that stops their work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from irss_core.errors import InputError
from irss_core.ui.sessions import Session, SessionStore


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[SessionStore]:
    store = SessionStore(max_age_s=100, parent=tmp_path, clock=clock, wall_clock=clock)
    yield store
    store.close()


def result_of(session: Session, name: str = "result.png") -> Path:
    path = session.new_folder("still") / name
    path.write_bytes(b"pixels")
    return path


def parts(store: SessionStore, path: Path) -> list[str]:
    return store.address(path).split("/")[1:]


def test_a_visitor_comes_back_to_the_same_session(store: SessionStore) -> None:
    assert store.visit("anna") is store.visit("anna")
    assert store.visit("anna").folder != store.visit("bert").folder


def test_a_result_is_found_under_its_address_only(store: SessionStore) -> None:
    path = result_of(store.visit("anna"))
    visitor, folder, name = parts(store, path)

    assert store.find(visitor, folder, name) == path
    assert len(visitor) == 32  # 128 random bits
    assert "anna" not in store.address(path)
    assert store.find("0" * 32, folder, name) is None


@pytest.mark.parametrize("name", ["", ".", "..", "../result.png", "a/b", "..\\x", "nul\0"])
def test_no_address_leads_out_of_a_folder(store: SessionStore, name: str) -> None:
    visitor, folder, _ = parts(store, result_of(store.visit("anna")))

    assert store.find(visitor, folder, name) is None
    assert store.find(visitor, "..", "result.png") is None
    assert store.find("..", "uploads", "result.png") is None


def test_closing_the_page_stops_the_work_at_once_and_removes_the_files_soon(store: SessionStore, clock: Clock) -> None:
    session = store.visit("anna")
    path, token = result_of(session), session.begin("image")

    store.leave("anna")

    assert token.cancelled
    session.end("image", token)
    store.sweep()
    assert path.exists(), "a dropped connection may come back"
    clock.now += 121
    store.sweep()
    assert not path.exists()


def test_coming_back_in_time_keeps_the_files(store: SessionStore, clock: Clock) -> None:
    path = result_of(store.visit("anna"))
    store.leave("anna")
    clock.now += 60
    store.visit("anna")
    clock.now += 90
    store.sweep()
    assert path.exists()


def test_files_go_after_their_age_but_not_under_running_work(store: SessionStore, clock: Clock) -> None:
    session = store.visit("anna")
    path, token = result_of(session), session.begin("image")
    clock.now += 101

    store.sweep()
    assert path.exists()
    session.end("image", token)
    store.sweep()
    assert not path.exists()


def test_old_uploads_go_and_fresh_ones_stay(store: SessionStore, clock: Clock) -> None:
    old, fresh = store.uploads / "one" / "old.png", store.uploads / "two" / "fresh.png"
    for path, age in ((old, 101), (fresh, 5)):
        path.parent.mkdir()
        path.write_bytes(b"x")
        for each in (path, path.parent):
            os.utime(each, (clock.now - age, clock.now - age))

    store.sweep()

    assert not old.exists()
    assert fresh.exists()


def test_only_uploaded_files_are_adopted(store: SessionStore, tmp_path: Path) -> None:
    session = store.visit("anna")
    upload = store.uploads / "one" / "héron.png"
    upload.parent.mkdir()
    upload.write_bytes(b"x")
    secret = tmp_path / "secret"
    secret.write_text("password")
    (store.uploads / "link").symlink_to(secret)

    assert session.adopt(str(upload), "source").name == "héron.png"
    for foreign in (secret, store.uploads / "link", store.uploads / ".." / ".." / "secret", store.uploads / "none"):
        with pytest.raises(InputError, match="Upload it again"):
            session.adopt(str(foreign), "source")


def test_a_visitors_file_can_be_taken_for_an_upload_that_has_just_come(store: SessionStore) -> None:
    session = store.visit("anna")
    path = result_of(session, "héron.png")
    os.utime(path, (5, 5))

    upload = session.as_upload(path)

    assert (upload.name, upload.read_bytes()) == ("héron.png", b"pixels")
    assert session.received(upload) == upload
    assert upload.stat().st_mtime > 1e9, "the sweep goes by its age"
    path.unlink()
    assert upload.exists(), "it does not go with the file it came from"
    with pytest.raises(InputError, match="Open it once more"):
        session.as_upload(path)


def test_a_new_result_takes_the_place_of_the_one_before(store: SessionStore) -> None:
    session = store.visit("anna")
    first, clip = result_of(session), session.new_folder("clip")
    second = result_of(session)

    session.keep_only(second.parent)

    assert not first.exists()
    assert second.exists()
    assert clip.exists(), "the other tab's results are not touched"


def test_new_work_at_a_place_cancels_the_work_before_it(store: SessionStore) -> None:
    session = store.visit("anna")
    first, other = session.begin("image"), session.begin("clip")
    second = session.begin("image")
    assert (first.cancelled, second.cancelled, other.cancelled) == (True, False, False)

    session.end("image", first)  # late, and not to be taken for the end of the second
    assert session.busy
    session.cancel("image")
    assert second.cancelled
    assert not other.cancelled


def test_values_are_kept_by_their_type(store: SessionStore) -> None:
    session = store.visit("anna")
    session.keep(3)
    session.keep("three")
    session.keep(4)
    assert (session.kept(int), session.kept(str), session.kept(float)) == (4, "three", None)
    session.forget(int)
    assert session.kept(int) is None


def test_everything_is_deleted_at_the_end(tmp_path: Path) -> None:
    store = SessionStore(max_age_s=100, parent=tmp_path)
    token = store.visit("anna").begin("image")
    store.close()
    assert token.cancelled
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_behind_is_removed(tmp_path: Path) -> None:
    store = SessionStore(max_age_s=100, parent=tmp_path)
    mine = store.root.name.split("-")
    abandoned = tmp_path / "-".join([*mine[:2], "999999999", "x"])  # no process has that number
    abandoned.mkdir()
    other_host = tmp_path / "irss-00000000-999999999-x"
    other_host.mkdir()

    SessionStore(max_age_s=100, parent=tmp_path)

    assert not abandoned.exists()
    assert store.root.exists()
    assert other_host.exists()
