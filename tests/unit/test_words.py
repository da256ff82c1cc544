"""Tests of irss_core/words.py."""

from __future__ import annotations

import pytest

from irss_core.words import size_words, time_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.0083, "8 ms"),
        (0.096, "0.1 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min 05 s"),
        (3599.7, "1 h"),
        (7830, "2 h 10 min"),
    ],
)
def test_times_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert time_words(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (67_040_989, "67 MB"),
        (6e9, "6.0 GB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes_are_decimal(size: float, words: str) -> None:
    assert size_words(size) == words
