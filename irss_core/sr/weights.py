"""Finds the weights of a model: a path the user gave, the cache, an installed package, the files shipped, the network.

Whatever comes from outside is used only if its SHA-256 is the one in the catalog. Nothing is ever left half-written
under its final name, and several processes may look for the same file at once. No torch here: a program that only
lists or fetches models does not load it.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import logging
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import httpx
from filelock import FileLock, Timeout

from irss_core.errors import WeightsCorruptError, WeightsUnavailableError
from irss_core.progress import CancelToken, ProgressCallback, ProgressMeter
from irss_core.sr.catalog import ModelSpec, PackagedNcnn, WeightFile

MAX_DOWNLOAD_BYTES = 1024**3

_TIMEOUT = httpx.Timeout(20.0, connect=10.0)
_LOCK_POLL_S = 0.2
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")

_log = logging.getLogger(__name__)
_stand_ins: dict[Path, Path] = {}  # private folders in the place of cache folders that cannot be written


@dataclass(frozen=True)
class ResolvedWeights:
    """Files that are here and verified: one path and SHA-256 for each file of the model, and where they came from."""

    paths: tuple[Path, ...]
    source: str
    sha256: tuple[str, ...]


@dataclass(frozen=True)
class WeightsStatus:
    """Whether a model could run right now without the network, from where, and how large its files are if known."""

    available: bool
    where: str
    size_bytes: int | None


def resolve_weights(
    spec: ModelSpec,
    *,
    cache_dir: Path,
    weights_path: Path | None = None,
    offline: bool = False,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> ResolvedWeights:
    """Return the model's weight files, fetching or converting them into ``cache_dir`` if need be.

    Looks, in this order, at ``weights_path`` (taken as it is), the cache, the installed package, the files shipped
    with IRSS, and the publisher's URL. If ``cache_dir`` cannot be written, a private temporary folder that lives as
    long as the process takes its place, and ``source`` says so.

    Raises:
        WeightsUnavailableError: they are not on this machine and cannot be fetched; the message says what to do.
        WeightsCorruptError: a file that is there has another SHA-256 than the catalog's.
        CancelledError: ``cancel`` was thrown; a download goes on from there next time.
    """
    if weights_path is not None:
        return _resolve_users_own(Path(weights_path))
    title, remedy = f"The weights of {spec.name!r}", f"Run `irss models fetch {spec.name}` with downloads on"
    found = [
        _Search(title, remedy, file, Path(cache_dir), offline, progress=progress, cancel=cancel).run()
        for file in spec.files
    ]
    sources = dict.fromkeys(weights.source for weights in found)
    return ResolvedWeights(
        paths=tuple(weights.path for weights in found),
        source="; ".join(sources) or "no weights needed",
        sha256=tuple(weights.sha256 for weights in found),
    )


def resolve_file(
    file: WeightFile,
    *,
    title: str,
    remedy: str,
    cache_dir: Path,
    offline: bool = False,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> ResolvedWeights:
    """Return one file that belongs to no model of the catalog, found or fetched as ``resolve_weights`` does.

    ``title`` begins the messages ("The weights of …"), ``remedy`` ("Run … with downloads on") is their advice where
    downloads are off. Raises as ``resolve_weights`` does.
    """
    found = _Search(title, remedy, file, Path(cache_dir), offline, progress=progress, cancel=cancel).run()
    return ResolvedWeights((found.path,), found.source, (found.sha256,))


def weights_status(spec: ModelSpec, *, cache_dir: Path) -> WeightsStatus:
    """Return where the model's weights are, by looking at file names only: nothing is read, converted or fetched."""
    if not spec.files:
        return WeightsStatus(available=True, where="no weights needed", size_bytes=0)
    places = [_whereabouts(file, Path(cache_dir)) for file in spec.files]
    first = places[0]
    if first is None:
        sizes = [file.size_bytes for file in spec.files]
        total = sum(size for size in sizes if size is not None) if None not in sizes else None
        return WeightsStatus(available=False, where="not here yet; can be downloaded", size_bytes=total)
    where = first[0]
    if None in places:
        where += "; the second file, which a denoise strength below 1 needs, is not here yet"
    return WeightsStatus(available=True, where=where, size_bytes=sum(place[1] for place in places if place is not None))


# -- One file ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    path: Path
    source: str
    sha256: str


def _resolve_users_own(path: Path) -> ResolvedWeights:
    if not _is_file(path):
        raise WeightsUnavailableError(f"There is no file {path}. Give the path of a .pth, .safetensors or ncnn file.")
    try:
        return ResolvedWeights((path,), str(path), (sha256_of(path),))
    except OSError as exc:
        raise WeightsUnavailableError(f"{path} cannot be read: {exc.strerror}.") from exc


@dataclass
class _Search:
    """The search for one file; ``faults`` gathers what was wrong with each place, for the final message."""

    title: str
    remedy: str
    file: WeightFile
    cache_dir: Path
    offline: bool
    progress: ProgressCallback | None
    cancel: CancelToken | None
    faults: list[str] = field(default_factory=list)

    def run(self) -> _Found:
        """Return the file from the first place that has it."""
        try:
            found = self._here()
            if found is not None:
                return found
            if self.offline or self.file.url is None:
                raise self._unavailable()
            return self._fetched()
        except OSError as exc:
            raise WeightsUnavailableError(
                f"{self.title} cannot be had: {exc.filename or self.file.filename}: {exc.strerror}. "
                "Make the folder readable and writable with room for them, or set IRSS_CACHE_DIR to another one."
            ) from exc

    def _here(self) -> _Found | None:
        return self._in_cache() or self._in_package() or self._shipped()

    def _in_cache(self) -> _Found | None:
        """Return the publisher's file from the cache; refuse another file under its name."""
        for folder in _cache_folders(self.cache_dir):
            path = folder / self.file.filename
            if not _is_file(path):
                continue
            actual = sha256_of(path)
            if actual == self.file.sha256:
                return _Found(path, f"{self.file.filename} in the cache, verified", actual)
            if _recorded_sha256(path) is None:  # not fetched by us: somebody's file, not ours to replace
                raise WeightsCorruptError(
                    f"{path} is not the published file: its SHA-256 is {actual}, expected {self.file.sha256}"
                    f"{_aside(looks_like(_head(path)))}. Delete it, or give your own weights as a path instead."
                )
            self.faults.append(f"the copy in the cache, {path}, is damaged")
        return None

    def _in_package(self) -> _Found | None:
        """Return the file of an installed package, converted once into the cache."""
        packaged = self.file.ncnn
        if packaged is None:
            return None
        source, name = f"package {packaged.package}, converted", _converted_name(packaged)
        for folder in _cache_folders(self.cache_dir):
            if converted := _intact(folder / name):
                return _Found(folder / name, source, converted)
        pair = _packaged_pair(packaged)
        if pair is None:
            self.faults.append(f"the package {packaged.package} is not installed or lacks its models")
            return None
        for part, expected in zip(pair, (packaged.param_sha256, packaged.bin_sha256), strict=True):
            if sha256_of(part) != expected:
                self.faults.append(f"{part} of the package {packaged.package} is damaged or of another version")
                return None
        folder, note = _writable_folder(self.cache_dir)
        with _locked(folder, name, self.cancel):
            digest = _intact(folder / name) or _convert(pair, folder / name)
        return _Found(folder / name, source + note, digest)

    def _shipped(self) -> _Found | None:
        """Return the file that comes with IRSS itself."""
        if self.file.vendored is None:
            return None
        path = _shipped_path(self.file.vendored)
        if path is None or not _is_file(path):
            self.faults.append(f"{self.file.vendored}, which comes with IRSS, is missing")
            return None
        actual = sha256_of(path)
        if actual == self.file.sha256:
            return _Found(path, f"{self.file.vendored}, which comes with IRSS", actual)
        message = f"{path} is damaged: its SHA-256 is {actual}, expected {self.file.sha256}"
        if self.file.url is None:
            raise WeightsCorruptError(f"{message}. Install IRSS again, or restore the file from its repository.")
        self.faults.append(message)
        return None

    def _fetched(self) -> _Found:
        folder, note = _writable_folder(self.cache_dir)
        with _locked(folder, self.file.filename, self.cancel):
            if found := self._here():  # another process fetched it while this one waited
                return found
            path = folder / self.file.filename
            download(self.file, path, progress=self.progress, cancel=self.cancel)
        return _Found(path, f"{self.file.url}{note}", self.file.sha256)

    def _unavailable(self) -> WeightsUnavailableError:
        what = f"{self.title} ({self.file.filename}) are not on this machine"
        reasons = f" ({'; '.join(self.faults)})" if self.faults else ""
        if self.file.url is None:
            return WeightsUnavailableError(f"{what}{reasons}. Install IRSS again: they come with it.")
        return WeightsUnavailableError(
            f"{what}{reasons}, and downloads are switched off. {self.remedy}, "
            f"or download {self.file.url} yourself and put it into {self.cache_dir} as {self.file.filename}."
        )


def _whereabouts(file: WeightFile, cache_dir: Path) -> tuple[str, int] | None:
    """Return where the file is and its size, without reading it; None if it is nowhere on this machine."""
    folders = _cache_folders(cache_dir)
    candidates: list[tuple[str, Path | None]] = [("in the cache", folder / file.filename) for folder in folders]
    if file.ncnn is not None:
        pair = _packaged_pair(file.ncnn)
        candidates += [("in the cache, converted", folder / _converted_name(file.ncnn)) for folder in folders]
        candidates.append((f"in the package {file.ncnn.package}", pair[1] if pair else None))
    if file.vendored is not None:
        candidates.append(("comes with IRSS", _shipped_path(file.vendored)))
    for where, path in candidates:
        if path is not None and _is_file(path):
            return where, _size(path)
    return None


# -- The installed package and the shipped files -----------------------------------------------------------------------


def package_folder(package: str) -> Path | None:
    """Return the folder of an installed top-level package without importing it, which may start a GPU driver."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    locations = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(locations))) if locations else None


def _packaged_pair(packaged: PackagedNcnn) -> tuple[Path, Path] | None:
    folder = package_folder(packaged.package)
    if folder is None:
        return None
    stem = folder / packaged.stem
    pair = stem.with_name(f"{stem.name}.param"), stem.with_name(f"{stem.name}.bin")
    return pair if all(map(_is_file, pair)) else None


def _shipped_path(vendored: str) -> Path | None:
    folder = package_folder("vendor")
    return folder.parent / vendored if folder is not None else None


def _converted_name(packaged: PackagedNcnn) -> str:
    """Return the conversion's file name; it changes with the source, so a new package version is converted anew."""
    return f"{PurePosixPath(packaged.stem).name}-{packaged.bin_sha256[:8]}.safetensors"


def _intact(path: Path) -> str | None:
    """Return the SHA-256 of a file we made, or None if it is not there or no longer what it was."""
    recorded = _recorded_sha256(path)
    return recorded if recorded is not None and _is_file(path) and sha256_of(path) == recorded else None


def _convert(pair: tuple[Path, Path], path: Path) -> str:
    """Write the pair as safetensors to ``path``, in the precision it has, and return the file's SHA-256."""
    from safetensors import numpy as safetensors_numpy

    from irss_core.sr import ncnn

    content = safetensors_numpy.save(ncnn.read_state_dict(*pair))
    digest = hashlib.sha256(content).hexdigest()
    _write_atomically(path, content)
    _record_sha256(path, digest)
    if _intact(path) != digest:
        raise WeightsCorruptError(f"{path} reads back differently than it was written: is the disk failing?")
    return digest


# -- Download ----------------------------------------------------------------------------------------------------------


def download(
    file: WeightFile,
    target: Path,
    *,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> None:
    """Fetch ``file.url`` to ``target``, verified; goes on from where an earlier call stopped, if the server can.

    What has come so far is kept beside ``target``, ending in ``.part``. Progress counts the bytes still to come.

    Raises:
        WeightsUnavailableError: the server cannot be reached, refuses, or gives a web page instead.
        WeightsCorruptError: the whole file came, and its SHA-256 is another.
        CancelledError: ``cancel`` was thrown.
    """
    part = target.with_name(f"{target.name}.part")
    transfer = _Transfer(file, part, progress, cancel)
    resumed = _is_file(part)
    if not resumed or sha256_of(part) != file.sha256:
        transfer.run()
    if resumed and sha256_of(part) != file.sha256:  # what was kept may have been of another file
        part.unlink()
        transfer.run()
    actual = sha256_of(part)
    if actual != file.sha256:
        looks = _aside(looks_like(_head(part)))
        part.unlink()
        raise WeightsCorruptError(
            f"{file.url} gave another file than published: its SHA-256 is {actual}, expected {file.sha256}{looks}. "
            "It was not kept. If this happens again, something between here and the server changes the file."
        )
    part.replace(target)
    _record_sha256(target, actual)


@dataclass(frozen=True)
class _Transfer:
    """Brings ``part`` to its full length over HTTP."""

    file: WeightFile
    part: Path
    progress: ProgressCallback | None
    cancel: CancelToken | None

    def run(self) -> None:
        """Fetch what is missing; a lost connection is taken up again as long as that gets further."""
        reached = _size(self.part)
        while True:
            try:
                with httpx.Client(follow_redirects=True, timeout=_TIMEOUT) as client:
                    self._fetch_rest(client)
                return
            except httpx.TransportError as exc:
                if _size(self.part) <= reached:
                    raise self._unavailable(str(exc) or type(exc).__name__) from exc
                reached = _size(self.part)
                _log.warning("The download of %s stopped at %d bytes (%s); going on.", self.part.name, reached, exc)
            except httpx.HTTPStatusError as exc:
                raise self._unavailable(f"the server answered HTTP {exc.response.status_code}") from exc
            except (httpx.HTTPError, httpx.InvalidURL) as exc:
                raise self._unavailable(str(exc)) from exc

    def _fetch_rest(self, client: httpx.Client) -> None:
        offset = _size(self.part)
        # A compressed transfer would make byte counts and ranges mean something else.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        with client.stream("GET", str(self.file.url), headers=headers) as response:
            if offset and _continues_elsewhere(response, offset):
                self.part.unlink()
                self._fetch_rest(client)
                return
            response.raise_for_status()
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise self._unavailable("it gave a web page instead of the file; is there a login page in between?")
            self._store(response, offset if response.status_code == httpx.codes.PARTIAL_CONTENT else 0)

    def _store(self, response: httpx.Response, offset: int) -> None:
        length = response.headers.get("Content-Length", "")
        total = self.file.size_bytes or (offset + int(length) if length.isdecimal() else None)
        left = total - offset if total is not None else None
        limit = self.file.size_bytes or MAX_DOWNLOAD_BYTES
        meter = ProgressMeter(left, "bytes", callback=self.progress, cancel=self.cancel)
        meter.check()
        with self.part.open("r+b" if offset else "wb") as output:
            output.seek(offset)
            for chunk in response.iter_bytes():
                output.write(chunk)
                if output.tell() > limit:
                    break
                meter.advance(len(chunk))
            output.flush()
            os.fsync(output.fileno())
        size = _size(self.part)
        if size > limit:
            self.part.unlink()
            raise WeightsCorruptError(
                f"{self.file.url} sends more than the {limit:,} bytes it should have: it is another file. "
                "It was not kept."
            )
        if total is not None and size < total:
            raise httpx.ReadError("the connection closed before the end")

    def _unavailable(self, reason: str) -> WeightsUnavailableError:
        kept = _size(self.part)
        return WeightsUnavailableError(
            f"{self.file.filename} could not be downloaded from {self.file.url}: {reason}."
            + (f" {kept:,} bytes are kept, and the next try goes on from there." if kept else "")
            + f" Try again later, or download it yourself and put it into {self.part.parent} as {self.file.filename}."
        )


def _continues_elsewhere(response: httpx.Response, offset: int) -> bool:
    """Whether the server has nothing at ``offset``, or sends a part that does not begin there."""
    if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        return True
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return False
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    return match is None or int(match[1]) != offset


# -- Files -------------------------------------------------------------------------------------------------------------


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file's bytes, in lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a folder that may not be looked into counts as having none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _record_sha256(path: Path, digest: str) -> None:
    """Note beside the file, as sha256sum does, what we made: so that damage is told from somebody's own file."""
    _write_atomically(_record_path(path), f"{digest}  {path.name}\n".encode())


def _recorded_sha256(path: Path) -> str | None:
    try:
        return _record_path(path).read_text(encoding="ascii").split()[0]
    except (OSError, ValueError, IndexError):
        return None


def _write_atomically(path: Path, content: bytes) -> None:
    # Not tempfile: its files are the owner's alone, and a cache filled at build time is read by another user.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _writable_folder(cache_dir: Path) -> tuple[Path, str]:
    """Return the cache folder and nothing to say, or a private temporary one and a note that says why."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache_dir):
            return cache_dir, ""
    except OSError as exc:
        _log.warning("%s cannot be written (%s); weights go into a temporary folder.", cache_dir, exc.strerror)
        note = ", in a temporary folder because the cache folder cannot be written; IRSS_CACHE_DIR sets another"
        return _stand_in(cache_dir), note


def _cache_folders(cache_dir: Path) -> tuple[Path, ...]:
    """Return where cached files are looked for: the cache folder, and what stands in for it if anything does."""
    return tuple(folder for folder in (cache_dir, _stand_ins.get(cache_dir)) if folder is not None)


def _stand_in(cache_dir: Path) -> Path:
    """Return a private folder that takes the cache's place as long as this process runs."""
    if cache_dir not in _stand_ins:
        folder = Path(tempfile.mkdtemp(prefix="irss-weights-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _stand_ins.setdefault(cache_dir, folder)
    return _stand_ins[cache_dir]


@contextmanager
def _locked(folder: Path, name: str, cancel: CancelToken | None) -> Iterator[None]:
    """Hold the file's lock: one process fetches or converts it, the others wait and then find it."""
    lock = FileLock(folder / f".{name}.lock")
    while True:
        try:
            lock.acquire(timeout=_LOCK_POLL_S)
            break
        except Timeout:
            if cancel is not None:
                cancel.raise_if_cancelled()
    try:
        yield
    finally:
        lock.release()


def _size(path: Path) -> int:
    return path.stat().st_size if _is_file(path) else 0


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _aside(looks: str | None) -> str:
    return f"; it looks like {looks}" if looks else ""


# -- What a file looks like --------------------------------------------------------------------------------------------

_MISHAPS = (
    (b"<!doctype html", "an HTML page: the download gave a web page instead of the file"),
    (b"<html", "an HTML page: the download gave a web page instead of the file"),
    (b"version https://git-lfs", "a Git LFS pointer: the download gave a note of where the file is, not the file"),
)
_KINDS = (
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"GGUF", "a GGUF language model"),
    (0, b"\x89HDF", "an HDF5 file (Keras or TensorFlow)"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"\xdd\x85\x76\x00", "a binary ncnn .param (the text form is needed)"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a Windows program"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (8, b"WEBP", "a WebP picture"),
    (4, b"ftyp", "a video or AVIF picture"),
    (0, b"%PDF", "a PDF document"),
)


def download_mishap(data: bytes) -> str | None:
    """Return what went wrong with a download, if these first bytes show it: nothing came, or a page instead."""
    if not data:
        return "an empty file"
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((what for magic, what in _MISHAPS if start.startswith(magic)), None)


def looks_like(data: bytes) -> str | None:
    """Return in words what kind of file begins with these bytes, or None if they tell nothing."""
    if mishap := download_mishap(data):
        return mishap
    for offset, magic, what in _KINDS:
        if data.startswith(magic, offset):
            return what
    if data[:1] == b"\x08" and any(word in data[:256] for word in (b"pytorch", b"onnx", b"tf2onnx")):
        return "an ONNX model"
    start = data[:512]
    if start.isascii() and all(byte >= 0x20 or byte in b"\t\r\n\f" for byte in start):
        return "a text file"
    return None
