"""Every POST can be sent again safely."""

import pytest

from apps.common.models import IdempotencyKey
from tests.architecture.household import Household
from tests.architecture.operations import Operation, operations
from tests.support import ApiClient
from tests.support.problems import assert_problem

POSTS = [each for each in operations() if each.method == "POST"]


@pytest.mark.parametrize("operation", POSTS, ids=str)
def test_every_post_is_idempotent(operation: Operation) -> None:
    assert operation.view.post.is_idempotent  # type: ignore[attr-defined]


@pytest.mark.parametrize("operation", POSTS, ids=str)
def test_every_post_refuses_a_member_that_it_does_not_know(
    operation: Operation, someone: ApiClient
) -> None:
    answer = someone.post(operation.url(), {"surely_unknown": 1})

    assert_problem(answer, 400)
    codes = {each["pointer"]: each["code"] for each in answer.json()["errors"]}
    assert codes["/surely_unknown"] == "unknown_field"


def test_every_post_refuses_a_used_key_whatever_else_is_wrong(household: Household) -> None:
    IdempotencyKey.objects.create(
        account_id=household.client.account.id, key="used", fingerprint="", status=200, body=b"{}"
    )
    for each in POSTS:
        url = each.url(household.ids)

        answer = household.client.post(url, {"surely_unknown": 1}, idempotency_key="used")

        assert_problem(answer, 422, "idempotency_key_reused")


def test_every_post_answers_a_retry_as_it_did_the_first_time(household: Household) -> None:
    """With the documented bodies, where they suit; a refusal is given again, and not stored."""
    succeeded = set()
    for each in POSTS:
        url, key = each.url(household.ids), each.spec["operationId"]

        first = household.client.post(url, each.body(), idempotency_key=key)
        again = household.client.post(url, each.body(), idempotency_key=key)

        assert again.status_code == first.status_code, str(each)
        if first.status_code < 300:
            succeeded.add(key)
            assert again.headers["Idempotent-Replayed"] == "true", str(each)
            secrets = getattr(each.view, "secret_fields", ())
            assert again.json() == {**first.json(), **dict.fromkeys(secrets)}, str(each)
            assert all(first.json()[name] for name in secrets), str(each)
        else:
            assert "Idempotent-Replayed" not in again.headers, str(each)

    assert set(IdempotencyKey.objects.values_list("key", flat=True)) == succeeded
    assert len(succeeded) > len(POSTS) / 2
