"""Calls of the API pass by the middleware of pages, and are answered as carefully."""

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.common.api.door import ApiMiddleware
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
