"""What a visitor measures on: uploaded pictures and clips, or a zip of a data set, as a folder of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from irss_core.bench.dataset import Dataset, Kind, Limits, brings_inputs, find_samples
from irss_core.errors import InputError
from irss_core.media.images import IMAGE_SUFFIXES, read_header
from irss_core.media.zips import ACCEPTED, MAX_FILES, ZIP_SUFFIX, Places, clean, unpack
from irss_core.ui.sessions import link_or_copy

_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class UploadedSet:
    """A set in ``root``. ``name`` is what the results call it; ``left_out`` names files that are no picture or clip."""

    root: Path
    name: str
    left_out: tuple[str, ...] = ()

    @property
    def has_inputs(self) -> bool:
        """Whether it brings the small pictures that the models enlarge."""
        return brings_inputs(self.root)


def take_uploads(files: Sequence[Path], folder: Path, *, limits: Limits, max_bytes: int) -> UploadedSet:
    """Return the files as a set below ``folder``: pictures and clips as they are, or one zip unpacked.

    Args:
        folder: an empty folder of the visitor's.
        max_bytes: what all files together may have, unpacked.

    Raises:
        InputError: nothing that can be measured, a zip beside others, too much, or a zip that is damaged or hostile.
    """
    zips = [path for path in files if path.suffix.lower() == ZIP_SUFFIX]
    if zips and len(files) > 1:
        raise InputError(f"{zips[0].name} is a whole data set. Give it alone, or give pictures and clips only.")
    if zips:
        root = folder / clean(zips[0].stem)
        left_out = unpack(zips[0], root, max_bytes=max_bytes).left_out
        return UploadedSet(_without_wrapper(root, limits), root.name, left_out)
    _check(files, max_bytes)
    root = folder / (clean(files[0].stem) if len(files) == 1 else f"{len(files)} uploaded files")
    places = Places(root)
    for path in files:
        link_or_copy(path, places.file((path.name,)))
    return UploadedSet(root, root.name)


def samples_of(uploaded: UploadedSet, *, kinds: Sequence[Kind], limits: Limits) -> Dataset:
    """Return what is to be measured of a set under a protocol for these kinds.

    Raises:
        InputError: there is nothing; the words name the set, and no folder of the server.
    """
    try:
        return find_samples(uploaded.root, kinds=kinds, inputs_only=uploaded.has_inputs, limits=limits)
    except InputError as error:
        raise InputError(str(error).replace(str(uploaded.root), uploaded.name)) from None


def describe(dataset: Dataset) -> str:
    """Return in words what was found: "4 stills and 1 clip of 12 frames, up to 256 x 256"."""
    stills = sum(sample.kind == "still" for sample in dataset.samples)
    counts = [sample.footage.frame_count for sample in dataset.samples if sample.kind == "clip"]
    parts = []
    if stills:
        parts.append("1 still" if stills == 1 else f"{stills} stills")
    if counts:
        frames = sum(count or 0 for count in counts)
        parts.append("1 clip" if len(counts) == 1 else f"{len(counts)} clips")
        parts[-1] += f" of {frames} frame{'s' if frames > 1 else ''}" if all(counts) else ""
        parts[-1] += " in all" if all(counts) and len(counts) > 1 else ""
    sizes = {(sample.footage.width, sample.footage.height) for sample in dataset.samples}
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return f"{' and '.join(parts)}, {'up to ' if len(sizes) > 1 else ''}{width} x {height}"


def _check(files: Sequence[Path], max_bytes: int) -> None:
    """Raise InputError at a file that is neither a picture nor a clip, and at too many or too much."""
    strange = next((path for path in files if path.suffix.lower() not in ACCEPTED), None)
    if strange is not None:
        raise InputError(
            f"{strange.name} is neither a picture nor a clip. Give pictures (PNG, JPEG, WebP, TIFF …), clips "
            "(MP4, MOV, GIF …), or one zip of a data set."
        )
    if len(files) > MAX_FILES:
        raise InputError(f"These are {len(files)} files; at most {MAX_FILES} are taken at once. Give fewer.")
    if (total := sum(path.stat().st_size for path in files)) > max_bytes:
        raise InputError(f"These files have {total:,} bytes; at most {max_bytes:,} are taken at once. Give fewer.")


def _without_wrapper(root: Path, limits: Limits) -> Path:
    """Return the folder the data set begins in: a zip often holds one folder that holds everything.

    A lone folder of pictures is a clip if they look like its frames, and else a folder around stills.
    """
    while True:
        entries = list(root.iterdir())
        if len(entries) != 1 or not entries[0].is_dir() or brings_inputs(root):
            return root
        inner = entries[0]
        pictures = [path for path in inner.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
        if _are_frames(pictures, limits) and all(path.is_file() for path in inner.iterdir()):
            return root
        root = inner


def _are_frames(pictures: Sequence[Path], limits: Limits) -> bool:
    """Whether there are several, with names that differ in a number only, all of one size."""
    if len(pictures) < 2 or len({_DIGITS.sub("0", path.stem) for path in pictures}) > 1:
        return False
    try:
        headers = [read_header(path, limits.still) for path in pictures]
    except InputError:
        return False
    return len({(header.width, header.height) for header in headers}) == 1
