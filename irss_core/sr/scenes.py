"""Scene cuts in a stream of frames: where a sequence model must forget what it carried along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

_THUMBNAIL = (48, 27)  # width, height: small enough that motion within a scene averages out
_HISTOGRAM_BINS = 16
# Both must be passed. Fast motion moves many pixels but keeps the histogram; a flash changes the histogram of a scene
# whose pixels keep their order, and costs only a warm-up when it is taken for a cut.
_PIXEL_CHANGE = 0.08  # mean absolute change of the thumbnail's luma, of 1
_HISTOGRAM_CHANGE = 0.25  # share of pixels that changed their bin
_ABOVE_RECENT = 3.0  # a cut changes this many times more pixels than the scene's own motion does


@dataclass(frozen=True, eq=False)
class SceneState:
    """What a detector carries from frame to frame: the last one's thumbnail (27x48 uint8 luma) and recent motion."""

    previous: np.ndarray | None = None
    recent_change: float = 0.0


_BEFORE_THE_FIRST_FRAME = SceneState()


class SceneCutDetector:
    """Tells, frame by frame, whether a new scene begins; ``state`` lets another one go on from here."""

    def __init__(self, state: SceneState = _BEFORE_THE_FIRST_FRAME) -> None:
        self.state = state

    def starts_scene(self, frame: np.ndarray) -> bool:
        """Return whether this frame (HxWx3 uint8 RGB) begins a new scene; the first frame always does."""
        luma = np.asarray(Image.fromarray(frame).convert("L").resize(_THUMBNAIL, Image.Resampling.BOX))
        previous, recent_change = self.state.previous, self.state.recent_change
        if previous is None:
            self.state = SceneState(luma)
            return True
        change = float(np.abs(luma.astype(np.int16) - previous).mean()) / 255
        moved = np.abs(_histogram(luma) - _histogram(previous)).sum() / (2 * luma.size)
        cut = change > max(_PIXEL_CHANGE, _ABOVE_RECENT * recent_change) and moved > _HISTOGRAM_CHANGE
        self.state = SceneState(luma, 0.0 if cut else 0.7 * recent_change + 0.3 * change)
        return bool(cut)


def _histogram(luma: np.ndarray) -> np.ndarray:
    return np.histogram(luma, bins=_HISTOGRAM_BINS, range=(0, 256))[0]
