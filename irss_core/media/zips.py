"""Unpacks a stranger's zip of a data set: pictures and clips in folders, nothing else, and nothing outside.

What would lie elsewhere, links, too many files and too many bytes are refused before anything is written. Of the names
in it only cleaned parts become names of folders and files.
"""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from irss_core.errors import InputError
from irss_core.media.images import IMAGE_SUFFIXES
from irss_core.media.video import CLIP_SUFFIXES

MAX_FILES = 500
ACCEPTED = IMAGE_SUFFIXES | CLIP_SUFFIXES
_MAX_DEPTH = 6
_MAX_NAME = 80
_CHUNK_BYTES = 1 << 20
# zipfile reads the whole table of contents into memory: for so many files, with names of any length, this is plenty.
_MAX_TABLE_BYTES = 2 * 1024 * 1024
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x07"
_END_BYTES, _END_64_BYTES, _MAX_COMMENT_BYTES = 22, 20, 65_536
_UNSAFE = re.compile(r"[^\w. ()+-]")
_DRIVE = re.compile(r"[A-Za-z]:")
_NOISE = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
# What zipfile raises on damaged archives and on methods it does not know.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError, LookupError,
    ArithmeticError, MemoryError, OSError,
)  # fmt: skip

Parts = tuple[str, ...]


def unpack(path: Path, target: Path, *, max_bytes: int) -> tuple[str, ...]:
    """Write the pictures and clips of a zip below ``target`` and return the names of the files that are neither.

    Raises:
        InputError: damaged, encrypted, hostile, of more than ``MAX_FILES`` files or ``max_bytes`` unpacked bytes, or
            without a picture or clip.
    """
    _check_table(path)
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise _damaged(path) from error
    with archive:
        members = list(_members(archive, path.name))
        if len(members) > MAX_FILES:
            raise InputError(f"{path.name} holds {len(members)} files; at most {MAX_FILES} are taken. Zip fewer.")
        if (total := sum(info.file_size for info, _ in members)) > max_bytes:
            raise InputError(
                f"{path.name} holds {total:,} bytes when unpacked; at most {max_bytes:,} are taken. Zip fewer."
            )
        wanted = [(info, parts) for info, parts in members if Path(parts[-1]).suffix.lower() in ACCEPTED]
        if not wanted:
            raise InputError(f"{path.name} holds no picture and no clip. Zip the folder of the data set.")
        places = Places(target)
        for info, parts in wanted:
            with places.file(parts).open("xb") as file:
                for chunk in _content(archive, info, path):
                    file.write(chunk)
    kept = {parts for _, parts in wanted}
    return tuple(parts[-1] for _, parts in members if parts not in kept)


class Places:
    """Names for files below ``root``: cleaned, and numbered where two would be the same on some file system."""

    def __init__(self, root: Path) -> None:
        self._folders: dict[Parts, Path] = {(): root}
        self._taken: set[tuple[Path, str]] = set()

    def file(self, parts: Parts) -> Path:
        """Return a path for a new file, its folder made, for a name of those parts."""
        folder = self._folder(parts[:-1])
        folder.mkdir(parents=True, exist_ok=True)
        return self._free(folder, clean(parts[-1]))

    def _folder(self, parts: Parts) -> Path:
        if parts not in self._folders:
            self._folders[parts] = self._free(self._folder(parts[:-1]), clean(parts[-1]))
        return self._folders[parts]

    def _free(self, folder: Path, name: str) -> Path:
        stem, suffix, number = Path(name).stem, Path(name).suffix, 1
        while (folder, name.casefold()) in self._taken:
            number += 1
            name = f"{stem} ({number}){suffix}"
        self._taken.add((folder, name.casefold()))
        return folder / name


def clean(name: str) -> str:
    """Return the name with letters, digits and a few signs only, no longer than a file system takes."""
    text = _UNSAFE.sub("_", unicodedata.normalize("NFC", name)).strip(". ")
    suffix = Path(text).suffix if len(Path(text).suffix) <= 10 else ""
    stem = text.removesuffix(suffix)[:_MAX_NAME].encode()[: 2 * _MAX_NAME].decode(errors="ignore")
    return f"{stem.strip()}{suffix}" or "_"


def _check_table(path: Path) -> None:
    """Refuse a file that is no zip, or whose table of contents alone would fill the memory."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - _END_BYTES - _END_64_BYTES - _MAX_COMMENT_BYTES, 0))
        tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise _damaged(path)
    (table_bytes,) = struct.unpack_from("<I", tail, at + 12)
    # Only archives of more than 65,535 files or 4 GB need the larger form, whose size would stand elsewhere.
    if table_bytes > _MAX_TABLE_BYTES or tail[max(at - _END_64_BYTES, 0) :].startswith(_END_64):
        raise InputError(f"{path.name} lists far more files than the {MAX_FILES} that are taken. Zip fewer.")


def _members(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[zipfile.ZipInfo, Parts]]:
    """Yield each file and the parts of its name; raise InputError at anything that an honest zip does not have."""
    for info in archive.infolist():
        raw = info.filename.replace("\\", "/")
        parts = tuple(part for part in raw.split("/") if part not in ("", "."))
        if raw.startswith("/") or _DRIVE.match(raw) or ".." in parts:
            raise InputError(f"{name} holds {raw[:100]!r}, which would lie outside of it. Zip the folder again.")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{name} holds a link ({raw[:100]!r}); only files are taken. Zip the files themselves.")
        if info.is_dir() or not parts or _is_noise(parts):
            continue
        if info.flag_bits & 1:
            raise InputError(f"{name} is encrypted. Zip the folder without a password.")
        if len(parts) > _MAX_DEPTH:
            raise InputError(f"{name} has folders {len(parts) - 1} deep; at most {_MAX_DEPTH - 1}. Zip an inner one.")
        yield info, parts


def _is_noise(parts: Iterable[str]) -> bool:
    """Whether it is something that file managers leave behind."""
    return any(part.startswith(".") or part.lower() in _NOISE for part in parts)


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Iterator[bytes]:
    """Yield the bytes of a member: never more than it says it has, which is what was counted."""
    left = info.file_size
    try:
        with archive.open(info) as stream:
            while chunk := stream.read(min(_CHUNK_BYTES, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise zipfile.BadZipFile(f"{info.filename} is longer than it says")
                yield chunk
    except _DAMAGED as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> InputError:
    return InputError(f"{path.name} is damaged, or no zip that can be read here. Zip the folder again.")
