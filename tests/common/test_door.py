"""Calls of the API pass by the middleware of pages, and are answered as carefully."""

import pytest
from django.http import Http404
from django.test import Client
from django.urls import resolve

from apps.accounts.models import User
from apps.common.api.door import ApiMiddleware
from apps.common.ids import uuid7
from tests.conftest import MakeClient
from tests.support.problems import assert_problem

ME = "/api/v1/me"


@pytest.mark.django_db
def test_the_api_knows_no_session(api: MakeClient) -> None:
    browser = Client()
    browser.force_login(User.objects.create_superuser("boss"))

    assert browser.get("/admin/").status_code == 200
    assert_problem(browser.get(ME), 401)


@pytest.mark.django_db
def test_an_answer_tells_its_length_and_no_frame_may_show_it(api: MakeClient) -> None:
    answers = [api().get(ME), api().get("/api/v1/nothing"), Client().get(ME)]

    assert [answer.status_code for answer in answers] == [200, 404, 401]
    for answer in answers:
        assert answer.headers["Content-Length"] == str(len(answer.content))
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "Vary" not in answer.headers
        assert not answer.cookies


def test_a_host_that_is_not_ours_is_refused() -> None:
    assert_problem(Client().get(ME, headers={"Host": "elsewhere.example"}), 400, "bad_request")


@pytest.mark.django_db
def test_what_is_remembered_is_as_much_as_there_are_addresses(api: MakeClient) -> None:
    door = ApiMiddleware(lambda request: pytest.fail("nothing here is a page"))

    for path in (ME, ME, "/api/v1/orders"):
        assert door._match(path).func is door._match(path).func
    one = door._match("/api/v1/orders/01936f3e-5a70-7cc0-a1b2-0d5c7f1c9b02")

    assert list(door._matches) == [ME, "/api/v1/orders"]
    assert list(one.kwargs) == ["order_id"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/orders/{}",
        "/api/v1/streams/{}/runs/{}",
        "/api/v1/products/by-sku/{}",
        "/api/v1/streams/{}/consumers/{}/commit",
    ],
)
def test_a_path_with_ids_leads_where_django_says(path: str) -> None:
    door = ApiMiddleware(lambda request: pytest.fail("nothing here is a page"))

    for _ in range(3):
        asked = path.format(uuid7(), uuid7())
        found, expected = door._match(asked), resolve(asked)
        assert (found.func, found.kwargs) == (expected.func, expected.kwargs)
        assert (found.view_name, found.route) == (expected.view_name, expected.route)


@pytest.mark.parametrize("around", ["a{}", "{}a", "{}/", "{}{}"])
def test_what_is_nearly_an_id_is_nowhere(around: str) -> None:
    door = ApiMiddleware(lambda request: pytest.fail("nothing here is a page"))
    door._match(f"/api/v1/orders/{uuid7()}")

    with pytest.raises(Http404):
        door._match("/api/v1/orders/" + around.format(uuid7(), uuid7()))
