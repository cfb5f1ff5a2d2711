"""Somebody at a browser, who notices what goes wrong behind the page."""

from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Response

DESKTOP = {"width": 1360, "height": 850}
PHONE = {"width": 390, "height": 800}


class Visitor:
    """One tab of its own at `base_url`; `complaints` is what a developer would see in the console."""

    def __init__(
        self,
        browser: Browser,
        base_url: str,
        *,
        session: Any = None,
        dark: bool = False,
        phone: bool = False,
    ) -> None:
        self._context = browser.new_context(
            base_url=base_url,
            storage_state=session,
            viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type] # a TypedDict
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        self._host = urlsplit(base_url).netloc
        self.page: Page = self._context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self._complain(f"error: {error}"))
        self.page.on("console", self._hear)
        self.page.on("request", lambda request: self._look_at(request.url))

    def close(self) -> None:
        self._context.close()

    def open(self, path: str) -> Response:
        """Go there; AssertionError unless it answers 200."""
        answer = self.page.goto(path)
        assert answer is not None
        assert answer.status == 200, (path, answer.status)
        return answer

    def session(self) -> Any:
        """What another tab needs in order to be the same person."""
        return self._context.storage_state()

    def links(self, selector: str) -> list[str]:
        """The paths that the links found by `selector` lead to, each once."""
        found = self.page.eval_on_selector_all(
            selector, "links => links.map(link => link.getAttribute('href'))"
        )
        return list(dict.fromkeys(link for link in found if link and link.startswith("/")))

    def is_too_wide(self) -> bool:
        """Whether the page must be moved sideways to be read."""
        return bool(
            self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth + 1")
        )

    def barriers(self) -> list[str]:
        """What axe-core calls serious or critical about the page as it is, with the places."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']} ({one['impact']}): {place['target']} {place['html'][:160]}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for place in one["nodes"]
        ]

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self._complain(said.text)

    def _complain(self, text: str) -> None:
        self.complaints.append(f"{self.page.url}: {text}")

    def _look_at(self, url: str) -> None:
        address = urlsplit(url)
        if address.scheme in ("http", "https") and address.netloc != self._host:
            self._complain(f"asks another server: {url}")
