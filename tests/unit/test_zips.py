"""Zips of strangers: what is taken out of them, and what is refused before anything is written."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from irss_core.errors import InputError
from irss_core.media import zips
from irss_core.media.zips import MAX_FILES, clean, free_name, unpack
from tests import made_sets

MEGABYTE = 1_000_000
STILL = made_sets.scene(16, 16)


def png(folder: Path, name: str = "x.png") -> bytes:
    return made_sets.write(folder / name, STILL).read_bytes()


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "name",
    ["../evil.png", "a/../../evil.png", "/etc/evil.png", "\\evil.png", "..\\evil.png", "C:\\evil.png", "c:evil.png"],
)
def test_a_zip_that_reaches_outside_is_refused_whole(name: str, tmp_path: Path) -> None:
    content = png(tmp_path / "made")
    path = zipped(tmp_path / "set.zip", {"good.png": content, name: content})
    with pytest.raises(InputError, match="outside"):
        unpack(path, tmp_path / "out", max_bytes=MEGABYTE)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_in_a_zip_are_refused(kind: int, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.png")
    link.create_system, link.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="link"):
        unpack(tmp_path / "set.zip", tmp_path / "out", max_bytes=MEGABYTE)
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.zip", {f"{index}.png": bytes(400_000) for index in range(3)})
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match="1,200,000 bytes when unpacked; at most 1,000,000"):
        unpack(path, tmp_path / "out", max_bytes=MEGABYTE)
    assert not (tmp_path / "out").exists()


def test_a_member_never_gives_more_than_it_says(tmp_path: Path) -> None:
    path = zipped(tmp_path / "liar.zip", {"a.png": bytes(400_000)})
    said = struct.pack("<I", 400_000)
    path.write_bytes(path.read_bytes().replace(said, struct.pack("<I", 10)))
    with pytest.raises(InputError, match="damaged"):
        unpack(path, tmp_path / "out", max_bytes=1000)
    assert sum(each.stat().st_size for each in tmp_path.glob("out/*")) <= 1000


def test_500_files_are_taken_and_501_are_not(tmp_path: Path) -> None:
    content = png(tmp_path / "made")
    members = {f"{index:03d}.png": content for index in range(MAX_FILES)}
    unpacked = unpack(zipped(tmp_path / "a.zip", members), tmp_path / "out", max_bytes=MEGABYTE)
    assert unpacked.left_out == ()
    assert len(unpacked.files) == 500
    assert len(files_below(tmp_path / "out")) == 500
    with pytest.raises(InputError, match="501 files; at most 500"):
        unpack(zipped(tmp_path / "b.zip", {**members, "more.txt": b""}), tmp_path / "no", max_bytes=MEGABYTE)
    assert not (tmp_path / "no").exists()


def test_a_table_of_contents_that_would_fill_the_memory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_nothing(*_: object) -> None:
        raise AssertionError("zipfile was let loose on it")

    small = zipped(tmp_path / "small.zip", {"a.png": b""}).read_bytes()
    end = small.rindex(b"PK\x05\x06")
    large = tmp_path / "large.zip"
    monkeypatch.setattr(zipfile, "ZipFile", read_nothing)
    for forged in (
        small[: end + 12] + struct.pack("<I", 2**30) + small[end + 16 :],  # a table of a gigabyte
        small[:end] + b"PK\x06\x07" + bytes(16) + small[end:],  # or one whose size stands in the larger form
    ):
        large.write_bytes(forged)
        with pytest.raises(InputError, match="far more files"):
            unpack(large, tmp_path / "out", max_bytes=MEGABYTE)


@pytest.mark.parametrize("damage", ["empty", "no zip", "cut", "flipped", "encrypted", "deep", "unknown method"])
def test_a_zip_that_cannot_be_read_gets_a_message(damage: str, tmp_path: Path) -> None:
    path = zipped(tmp_path / "set.zip", {"/".join("abcdefg"[: 7 if damage == "deep" else 1]) + ".png": bytes(5000)})
    content = path.read_bytes()
    start, table = content.index(b"PK\x03\x04"), content.index(b"PK\x01\x02")
    if damage == "encrypted":
        content = content[:6] + b"\x01" + content[7 : table + 8] + b"\x01" + content[table + 9 :]
    if damage == "unknown method":
        content = content[:8] + b"\x63" + content[9 : table + 10] + b"\x63" + content[table + 11 :]
    if damage == "flipped":
        content = content[: start + 36] + bytes(6) + content[start + 42 :]
    path.write_bytes({"empty": b"", "no zip": b"text" * 100, "cut": content[:-30]}.get(damage, content))
    words = {"encrypted": "without a password", "deep": "6 deep"}.get(damage, "damaged")
    with pytest.raises(InputError, match=rf"set\.zip .*{words}"):
        unpack(path, tmp_path / "out", max_bytes=MEGABYTE)


def test_names_of_a_zip_keep_their_letters_and_nothing_else(tmp_path: Path) -> None:
    content = png(tmp_path / "made")
    path = zipped(
        tmp_path / "set.zip",
        {
            "été/Ωμέγα.png": content,
            "e\u0301te\u0301/Ωμέγα.PNG": content,  # the same letters, spelled otherwise
            "a?/b*.png": content,
            "a|/b.png": content,
            "__MACOSX/a?/._b.png": content,
            ".hidden/x.png": content,
            "readme.txt": b"hello",
            f"{'long' * 60}.jpeg": content,
        },
    )
    unpacked = unpack(path, tmp_path / "out", max_bytes=MEGABYTE)
    assert unpacked.left_out == ("readme.txt",)
    assert unpacked.files[3] == ("b.png", tmp_path / "out" / "a_ (2)" / "b.png")
    names = files_below(tmp_path / "out")
    assert names == sorted(["été/Ωμέγα.png", "été (2)/Ωμέγα.PNG", "a_/b_.png", "a_ (2)/b.png", f"{'long' * 20}.jpeg"])


def test_no_name_becomes_a_path() -> None:
    for name in ("..", ".", "", "...", "../..", "a/b", "a\\b", "\0", "con:aux", "x" * 5000, "é" * 5000, "\ud800"):
        made = clean(name)
        assert made
        assert made not in (".", "..")
        assert not set(made) & set("/\\\0:")
        assert len(made.encode()) <= 200


@pytest.mark.parametrize("name", ["inner.zip", "a/inner.ZIP"])
def test_a_zip_in_a_zip_is_refused(name: str, tmp_path: Path) -> None:
    content = png(tmp_path / "made")
    inner = zipped(tmp_path / "inner.zip", {"a.png": content}).read_bytes()
    with pytest.raises(InputError, match=r"holds another zip .*Unpack that one"):
        unpack(zipped(tmp_path / "set.zip", {"good.png": content, name: inner}), tmp_path / "out", max_bytes=MEGABYTE)
    assert not (tmp_path / "out").exists()


def test_a_bomb_below_the_limit_is_known_by_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "_RATIO_FROM_BYTES", 300_000)
    path = zipped(tmp_path / "bomb.zip", {"a.bmp": bytes(300_001)})
    with pytest.raises(InputError, match=r"would become 300,001, more than 200 times as much"):
        unpack(path, tmp_path / "out", max_bytes=MEGABYTE)
    assert not (tmp_path / "out").exists()
    flat = zipped(tmp_path / "flat.zip", {"a.bmp": bytes(300_000)})
    assert len(unpack(flat, tmp_path / "out", max_bytes=MEGABYTE).files) == 1, "a small flat drawing may shrink as much"


def test_the_caller_sets_how_many_files_and_what_messages_call_the_zip(tmp_path: Path) -> None:
    content = png(tmp_path / "made")
    path = zipped(tmp_path / "0123abcd", {"a.png": content, "b.png": content})
    with pytest.raises(InputError, match=r"^Holiday\.zip holds 2 files; at most 1 are taken"):
        unpack(path, tmp_path / "out", max_bytes=MEGABYTE, max_files=1, name="Holiday.zip")


def test_names_that_some_file_system_holds_for_the_same_are_numbered() -> None:
    taken: set[str] = set()
    names = [free_name(name, taken) for name in ("a.png", "A.PNG", "a.png", "a (2).png", "b")]
    assert names == ["a.png", "A (2).PNG", "a (3).png", "a (2) (2).png", "b"]
