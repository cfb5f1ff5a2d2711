"""The rate limit: exactly so many calls a minute, told in headers, and never in the way without Redis."""

import re
import time

import pytest

from apps.accounts import throttle
from apps.common import besteffort
from apps.common.ids import uuid7
from tests.conftest import MakeClient
from tests.support import concurrently
from tests.support.problems import assert_problem

ME = "/api/v1/me"


def test_each_answer_tells_what_is_left(api: MakeClient) -> None:
    client = api(rate_limit=10)

    started = time.monotonic()
    answers = [client.get(ME) for _ in range(3)]
    took = time.monotonic() - started

    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"key";q=10;w=60'}
    left = [re.fullmatch(r'"key";r=(\d+);t=(\d+)', a.headers["RateLimit"]) for a in answers]
    assert [match and int(match[1]) for match in left] == [9, 8, 7]
    for match, seconds in zip(left, (6, 12, 18), strict=True):
        assert match
        assert seconds - took <= int(match[2]) <= seconds


def test_errors_tell_it_too(api: MakeClient) -> None:
    client = api("orders:read", rate_limit=10)

    assert client.get("/api/v1/api-keys").headers["RateLimit"].startswith('"key";r=9;')
    assert client.patch(ME, b"{").headers["RateLimit"].startswith('"key";r=8;')


def test_a_call_too_many_is_refused_and_told_when_to_go_on(api: MakeClient) -> None:
    client = api(rate_limit=3)
    started = time.monotonic()
    for _ in range(3):
        assert client.get(ME).status_code == 200

    answer = client.get(ME)

    assert_problem(answer, 429, "rate_limited")
    took = time.monotonic() - started
    assert 20 - took <= int(answer.headers["Retry-After"]) <= 20
    assert answer.headers["RateLimit"] == f'"key";r=0;t={answer.headers["Retry-After"]}'


def test_a_call_that_was_refused_is_not_counted(api: MakeClient) -> None:
    client = api(rate_limit=3)

    started = time.monotonic()
    waits = [client.get(ME).headers.get("Retry-After") for _ in range(10)]
    took = time.monotonic() - started

    assert waits[:3] == [None] * 3
    assert all(20 - took <= int(wait or 0) <= 20 for wait in waits[3:])


@pytest.mark.django_db(transaction=True)
def test_exactly_the_limit_is_let_through_however_many_call_at_once(api: MakeClient) -> None:
    client = api(rate_limit=5)  # the next after 12 seconds

    answers = concurrently(30, lambda _: client.get(ME).status_code)

    assert answers.count(200) == 5
    assert answers.count(429) == 25


def test_keys_have_budgets_of_their_own(api: MakeClient) -> None:
    one = api(rate_limit=1)
    other = api(account=one.account, rate_limit=1)

    assert one.get(ME).status_code == other.get(ME).status_code == 200
    assert one.get(ME).status_code == 429


def test_the_budget_fills_again_evenly() -> None:
    key = uuid7()
    limit = 3  # one more every 20 seconds

    def allowed() -> bool:
        counted = throttle.count(key, limit)
        assert counted is not None
        return counted.state.allowed

    def seconds_pass(seconds: float) -> None:
        full_again_at = float(besteffort.client().get(f"throttle:{key}"))  # type: ignore[arg-type]
        besteffort.client().set(f"throttle:{key}", full_again_at - seconds)

    assert [allowed() for _ in range(4)] == [True, True, True, False]
    seconds_pass(20)
    assert [allowed(), allowed()] == [True, False]
    seconds_pass(40)
    assert [allowed(), allowed(), allowed()] == [True, True, False]
