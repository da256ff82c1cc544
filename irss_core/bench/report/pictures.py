"""Picture files as data URIs, so that the report is one file; each as small as it gets without losing anything."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from irss_core.bench.report.words import counted_in, plain

EMBEDDED_LIMIT_BYTES = 24_000_000  # of pictures, before they grow by a third as text

_HOPELESS = 2  # times the room that is left: lossless WebP saves less than half of a PNG
_PIXEL_LIMIT = 8_000_000
_SHOWN_WIDTH = 160  # px at least: smaller pictures are shown in whole multiples of their pixels
_TYPES = {"PNG": "image/png", "WEBP": "image/webp", "JPEG": "image/jpeg"}
_SMALLER_AS_WEBP = {"1", "L", "P", "RGB", "RGBA"}


@dataclass(frozen=True)
class Picture:
    """A picture for the page: its data URI and the size it is shown at, in px."""

    uri: str
    width: int
    height: int


@dataclass
class PictureStore:
    """The picture files below a folder; ``problems`` says in words what became of those that are not embedded."""

    folder: Path
    limit_bytes: int = EMBEDDED_LIMIT_BYTES
    problems: list[str] = field(default_factory=list)
    _used_bytes: int = 0

    def embed(self, file: str) -> Picture | None:
        """Return the picture in a file given relative to the folder, or None with a line in ``problems``."""
        path = self.folder / file
        try:
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise ValueError("it lies outside of the folder of the results")
            room = self.limit_bytes - self._used_bytes
            if path.stat().st_size > _HOPELESS * room:  # not worth the seconds that encoding takes
                raise ValueError(self._no_room)
            data, kind, width, height = _smallest(path)
            if len(data) > room:
                raise ValueError(self._no_room)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            reason = "there is no such file" if isinstance(error, FileNotFoundError) else plain(error)
            self.problems.append(f"{plain(file)} is not shown: {reason}.")
            return None
        self._used_bytes += len(data)
        times = max(math.ceil(_SHOWN_WIDTH / width), 1)
        return Picture(f"data:{kind};base64,{base64.b64encode(data).decode()}", width * times, height * times)

    @property
    def _no_room(self) -> str:
        return f"all pictures together would exceed {counted_in(self.limit_bytes, unit='B')}"


def _smallest(path: Path) -> tuple[bytes, str, int, int]:
    """Return the file's bytes, or those of the same pixels as lossless WebP if fewer; their type; width and height.

    Raises:
        OSError, ValueError: not a picture of a kind that browsers show, or too large a one.
    """
    data = path.read_bytes()
    with Image.open(io.BytesIO(data), formats=list(_TYPES)) as picture:
        width, height = picture.size
        if width * height > _PIXEL_LIMIT:
            raise ValueError(f"{width}x{height} is more than {_PIXEL_LIMIT // 1_000_000} megapixels")
        picture.load()
        kind = _TYPES[str(picture.format)]
        if kind == "image/png" and picture.mode in _SMALLER_AS_WEBP and "icc_profile" not in picture.info:
            out = io.BytesIO()
            clear = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
            clear.save(out, "WEBP", lossless=True, quality=60, exact=True)
            if out.tell() < len(data):
                data, kind = out.getvalue(), "image/webp"
    return data, kind, width, height
