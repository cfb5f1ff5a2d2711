"""`make screenshots`: the pictures of the README, taken of the Tradepost that `make run` started.

A fresh demo is furnished first, by API calls; one that has been furnished is taken as it is.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page

from sandbox.chromium import chromium, sign_in
from sandbox.client import Client, read_demo
from sandbox.receiver import Receiver
from sandbox.stage import furnish

IMAGES = Path("docs/images")
COLOURS = 128  # enough for pages that have few, at a third of the size

# Name of the picture, the page, dark or light, and the row whose object is opened.
_PICTURES: list[tuple[str, str, bool, str]] = [
    ("first-page", "/", False, ""),
    ("dashboard", "/admin/", False, ""),
    ("dashboard-dark", "/admin/", True, ""),
    ("order", "/admin/orders/order/", False, "1004"),
    ("endpoint", "/admin/webhooks/endpoint/", False, "/agency"),
    ("swagger", "/api/docs/", False, ""),
]


@contextmanager
def signed_in(browser: Browser, demo: dict[str, Any], *, dark: bool) -> Iterator[Page]:
    """A tab in which the demo's administrator has signed in."""
    context = browser.new_context(
        base_url=demo["base_url"],
        viewport={"width": 1360, "height": 850},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    sign_in(page, demo["admin"])
    try:
        yield page
    finally:
        context.close()


def take(browser: Browser, demo: dict[str, Any]) -> None:
    for dark in (False, True):
        with signed_in(browser, demo, dark=dark) as page:
            for name, path, is_dark, row in _PICTURES:
                if is_dark == dark:
                    page.goto(path)
                    if row:
                        page.get_by_role("row").filter(has_text=row).get_by_role(
                            "link"
                        ).first.click()
                    page.wait_for_load_state("networkidle")
                    keep(name, page.screenshot(animations="disabled"))


def keep(name: str, png: bytes) -> None:
    """Write docs/images/NAME.png with few colours and say how large it is."""
    path = IMAGES / f"{name}.png"
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS)
    picture.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1024} KiB", flush=True)


def is_furnished(demo: dict[str, Any]) -> bool:
    shop = Client(demo["base_url"], demo["accounts"]["storefront"]["api_key"])
    try:
        return bool(shop.call("GET", "/storefronts")["results"])
    finally:
        shop.close()


def main() -> None:
    demo = read_demo()
    IMAGES.mkdir(parents=True, exist_ok=True)
    with Receiver() as receiver, chromium() as browser:
        if not is_furnished(demo):
            furnish(demo, receiver)
        take(browser, demo)


if __name__ == "__main__":
    main()
