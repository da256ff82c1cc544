"""What a file is by its first bytes: a picture we read, or something else with a name a person knows."""

from __future__ import annotations

HEAD_BYTES = 4096
"""How much of a file's beginning the functions here want to see."""

_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II\x2a\x00", "TIFF"),
    (b"MM\x00\x2a", "TIFF"),
    (b"II\x2b\x00", "TIFF"),  # BigTIFF
    (b"MM\x00\x2b", "TIFF"),
)
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})

_FOREIGN_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive (or an office document)"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"8BPS", "a Photoshop document"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x01\x00", "a Windows icon"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
    (b"OggS", "an Ogg video or sound"),
    (b"FLV", "a Flash video"),
    (b"ID3", "a sound (MP3)"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
)
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


def picture_format(head: bytes) -> str | None:
    """Pillow's name of the picture format ``head`` begins, or None if it is none of those we read."""
    for prefix, name in _PREFIXES:
        if head.startswith(prefix):
            return name
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    return "AVIF" if _brands(head) & {b"avif", b"avis"} else None


def describe_foreign(head: bytes) -> str:
    """A few words on what a file that is no picture of ours looks like: "a PDF document", "a text file" ..."""
    for prefix, words in _FOREIGN_PREFIXES:
        if head.startswith(prefix):
            return words
    if brands := _brands(head):
        return "a HEIC picture" if brands & _HEIC_BRANDS else "a video (MP4 or MOV)"
    if head.startswith(b"RIFF"):
        return {b"AVI ": "a video (AVI)", b"WAVE": "a sound (WAV)"}.get(head[8:12], "a RIFF file")
    return _describe_text(head) or "no kind of file known here"


def _brands(head: bytes) -> frozenset[bytes]:
    """The brands of an ISO base media file (AVIF, HEIC, MP4), or none if it is not one."""
    if head[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return frozenset({head[8:12], *(head[i : i + 4] for i in range(16, end - 3, 4))})


def _describe_text(head: bytes) -> str | None:
    """A few words if ``head`` is text, else None."""
    if b"\x00" in head:
        return None
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n").lower()
    if text.count("\ufffd") > 1:  # one may come from a character cut at the end of the head
        return None
    if text.startswith(("<!doctype html", "<html")):
        return "a web page (HTML), perhaps saved instead of the picture"
    if "<svg" in text:
        return "an SVG drawing, which has no pixels"
    return "a text file"
