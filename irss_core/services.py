"""Services: what every entry point works with, built once from the settings."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from irss_core.config import MEBIBYTE, Settings
from irss_core.errors import UnknownModelError
from irss_core.media.images import ImageLimits
from irss_core.media.video import ClipLimits
from irss_core.progress import CancelToken, ProgressCallback
from irss_core.sr.catalog import find_model
from irss_core.sr.image import ImageUpscaler
from irss_core.sr.loader import LoadedModel, load_checkpoint, load_model
from irss_core.sr.video import VideoUpscaler
from irss_core.votes import FILENAME, VoteStore

OWN_PREFIX = "own:"
_MODELS_IN_MEMORY = 6
_OWN_MODELS = 16


class Services:
    """Models held ready, limits, and the one inference at a time that a device takes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.image_limits = ImageLimits(
            max_pixels=settings.max_image_pixels,
            max_side=settings.max_image_side,
            max_bytes=settings.max_image_bytes,
        )
        self.clip_limits = ClipLimits(
            max_seconds=settings.max_clip_seconds,
            max_frames=settings.max_clip_frames,
            max_bytes=settings.max_clip_bytes,
            max_frame_pixels=settings.max_clip_frame_pixels,
        )
        self.votes = VoteStore(settings.data_dir / FILENAME)
        self._ready: OrderedDict[tuple[str, float | None], ImageUpscaler] = OrderedDict()
        self._own: OrderedDict[str, LoadedModel] = OrderedDict()
        self._loading = threading.Lock()
        self._inference = threading.Lock()

    def image_upscaler(
        self,
        name: str,
        *,
        denoise: float | None = None,
        progress: ProgressCallback | None = None,
        cancel: CancelToken | None = None,
    ) -> ImageUpscaler:
        """Return the model of that name, loaded and kept ready; the least recently used of many is let go.

        Raises:
            UnknownModelError: no such model, or a visitor's own that is no longer kept.
            ModelError: its weights cannot be had or used. InvalidOptionError: it takes no such denoise strength.
        """
        key = (name, denoise)
        with self._loading:
            if key not in self._ready:
                model = self._load(name, denoise, progress, cancel)
                limit_mb = self.settings.memory_limit_mb
                self._ready[key] = ImageUpscaler(
                    model,
                    device=self.settings.device,
                    dtype=self.settings.dtype,
                    memory_limit_bytes=limit_mb * MEBIBYTE if limit_mb else None,
                )
            self._ready.move_to_end(key)
            while len(self._ready) > _MODELS_IN_MEMORY:
                self._ready.popitem(last=False)
            return self._ready[key]

    def loaded_model(
        self, name: str, *, progress: ProgressCallback | None = None, cancel: CancelToken | None = None
    ) -> LoadedModel:
        """Return the network of that name as it was loaded, for who prepares it otherwise; raises as above."""
        return self.image_upscaler(name, progress=progress, cancel=cancel).model

    def video_upscaler(self, name: str, *, denoise: float | None = None) -> VideoUpscaler:
        """Return the model of that name for clips, on the same loaded network; raises as ``image_upscaler``."""
        return VideoUpscaler.sharing(self.image_upscaler(name, denoise=denoise))

    def add_checkpoint(self, path: Path) -> LoadedModel:
        """Return a user's own checkpoint, kept under a name nobody can guess: only who is told it can use it.

        Raises:
            ModelError: not a checkpoint we can run; says what it looks like.
        """
        name = f"{OWN_PREFIX}{secrets.token_hex(16)}"
        model = replace(load_checkpoint(path), name=name)
        with self._loading:
            self._own[name] = model
            while len(self._own) > _OWN_MODELS:
                self._own.popitem(last=False)
        return model

    def name_in_votes(self, name: str) -> str:
        """Return what a model is called in votes: a user's own checkpoint by its bytes, which stay the same.

        Raises:
            UnknownModelError: a visitor's own that is no longer kept.
        """
        return f"own checkpoint {self._own_model(name).sha256[:8]}" if name.startswith(OWN_PREFIX) else name

    @contextmanager
    def inference_slot(self) -> Iterator[None]:
        """Hold the device: one inference at a time, whoever asks."""
        with self._inference:
            yield

    def _load(
        self, name: str, denoise: float | None, progress: ProgressCallback | None, cancel: CancelToken | None
    ) -> LoadedModel:
        if name.startswith(OWN_PREFIX):
            return self._own_model(name)
        return load_model(
            find_model(name),
            cache_dir=self.settings.cache_dir,
            denoise=denoise,
            offline=self.settings.offline,
            progress=progress,
            cancel=cancel,
        )

    def _own_model(self, name: str) -> LoadedModel:
        try:
            return self._own[name]
        except KeyError:
            raise UnknownModelError(
                "That checkpoint is no longer kept here. Load its file again in the Models tab."
            ) from None


def build_services(settings: Settings) -> Services:
    """Return the services for these settings; loads nothing yet."""
    return Services(settings)
