"""Runs a stage of the training: until its end, the end of the call's time, or Ctrl-C; always to be gone on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.backends import cudnn

from irss_core.errors import CancelledError, OutputExistsError
from irss_core.media.atomic import atomic_file
from irss_core.progress import CancelToken, ProgressCallback, ProgressUpdate
from irss_core.sr.memory import reusing_memory
from irss_core.train.batches import BatchSource
from irss_core.train.checkpoint import Checkpoint, export, load_latest, save_checkpoint
from irss_core.train.config import TrainConfig
from irss_core.train.journal import TRAINING, VALIDATION, Means, append, read, rewind
from irss_core.train.trainer import Trainer

CONFIG, RESULT, BEST = "config.json", "weights.safetensors", "best.safetensors"

# What says which of the measured weights are the best, and whether more of it is better.
_DECIDES: Mapping[str, tuple[str, bool]] = {"frvsr": ("psnr_y", True), "tecogan": ("lpips_squeeze", False)}

Validate = Callable[[Path, Path], Mapping[str, float]]
"""Measures a checkpoint file, keeping what it likes in a folder, and returns the means by metric."""


@dataclass(frozen=True)
class Outcome:
    """Where a call left a stage. ``minutes`` are those of training, of all calls. ``result`` is the exported file."""

    iteration: int
    minutes: float
    complete: bool
    result: Path


class TrainLoop:
    """One call's part of a stage, in the folder ``out``.

    Args:
        trainer: as made anew; the checkpoint in ``out``, if there is one, is put into it.
        source: makes the batches. generator: on the CPU; all its chance, saved and put back with the checkpoint.
        validate: called every so often, and at the end of a call; None: never.
        deadline_s: when to stop, by ``clock``; None: at the end of the stage.
    """

    def __init__(
        self,
        trainer: Trainer,
        source: BatchSource,
        generator: torch.Generator,
        *,
        out: Path,
        validate: Validate | None = None,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
        deadline_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trainer, self._source, self._generator, self._out = trainer, source, generator, out
        self._config = trainer.config
        self._validate, self._progress, self._cancel = validate, progress, cancel
        self._clock, self._deadline_s, self._started_s = clock, deadline_s, clock()
        self._minutes = 0.0
        self._checkpointed = self._validated = 0.0  # minutes of training at the last of each
        self._validated_iteration = -1
        self._first_iteration = 0
        self._longest_s = 0.0  # of the iterations of late
        self._means = Means()
        self._go_on()

    def run(self) -> Outcome:
        """Train until one of the ends, and return where that is.

        Raises:
            CancelledError: ``cancel`` was thrown; a checkpoint of the last iteration is there.
            InputError: the training has failed.
        """
        with ExitStack() as stack:
            if self._trainer.device.type == "cpu":
                stack.enter_context(reusing_memory())
            if self._trainer.device.type == "cuda":  # the shapes stay: let it look for the fastest kernels once
                stack.enter_context(cudnn.flags(enabled=True, benchmark=True, allow_tf32=True))
            self._iterate()
        self._checkpoint()
        if self._cancel is not None and self._cancel.cancelled:
            raise CancelledError(
                f"Stopped after iteration {self._trainer.iteration}; a checkpoint is kept in {self._out}. "
                "The same command goes on from there."
            )
        self._measure()
        return self.outcome()

    def outcome(self) -> Outcome:
        """Return where the stage is now."""
        return Outcome(self._trainer.iteration, self._minutes, self._done, self._out / RESULT)

    @property
    def _done(self) -> bool:
        config, iteration = self._config, self._trainer.iteration
        return (config.max_iterations is not None and iteration >= config.max_iterations) or (
            config.total_minutes is not None and self._minutes >= config.total_minutes
        )

    def _iterate(self) -> None:
        config, trainer = self._config, self._trainer
        while not (self._done or self._out_of_time() or (self._cancel is not None and self._cancel.cancelled)):
            started = self._clock()
            share = config.progress(trainer.iteration, self._minutes)
            self._means.add(trainer.step(self._source.batch(), progress=share))
            seconds = self._clock() - started
            self._longest_s = max(seconds, 0.9 * self._longest_s)
            self._minutes += seconds / 60
            if trainer.iteration % config.log_every == 0:
                self._log()
            self._report()
            validates = self._validate is not None and self._minutes - self._validated >= config.validate_every_minutes
            if validates or self._minutes - self._checkpointed >= config.checkpoint_every_minutes:
                self._checkpoint()
            if validates:
                self._measure()

    def _out_of_time(self) -> bool:
        return self._deadline_s is not None and self._clock() + self._longest_s > self._deadline_s

    # -- what is written

    def _log(self) -> None:
        entry = {"iteration": self._trainer.iteration, "seconds": round(60 * self._minutes, 3), **self._means.take()}
        append(self._out / TRAINING, entry)

    def _checkpoint(self) -> None:
        trainer = self._trainer
        numbers = {
            "trainer": trainer.numbers(),
            "minutes": self._minutes,
            "config": self._config.to_dict(),
        }
        tensors = trainer.tensors() | {"random": self._generator.get_state()}
        save_checkpoint(self._out, Checkpoint(tensors, numbers), iteration=trainer.iteration)
        export(trainer.averaged_weights(), self._out / RESULT)
        self._checkpointed = self._minutes

    def _measure(self) -> None:
        """Measure the averaged weights as they were exported last, unless that has been done already."""
        iteration = self._trainer.iteration
        if self._validate is None or iteration == self._validated_iteration:
            return
        values = self._validate(self._out / RESULT, self._out / "validation" / f"{iteration:07d}")
        if self._is_best(values):
            with atomic_file(self._out / BEST, overwrite=True) as stream:
                stream.write((self._out / RESULT).read_bytes())
        append(self._out / VALIDATION, {"iteration": iteration, "minutes": round(self._minutes, 3), **values})
        self._validated, self._validated_iteration = self._minutes, iteration

    def _is_best(self, values: Mapping[str, float]) -> bool:
        key, more_is_better = _DECIDES[self._config.stage]
        earlier = [entry[key] for entry in read(self._out / VALIDATION) if entry.get(key) is not None]
        if key not in values:
            return False
        return all(values[key] > each if more_is_better else values[key] < each for each in earlier)

    def _report(self) -> None:
        if self._progress is None:
            return
        iteration, elapsed = self._trainer.iteration, self._clock() - self._started_s
        share = self._config.progress(iteration, self._minutes)
        total = self._config.max_iterations
        left = []
        if share:
            left.append((1 - share) * self._minutes * 60 / share)
        if self._deadline_s is not None:
            left.append(max(self._deadline_s - self._clock(), 0.0))
        done = float(iteration) if total is not None else float(iteration - self._first_iteration)
        self._progress(ProgressUpdate(done, total, "iterations", elapsed, min(left, default=None)))

    # -- going on

    def _go_on(self) -> None:
        self._out.mkdir(parents=True, exist_ok=True)
        earlier = load_latest(self._out)
        if earlier is None:  # perhaps one that was stopped before its first checkpoint
            for name in (TRAINING, VALIDATION, BEST):
                (self._out / name).unlink(missing_ok=True)
        else:
            check_same_run(self._config, TrainConfig.from_dict(earlier.numbers["config"]), self._out)
            self._restore(earlier)
        (self._out / CONFIG).write_text(self._config.to_json(), encoding="utf-8")

    def _restore(self, earlier: Checkpoint) -> None:
        numbers = earlier.numbers
        try:
            self._trainer.restore(earlier.tensors, numbers["trainer"])
        except (KeyError, RuntimeError, ValueError, TypeError) as exc:
            raise OutputExistsError(
                f"The checkpoint in {self._out} is of another kind of run ({exc}). Choose another folder."
            ) from exc
        self._first_iteration = self._trainer.iteration
        self._minutes = float(numbers["minutes"])
        self._checkpointed = self._minutes
        self._generator.set_state(earlier.tensors["random"])
        for name in (TRAINING, VALIDATION):
            rewind(self._out / name, self._trainer.iteration)
        for measured in read(self._out / VALIDATION)[-1:]:
            self._validated, self._validated_iteration = float(measured["minutes"]), int(measured["iteration"])


def check_same_run(config: TrainConfig, earlier: TrainConfig, folder: Path) -> None:
    """Raise OutputExistsError if the run in the folder was begun with other settings than these."""
    now, then = config.fixed(), earlier.fixed()
    others = [f"{name} {then[name]!r} there and {value!r} now" for name, value in now.items() if then[name] != value]
    if others:
        raise OutputExistsError(
            f"The run in {folder} was begun with other settings: {', '.join(others)}. Choose another folder for --out."
        )
