"""A deal, from the seller's request to the buyers' programs."""

from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.flows.conftest import Listen
from tests.support import Answer, ApiClient, Receiver, run_jobs
from tests.support.outages import frozen, redis_at, tries

DEAL = {
    "name": "12 office chairs",
    "total_price": 120_000,
    "currency": "EUR",
    "items": [{"name": "Office chair", "price": 10_000}],
}


def post_deal(seller: ApiClient, **fields: Any) -> dict[str, Any]:
    answer = seller.post("/api/v1/deals", {**DEAL, **fields})
    assert answer.status_code == 201, answer.content
    deal: dict[str, Any] = answer.json()
    return deal


def authorize(seller: ApiClient, buyer: ApiClient) -> str:
    answer = seller.post("/api/v1/authorizations", {"buyer": buyer.account.slug})
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def test_a_deal_arrives_signed_at_the_seller_and_its_buyers(
    seller: ApiClient, buyer: ApiClient, api: MakeClient, listen: Listen
) -> None:
    stranger = api()
    authorize(seller, buyer)
    authorize(api(), stranger)
    at_seller, at_buyer, at_stranger = (listen(c, "deal.*") for c in (seller, buyer, stranger))

    deal = post_deal(seller)
    run_jobs()

    (sent,) = at_buyer.got()
    assert at_seller.got() == [sent]
    assert at_stranger.got() == []
    assert sent["type"] == "deal.created"
    assert sent["account_id"] == str(seller.account.id)
    assert sent["data"]["object"] == deal


def test_the_feed_and_the_webhook_say_the_same(
    seller: ApiClient, buyer: ApiClient, listen: Listen
) -> None:
    authorize(seller, buyer)
    listening = listen(buyer)
    post_deal(seller)
    run_jobs()

    feed = buyer.get("/api/v1/events", types="deal.*").json()["results"]

    sent = [body for body in listening.got() if body["type"].startswith("deal.")]
    extra = ("position", "subject")
    assert [{k: v for k, v in event.items() if k not in extra} for event in feed] == sent


def test_each_change_arrives_once_with_what_changed(
    seller: ApiClient, buyer: ApiClient, listen: Listen
) -> None:
    authorize(seller, buyer)
    listening = listen(buyer, "deal.*")
    deal = post_deal(seller)
    path = f"/api/v1/deals/{deal['id']}"

    seller.patch(path, {"total_price": 99_000})
    seller.patch(path, {"total_price": 99_000})  # changes nothing
    seller.delete(path)
    run_jobs()

    assert sorted(listening.types()) == ["deal.created", "deal.updated", "deal.withdrawn"]
    (updated,) = [body for body in listening.got() if body["type"] == "deal.updated"]
    assert updated["data"]["changes"]["total_price"] == [120_000, 99_000]


def test_after_a_revocation_nothing_more_arrives(
    seller: ApiClient, buyer: ApiClient, listen: Listen
) -> None:
    authorization = authorize(seller, buyer)
    listening = listen(buyer)
    deal = post_deal(seller)
    run_jobs()

    assert seller.delete(f"/api/v1/authorizations/{authorization}").status_code == 204
    post_deal(seller, name="not for you")
    seller.patch(f"/api/v1/deals/{deal['id']}", {"name": "nor this"})
    run_jobs()

    assert sorted(listening.types()) == [
        "authorization.granted",
        "authorization.revoked",
        "deal.created",
    ]
    assert buyer.get(f"/api/v1/deals/{deal['id']}").status_code == 404
    assert buyer.get("/api/v1/events", types="deal.*").json()["results"] == []


def test_a_revocation_stops_what_was_committed_and_not_yet_sent(
    seller: ApiClient, buyer: ApiClient, listen: Listen
) -> None:
    authorization = authorize(seller, buyer)
    listening = listen(buyer, "deal.*")

    post_deal(seller)
    seller.delete(f"/api/v1/authorizations/{authorization}")
    run_jobs()

    assert listening.got() == []


def test_a_revocation_stops_a_delivery_that_waits_for_its_next_try(
    seller: ApiClient, buyer: ApiClient, listen: Listen, receiver: Receiver
) -> None:
    authorization = authorize(seller, buyer)
    listening = listen(buyer, "deal.*")
    receiver.answer(listening.path, Answer(status=500), Answer(status=204))
    post_deal(seller)
    run_jobs()
    endpoint = f"/api/v1/webhook-endpoints/{listening.endpoint['id']}"
    (delivery,) = buyer.get(f"{endpoint}/deliveries").json()["results"]
    assert delivery["status"] == "pending"

    seller.delete(f"/api/v1/authorizations/{authorization}")
    buyer.post(f"/api/v1/deliveries/{delivery['id']}/redeliver")  # makes it due now
    run_jobs()

    assert len(receiver.at(listening.path)) == 1


def test_a_new_grant_lets_later_deals_arrive(
    seller: ApiClient, buyer: ApiClient, listen: Listen
) -> None:
    seller.delete(f"/api/v1/authorizations/{authorize(seller, buyer)}")
    authorize(seller, buyer)
    listening = listen(buyer, "deal.created")

    deal = post_deal(seller)
    run_jobs()

    assert [body["data"]["object"]["id"] for body in listening.got()] == [deal["id"]]


def test_a_request_sent_twice_arrives_once(seller: ApiClient, listen: Listen) -> None:
    listening = listen(seller, "deal.*")

    for _ in range(2):
        seller.post("/api/v1/deals", DEAL, idempotency_key="k")
    run_jobs()

    assert listening.types() == ["deal.created"]


def test_with_redis_frozen_a_deal_is_posted_quickly_and_arrives_later(
    seller: ApiClient, listen: Listen
) -> None:
    listening = listen(seller, "deal.*")
    with frozen() as url, redis_at(url):
        asked = tries(lambda: post_deal(seller))

    run_jobs()

    assert asked == 1, "by everything that would like to, and for a tenth of a second"
    assert listening.types() == ["deal.created"]


@pytest.mark.parametrize("status", [301, 400, 500])
def test_what_a_receiver_refuses_is_kept_for_it(
    seller: ApiClient, listen: Listen, receiver: Receiver, status: int
) -> None:
    listening = listen(seller, "deal.*")
    receiver.answer(listening.path, Answer(status=status, headers={"Location": "/elsewhere"}))

    post_deal(seller)
    run_jobs()

    endpoint = f"/api/v1/webhook-endpoints/{listening.endpoint['id']}"
    (delivery,) = seller.get(f"{endpoint}/deliveries").json()["results"]
    assert delivery["status"] == "pending"
    (attempt,) = seller.get(f"/api/v1/deliveries/{delivery['id']}").json()["attempts"]
    assert attempt["status_code"] == status
    assert receiver.at("/elsewhere") == []

    receiver.answer(listening.path, Answer(status=200))
    assert seller.post(f"/api/v1/deliveries/{delivery['id']}/redeliver").status_code == 202
    run_jobs()
    assert seller.get(f"/api/v1/deliveries/{delivery['id']}").json()["status"] == "delivered"
