"""Lengths of time and numbers of bytes as words: the same on the command line, on every page and in mails."""

from __future__ import annotations

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def time_words(seconds: float) -> str:
    """Return a length of time as a person says it: "8 ms", "0.4 s", "12 s", "3 min 05 s", "12 min", "2 h 10 min"."""
    if 0 < seconds < 0.095:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60:02d} s" if whole % 60 else "")
    minutes = round(seconds / 60)
    return f"{minutes // 60} h" + (f" {minutes % 60:02d} min" if minutes % 60 else "")


def size_words(size_bytes: float) -> str:
    """Return a number of bytes in decimal units: "512 bytes", "1.4 MB", "67 MB"."""
    value, unit = float(size_bytes), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.{1 if unit and value < 9.95 else 0}f} {_UNITS[unit]}"
