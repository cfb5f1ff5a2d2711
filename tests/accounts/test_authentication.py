"""Who calls: by either header, refused at once when the key has ended, cheap when it has not."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts import authentication
from apps.accounts.keys import generate
from apps.accounts.models import ApiKey
from apps.common import besteffort, clock
from tests.conftest import MakeClient
from tests.support import ApiClient, wait_until
from tests.support.isolation import forget_everything
from tests.support.outages import frozen, redis_at, refused, tries
from tests.support.problems import assert_problem
from tests.support.process import OtherProcess

if TYPE_CHECKING:
    from tests.support.api import Response

ME = "/api/v1/me"


def get_me(headers: dict[str, str]) -> "Response":
    return Client().get(ME, headers=headers)


def assert_refused(answer: "Response", code: str = "authentication_failed") -> None:
    assert_problem(answer, 401, code)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="tradepost"'


@pytest.fixture
def client(api: MakeClient) -> ApiClient:
    return api()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-API-Key", "{}"),
        ("X-API-Key", "  {} "),
        ("Authorization", "Bearer {}"),
        ("Authorization", "bearer   {}"),
    ],
)
def test_a_key_is_accepted_in_either_header(client: ApiClient, name: str, value: str) -> None:
    answer = get_me({name: value.format(client.plain_key)})

    assert answer.status_code == 200
    assert answer.json()["key"]["id"] == str(client.key.id)


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Authorization": "Basic YTpi"}])
def test_without_a_key_the_call_is_refused(headers: dict[str, str]) -> None:
    assert_refused(get_me(headers), "not_authenticated")


@pytest.mark.parametrize(
    "value", ["", "nonsense", "tp_", "\x00", "é" * 20, "x" * 10_000, "tp_aaaaaaaa_" + "é" * 43]
)
def test_what_cannot_be_a_key_is_refused_without_asking_anybody(value: str) -> None:
    assert_refused(get_me({"X-API-Key": value}))
    assert get_me({"Authorization": f"Bearer {value}"}).status_code == 401


@pytest.mark.django_db
def test_an_unknown_key_is_refused() -> None:
    assert_refused(get_me({"X-API-Key": generate().plain}))


def test_the_scheme_of_the_header_does_not_let_a_part_of_a_key_through(client: ApiClient) -> None:
    for wrong in (client.plain_key[:-1], client.plain_key + "a", client.plain_key.upper()):
        assert_refused(get_me({"X-API-Key": wrong}))


@pytest.mark.django_db(transaction=True)
class TestInAnotherProcess:
    """What one process has done to a key, the next request in another one feels."""

    @pytest.fixture
    def other(self) -> Iterator[OtherProcess]:
        with OtherProcess() as process:
            yield process

    def test_an_ended_key_is_refused_at_once(self, other: OtherProcess, api: MakeClient) -> None:
        revoked, rotated, kept = api(), api(), api()
        keys = [each.plain_key for each in (revoked, rotated, kept)]
        for _ in range(2):  # the second time from memory
            assert [self.ask(other, key) for key in keys] == [200, 200, 200]

        assert revoked.delete(f"/api/v1/api-keys/{revoked.key.id}").status_code == 204
        fresh = rotated.post(f"/api/v1/api-keys/{rotated.key.id}/rotate", {}).json()["api_key"]

        assert [self.ask(other, key) for key in keys] == [401, 401, 200]
        assert self.ask(other, fresh) == 200

    def test_a_key_that_lost_its_epoch_is_looked_up_again(
        self, other: OtherProcess, api: MakeClient
    ) -> None:
        client = api()
        assert self.ask(other, client.plain_key) == 200
        ApiKey.objects.filter(pk=client.key.pk).update(revoked_at=Now())

        besteffort.client().flushdb()

        assert self.ask(other, client.plain_key) == 401

    @staticmethod
    def ask(process: OtherProcess, key: str) -> int:
        return process.status_of("GET", ME, **{"X-API-Key": key})


def test_a_key_that_expires_is_refused_from_that_moment_on(api: MakeClient) -> None:
    for lifetime in (0.3, 3, 20):  # on a busy machine a short one is over before the call
        client = api(expires_at=clock.now() + timedelta(seconds=lifetime))
        if client.get(ME).status_code == 200:
            break
    else:
        pytest.fail("a key that has not expired is refused")

    wait_until(lambda: client.get(ME).status_code == 401)


def test_a_rotated_key_works_on_for_its_overlap(client: ApiClient) -> None:
    rotate = f"/api/v1/api-keys/{client.key.id}/rotate"
    fresh = client.post(rotate, {"overlap_seconds": 600}).json()

    assert client.get(ME).status_code == 200
    assert get_me({"X-API-Key": fresh["api_key"]}).status_code == 200

    ApiKey.objects.filter(pk=client.key.pk).update(
        expires_at=F("expires_at") - timedelta(minutes=11)
    )
    forget_everything()
    assert client.get(ME).status_code == 401
    assert get_me({"X-API-Key": fresh["api_key"]}).status_code == 200


def test_a_remembered_key_costs_no_query(client: ApiClient) -> None:
    client.get("/api/v1/event-types")

    with CaptureQueriesContext(connection) as queries:
        assert client.get("/api/v1/event-types").status_code == 200

    assert len(queries) == 0


def test_a_key_is_remembered_for_thirty_seconds_at_most(client: ApiClient) -> None:
    client.get(ME)

    (entry,) = authentication._remembered.values()

    assert 0 < entry.until - time.monotonic() <= 30


def test_what_is_remembered_is_bounded(client: ApiClient) -> None:
    client.get(ME)
    ((digest, entry),) = authentication._remembered.items()
    for n in range(authentication.REMEMBERED_KEYS):
        authentication._remembered[n.to_bytes(32, "big")] = entry
    del authentication._remembered[digest]

    client.get(ME)

    assert list(authentication._remembered) == [digest]


@pytest.mark.parametrize("state", [frozen, refused])
def test_without_redis_keys_are_checked_all_the_same(
    client: ApiClient, state: Callable[[], AbstractContextManager[str]]
) -> None:
    with state() as url, redis_at(url):
        answers: list[Any] = []
        asked = tries(lambda: answers.extend(client.get(ME) for _ in range(5)))

        assert [answer.status_code for answer in answers] == [200] * 5
        assert all("RateLimit" not in answer.headers for answer in answers)
        assert asked == 1, "and that costs a tenth of a second, see tests/common/test_wakeups.py"

        ApiKey.objects.filter(pk=client.key.pk).update(revoked_at=Now())
        assert_refused(client.get(ME))


def test_the_use_of_a_key_is_noted_with_at_most_one_write_a_minute(client: ApiClient) -> None:
    def last_used() -> object:
        return ApiKey.objects.values_list("last_used_at", flat=True).get(pk=client.key.pk)

    assert last_used() is None
    client.get(ME)
    noted = last_used()
    assert noted is not None

    with CaptureQueriesContext(connection) as queries:
        client.get(ME)
    assert not [query for query in queries if query["sql"].startswith("UPDATE")]

    forget_everything()
    client.get(ME)
    assert last_used() == noted

    ApiKey.objects.filter(pk=client.key.pk).update(last_used_at=Now() - timedelta(seconds=61))
    forget_everything()
    client.get(ME)
    assert clock.now() - last_used() < timedelta(seconds=10)  # type: ignore[operator]
