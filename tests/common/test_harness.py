"""The tests' own tools do what the other tests rely on."""

import threading
import urllib.request

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from apps.accounts.models import Account
from tests.conftest import MakeAccount, MakeClient
from tests.support import Answer, ApiClient, Receiver, background, concurrently, wait_until
from tests.support.emptying import delete_rows


def test_an_api_client_calls_with_a_key_of_its_own(api: MakeClient) -> None:
    client = api("accounts:read")

    answer = client.get("/api/v1/me")

    assert answer.status_code == 200
    assert answer.json()["account"]["id"] == str(client.account.id)
    assert answer.json()["key"]["scopes"] == ["accounts:read"]


@pytest.mark.django_db(transaction=True)
def test_concurrent_threads_see_what_is_committed_on_connections_of_their_own(
    make_account: MakeAccount,
) -> None:
    account = make_account()

    def look(index: int) -> tuple[int, str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid(), pg_sleep(0.05)")
            return cursor.fetchone()[0], Account.objects.get().slug

    seen = concurrently(30, look)

    assert len({pid for pid, _ in seen}) == 30
    assert {slug for _, slug in seen} == {account.slug}


@pytest.mark.django_db(transaction=True)
def test_an_error_in_a_thread_is_raised_in_the_test() -> None:
    def fail(index: int) -> None:
        raise ValueError(index)

    with pytest.raises(ValueError, match="0"):
        concurrently(2, fail)


@pytest.mark.django_db(transaction=True)
def test_what_was_written_in_real_transactions_is_deleted_even_from_ledgers(
    someone: ApiClient,
) -> None:
    product = {"sku": "MUG", "name": "Mug", "price": 1, "currency": "EUR", "stock": 5}
    assert someone.post("/api/v1/products", product).status_code == 201
    permissions = Permission.objects.count()

    delete_rows()

    left = [model for model in apps.get_models() if model._default_manager.exists()]
    assert left == [Permission, ContentType]
    assert Permission.objects.count() == permissions > 0


def test_work_in_the_background_runs_beside_the_test() -> None:
    go = threading.Event()

    with background(lambda: go.wait(5)) as running:
        assert not running.done()
        go.set()

    assert running.result() is True


def test_the_receiver_records_and_answers_as_told(receiver: Receiver) -> None:
    receiver.answer("/hook", Answer(status=201, body=b"one"), Answer(status=200, body=b"two"))

    answers = []
    for _ in range(3):
        request = urllib.request.Request(receiver.url("/hook?a=1"), data=b'{"n":1}')
        with urllib.request.urlopen(request) as answer:
            answers.append((answer.status, answer.read()))

    assert answers == [(201, b"one"), (200, b"two"), (200, b"two")]
    received = receiver.wait_for(3, path="/hook")
    assert received[0].method == "POST"
    assert received[0].query == "a=1"
    assert received[0].json() == {"n": 1}


def test_waiting_in_vain_fails() -> None:
    with pytest.raises(AssertionError, match="the moon"):
        wait_until(lambda: False, seconds=0.02, what="the moon")


def test_each_worker_has_a_redis_database_of_its_own(worker_id: str) -> None:
    number = "0" if worker_id == "master" else worker_id.removeprefix("gw")

    assert settings.REDIS_URL.endswith(f"/{number}")
    assert settings.CELERY_BROKER_URL == settings.REDIS_URL
