"""Files that are a picture and something else at once, made so that one program shows them and another runs them.

What counts is what other programs go by: web pages by a tag near the beginning, PDF by a mark in the first kilobyte,
ZIP archives by a directory at the end. Harmless extras (a second picture, a clip behind a photograph) are left alone.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

_MARKUP = re.compile(rb"<\s*(?:!doctype\s+html|html|script|iframe|svg)[\s>/]|<\?php", re.IGNORECASE)
_PDF_WITHIN = 1024


def second_nature(path: Path, head: bytes) -> str | None:
    """Return what a picture or clip is beside that ("a web page", "a ZIP archive" …), or None if nothing."""
    if _MARKUP.search(head):
        return "a web page or script"
    if b"%PDF-" in head[:_PDF_WITHIN]:
        return "a PDF document"
    return "a ZIP archive" if _is_archive(path) else None


def _is_archive(path: Path) -> bool:
    """Whether a ZIP program finds files in it; four bytes that look like a directory may be there by chance."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
