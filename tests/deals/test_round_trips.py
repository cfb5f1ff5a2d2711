"""A deal costs one round trip to the database, however many items it has."""

from typing import Any

import pytest

from apps.common.clock import now
from apps.common.models import IdempotencyKey
from apps.deals.models import Deal, DealHistory, DealItem
from apps.events.models import Channel, Event
from tests.deals.support import DEALS, body, published
from tests.support import ApiClient, concurrently
from tests.support.trips import traced

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("items", [1, 2, 50])
@pytest.mark.parametrize("key", [None, "a-key"])
def test_a_deal_takes_one_round_trip(seller: ApiClient, items: int, key: str | None) -> None:
    terms = body(items=[{"name": f"Chair {n}", "price": n} for n in range(items)])
    seller.post(DEALS, body())  # the key of the API is known from here on, the statement prepared

    with traced() as trips:
        answer = seller.post(DEALS, terms, idempotency_key=key)

    assert answer.status_code == 201
    assert trips.count == 1
    assert DealItem.objects.filter(deal_id=answer.json()["id"]).count() == items


def test_a_replay_takes_one_too(seller: ApiClient) -> None:
    first = seller.post(DEALS, body(), idempotency_key="k")

    with traced() as trips:
        again = seller.post(DEALS, body(), idempotency_key="k")

    assert trips.count == 1
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.content, again.headers["Location"]) == (first.content, first.headers["Location"])
    assert Deal.objects.count() == Event.objects.count() == 1


def test_every_time_that_is_told_is_the_one_stored(seller: ApiClient) -> None:
    before = now()
    answer = seller.post(DEALS, body(name="\\u001f 1970-01-01T00:00:00Z"), idempotency_key="k")
    after = now()

    shown = answer.json()
    deal = Deal.objects.get()
    event = published(shown["id"])[0]
    assert before < deal.created_at < after
    assert deal.created_at == deal.updated_at == DealHistory.objects.get().at
    assert seller.get(f"{DEALS}/{deal.id}").json() == shown
    assert shown["created_at"] == shown["updated_at"] == event["timestamp"]
    assert event["data"]["object"] == shown
    assert Event.objects.get().occurred_at == deal.created_at
    assert bytes(IdempotencyKey.objects.get().body) == answer.content
    assert shown["name"] == "\\u001f 1970-01-01T00:00:00Z"


def test_the_first_deals_of_a_seller_share_one_channel(seller: ApiClient) -> None:
    answers = concurrently(8, lambda n: seller.post(DEALS, body(name=f"deal {n}")))

    assert [answer.status_code for answer in answers] == [201] * 8
    channel = Channel.objects.get(account=seller.account)
    assert set(Event.objects.values_list("channel_id", flat=True)) == {channel.id}


def test_of_many_at_once_with_one_key_one_is_posted(seller: ApiClient) -> None:
    def post(_: int) -> Any:
        return seller.post(DEALS, body(), idempotency_key="k")

    answers = concurrently(8, post)

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert Deal.objects.count() == DealItem.objects.count() / 2 == 1


def test_an_answer_that_is_a_day_old_is_forgotten(seller: ApiClient) -> None:
    first = seller.post(DEALS, body(), idempotency_key="k").json()
    IdempotencyKey.objects.update(created_at="2020-01-01T00:00:00Z")

    second = seller.post(DEALS, body(name="another"), idempotency_key="k")

    assert second.status_code == 201
    assert second.json()["id"] != first["id"]
    assert bytes(IdempotencyKey.objects.get().body) == second.content


def test_another_body_with_the_same_key_is_refused(seller: ApiClient) -> None:
    seller.post(DEALS, body(), idempotency_key="k")

    answer = seller.post(DEALS, body(name="another"), idempotency_key="k")

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert Deal.objects.count() == 1
