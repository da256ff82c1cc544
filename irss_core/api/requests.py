"""What the API takes in. Options mirror ``JobOptions``, which has the last word on them."""

from __future__ import annotations

from typing import Annotated, Self, get_args

from pydantic import BaseModel, ConfigDict, Field

from irss_core.jobs.options import MAX_WIDTH, JobOptions, Preset, ResultFormat


class _Body(BaseModel):
    """Nothing that is not asked for, and every value of its own kind."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class JobOptionsBody(_Body):
    """What is done with a file. What is left out is not done; each preset leaves out steps of its own."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"preset": "upscale", "model": "tecogan-x4", "format": "png"}]}
    )

    preset: Preset = Field(
        default="upscale", description=f"Which steps there are: one of {', '.join(get_args(Preset))}."
    )
    model: str = Field(
        default="realesrgan-x4plus", max_length=100, description="The model that enlarges; `irss models` lists them."
    )
    outscale: float | None = Field(default=None, ge=1, le=16, description="How much larger; null: the model's own.")
    model_denoise: float | None = Field(default=None, ge=0, le=1, description="For a model that takes it.")
    denoise: bool = Field(default=False, description="First a median over 3 x 3 pixels.")
    autocontrast: bool = Field(default=False, description="First stretch the brightness to the full range.")
    sharpen: float = Field(default=0.0, ge=0, le=3, description="Amount of an unsharp mask at the end.")
    contrast: float = Field(default=1.0, ge=0, le=3, description="Factor at the end.")
    greyscale: bool = Field(default=False, description="Take the colours out at the end.")
    width: int | None = Field(default=None, ge=1, le=MAX_WIDTH, description="Of the result, its height in proportion.")
    max_bytes: int | None = Field(
        default=None, ge=1024, description="Compress the result until it fits; JPEG and WebP only."
    )
    format: ResultFormat | None = Field(default=None, description="Of the result; null: as handed in where possible.")
    quality: int = Field(default=90, ge=1, le=100, description="Of JPEG and WebP.")

    @classmethod
    def of(cls, options: JobOptions) -> Self:
        """Return a job's options as JSON has them."""
        return cls.model_construct(**options.to_dict())

    def to_options(self) -> JobOptions:
        """Return them as jobs have them.

        Raises:
            InvalidOptionError: options that do not go together.
        """
        return JobOptions(**self.model_dump())


UploadId = Annotated[str, Field(min_length=1, max_length=200, description="An upload's id.")]


class NewUpload(_Body):
    """A file that is to come."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "cat.png", "size_bytes": 81234, "content_type": "image/png"}]}
    )

    name: str = Field(min_length=1, max_length=255, description="To show; it never becomes a path.")
    size_bytes: int = Field(ge=1, le=2**53, description="How large the file is.")
    content_type: str = Field(min_length=1, max_length=100, description="As a browser says it.")
    options: JobOptionsBody | None = Field(
        default=None,
        description="What is to be done with it as soon as it is here: its job then has the upload's id, and needs no "
        "POST /process-file.",
    )


class NewSubmission(_Body):
    """What is to be done with which uploads. A zip becomes one job for each picture and clip in it."""

    uploads: list[UploadId] = Field(min_length=1, max_length=500, description="One or many, each once.")
    options: JobOptionsBody = Field(default_factory=JobOptionsBody)


Address = Annotated[
    str,
    Field(min_length=3, max_length=254, json_schema_extra={"format": "email"}, description="An e-mail address."),
]


class NewCode(_Body):
    """Whose address is to be verified."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"address": "ada@example.org"}]})

    address: Address


class Confirmation(_Body):
    """The code from the mail."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"address": "ada@example.org", "code": "123456"}]})

    address: Address
    code: str = Field(min_length=1, max_length=16, description="Six digits.")
