"""Frames of truth, input and result that belong together, brought together and checked."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from irss_core.bench.dataset import Footage
from irss_core.errors import InputError

T = TypeVar("T")


def fork(frames: Iterator[T]) -> tuple[Iterator[T], Iterator[T]]:
    """Return the stream twice; only what one of the two has not taken yet is kept.

    Unlike ``itertools.tee``, which lets go of its items in blocks of 57: too much memory where an item is a frame.
    """
    waiting: tuple[deque[T], deque[T]] = (deque(), deque())

    def way(own: deque[T], other: deque[T]) -> Iterator[T]:
        while True:
            if not own:
                try:
                    frame = next(frames)
                except StopIteration:
                    return
                own.append(frame)
                other.append(frame)
                del frame
            yield own.popleft()

    return way(waiting[0], waiting[1]), way(waiting[1], waiting[0])


def present(footage: Footage | None) -> Footage:
    """Return the input footage of a truth, or raise InputError if there is none."""
    if footage is None:
        raise InputError(
            "There is no input of this truth, and none is made. Add a folder LR with the inputs beside HR, "
            "or choose a degradation."
        )
    return footage


def check_counts(name: str, truth: Footage, given: Footage) -> None:
    """Raise InputError if it is known that truth and input have different numbers of frames."""
    if truth.frame_count and given.frame_count and truth.frame_count != given.frame_count:
        raise InputError(
            f"{name} has {truth.frame_count} frames of truth and {given.frame_count} of input. They must be as many."
        )


def check_sizes(result: np.ndarray, *, lr: np.ndarray, truth: np.ndarray | None, scale: int, entry: str) -> None:
    """Raise InputError if a result or a truth has not exactly ``scale`` times the input's size."""
    height, width = lr.shape[0] * scale, lr.shape[1] * scale
    if truth is not None and truth.shape[:2] != (height, width):
        raise InputError(
            f"The truth is {truth.shape[1]}x{truth.shape[0]}, but {scale} times the input "
            f"({lr.shape[1]}x{lr.shape[0]}) is {width}x{height}. Give inputs made from these truths at x{scale}."
        )
    if result.shape[:2] != (height, width):
        raise InputError(
            f"{entry} gives {result.shape[1]}x{result.shape[0]}, but {width}x{height} is measured. "
            f"Give results of exactly {scale} times the input."
        )


def in_step(
    truths: Iterator[np.ndarray | None], inputs: Iterator[np.ndarray], outputs: Iterator[np.ndarray], entry: str
) -> Iterator[tuple[np.ndarray | None, np.ndarray, np.ndarray]]:
    """Yield what belongs to each frame; a stream that ends before another is an InputError."""
    for count in itertools.count():
        result, lr = next(outputs, None), next(inputs, None)
        truth, has_truth = _next(truths)
        if result is None and lr is None and not has_truth:
            return
        ended = [
            name
            for name, there in ((entry, result is not None), ("the input", lr is not None), ("the truth", has_truth))
            if not there
        ]
        if result is None or lr is None or not has_truth:
            raise InputError(
                f"{' and '.join(ended)} end after {count} frames, and the others go on. All must be as long."
            )
        yield truth, lr, result


def _next(stream: Iterator[np.ndarray | None]) -> tuple[np.ndarray | None, bool]:
    try:
        return next(stream), True
    except StopIteration:
        return None, False


def whole_multiples(frames: Iterator[np.ndarray], scale: int) -> Iterator[np.ndarray]:
    """Yield the frames cropped on the right and below to a multiple of the scale, as the field does."""
    for frame in frames:
        height, width = frame.shape[0] // scale * scale, frame.shape[1] // scale * scale
        if not height or not width:
            raise InputError(f"The truth is {frame.shape[1]}x{frame.shape[0]}; x{scale} needs {scale} pixels a side.")
        yield np.ascontiguousarray(frame[:height, :width])
