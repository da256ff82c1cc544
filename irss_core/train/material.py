"""The material of a training run, decoded once and held on the device, and batches drawn from it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from irss_core.errors import InputError
from irss_core.media.images import IMAGE_SUFFIXES, read_image, to_rgb8
from irss_core.progress import CancelToken, ProgressCallback, ProgressMeter
from irss_core.sr.resample import resize
from irss_core.train.degradation import BD_MARGIN
from irss_core.train.footage import (
    SHARP_FROM,
    clip_frames,
    frame_files,
    halve,
    sharpness,
    uncut_runs,
)
from irss_core.train.sampler import Batch, Degradation, Sampler

__all__ = ["MAX_PHOTO_SIDE", "Batch", "Degradation", "Material", "Sampler", "Source", "load_material"]

MAX_PHOTO_SIDE = 1280


class Source(NamedTuple):
    """A file that is learnt from: its name, its licence, and where it came from."""

    file: str
    licence: str
    source: str


@dataclass(frozen=True, eq=False)
class Material:
    """Everything that is learnt from, on one device.

    Args:
        photos: 3 x H x W uint8 RGB each. runs: frames without a cut, T x 3 x H x W uint8 each.
        sources: the files used. notes: sentences on what was left out, halved or made smaller.
    """

    photos: tuple[Tensor, ...]
    runs: tuple[Tensor, ...]
    sources: tuple[Source, ...]
    notes: tuple[str, ...]
    device: torch.device

    @property
    def size_bytes(self) -> int:
        """Bytes held on the device."""
        return sum(each.nbytes for each in (*self.photos, *self.runs))


def load_material(
    photos: Sequence[Path],
    clips: Sequence[Path],
    *,
    device: torch.device | str,
    size_hr: int,
    limit: int | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> Material:
    """Return photographs and clips, decoded, as uint8 on the device.

    What cannot be read, is too small for ``size_hr``, or is no picture or clip is left out and named in the notes.
    Photographs of more than 1280 pixels a side are made smaller; soft clips are halved. Licences are those of a table
    (``NAME.tsv`` beside the folder ``NAME``; columns file, licence, source), else "unknown".

    Args:
        photos: picture files, or folders of them. clips: video files, folders of frames, or folders of either.
        size_hr: the side of the crops that will be asked for. limit: at most so many photographs, and so many clips.

    Raises:
        InputError: a path does not exist, or nothing can be used.
        CancelledError: asked for.
    """
    photo_files, clip_files = list(_photo_files(photos))[:limit], list(_clip_files(clips))[:limit]
    loader = _Loader(torch.device(device), size_hr + 2 * BD_MARGIN, cancel)
    meter = ProgressMeter(len(photo_files) + len(clip_files), "files", callback=progress, cancel=cancel)
    for path in photo_files:
        loader.add_photo(path)
        meter.advance()
    for path in clip_files:
        loader.add_clip(path)
        meter.advance()
    material = loader.material()
    if not material.photos and not material.runs:
        raise InputError(
            f"There is nothing to learn from in {len(photo_files)} photographs and {len(clip_files)} clips. "
            f"{' '.join(material.notes[:5])} Give folders of pictures of at least {loader.needed} pixels a side."
        )
    return material


class _Loader:
    """Takes in files one after the other, and notes what becomes of them."""

    def __init__(self, device: torch.device, needed: int, cancel: CancelToken | None) -> None:
        self.needed = needed
        self._device, self._cancel = device, cancel
        self._photos: list[Tensor] = []
        self._runs: list[Tensor] = []
        self._sources: list[Source] = []
        self._notes: list[str] = []
        self._small = 0
        self._tables: dict[Path, dict[str, Source]] = {}

    def material(self) -> Material:
        """Return what was taken in."""
        counted = f"{self._small} photographs are left out: their shorter side is under {self.needed} pixels."
        notes = [*([counted] if self._small else []), *self._notes]
        return Material(tuple(self._photos), tuple(self._runs), tuple(self._sources), tuple(notes), self._device)

    def add_photo(self, path: Path) -> None:
        """Take in a photograph, or note why not."""
        try:
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                raise InputError(f"{path.name} is not a picture.")
            pixels = to_rgb8(read_image(path))
        except (InputError, OSError) as error:
            self._notes.append(f"Left out: {error}")
            return
        height, width = pixels.shape[:2]
        ratio = min(1.0, MAX_PHOTO_SIDE / max(height, width))
        height, width = round(height * ratio), round(width * ratio)
        if min(height, width) < self.needed:
            self._small += 1
            return
        self._photos.append(torch.from_numpy(resize(pixels, height=height, width=width).transpose(2, 0, 1).copy()))
        self._photos[-1] = self._photos[-1].to(self._device)
        self._sources.append(self._source(path))

    def add_clip(self, path: Path) -> None:
        """Take in a clip, or note why not."""
        try:
            runs = uncut_runs(clip_frames(path), cancel=self._cancel)
        except (InputError, OSError) as error:
            self._notes.append(f"Left out: {error}")
            return
        if not runs:
            self._notes.append(f"Left out: {path.name} has no stretch of frames without a cut that is long enough.")
            return
        share = sharpness(runs)
        if share < SHARP_FROM:
            self._notes.append(f"{path.name} is soft ({share:.3f}, under {SHARP_FROM}) and was halved.")
            runs = [halve(run) for run in runs]
        height, width = runs[0].shape[-2:]
        if min(height, width) < self.needed:
            self._notes.append(f"Left out: {path.name}, {width}x{height}, is under {self.needed} pixels.")
            return
        self._runs += [run.to(self._device) for run in runs]
        self._sources.append(self._source(path))

    def _source(self, path: Path) -> Source:
        folder = path.parent
        if folder not in self._tables:
            self._tables[folder] = _licences(folder.with_name(folder.name + ".tsv"))
        return self._tables[folder].get(path.name, Source(path.name, "unknown", "unknown"))


def _photo_files(given: Sequence[Path]) -> Iterator[Path]:
    """Yield every file given, and every visible one in the folders given."""
    for path in map(Path, given):
        _check_there(path)
        yield from _visible(path) if path.is_dir() else (path,)


def _clip_files(given: Sequence[Path]) -> Iterator[Path]:
    """Yield videos and folders of frames: those given, and those in given folders that hold no frames themselves."""
    for path in map(Path, given):
        _check_there(path)
        if not path.is_dir() or frame_files(path):
            yield path
            continue
        for each in sorted(path.iterdir()):
            if not each.name.startswith(".") and (each.is_file() or frame_files(each)):
                yield each


def _visible(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_file() and not each.name.startswith("."))


def _check_there(path: Path) -> None:
    if not path.exists():
        raise InputError(f"There is no file or folder {path}. Give the folder of the training material.")


def _licences(table: Path) -> dict[str, Source]:
    """Return what a table says about its files, by name; nothing if there is none."""
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8", errors="replace", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {
            row["file"]: Source(row["file"], row.get("licence") or "unknown", row.get("source") or "unknown")
            for row in rows
            if row.get("file")
        }
