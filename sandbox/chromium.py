"""A headless Chromium that keeps to itself, and the demo's administrator at it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

# Without the last four, Chromium asks its maker's servers for this and that.
_ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The one that CHROMIUM names, which deploy/chromium.sh found."""
    arguments = [*_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=arguments)
        yield browser
        browser.close()


def sign_in(page: Page, administrator: dict[str, Any]) -> None:
    """With the username and password of demo.json, at the back office's door."""
    page.goto("/admin/login/")
    page.get_by_label("Username").fill(administrator["username"])
    page.get_by_label("Password").fill(administrator["password"])
    page.get_by_label("Password").press("Enter")
    page.wait_for_url("**/admin/")
