"""The files of web/: small, whole, of nobody else, and readable in both colour schemes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

WEB = Path(__file__).resolve().parents[2] / "web"
FILES = sorted(path for path in WEB.rglob("*") if path.is_file())
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in FILES}
PAGE, STYLE = TEXTS["index.html"], TEXTS["style.css"]
SCRIPTS = {name: text for name, text in TEXTS.items() if name.endswith(".js")}


def test_page_is_small() -> None:
    sizes = {path.name: path.stat().st_size for path in FILES}
    assert sum(sizes.values()) < 50_000, sizes


def test_page_asks_nobody_else() -> None:
    allowed = {"http://www.w3.org/2000/svg", "http://127.0.0.1"}
    parts = {name: text for name, text in TEXTS.items() if not name.endswith(".md")}
    found = {address for text in parts.values() for address in re.findall(r"https?://[\w.-]+[\w/-]*", text)}
    assert found <= allowed


def test_policy_lets_only_own_scripts_and_styles_run() -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', PAGE)
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == rules["style-src"] == ["'self'"]
    assert rules["base-uri"] == rules["form-action"] == ["'none'"]
    assert rules["require-trusted-types-for"] == ["'script'"]
    assert PAGE.index("Content-Security-Policy") < PAGE.index("<link"), "it holds only for what follows it"


def test_page_has_nothing_inline() -> None:
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", PAGE)
    assert re.findall(r"<script([^>]*)>(.*?)</script>", PAGE, re.DOTALL) == [(' type="module" src="app.js"', "")]


def test_scripts_make_no_markup_of_text() -> None:
    for name, text in SCRIPTS.items():
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|Function\(", text
        )
        assert not found, name


def test_every_file_named_is_there() -> None:
    named = set(re.findall(r'(?:src|href)="([^"#]+)"', PAGE))
    named |= {name for text in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', text)}
    assert named <= TEXTS.keys()
    assert SCRIPTS.keys() <= named, "no script is left over"


def test_every_element_that_scripts_look_for_is_in_the_page() -> None:
    wanted = {name for text in SCRIPTS.values() for name in re.findall(r'find\("([\w-]+)"\)', text)}
    ids = re.findall(r'\sid="([\w-]+)"', PAGE)
    assert wanted <= set(ids)
    assert len(ids) == len(set(ids))


def test_api_is_of_the_same_origin_by_default() -> None:
    assert 'export const API = "";' in TEXTS["config.js"]


def colours() -> dict[str, tuple[str, str]]:
    """The page's colours by name: in the light, in the dark."""
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\);", STYLE)
    return {name: (light, dark) for name, light, dark in pairs}


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground", "least"),
    [
        *((text, ground, 4.5) for text in ("fg", "muted", "accent") for ground in ("bg", "card")),
        ("bad", "card", 4.5),
        ("bad", "bad-bg", 4.5),
        ("fg", "shade", 4.5),
        ("card", "accent", 4.5),
        ("edge", "card", 3.0),  # the outline of a field
        ("accent", "shade", 3.0),  # a progress bar
    ],
)
def test_colours_differ_enough_to_be_read(text: str, ground: str, least: float, scheme: int) -> None:
    lighter, darker = sorted((luminance(colours()[name][scheme]) for name in (text, ground)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= least
