"""The first page and the API's documentation, as a newcomer meets them."""

import json
import subprocess

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support.installation import Installation


def test_it_says_what_runs(visit: Visit) -> None:
    page = visit().page
    page.goto("/")

    expect(page.locator("#checks")).to_contain_text("PostgreSQL")
    expect(page.locator("#checks .state.bad")).to_have_count(0)
    expect(page.locator("#checks .state.ok")).to_have_count(5)


def test_what_it_offers_to_paste_works(visit: Visit) -> None:
    visitor = visit()
    visitor.open("/")
    script = visitor.page.locator(".paste pre").first.inner_text()

    lines = script.splitlines()
    answers = [
        json.loads(subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout)
        for line in lines
    ]
    assert answers[0]["code"] == "first"
    assert answers[2]["status"] == "pending"
    assert answers[3]["results"]


def test_every_link_of_it_leads_somewhere(visit: Visit) -> None:
    visitor = visit()
    visitor.open("/")
    links = visitor.links("a")
    assert len(links) >= 8
    for path in links:
        assert visitor.page.request.get(path).status == 200, path


def test_a_call_is_tried_in_swagger(visit: Visit, installation: Installation) -> None:
    visitor = visit()
    visitor.open("/api/docs/")
    page = visitor.page
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".auth-container input").first.fill(
        installation.demo["accounts"]["storefront"]["api_key"]
    )
    page.locator(".auth-container").first.get_by_role("button", name="Apply credentials").click()
    page.locator(".dialog-ux .close-modal").click()

    call = page.locator("#operations-Account-me")
    call.locator(".opblock-summary-control").click()
    call.get_by_role("button", name="Execute").click()
    expect(call.locator(".live-responses-table")).to_contain_text('"slug": "storefront"')


def test_redoc_shows_the_api(visit: Visit) -> None:
    page = visit().page
    page.goto("/api/redoc/")

    expect(page.locator("h1").first).to_contain_text("Tradepost API")
