"""Idempotency-Key: a POST that is sent again has one effect, and the same answer."""

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from apps.accounts.models import Account, ApiKey
from apps.common.models import IdempotencyKey
from apps.common.tasks import maintain
from tests.conftest import MakeClient
from tests.support import (
    ApiClient,
    background,
    concurrently,
    holding,
    somebody_waits_for_a_lock,
    wait_until,
)
from tests.support.problems import assert_problem

KEYS = "/api/v1/api-keys"
BODY = {"name": "another", "scopes": ["orders:read"]}


def keys_of(client: ApiClient) -> int:
    return ApiKey.objects.filter(account=client.account).exclude(pk=client.key.pk).count()


def test_a_retry_gets_the_first_answer_and_has_no_effect(someone: ApiClient) -> None:
    first = someone.post(KEYS, BODY, idempotency_key="k")

    again = someone.post(KEYS, BODY, idempotency_key="k")

    assert first.status_code == again.status_code == 201
    assert again.json() == {**first.json(), "api_key": None}
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert keys_of(someone) == 1


def test_a_retry_is_the_same_whatever_the_order_and_spacing_of_its_members(
    someone: ApiClient,
) -> None:
    someone.post(KEYS, b'{"name": "a", "scopes": ["orders:read"]}', idempotency_key="k")

    again = someone.post(KEYS, b'{"scopes":["orders:read"],"name":"a"}', idempotency_key="k")

    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_secret_is_neither_replayed_nor_stored(someone: ApiClient) -> None:
    secret = someone.post(KEYS, BODY, idempotency_key="k").json()["api_key"]

    (stored,) = IdempotencyKey.objects.all()

    assert someone.post(KEYS, BODY, idempotency_key="k").json()["api_key"] is None
    assert secret.encode() not in bytes(stored.body)


def test_without_a_key_each_post_has_its_effect(someone: ApiClient) -> None:
    someone.post(KEYS, BODY)
    someone.post(KEYS, BODY)

    assert keys_of(someone) == 2


def test_a_key_of_another_request_is_refused(someone: ApiClient) -> None:
    someone.post(KEYS, BODY, idempotency_key="k")

    other_body = someone.post(KEYS, {**BODY, "name": "other"}, idempotency_key="k")
    other_path = someone.post(f"{KEYS}/{someone.key.id}/rotate", {}, idempotency_key="k")

    assert_problem(other_body, 422, "idempotency_key_reused")
    assert_problem(other_path, 422, "idempotency_key_reused")
    assert keys_of(someone) == 1


def test_the_keys_of_accounts_are_apart(api: MakeClient) -> None:
    one, other = api(), api()
    one.post(KEYS, BODY, idempotency_key="k")

    answer = other.post(KEYS, BODY, idempotency_key="k")

    assert "Idempotent-Replayed" not in answer.headers
    assert keys_of(other) == 1


def test_the_keys_of_an_account_share_what_was_answered(api: MakeClient) -> None:
    one = api()
    two = api(account=one.account)
    one.post(KEYS, BODY, idempotency_key="k")

    assert two.post(KEYS, BODY, idempotency_key="k").headers["Idempotent-Replayed"] == "true"


def test_an_answer_without_effect_is_not_stored(someone: ApiClient) -> None:
    refused = someone.post(KEYS, {**BODY, "scopes": ["nonsense"]}, idempotency_key="k")
    assert_problem(refused, 400)

    answer = someone.post(KEYS, BODY, idempotency_key="k")

    assert answer.status_code == 201


@pytest.mark.parametrize("end", ["domain error", "bug"])
@pytest.mark.urls("tests.common.urls")
@pytest.mark.django_db(transaction=True)
def test_a_post_that_fails_leaves_nothing_of_itself(someone: ApiClient, end: str) -> None:
    body = {"slug": "half-made", "end": end}
    if end == "bug":
        with pytest.raises(RuntimeError):
            someone.post("/effect", body, idempotency_key="k")
    else:
        assert someone.post("/effect", body, idempotency_key="k").status_code == 409

    assert not Account.objects.filter(slug="half-made").exists()
    assert not IdempotencyKey.objects.exists()

    done = someone.post("/effect", {**body, "end": "well"}, idempotency_key="k")
    assert done.status_code == 201


@pytest.mark.urls("tests.common.urls")
def test_a_replay_carries_the_location(someone: ApiClient) -> None:
    body = {"slug": "made", "end": "well"}
    someone.post("/effect", body, idempotency_key="k")

    again = someone.post("/effect", body, idempotency_key="k")

    assert again.headers["Location"] == "/somewhere"
    assert again.json() == {"slug": "made", "secret": None}


@pytest.mark.django_db(transaction=True)
def test_while_the_first_is_in_flight_the_second_is_told_so_at_once(someone: ApiClient) -> None:
    someone.get("/api/v1/me")  # the key is remembered: what follows writes nothing of its own

    with contextlib.ExitStack() as lock:
        # Nobody can insert a key while this is held, so the first request stops halfway.
        lock.enter_context(holding("LOCK TABLE accounts_apikey IN SHARE ROW EXCLUSIVE MODE"))
        with background(lambda: someone.post(KEYS, BODY, idempotency_key="k")) as first:
            wait_until(somebody_waits_for_a_lock)

            second = someone.post(KEYS, BODY, idempotency_key="k")

            assert not first.done(), "so the second has not waited for it"
            lock.close()

    assert first.result().status_code == 201
    assert_problem(second, 409, "request_in_flight")
    again = someone.post(KEYS, BODY, idempotency_key="k")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert keys_of(someone) == 1


@pytest.mark.django_db(transaction=True)
def test_many_at_once_with_one_key_have_one_effect(someone: ApiClient) -> None:
    answers = concurrently(12, lambda _: someone.post(KEYS, BODY, idempotency_key="k"))

    first_hand = [a for a in answers if a.status_code == 201 and "api_key" in a.json()]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert sum(1 for a in first_hand if a.json()["api_key"]) == 1
    assert keys_of(someone) == 1


def test_after_a_day_the_key_is_forgotten(someone: ApiClient) -> None:
    someone.post(KEYS, BODY, idempotency_key="k")
    _age(hours=23, minutes=59)
    replayed = someone.post(KEYS, BODY, idempotency_key="k")
    _age(minutes=2)

    answer = someone.post(KEYS, {**BODY, "name": "other"}, idempotency_key="k")

    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers
    assert keys_of(someone) == 2


def test_old_keys_are_cleared_away(someone: ApiClient) -> None:
    someone.post(KEYS, BODY, idempotency_key="old")
    _age(hours=26)
    someone.post(KEYS, BODY, idempotency_key="young")

    maintain()

    assert [row.key for row in IdempotencyKey.objects.all()] == ["young"]


def _age(**by: Any) -> None:
    IdempotencyKey.objects.update(created_at=F("created_at") - timedelta(**by))
