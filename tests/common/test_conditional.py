"""Conditional requests: a copy that is still good is not sent again, a stale one overwrites nothing."""

import pytest

from apps.accounts.models import Account
from tests.support import ApiClient, concurrently
from tests.support.problems import assert_problem

ME = "/api/v1/me"


def test_an_object_carries_a_strong_etag(someone: ApiClient) -> None:
    tag = someone.get(ME).headers["ETag"]

    assert tag.startswith('"')
    assert tag.endswith('"')


@pytest.mark.parametrize("form", ["{}", '"x", {}', "W/{}", "*", ' {} , "y"'])
def test_a_current_copy_is_not_sent_again(someone: ApiClient, form: str) -> None:
    tag = someone.get(ME).headers["ETag"]

    answer = someone.get(ME, headers={"If-None-Match": form.format(tag)})

    assert answer.status_code == 304
    assert answer.content == b""
    assert answer.headers["ETag"] == tag
    assert "Content-Type" not in answer.headers


@pytest.mark.parametrize("form", ['"0"', "", "nonsense", "é"])
def test_any_other_copy_is_sent_anew(someone: ApiClient, form: str) -> None:
    answer = someone.get(ME, headers={"If-None-Match": form})

    assert answer.status_code == 200


def test_a_change_makes_a_new_etag(someone: ApiClient) -> None:
    old = someone.get(ME).headers["ETag"]

    answer = someone.patch(ME, {"name": "New"}, headers={"If-Match": old})

    assert answer.status_code == 200
    assert answer.headers["ETag"] != old
    assert someone.get(ME, headers={"If-None-Match": old}).status_code == 200
    assert someone.get(ME, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_a_change_of_nothing_keeps_the_etag(someone: ApiClient) -> None:
    someone.patch(ME, {"name": "Same"})
    before = someone.get(ME)

    answer = someone.patch(ME, {"name": "Same"})

    assert answer.headers["ETag"] == before.headers["ETag"]
    assert answer.json() == before.json()


@pytest.mark.parametrize("condition", ['"99"', '"99-x", "98"', "nonsense", "", 'W/"1"'])
def test_a_stale_copy_overwrites_nothing(someone: ApiClient, condition: str) -> None:
    answer = someone.patch(ME, {"name": "Lost"}, headers={"If-Match": condition})

    assert_problem(answer, 412, "stale_version")
    assert someone.get(ME).json()["account"]["name"] != "Lost"


@pytest.mark.parametrize("condition", ["*", '"1"', '"7", "1-anything"'])
def test_a_condition_that_holds_lets_the_change_through(someone: ApiClient, condition: str) -> None:
    answer = someone.patch(ME, {"name": "Found"}, headers={"If-Match": condition})

    assert answer.status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_many_who_read_the_same_one_writes(someone: ApiClient) -> None:
    tag = someone.get(ME).headers["ETag"]

    answers = concurrently(
        8, lambda n: someone.patch(ME, {"name": f"Writer {n}"}, headers={"If-Match": tag})
    )

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * 7
    assert Account.objects.get(pk=someone.account.pk).version == 2


def test_a_rotated_key_is_shown_with_its_new_end(someone: ApiClient) -> None:
    old = someone.get(ME).headers["ETag"]
    someone.post(f"/api/v1/api-keys/{someone.key.id}/rotate", {"overlap_seconds": 600})

    answer = someone.get(ME, headers={"If-None-Match": old})

    assert answer.status_code == 200
    assert answer.json()["key"]["expires_at"] is not None
