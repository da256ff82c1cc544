"""Guest: a person with web/ open, for its browser tests."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.chromium import SCREENSHOTS
from tests.e2e.stand_in_api import CODE, OWNER, TOKEN


class Guest:
    """Somebody with the page open. What goes wrong in the page itself is written down."""

    def __init__(
        self, browser: Any, address: str, size: tuple[int, int], *, real_time: bool = False, **options: Any
    ) -> None:
        from playwright.sync_api import expect  # not installed everywhere: the tests are skipped there

        self.address = address
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._logged)
        if not real_time:
            self.page.clock.install()
        self.expect = expect

    def _logged(self, line: Any) -> None:
        # What the network did is the test's own doing.
        if line.type in ("error", "warning") and not line.text.startswith("Failed to load resource"):
            self.faults.append(line.text)

    def known(self) -> Guest:
        """As one who signed in at an earlier visit."""
        self.context.add_cookies([{"name": "irss_session", "value": TOKEN, "url": self.address}])
        return self

    def arrive(self, at: str | None = None) -> Guest:
        self.page.goto(f"{at or self.address}/web/")
        self.page.locator("#ask:visible, #known:visible, #confirm:visible").wait_for()
        return self

    def sign_in(self) -> None:
        self.page.get_by_label("E-mail address").fill(OWNER.address)
        self.press("Send me a code")
        self.page.get_by_label("The 6 digits").fill(CODE)
        self.press("Confirm")

    def choose(self, *paths: Path) -> None:
        self.page.locator("#choose").set_input_files(paths)

    def press(self, name: str, *, exact: bool = True) -> None:
        self.page.get_by_role("button", name=name, exact=exact).click()

    def fetch(self, name: str) -> tuple[str, bytes]:
        """The suggested name and the bytes of what a link gives."""
        with self.page.expect_download() as download:
            self.page.get_by_role("link", name=name, exact=True).click()
        return download.value.suggested_filename, download.value.path().read_bytes()

    def sees(self, text: str | re.Pattern[str]) -> None:
        self.page.get_by_text(text).first.wait_for()

    def sees_not(self, text: str) -> None:
        self.expect(self.page.get_by_text(text)).to_have_count(0)

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits, while the page goes on, until something holds that this side counts."""
        for _ in range(500):
            if holds():
                return
            self.page.wait_for_timeout(20)
        raise AssertionError("waited 10 s in vain")

    def hears(self, text: str) -> None:
        self.expect(self.page.locator("#say")).to_have_text(re.compile(text))

    def submit(self, *paths: Path) -> None:
        self.choose(*paths)
        self.press("Start")
        self.page.locator(".card").first.wait_for()

    def shot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"web-{name}.png", full_page=True)


def newest_code(outbox: Path) -> str:
    """The code in the newest mail of the outbox folder."""
    newest = max(outbox.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
    mail = email.message_from_bytes(newest.read_bytes(), policy=email.policy.default)
    body = mail.get_body(("plain",))
    assert body is not None
    (code,) = re.findall(r"^\s*(\d{6})\s*$", body.get_content(), re.MULTILINE)
    return str(code)
