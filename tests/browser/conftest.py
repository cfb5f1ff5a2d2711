"""One furnished Tradepost and one Chromium for all tests here; a tab of its own for each.

They run by themselves (`make browser`, part of `make check`), not beside others in one process:
Playwright keeps an event loop running in it, in which Django would refuse to use the database.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from sandbox.chromium import chromium, sign_in
from sandbox.receiver import Receiver
from sandbox.stage import furnish
from tests.browser.visitor import Visitor
from tests.support.installation import Installation

Visit = Callable[..., Visitor]

expect.set_options(timeout=30_000)  # a busy machine takes its time to draw all of ReDoc


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A Tradepost of its own with a small business in it."""
    one = Installation(tmp_path_factory.mktemp("browser"))
    one.start()
    try:
        with Receiver() as receiver:
            furnish(one.demo, receiver)
            yield one
    finally:
        one.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The Chromium that deploy/chromium.sh found."""
    with chromium() as one:
        yield one


@pytest.fixture(scope="session")
def administrator(browser: Browser, installation: Installation) -> Any:
    """The session of the demo's administrator."""
    visitor = Visitor(browser, installation.demo["base_url"])
    sign_in(visitor.page, installation.demo["admin"])
    session = visitor.session()
    visitor.close()
    return session


@pytest.fixture
def visit(browser: Browser, installation: Installation) -> Iterator[Visit]:
    """`visit(session=administrator, dark=True)`: a tab; at the end nobody may have complained."""
    visitors = []
    with ExitStack() as stack:

        def make(**how: Any) -> Visitor:
            visitor = Visitor(browser, installation.demo["base_url"], **how)
            stack.callback(visitor.close)
            visitors.append(visitor)
            return visitor

        yield make
    assert [line for visitor in visitors for line in visitor.complaints] == []
