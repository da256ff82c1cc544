"""IncomingForm: a form with one file, read as it arrives: nothing of the file is taken before its fields are known."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, BinaryIO, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.lowlevel import RunVar
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from irss_core.errors import InputError

T = TypeVar("T")

FILE_FIELD = "file"
_MAX_FIELDS = 32
_MAX_FIELD_BYTES = 64 * 1024  # of all fields together, names included
_STALLED_S = 60.0
_UPLOADS_AT_ONCE = 64


class IncomingForm:
    """The fields of a form, and the pieces of its file, which come last. Made with ``begin``."""

    def __init__(self, request: Request, parser: _Parts) -> None:
        self._stream, self._parser = request.stream(), parser
        self.fields: dict[str, str] = parser.fields

    @classmethod
    async def begin(cls, request: Request) -> IncomingForm:
        """Return the form of a request, read up to where its file begins.

        Raises:
            InputError: not such a form.
        """
        kind, parameters = parse_options_header(request.headers.get("content-type"))
        boundary = parameters.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise InputError('The request is no form. Send multipart/form-data with the file in the field "file".')
        form = cls(request, _Parts(boundary))
        while not form._parser.at_file:
            if not await form._feed():
                raise InputError('The form has no field "file", or it does not come last. Send the other fields first.')
        return form

    @property
    def filename(self) -> str:
        """The file's name as it was sent; it may be anything."""
        return self._parser.filename

    async def use(self, take: Callable[[BinaryIO], T]) -> T:
        """Return what ``take`` returns, which runs in a thread and reads the file from a stream as it arrives.

        Raises:
            InputError: the form breaks off, or is damaged. HTTPException: 408, nothing came for a minute.
        """
        return await anyio.to_thread.run_sync(take, io.BufferedReader(_Arriving(self._next_piece)), limiter=_readers())

    async def _next_piece(self) -> bytes:
        """Return some more of the file, nothing at its end."""
        while not self._parser.pieces:
            if self._parser.ended:
                return b""
            if not await self._feed():
                raise InputError("The form breaks off before its end. Send it again.")
        return self._parser.pieces.popleft()

    async def _feed(self) -> bool:
        """Give the parser some more of the request; False when there is no more."""
        try:
            with anyio.fail_after(_STALLED_S):
                piece = await anext(self._stream, None)
        except TimeoutError:
            raise HTTPException(408, f"Nothing of the file came for {_STALLED_S:.0f} seconds. Send it again.") from None
        except ClientDisconnect:
            return False
        if piece is None:
            return False
        self._parser.feed(piece)
        return True


class _Arriving(io.RawIOBase):
    """A file that is read in a thread while its pieces arrive in the event loop."""

    def __init__(self, next_piece: Callable[[], Coroutine[Any, Any, bytes]]) -> None:
        self._next_piece = next_piece
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._piece:
            self._piece = memoryview(anyio.from_thread.run(self._next_piece))
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._piece))
        target[:size], self._piece = self._piece[:size], self._piece[size:]
        return size


_LIMITER: RunVar[anyio.CapacityLimiter] = RunVar("irss-uploads")


def _readers() -> anyio.CapacityLimiter:
    """Return the threads for uploads, apart from those that answer everything else: an upload may take its time."""
    try:
        return _LIMITER.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_UPLOADS_AT_ONCE)
        _LIMITER.set(limiter)
        return limiter


class _Parts:
    """What the parser found so far."""

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, str] = {}
        self.pieces: deque[bytes] = deque()
        self.filename = ""
        self.at_file = self.ended = False
        self._header, self._value = bytearray(), bytearray()
        self._name, self._text = "", bytearray()
        self._size = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._on_header,
                    "on_header_value": self._on_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers,
                    "on_part_data": self._on_data,
                    "on_part_end": self._on_end,
                    "on_end": self._finish,
                },
            )
        except FormParserError as exc:
            raise InputError(f"The form's boundary cannot be used ({exc}).") from exc

    def feed(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError as exc:
            raise InputError("The form is damaged. Send it again.") from exc

    def _begin(self) -> None:
        if self.at_file:
            raise InputError('The form has a part after its field "file". Send the file last, one in a form.')
        self._name, self._text = "", bytearray()
        if len(self.fields) >= _MAX_FIELDS:
            raise InputError(f"The form has more than {_MAX_FIELDS} fields.")

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = _text(options.get(b"name", b""))
            self.filename = _text(options.get(b"filename", b""))
        self._header.clear()
        self._value.clear()

    def _on_headers(self) -> None:
        if not self._name or self._name in self.fields:
            raise InputError("The form has a field without a name, or one twice.")
        self.at_file = self._name == FILE_FIELD

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self.at_file:
            self.pieces.append(data[start:end])
            return
        self._text += data[start:end]
        self._count(end - start)

    def _on_end(self) -> None:
        if not self.at_file:
            self._count(len(self._name))
            self.fields[self._name] = _text(bytes(self._text))

    def _finish(self) -> None:
        self.ended = True

    def _count(self, size_bytes: int) -> None:
        self._size += size_bytes
        if self._size > _MAX_FIELD_BYTES:
            raise InputError(f"The form's fields have more than {_MAX_FIELD_BYTES} bytes.")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
