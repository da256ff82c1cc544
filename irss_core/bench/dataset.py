"""A data set on disk as samples: stills and clips, with their truth, their degraded input, or both.

What is understood below the folder given:

- pictures lying in it are stills, or the frames of one clip if asked for clips;
- a subfolder with pictures is a clip of that name, its frames in the order of their names (numbers as numbers);
- a video file is a clip;
- subfolders ``HR``/``GT`` and ``LR``/``LQ`` (or names that end in ``_HR`` and ``_LR``) hold truths and inputs, matched
  by name; a lone ``HR``/``GT`` is degraded as the protocol says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from irss_core.errors import InputError, IrssError
from irss_core.media.images import IMAGE_SUFFIXES, ImageLimits, read_header, read_image, to_rgb8
from irss_core.media.video import CLIP_SUFFIXES, ClipLimits, probe_clip, read_frames

Kind = Literal["still", "clip"]

_TRUTH_NAMES = ("hr", "gt", "truth", "original")
_INPUT_NAMES = ("lr", "lq", "input", "blur")
_ROLE = re.compile(r"[_-](?P<role>hr|gt|lr|lq)$", re.IGNORECASE)
_SCALE_MARK = re.compile(r"x\d$", re.IGNORECASE)  # DIV2K: 0801x4.png is the input of 0801.png
_NUMBER = re.compile(r"(\d+)")
_VIDEOS = CLIP_SUFFIXES - {".webp"}  # in a data set a WebP is a picture


@dataclass(frozen=True)
class Limits:
    """What is accepted of stills and of clips."""

    still: ImageLimits = ImageLimits()
    clip: ClipLimits = ClipLimits()


@dataclass(frozen=True)
class Footage:
    """The frames of a still (one), a folder of frames, or a video file. ``frame_count`` may be None for a video."""

    kind: Kind
    paths: tuple[Path, ...]
    width: int
    height: int
    frame_count: int | None

    @property
    def is_video(self) -> bool:
        """Whether the frames lie in one video file."""
        return self.kind == "clip" and len(self.paths) == 1 and self.paths[0].suffix.lower() in _VIDEOS

    def frames(self, limits: Limits) -> Iterator[np.ndarray]:
        """Yield each frame as HxWx3 uint8 RGB; transparency is laid over white, 16 bits are rounded to 8.

        Raises:
            InputError: a frame cannot be read, or has another size than the first; the message names its file.
        """
        if self.is_video:
            with closing(read_frames(self.paths[0], limits.clip)) as reader:
                for frame in reader:
                    yield frame.pixels
            return
        for path in self.paths:
            pixels = to_rgb8(read_image(path, limits.still))
            if pixels.shape[:2] != (self.height, self.width):
                raise InputError(
                    f"{path.name} is {pixels.shape[1]}x{pixels.shape[0]}, the first frame {self.width}x{self.height}. "
                    "All frames of a clip must have one size."
                )
            yield pixels


@dataclass(frozen=True)
class Sample:
    """One still or clip to measure on: its truth, its input, or both. One of the two is always there."""

    name: str
    kind: Kind
    truth: Footage | None
    input: Footage | None

    @property
    def footage(self) -> Footage:
        """The truth if there is one, else the input."""
        chosen = self.truth or self.input
        assert chosen is not None  # noqa: S101  said above
        return chosen


@dataclass(frozen=True)
class Dataset:
    """What was found: the samples by name, and a sentence for everything that could not be used."""

    root: Path
    samples: tuple[Sample, ...]
    problems: tuple[str, ...] = ()


def find_samples(
    root: Path, *, kinds: Sequence[Kind] = ("still", "clip"), inputs_only: bool = False, limits: Limits = Limits()
) -> Dataset:
    """Return the samples below a folder, or of a single file.

    Args:
        kinds: what the protocol measures; if only clips, pictures lying in ``root`` are the frames of one.
        inputs_only: pictures of no stated role are inputs to be enlarged, not truths to be degraded.

    Raises:
        InputError: there is no such folder, or nothing in it that can be used.
    """
    if not root.exists():
        raise InputError(f"There is no folder {root}. Give the folder of the data set.")
    as_clip = "still" not in kinds
    truths, inputs = _roles(root)
    problems: list[str] = []
    if truths is None and inputs is None:
        found, problems = _footage_below(root, as_clip=as_clip, limits=limits)
        by_role = _split_by_name(found)
        if by_role.truths and by_role.inputs:
            samples, more = _paired(by_role.truths, by_role.inputs)
            problems += more
        elif inputs_only:
            samples = [Sample(name, each.kind, None, each) for name, each in found.items()]
        else:
            named = by_role.truths or by_role.inputs or found
            samples = [Sample(name, each.kind, each, None) for name, each in named.items()]
    else:
        truth_found, problems = _footage_below(truths, as_clip=as_clip, limits=limits) if truths else ({}, [])
        input_found, more = _footage_below(inputs, as_clip=as_clip, limits=limits) if inputs else ({}, [])
        problems += more
        if truths and inputs:
            samples, more = _paired(truth_found, input_found)
            problems += more
        else:
            samples = [Sample(name, each.kind, each, None) for name, each in truth_found.items()]
            samples += [Sample(name, each.kind, None, each) for name, each in input_found.items()]
    usable = [sample for sample in samples if sample.kind in kinds]
    skipped = len(samples) - len(usable)
    if skipped:
        problems.append(f"{skipped} of {len(samples)} samples are left out: the protocol measures {kinds[0]}s only.")
    if not usable:
        reasons = (" " + " ".join(problems)) if problems else ""
        raise InputError(
            f"There is nothing to measure in {root}.{reasons} Give a folder of pictures, frames or videos."
        )
    return Dataset(root, tuple(sorted(usable, key=lambda sample: _natural(sample.name))), tuple(problems))


def brings_inputs(root: Path) -> bool:
    """Whether the data set comes with inputs of its own, beside its truths or alone."""
    truths, inputs = _roles(root)
    if inputs is not None or not root.is_dir():
        return inputs is not None
    roles = {match["role"].lower() for path in root.iterdir() if (match := _ROLE.search(path.stem))}
    return truths is None and bool(roles & set(_TRUTH_NAMES)) and bool(roles & set(_INPUT_NAMES))


def match_results(root: Path, sample: Sample, *, only_sample: bool, limits: Limits = Limits()) -> Footage:
    """Return what somebody else's program made of the sample, found in its results folder by name.

    A file or subfolder named as the sample, with or without an addition (``baby_x4.png`` for baby); for the only
    sample of a data set also the pictures lying in the folder.

    Raises:
        InputError: nothing of that name is there, or more than one thing is.
    """
    if not root.is_dir():
        raise InputError(f"There is no folder {root}. Give the folder of the results.")
    as_clip = sample.kind == "clip" and only_sample
    found, _ = _footage_below(root, as_clip=as_clip, limits=limits)
    named = _split_by_name(found)
    pool = {**found, **named.truths, **named.inputs}
    if sample.name in pool:
        return pool[sample.name]
    if only_sample and len(found) == 1:
        return next(iter(found.values()))
    longer = [name for name in found if re.match(re.escape(sample.name) + r"[_. -]", name)]
    if len(longer) == 1:
        return found[longer[0]]
    what = f"{len(longer)} things are named so: {', '.join(longer[:3])}" if longer else "nothing there is named so"
    raise InputError(
        f"The results folder {root} does not tell which is {sample.name!r}: {what}. Name it {sample.name}."
    )


# -- what lies in a folder ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _ByRole:
    truths: Mapping[str, Footage]
    inputs: Mapping[str, Footage]


def _roles(root: Path) -> tuple[Path | None, Path | None]:
    """Return the subfolders of truths and of inputs, as far as there are such."""
    if not root.is_dir():
        return None, None
    folders = {path.name.lower(): path for path in root.iterdir() if path.is_dir()}
    truth = next((folders[name] for name in _TRUTH_NAMES if name in folders), None)
    given = next((folders[name] for name in _INPUT_NAMES if name in folders), None)
    return truth, given


def _footage_below(root: Path, *, as_clip: bool, limits: Limits) -> tuple[dict[str, Footage], list[str]]:
    """Return everything usable directly in ``root`` and in its subfolders by name, and what was wrong with the rest."""
    found: dict[str, Footage] = {}
    problems: list[str] = []

    def add(name: str, paths: Sequence[Path], kind: Kind) -> None:
        try:
            found[_free(name, found)] = _footage(paths, kind, limits)
        except (IrssError, OSError) as error:
            problems.append(f"{name}: {error}")

    if root.is_file():
        add(root.stem, [root], "clip" if root.suffix.lower() in _VIDEOS else "still")
        return found, problems
    entries = sorted((path for path in root.iterdir() if not path.name.startswith(".")), key=lambda p: _natural(p.name))
    pictures = [path for path in entries if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES - {".gif"}]
    if as_clip and pictures:
        add(root.name, pictures, "clip")
    else:
        for path in pictures:
            add(path.stem, [path], "still")
    for path in entries:
        if path.is_file() and path.suffix.lower() in _VIDEOS:
            add(path.stem, [path], "clip")
        if path.is_dir():
            frames = [each for each in path.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES and each.is_file()]
            if frames:
                add(path.name, sorted(frames, key=lambda each: _natural(each.name)), "clip")
    return found, problems


def _footage(paths: Sequence[Path], kind: Kind, limits: Limits) -> Footage:
    """Return the footage of these files, its size read off the first header."""
    first = paths[0]
    if kind == "clip" and len(paths) == 1 and first.suffix.lower() in _VIDEOS:
        info = probe_clip(first, limits.clip)
        return Footage(kind, tuple(paths), info.width, info.height, info.frame_count)
    if len(paths) > limits.clip.max_frames:
        raise InputError(
            f"The folder holds {len(paths)} frames; at most {limits.clip.max_frames} are taken "
            "(setting IRSS_MAX_CLIP_FRAMES)."
        )
    header = read_header(first, limits.still)
    return Footage(kind, tuple(paths), header.width, header.height, len(paths))


def _split_by_name(found: Mapping[str, Footage]) -> _ByRole:
    """Return what is named as a truth or as an input (baby_HR, baby_LR), under the name without that ending."""
    truths: dict[str, Footage] = {}
    inputs: dict[str, Footage] = {}
    for name, footage in found.items():
        match = _ROLE.search(name)
        if match is not None:
            (truths if match["role"].lower() in _TRUTH_NAMES else inputs)[name[: match.start()]] = footage
    return _ByRole(truths, inputs)


def _paired(truths: Mapping[str, Footage], inputs: Mapping[str, Footage]) -> tuple[list[Sample], list[str]]:
    """Return the samples of truths and inputs that belong together, and a sentence for each one left alone."""
    bare = {_bare(name): each for name, each in inputs.items()}
    samples, problems = [], []
    for name, truth in truths.items():
        given = bare.pop(_bare(name), None)
        if given is None:
            problems.append(f"{name}: there is a truth but no input of that name. Add it, or remove the truth.")
        elif given.kind != truth.kind:
            problems.append(f"{name}: the truth is a {truth.kind}, the input a {given.kind}. Both must be alike.")
        else:
            samples.append(Sample(name, truth.kind, truth, given))
    problems += [f"{name}: there is an input but no truth of that name. Add it, or remove the input." for name in bare]
    return samples, problems


def _bare(name: str) -> str:
    return _SCALE_MARK.sub("", _ROLE.sub("", name)).lower()


def _free(name: str, taken: Mapping[str, Footage]) -> str:
    """Return the name, or with a number if one of that name is there already (baby.png beside baby.jpg)."""
    if name not in taken:
        return name
    number = next(n for n in range(2, len(taken) + 3) if f"{name} ({n})" not in taken)
    return f"{name} ({number})"


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key that puts frame 10 after frame 9."""
    return tuple((int(part), "") if part.isdigit() else (-1, part.lower()) for part in _NUMBER.split(name))
