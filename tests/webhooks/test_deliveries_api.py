"""The log of an endpoint over the API."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.common.ids import uuid7
from apps.webhooks.models import Delivery, Due, Endpoint
from tests.conftest import MakeClient
from tests.support import Answer, ApiClient, Receiver
from tests.webhooks.conftest import MakeEndpoint, PublishEvent

pytestmark = pytest.mark.django_db(transaction=True)


def log_of(endpoint: Endpoint, *entries: tuple[str, str], replay: Any = None) -> list[str]:
    """Deliveries of these types and states, the oldest first; their ids, the newest first."""
    made = Delivery.objects.bulk_create(
        Delivery(
            endpoint=endpoint, event_id=uuid7(), event_type=kind, subject=uuid7(), status=status,
            replay_id=replay,
        )
        for kind, status in entries
    )  # fmt: skip
    return [str(one.id) for one in reversed(made)]


def walked(client: ApiClient, url: str, link: str = "next") -> list[str]:
    """The ids on all pages from `url` on."""
    page = client.get(url).json()
    ids = [one["id"] for one in page["results"]]
    return ids if page[link] is None else ids + walked(client, page[link], link)


def test_a_family_is_one_list_in_order(make_endpoint: MakeEndpoint, api: MakeClient) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    client = api(account=endpoint.account)
    kinds = ["order.created", "deal.created", "order.updated", "order.created", "order.shipped"] * 4
    entries = [(kind, "failed" if n % 3 else "delivered") for n, kind in enumerate(kinds)]
    ids = log_of(endpoint, *entries)
    kept = dict(zip(ids, reversed(entries), strict=True))
    url = f"/api/v1/webhook-endpoints/{endpoint.id}/deliveries"

    orders = [pk for pk, (kind, _) in kept.items() if kind.startswith("order.")]
    assert walked(client, f"{url}?event_type=order.*&limit=3") == orders
    assert walked(client, f"{url}?event_type=*&limit=7") == ids
    failed = [pk for pk in orders if kept[pk][1] == "failed"]
    assert walked(client, f"{url}?event_type=order.*&status=failed&limit=2") == failed
    rare = [pk for pk, (kind, _) in kept.items() if kind == "deal.created"]
    assert walked(client, f"{url}?event_type=deal.created&limit=1") == rare

    middle = client.get(f"{url}?event_type=order.*&limit=5").json()["next"]
    back = client.get(client.get(middle).json()["previous"]).json()
    assert [one["id"] for one in back["results"]] == orders[:5]


def test_what_a_replay_sent_is_one_list(make_endpoint: MakeEndpoint, api: MakeClient) -> None:
    endpoint, replay = make_endpoint("http://127.0.0.1:1/"), uuid7()
    client = api(account=endpoint.account)
    log_of(endpoint, ("order.created", "delivered"))
    states = ("pending", "delivered", "failed", "delivered", "canceled")
    ids = log_of(endpoint, *(("order.created", one) for one in states), replay=replay)
    url = f"/api/v1/webhook-endpoints/{endpoint.id}/deliveries?replay_id={replay}"

    assert walked(client, f"{url}&limit=2") == ids
    assert walked(client, f"{url}&status=delivered") == [ids[1], ids[3]]
    assert walked(client, f"{url}&event_type=deal.*") == []


def fill(endpoint: Endpoint, status: str, count: int, replay: Any = None) -> None:
    """That many deliveries in that state; what is pending is owed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO webhooks_delivery (id, endpoint_id, event_id, event_type, subject, status,"
            " reason, attempt_count, retry_step, replay_id) SELECT webhooks_uuid7(), %s,"
            " gen_random_uuid(), 'order.created', gen_random_uuid(), %s, '', 1, 0, %s"
            " FROM generate_series(1, %s)",
            [endpoint.id, status, replay, count],
        )
        cursor.execute(
            "INSERT INTO webhooks_due (id, endpoint_id, ready, due_at, claims)"
            " SELECT id, endpoint_id, false, now(), 0 FROM webhooks_delivery"
            "  WHERE status = 'pending' ON CONFLICT (id) DO NOTHING"
        )


def assert_few_pages_read(client: ApiClient, url: str, rows: int) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert len(client.get(url).json()["results"]) == rows
    (sql,) = [one["sql"] for one in queries if 'FROM "webhooks_delivery"' in one["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}")
        plan = cursor.fetchone()[0][0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 200, url


@pytest.mark.parametrize(
    "asked",
    ["event_type=stream.stopped", "event_type=stream.*", "status=failed", "status=pending"],
)
def test_a_rare_one_is_found_by_an_index(
    make_endpoint: MakeEndpoint, api: MakeClient, asked: str
) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    fill(endpoint, "delivered", 20_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE webhooks_delivery")

    url = f"/api/v1/webhook-endpoints/{endpoint.id}/deliveries?{asked}"
    assert_few_pages_read(api(account=endpoint.account), url, 0)


def test_a_status_is_read_by_an_index_among_many_of_others(
    make_endpoint: MakeEndpoint, api: MakeClient
) -> None:
    """Those of the endpoint are older than thousands in the same state, and thousands delivered."""
    endpoint, other, replay = make_endpoint("http://127.0.0.1:1/"), make_endpoint("http://127.0.0.1:1/"), uuid7()  # fmt: skip
    states = ("failed", "parked", "canceled", "pending")
    for status in states:
        fill(endpoint, status, 3)
        fill(endpoint, status, 2, replay)
        fill(other, status, 5000)
        fill(endpoint, "delivered", 2000, replay)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE webhooks_delivery, webhooks_undelivered, webhooks_due")

    client = api(account=endpoint.account)
    url = f"/api/v1/webhook-endpoints/{endpoint.id}/deliveries"
    for status in states:
        assert_few_pages_read(client, f"{url}?status={status}", 5)
        assert_few_pages_read(client, f"{url}?status={status}&replay_id={replay}", 2)
        assert_few_pages_read(client, f"{url}?status={status}&event_type=stream.*", 0)
    assert_few_pages_read(client, f"{url}?status=delivered&limit=5", 5)


def test_what_is_pending_is_one_list_with_a_lease_or_without(
    make_endpoint: MakeEndpoint, api: MakeClient
) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    ids = log_of(endpoint, *[("order.created", "pending")] * 6)
    for n, pk in enumerate(ids):
        lease = {"lease_id": uuid7(), "ready": False} if n % 2 else {}
        Due.objects.create(id=pk, endpoint_id=endpoint.id, **lease)

    url = f"/api/v1/webhook-endpoints/{endpoint.id}/deliveries?status=pending&limit=2"
    assert walked(api(account=endpoint.account), url) == ids


def test_an_attempt_shows_what_was_sent_what_came_back_and_where_the_time_went(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Any,
    api: MakeClient,
) -> None:  # fmt: skip
    answer = {"X-Trace": "a1", "X-Twice": "1", "Set-Cookie": "session=secret", "X-Bad": "caf\xe9"}
    receiver.answer("/", Answer(503, b"x" * 30_000, answer))
    endpoint = make_endpoint(receiver.url())
    client = api(account=endpoint.account)
    publish_event(endpoint.account)
    send()

    shown = client.get(f"/api/v1/deliveries/{Delivery.objects.get().id}")
    (attempt,) = shown.json()["attempts"]

    assert attempt["status_code"] == 503
    assert attempt["response_body"] == "x" * 20_000
    assert attempt["response_headers"]["x-trace"] == "a1"
    assert attempt["response_headers"]["set-cookie"] == "…"
    assert attempt["response_headers"]["x-bad"].startswith("caf")
    assert attempt["request_headers"]["webhook-signature"].startswith("v1,")
    assert attempt["timing"]["dns_us"] is not None
    assert attempt["timing"]["connect_us"] is not None
    assert attempt["timing"]["tls_us"] is None
    assert attempt["timing"]["first_byte_us"] is not None
    assert str(endpoint.secret).removeprefix("whsec_") not in shown.content.decode()


def test_headers_of_an_answer_are_kept_up_to_a_bound(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Any,
    api: MakeClient,
) -> None:  # fmt: skip
    receiver.answer("/", Answer(200, b"", {f"X-{n}": "y" * 1000 for n in range(50)}))
    endpoint = make_endpoint(receiver.url())
    publish_event(endpoint.account)
    send()

    shown = (
        api(account=endpoint.account).get(f"/api/v1/deliveries/{Delivery.objects.get().id}").json()
    )

    kept = shown["attempts"][0]["response_headers"]
    assert 3 <= len(kept) < 50
    assert sum(len(name) + len(value) for name, value in kept.items()) <= 8000
