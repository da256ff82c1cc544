"""From what was typed to what is done: the files meant by names, patterns and folders, and where each result goes.

Everything is settled here before any work starts, so that a clash of names stops a batch at its beginning and not
after an hour. Nothing is decoded; whether a file is a still or a clip is asked of the caller's ``is_clip``.
"""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from irss_core.cli.wording import counted
from irss_core.errors import InputError, InvalidOptionError, IrssError

STILL_SUFFIXES = {
    "png": ".png",
    "jpeg": ".jpg",
    "webp": ".webp",
    "tiff": ".tif",
}
STILL_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"})
# What holds the sound of these as it is; H.264 and the sound of all others fit MP4.
_CLIP_SUFFIXES = {".m4v": ".m4v", ".mov": ".mov", ".mkv": ".mkv", ".webm": ".mkv"}
_RESULT_STEM = re.compile(r"(?P<stem>.+)_x\d+(?:\.\d+)?", re.DOTALL)


@dataclass(frozen=True)
class Source:
    """An input file, and the part of its path below the folder it was found in, kept below the output folder."""

    path: Path
    below: Path = Path()
    named: bool = True  # typed (or matched by a pattern) rather than found in a folder


@dataclass(frozen=True)
class Failure:
    """An input that is not done, and why."""

    path: Path
    error: IrssError | OSError


@dataclass(frozen=True)
class Found:
    """Every input file once, in the order given (folders by name), and the names that lead nowhere."""

    sources: tuple[Source, ...]
    failures: tuple[Failure, ...]
    several: bool  # a folder or more than one file was given, so that the output must be a folder
    earlier_results: int  # files left out because they are results of an earlier run into the same folder


@dataclass(frozen=True)
class Item:
    """One file to do: a still or a clip, and where its result goes."""

    source: Path
    target: Path
    clip: bool


@dataclass(frozen=True)
class Plan:
    """What a batch does, and what it cannot do already now."""

    items: tuple[Item, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Naming:
    """How results are named: NAME_x4.png and the like, by the scale of stills and of clips.

    ``still_format`` is one of STILL_SUFFIXES, or "keep" for the input's own where it can be written; None is PNG.
    """

    still_scale: float
    clip_scale: float
    still_format: str | None = None

    def result_name(self, source: Path, *, clip: bool) -> str:
        """Return the name of the result, for a folder of results."""
        scale = self.clip_scale if clip else self.still_scale
        return f"{source.stem}_x{scale:g}{self._suffix(source.suffix.lower(), clip=clip)}"

    def _suffix(self, suffix: str, *, clip: bool) -> str:
        if clip:
            return _CLIP_SUFFIXES.get(suffix, ".mp4")
        if self.still_format == "keep":
            return suffix if suffix in STILL_ENDINGS else ".png"
        return STILL_SUFFIXES[self.still_format or "png"]


def find_sources(names: Sequence[str], *, output: str, recursive: bool, suffixes: frozenset[str]) -> Found:
    """Return the input files meant by file names, patterns and folders.

    A folder stands for the files in it whose ending is in ``suffixes`` (with ``recursive`` also of its subfolders),
    without hidden ones and without what lies in the output folder below it. Where the output folder is the folder
    itself, NAME_x4.png beside NAME.jpg is an earlier result and no input.
    """
    sources: dict[str, Source] = {}
    failures: list[Failure] = []
    several = len(names) > 1
    earlier_results = 0
    for name in names:
        paths = _expand(name)
        if not paths:
            failures.append(Failure(Path(name), InputError("There is no such file or folder. Check the name.")))
        for path in paths:
            found = [Source(path)]
            if path.is_dir():
                several = True
                files, unreadable = _walk(path, output=Path(output), recursive=recursive, suffixes=suffixes)
                kept = _without_results(files) if _place(path) == _place(Path(output)) else files
                earlier_results += len(files) - len(kept)
                failures += unreadable
                if not kept and not unreadable:
                    failures.append(Failure(path, InputError(_empty_folder_text(recursive=recursive))))
                found = [Source(file, file.parent.relative_to(path), named=False) for file in kept]
            for source in found:
                sources.setdefault(os.path.abspath(source.path), source)  # noqa: PTH100 - resolve() follows links
    return Found(tuple(sources.values()), tuple(failures), several or len(sources) > 1, earlier_results)


def plan_batch(found: Found, output: str, *, naming: Naming, is_clip: Callable[[Path], bool]) -> Plan:
    """Return where every result goes; files that are neither still nor clip come back as failures.

    Raises:
        InvalidOptionError: the output cannot be what it was given as, two results would have one name, or a result
            would replace an input.
    """
    items: list[Item] = []
    failures = list(found.failures)
    folder = _is_folder(output, several=found.several)
    for source in found.sources:
        try:
            clip = is_clip(source.path)
        except (IrssError, OSError) as error:
            failures.append(Failure(source.path, error))
            continue
        if folder:
            target = Path(output) / source.below / naming.result_name(source.path, clip=clip)
        else:
            target = Path(output)
            _check_single_target(target, clip=clip, still_format=naming.still_format)
        items.append(Item(source.path, target, clip))
    _check_targets(items)
    return Plan(tuple(items), tuple(failures))


def clip_endings() -> frozenset[str]:
    """Return the endings of the clips that can be written."""
    from irss_core.media.video import OUTPUT_SUFFIXES

    return frozenset(OUTPUT_SUFFIXES)


def _expand(name: str) -> list[Path]:
    """Return the file or folder of that name, else what the pattern matches (a shell may not have expanded it)."""
    path = Path(name)
    if path.exists() or not glob.has_magic(name):
        return [path] if path.exists() else []
    return [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207 - may be absolute


def _walk(folder: Path, *, output: Path, recursive: bool, suffixes: frozenset[str]) -> tuple[list[Path], list[Failure]]:
    """Return a folder's media files, by name and the subfolders' after them, and the folders that cannot be read."""
    files: list[Path] = []
    failures: list[Failure] = []

    def unreadable(error: OSError) -> None:
        failures.append(Failure(Path(error.filename or folder), error))

    for place, subfolders, names in os.walk(folder, onerror=unreadable):
        here = Path(place)
        wanted = [] if not recursive else sorted(name for name in subfolders if not name.startswith("."))
        subfolders[:] = [name for name in wanted if _place(here / name) != _place(output)]
        files += [
            here / name for name in sorted(names) if not name.startswith(".") and Path(name).suffix.lower() in suffixes
        ]
    return files, failures


def _without_results(files: Sequence[Path]) -> list[Path]:
    """Return the files without those named as results of another one beside them, as NAME_x4.png is of NAME.jpg."""
    stems = {(path.parent, path.stem) for path in files}
    kept = []
    for path in files:
        result = _RESULT_STEM.fullmatch(path.stem)
        if result is None or (path.parent, result["stem"]) not in stems:
            kept.append(path)
    return kept


def _empty_folder_text(*, recursive: bool) -> str:
    where = "in it or below it" if recursive else "directly in it (--recursive looks into subfolders too)"
    return f"The folder has no pictures or clips {where}."


def _is_folder(output: str, *, several: bool) -> bool:
    """Return whether the output is a folder to put results in rather than the one result's own name."""
    path = Path(output)
    if path.is_dir() or output.endswith(("/", os.sep)):
        return True
    if path.exists() and several:
        raise InvalidOptionError(f"{output} is a file, but several inputs need a folder. Give one with -o.")
    suffix = path.suffix.lower()
    is_media = suffix in STILL_ENDINGS | clip_endings()
    if several and is_media:
        raise InvalidOptionError(
            f"{output} looks like one file, but there are several inputs. "
            f"Give a folder, or {output}/ if the folder is really called so."
        )
    return several or not (suffix or path.exists())


def _check_single_target(target: Path, *, clip: bool, still_format: str | None) -> None:
    kind, allowed = ("clip", clip_endings()) if clip else ("still picture", STILL_ENDINGS)
    suffix = target.suffix.lower()
    if suffix not in allowed:
        raise InvalidOptionError(
            f"{target} cannot hold the result: the input is a {kind}, which is written as one of "
            f"{', '.join(sorted(allowed))}. Change the ending, or give a folder (ending in /)."
        )
    if not clip and still_format in STILL_SUFFIXES and not suffix.startswith(STILL_SUFFIXES[still_format][:3]):
        raise InvalidOptionError(
            f"{target} and --format {still_format} contradict each other. Leave --format out: "
            "a file's ending says its format."
        )


def _check_targets(items: Sequence[Item]) -> None:
    """Raise InvalidOptionError if results would replace each other or an input."""
    by_target: dict[str, Item] = {}
    clashes = []
    for item in items:
        other = by_target.setdefault(_place(item.target), item)
        if other is not item:
            clashes.append(f"{other.source} and {item.source} (both {item.target})")
    if clashes:
        more = f", and {counted(len(clashes) - 1, 'more pair')}" if len(clashes) > 1 else ""
        raise InvalidOptionError(
            f"Two inputs would be written to the same file: {clashes[0]}{more}. Nothing was done. "
            "Run them into different folders, or give --format keep if only their endings differ."
        )
    sources = {_place(item.source) for item in items}
    for item in items:
        if _place(item.target) in sources:
            raise InvalidOptionError(
                f"{item.target} is an input and would be replaced by the result of "
                f"{item.source}. Nothing was done. Choose another output."
            )


def _place(path: Path) -> str:
    """Return a text that is equal for two spellings of one place, links resolved."""
    place = os.path.realpath(path)
    return place.casefold() if sys.platform in {"win32", "darwin"} else place
