"""Uploads: files on their way in, each with an id of its own and somebody it belongs to.

The id of an upload becomes the id of its job, and the upload the job's input. So a file is handed in once, whoever
asks how often and whatever crashes meanwhile: the store has no second job of an id. A file that is wanted again is
uploaded again.
"""

from __future__ import annotations

import hmac
import json
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from irss_core.errors import (
    CorruptMediaError,
    InputError,
    InvalidOptionError,
    LimitExceededError,
    NotFoundError,
    UnsupportedFormatError,
)
from irss_core.jobs.identity import Owner
from irss_core.jobs.job import new_id
from irss_core.jobs.keys import upload_key
from irss_core.jobs.limits import JobLimits, admit_upload
from irss_core.jobs.names import shown_name
from irss_core.jobs.options import JobOptions
from irss_core.jobs.ports import Clock, ObjectStore, Records, UploadForm
from irss_core.media.limits import CLIP_SUFFIXES, IMAGE_SUFFIXES
from irss_core.media.zips import ZIP_SUFFIX

UPLOAD_S = 24 * 3600.0
"""For how long an upload can be submitted. An object of ``uploads/`` that is older and of no job is nobody's."""

_FORM_S = 3600.0  # a large clip over a slow line takes its time
_ID = re.compile(r"[0-9a-f]{64}")
_CONTENT_TYPE = re.compile(r"[a-z0-9][a-z0-9_.+-]{0,60}/[a-z0-9][a-z0-9_.+-]{0,60}")
_ANY_BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Upload:
    """A file that may come: the id to submit it by, and the form that takes it."""

    id: str
    form: UploadForm


@dataclass(frozen=True)
class Arrived:
    """A file that is here: its upload's id, its name to show, and its size."""

    id: str
    name: str
    size_bytes: int

    @property
    def is_zip(self) -> bool:
        """Whether it is to be unpacked, by its ending."""
        return PurePosixPath(self.name).suffix.lower() == ZIP_SUFFIX


class Uploads:
    """The files that were handed in and not yet submitted."""

    def __init__(self, *, objects: ObjectStore, records: Records, clock: Clock, limits: JobLimits) -> None:
        self._objects, self._records, self._clock, self._limits = objects, records, clock, limits

    def begin(
        self, owner: Owner, *, name: str, size_bytes: int, content_type: str, order: JobOptions | None = None
    ) -> Upload:
        """Return a form for one file of that name and at most that size.

        Args:
            order: what is to be done with it as soon as it is here, without being asked again.

        Raises:
            UnsupportedFormatError: by its name neither a picture, nor a clip, nor a zip.
            LimitExceededError: larger than such a file may be. CorruptMediaError: it is empty.
            InvalidOptionError: the content type is none. RateLimitedError: too many bytes for a day.
        """
        shown, kind = shown_name(name), content_type.partition(";")[0].strip().lower() or _ANY_BYTES
        if _CONTENT_TYPE.fullmatch(kind) is None:
            raise InvalidOptionError("The content type is none. Give one like image/png, or application/octet-stream.")
        self._check(shown, size_bytes, kind)
        self._admit(owner, size_bytes)
        upload_id = new_id()
        form = self._objects.upload_form(
            upload_key(upload_id), content_type=kind, max_bytes=size_bytes, expires_in_s=_FORM_S
        )
        self._note(upload_id, owner, shown, order)
        return Upload(upload_id, form)

    def add(self, owner: Owner, source: Path, *, name: str) -> str:
        """Store a file of this machine and return its upload's id; raises as ``begin``, and as the store does."""
        shown = shown_name(name)
        kind = content_type_of(shown)
        try:
            size_bytes = source.stat().st_size
        except OSError as exc:
            raise InputError(f"{shown} cannot be read ({exc.strerror}). Hand it in again.") from exc
        self._check(shown, size_bytes, kind)
        self._admit(owner, size_bytes)
        upload_id = new_id()
        self._objects.put(upload_key(upload_id), source, content_type=kind)
        self._note(upload_id, owner, shown)
        return upload_id

    def arrived(self, owner: Owner, upload_id: str) -> Arrived:
        """Return an owner's upload whose file is here.

        Raises:
            NotFoundError: there is none of that id, or it is somebody else's; or its file has not come.
            LimitExceededError: the file is larger than such a file may be. CorruptMediaError: it is empty.
        """
        text = self._records.get(_record(upload_id)) if is_id(upload_id) else None
        noted = None if text is None else json.loads(text)
        if noted is None or not hmac.compare_digest(noted["owner"], owner.key):
            raise NotFoundError(
                "There is no upload of that id for you. Uploads not submitted are kept for "
                f"{UPLOAD_S / 3600:.0f} hours; upload the file again."
            )
        info = self._objects.info(upload_key(upload_id))
        if info is None:
            raise NotFoundError(f"{noted['name']} has not arrived, or not whole. Upload it, and submit it then.")
        self._check(noted["name"], info.size_bytes, info.content_type)
        return Arrived(upload_id, noted["name"], info.size_bytes)

    def order(self, upload_id: str) -> tuple[Owner, JobOptions] | None:
        """Return whose an upload is and what is to be done with it once it is here; None: nothing by itself."""
        noted = json.loads(self._records.get(_record(upload_id)) or "{}")
        if "order" not in noted:
            return None
        return Owner(noted["owner"], noted["address"]), JobOptions.from_dict(noted["order"])

    def forget(self, upload_id: str) -> None:
        """Delete what is noted of an upload; its file stays."""
        self._records.delete(_record(upload_id))

    def _note(self, upload_id: str, owner: Owner, name: str, order: JobOptions | None = None) -> None:
        ordered = {} if order is None else {"address": owner.address, "order": order.to_dict()}
        text = json.dumps({"owner": owner.key, "name": name, **ordered})
        self._records.put(_record(upload_id), text, expires_at=self._clock.now() + UPLOAD_S)

    def _admit(self, owner: Owner, size_bytes: int) -> None:
        admit_upload(owner, size_bytes, limits=self._limits, records=self._records, now=self._clock.now())

    def _check(self, name: str, size_bytes: int, content_type: str) -> None:
        """Pass a file that may be handed in; what it really is, its first stage finds out."""
        most, setting = self._most_bytes(name, content_type)
        if size_bytes < 1:
            raise CorruptMediaError(f"{name} is empty (0 bytes). Copy or download it again.")
        if size_bytes > most:
            raise LimitExceededError(
                f"{name} is {size_bytes:,} bytes long; at most {most:,} are taken. Hand in a smaller one, or raise "
                f"{setting}."
            )

    def _most_bytes(self, name: str, content_type: str) -> tuple[int, str]:
        suffix, family = PurePosixPath(name).suffix.lower(), content_type.partition("/")[0]
        if suffix in CLIP_SUFFIXES or suffix == ZIP_SUFFIX or (not suffix and family == "video"):
            return self._limits.max_clip_bytes, "IRSS_MAX_CLIP_BYTES"
        if suffix in IMAGE_SUFFIXES or (not suffix and family == "image"):
            return self._limits.max_image_bytes, "IRSS_MAX_IMAGE_BYTES"
        raise UnsupportedFormatError(
            f"{name} is neither a picture, nor a clip, nor a zip by its ending. Pictures are taken as PNG, JPEG, WebP, "
            "TIFF, BMP, GIF or AVIF, clips as MP4, MOV, MKV, WebM, AVI, MPG or GIF."
        )


def is_id(text: str) -> bool:
    """Whether a text has the form of our ids; what has not is not even looked for."""
    return _ID.fullmatch(text) is not None


def content_type_of(name: str) -> str:
    """Return what a file is by its ending, which is not believed by anybody who reads it."""
    return mimetypes.guess_type(f"file{PurePosixPath(name).suffix.lower()}")[0] or _ANY_BYTES


def _record(upload_id: str) -> str:
    return f"upload:{upload_id}"
