"""Show what models make of a clip whose truth is known: crops of one frame, and one line of pixels over time.

    python scripts/clip_sheet.py FRAMES -m frvsr-x4 -m tecogan-x4 --crop 304,200,160,120 -o sheet.webp

FRAMES is a folder of the truth's frames, which are made small by the BD degradation first. Beside the models stand
bicubic resampling and the truth. The line over time (the "temporal profile", top to bottom) is straight where a picture
stands still, smooth where it moves, and ragged where it flickers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from irss_core.config import Settings
from irss_core.metrics.degradation import degrade_bd
from irss_core.services import build_services
from irss_core.sheet import Panel, compose_sheet
from irss_core.sr.catalog import find_model

Frames = list[np.ndarray]
_ENLARGED = 2


def main() -> None:
    """Make the sheet that the command line asks for."""
    parser = argparse.ArgumentParser(description="Crops and temporal profiles of models on a clip with known truth.")
    parser.add_argument("frames", type=Path, help="folder of the truth's frames")
    parser.add_argument("-m", "--model", action="append", default=[], metavar="NAME", help="a model; repeatable")
    parser.add_argument("--crop", action="append", type=_box, default=[], metavar="X,Y,W,H", help="repeatable")
    parser.add_argument("--at", type=int, default=-1, metavar="N", help="the frame of the crops; default: the last")
    parser.add_argument("--line", type=int, metavar="Y", help="the line over time; default: through the first crop")
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    truth = [_pixels(path) for path in sorted(asked.frames.iterdir())]
    small = [degrade_bd(frame) for frame in truth]
    services = build_services(Settings())
    columns = {
        find_model(name).title: list(services.video_upscaler(name).start().frames(small))
        for name in ("bicubic", *asked.model)
    }
    columns["Truth"] = truth
    line = asked.line if asked.line is not None else asked.crop[0][1] + asked.crop[0][3] // 2
    panels = [Panel(title, _column(frames, asked.crop, asked.at, line)) for title, frames in columns.items()]
    Image.fromarray(compose_sheet(panels)).save(asked.output, quality=92)
    print(asked.output)


def _column(frames: Frames, crops: list[tuple[int, int, int, int]], at: int, line: int) -> np.ndarray:
    """Return one column: the crops of a frame, and the line of all frames at the first crop's place."""
    left, _, width, _ = crops[0]
    profile = np.stack([frame[line, left : left + width] for frame in frames])
    parts = [frames[at][y : y + high, x : x + wide] for x, y, wide, high in crops]
    enlarged = [part.repeat(_ENLARGED, 0).repeat(_ENLARGED, 1) for part in parts]
    return np.concatenate([*enlarged, profile.repeat(2 * _ENLARGED, 0).repeat(_ENLARGED, 1)])


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def _box(text: str) -> tuple[int, int, int, int]:
    x, y, wide, high = (int(each) for each in text.split(","))
    return x, y, wide, high


if __name__ == "__main__":
    main()
