"""Every page of the back office opens for people: no error in the console, no other server asked."""

from typing import Any

import pytest

from tests.browser.conftest import Visit
from tests.browser.visitor import Visitor

SIDEBAR = "nav a[href^='/admin/'], aside a[href^='/admin/'], #nav-sidebar a[href^='/admin/']"
ONE = "#result_list tbody tr:first-child th a, #result_list tbody tr:first-child td a"

# Lists whose first object is looked at too: the pages that people work on.
MAIN = (
    "order",
    "product",
    "deal",
    "stream",
    "contact",
    "endpoint",
    "delivery",
    "jobrun",
    "account",
)


def lists(visitor: Visitor) -> list[str]:
    """The lists in the sidebar."""
    visitor.open("/admin/")
    found = visitor.links(SIDEBAR)
    assert len(found) > 25, found
    return found


@pytest.mark.parametrize(
    "how", [{}, {"dark": True, "phone": True}], ids=["desktop light", "phone dark"]
)
@pytest.mark.timeout(300)
def test_every_page_opens_and_fits(how: dict[str, bool], visit: Visit, administrator: Any) -> None:
    visitor = visit(session=administrator, **how)
    too_wide = []
    for path in lists(visitor):
        visitor.open(path)
        if visitor.is_too_wide():
            too_wide.append(path)
        for one in visitor.links(ONE)[:1]:
            visitor.open(one)
            if visitor.is_too_wide():
                too_wide.append(one)

    assert too_wide == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.timeout(300)
def test_nothing_stands_in_anybodys_way(dark: bool, visit: Visit, administrator: Any) -> None:
    visitor = visit(session=administrator, dark=dark)
    main = [path for path in lists(visitor) if path.split("/")[-2] in MAIN]
    assert len(main) == len(MAIN)
    barriers: dict[str, list[str]] = {}
    for path in ["/", "/admin/", *main]:
        visitor.open(path)
        barriers[path] = visitor.barriers()
        for one in visitor.links(ONE)[:1]:
            visitor.open(one)
            barriers[one] = visitor.barriers()

    assert {path: found for path, found in barriers.items() if found} == {}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_stranger_reads_the_door_and_the_first_page(dark: bool, visit: Visit) -> None:
    visitor = visit(dark=dark)
    for path in ("/", "/admin/login/"):
        visitor.open(path)
        assert visitor.barriers() == []
        assert not visitor.is_too_wide()
