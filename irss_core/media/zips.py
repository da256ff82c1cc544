"""Unpacks a stranger's zip: pictures and clips in folders, nothing else, and nothing outside.

What would lie elsewhere, links, zips in the zip, too many files, too many bytes and bytes out of nearly nothing are
refused before anything is written. Of the names in it only cleaned parts become names of folders and files.
"""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from irss_core.errors import InputError
from irss_core.media.limits import CLIP_SUFFIXES, IMAGE_SUFFIXES

MAX_FILES = 500
ACCEPTED = IMAGE_SUFFIXES | CLIP_SUFFIXES
ZIP_SUFFIX = ".zip"
_MAX_DEPTH = 6
# Pictures and clips hardly shrink. Deflate makes at most 1032 times as much; a flat drawing as BMP may come near that,
# which is let pass below some size.
_MAX_RATIO, _RATIO_FROM_BYTES = 200, 64 * 1024 * 1024
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


@dataclass(frozen=True)
class Unpacked:
    """The pictures and clips of a zip, each by the name it has there and where it lies now, in the zip's order.

    ``left_out`` names the files that are neither.
    """

    files: tuple[tuple[str, Path], ...]
    left_out: tuple[str, ...]


def unpack(
    path: Path, target: Path, *, max_bytes: int, max_files: int = MAX_FILES, name: str | None = None
) -> Unpacked:
    """Write the pictures and clips of a zip below ``target`` and return them.

    Args:
        max_bytes: of all its files, unpacked.
        max_files: of any kind.
        name: what messages call the zip; by default the file's own name.

    Raises:
        InputError: damaged, encrypted, hostile, over a limit, or without a picture or clip.
    """
    shown = name or path.name
    _check_table(path, shown, max_files)
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise _damaged(shown) from error
    with archive:
        members = list(_members(archive, shown))
        _check_size(members, shown, packed_bytes=path.stat().st_size, max_bytes=max_bytes, max_files=max_files)
        wanted = [(info, parts) for info, parts in members if Path(parts[-1]).suffix.lower() in ACCEPTED]
        if not wanted:
            raise InputError(f"{shown} holds no picture and no clip. Zip the folder that has them.")
        places, files = Places(target), []
        for info, parts in wanted:
            place = places.file(parts)
            with place.open("xb") as file:
                for chunk in _content(archive, info, shown):
                    file.write(chunk)
            files.append((parts[-1], place))
    kept = {parts for _, parts in wanted}
    return Unpacked(tuple(files), tuple(parts[-1] for _, parts in members if parts not in kept))


class Places:
    """Names for files below ``root``: cleaned, and numbered where two would be the same on some file system."""

    def __init__(self, root: Path) -> None:
        self._folders: dict[Parts, Path] = {(): root}
        self._taken: dict[Path, set[str]] = {}

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
        return folder / free_name(name, self._taken.setdefault(folder, set()))


def free_name(name: str, taken: set[str]) -> str:
    """Return the name, numbered if one that some file system holds for the same is taken; it is taken then."""
    stem, suffix, number = Path(name).stem, Path(name).suffix, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem} ({number}){suffix}"
    taken.add(name.casefold())
    return name


def clean(name: str) -> str:
    """Return the name with letters, digits and a few signs only, no longer than a file system takes."""
    text = _UNSAFE.sub("_", unicodedata.normalize("NFC", name)).strip(". ")
    suffix = Path(text).suffix if len(Path(text).suffix) <= 10 else ""
    stem = text.removesuffix(suffix)[:_MAX_NAME].encode()[: 2 * _MAX_NAME].decode(errors="ignore")
    return f"{stem.strip()}{suffix}" or "_"


def _check_table(path: Path, name: str, max_files: int) -> None:
    """Refuse a file that is no zip, or whose table of contents alone would fill the memory."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - _END_BYTES - _END_64_BYTES - _MAX_COMMENT_BYTES, 0))
        tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise _damaged(name)
    (table_bytes,) = struct.unpack_from("<I", tail, at + 12)
    # Only archives of more than 65,535 files or 4 GB need the larger form, whose size would stand elsewhere.
    if table_bytes > _MAX_TABLE_BYTES or tail[max(at - _END_64_BYTES, 0) :].startswith(_END_64):
        raise InputError(f"{name} lists far more files than the {max_files} that are taken. Zip fewer.")


def _check_size(
    members: list[tuple[zipfile.ZipInfo, Parts]], name: str, *, packed_bytes: int, max_bytes: int, max_files: int
) -> None:
    """Refuse too many files, too many bytes, and bytes that come out of nearly nothing."""
    if len(members) > max_files:
        raise InputError(f"{name} holds {len(members)} files; at most {max_files} are taken. Zip fewer.")
    total = sum(info.file_size for info, _ in members)
    if total > max_bytes:
        raise InputError(f"{name} holds {total:,} bytes when unpacked; at most {max_bytes:,} are taken. Zip fewer.")
    if total > _RATIO_FROM_BYTES and total > _MAX_RATIO * packed_bytes:
        raise InputError(
            f"{name} has {packed_bytes:,} bytes and would become {total:,}, more than {_MAX_RATIO} times as much; "
            "pictures and clips hardly shrink. Hand the files in without a zip."
        )


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
        if Path(parts[-1]).suffix.lower() == ZIP_SUFFIX:
            raise InputError(f"{name} holds another zip ({parts[-1][:100]!r}). Unpack that one, and zip its files.")
        yield info, parts


def _is_noise(parts: Iterable[str]) -> bool:
    """Whether it is something that file managers leave behind."""
    return any(part.startswith(".") or part.lower() in _NOISE for part in parts)


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Iterator[bytes]:
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
        raise _damaged(name) from error


def _damaged(name: str) -> InputError:
    return InputError(f"{name} is damaged, or no zip that can be read here. Zip the folder again.")
