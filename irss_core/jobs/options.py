"""JobOptions: what is to be done with a file, and the stages that this takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Literal, Self, get_args

from irss_core.errors import InvalidOptionError

Preset = Literal["upscale", "filters", "resize+thumbnail", "thumbnail-100"]
ResultFormat = Literal["png", "jpeg", "webp", "tiff", "mp4"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
MAX_WIDTH = 16_384


class Stage(StrEnum):
    """The pipeline's steps, in the order they are done in. Each one is idempotent."""

    VALIDATE = "validate"
    METADATA = "metadata"
    PREPROCESS = "preprocess"
    UPSCALE = "upscale"
    FILTER = "filter"
    THUMBNAIL = "thumbnail"
    ARCHIVE = "archive"
    DELIVER = "deliver"


_ALWAYS = frozenset({Stage.VALIDATE, Stage.METADATA, Stage.THUMBNAIL, Stage.ARCHIVE, Stage.DELIVER})
_OF_PRESET: dict[Preset, frozenset[Stage]] = {
    "upscale": frozenset({Stage.PREPROCESS, Stage.UPSCALE, Stage.FILTER}),
    "filters": frozenset({Stage.PREPROCESS, Stage.FILTER}),
    "resize+thumbnail": frozenset({Stage.FILTER}),
    "thumbnail-100": frozenset(),
}


@dataclass(frozen=True)
class JobOptions:
    """What is done with a file, a step's options beside each other. A step that nothing is asked of is left out.

    ``format`` None keeps the kind of file that was handed in, where we write that kind, else PNG or MP4.
    """

    preset: Preset = "upscale"

    # upscale
    model: str = "realesrgan-x4plus"
    outscale: float | None = None  # None: the model's own
    model_denoise: float | None = None  # in 0..1, for a model that takes it

    # preprocess
    denoise: bool = False  # a median over 3 x 3 pixels
    autocontrast: bool = False

    # filter
    sharpen: float = 0.0  # amount of an unsharp mask, 0..3
    contrast: float = 1.0  # factor, 0..3
    greyscale: bool = False
    width: int | None = None  # of the result, its height in proportion
    max_bytes: int | None = None  # of the result: compressed until it fits; JPEG and WebP only

    # the result's file
    format: ResultFormat | None = None
    quality: int = 90  # of JPEG and WebP, 1..100

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise InvalidOptionError(f"preset is {self.preset!r}; it must be one of {', '.join(PRESETS)}.")
        if self.format is not None and self.format not in get_args(ResultFormat):
            formats = ", ".join(get_args(ResultFormat))
            raise InvalidOptionError(f"format is {self.format!r}; it must be one of {formats}, or left out.")
        for name, least, most in (
            ("outscale", 1, 16),
            ("model_denoise", 0, 1),
            ("sharpen", 0, 3),
            ("contrast", 0, 3),
            ("width", 1, MAX_WIDTH),
            ("max_bytes", 1024, None),
            ("quality", 1, 100),
        ):
            value = getattr(self, name)
            if value is not None and not (least <= value and (most is None or value <= most)):
                between = f"between {least} and {most}" if most is not None else f"at least {least}"
                raise InvalidOptionError(f"{name} is {value}; it must be {between}.")
        if self.max_bytes is not None and self.format in ("png", "tiff", "mp4"):
            raise InvalidOptionError(
                f"max_bytes is {self.max_bytes}, but {self.format} cannot be compressed to a size. Use jpeg or webp."
            )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The steps that these options take, in order."""
        wanted = _ALWAYS | _OF_PRESET[self.preset]
        if not (self.denoise or self.autocontrast):
            wanted -= {Stage.PREPROCESS}
        if not (self.sharpen or self.contrast != 1 or self.greyscale or self.width or self.max_bytes):
            wanted -= {Stage.FILTER}
        return tuple(stage for stage in Stage if stage in wanted)

    def to_dict(self) -> dict[str, Any]:
        """Return them as JSON has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the options that ``to_dict`` gave, or that a caller wrote by hand.

        Raises:
            InvalidOptionError: an option that does not exist, or a value it cannot have.
        """
        known = [each.name for each in fields(cls)]
        for name in values:
            if name not in known:
                raise InvalidOptionError(f"There is no option {name!r}. The options are {', '.join(known)}.")
        try:
            return cls(**values)
        except TypeError as exc:  # a text where a number belongs
            raise InvalidOptionError(f"An option has a value of the wrong kind ({exc}).") from exc
