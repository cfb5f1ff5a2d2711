"""What a customer's orders come to: folded from their events, a row each, and sent as it is mapped."""

from typing import Any

import pytest
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

from apps.crm.handlers import on_orders
from apps.crm.models import Contact, OrderFold
from apps.crm.services.folding import look_at_news
from apps.events.dispatch import dispatch
from apps.events.models import Event
from sandbox.hubspot.server import Simulator
from tests.crm.support import Shop, states, step, sync
from tests.support import ApiClient, background, run_jobs, wait_until
from tests.support.currencies import NO_CURRENCY

pytestmark = pytest.mark.django_db

MAPPING = {
    "orders.count": "order_count",
    "orders.total.EUR": "spent_eur",
    "orders.total.JPY": "spent_jpy",
    "orders.last_at": "last_order_at",
    "orders.last_date": "last_order_on",
    "orders.last_number": "last_order",
}
_TYPES = {"last_order_at": "datetime", "last_order_on": "date"}


class Till:
    """A shop's orders, through the API."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        for currency in ("EUR", "JPY"):
            storefront = {"code": f"web-{currency}", "name": "Web", "currency": currency}
            product = {"sku": currency, "name": "Mug", "price": 1250, "currency": currency}
            assert client.post("/api/v1/storefronts", storefront).status_code == 201
            assert client.post("/api/v1/products", {**product, "stock": 99}).status_code == 201

    def place(self, customer_id: str, currency: str = "EUR", quantity: int = 1) -> Any:
        items = [{"sku": currency, "quantity": quantity}]
        body = {"storefront": f"web-{currency}", "customer_id": customer_id, "items": items}
        answer = self.client.post("/api/v1/orders", body)
        assert answer.status_code == 201, answer.content
        return answer.json()

    def bring(self, order: Any, *statuses: str) -> None:
        for status in statuses:
            answer = self.client.patch(f"/api/v1/orders/{order['id']}", {"status": status})
            assert answer.status_code == 200, answer.content

    def sell(self, customer_id: str, currency: str = "EUR", quantity: int = 1) -> Any:
        order = self.place(customer_id, currency, quantity)
        self.bring(order, "confirmed")
        return order


@pytest.fixture
def figures(shop: Shop, hubspot: Simulator) -> Shop:
    """A shop that maps every figure."""
    for name in MAPPING.values():
        hubspot.records.define("contacts", name, type=_TYPES.get(name, "number"))
    shop.connect(mapping=MAPPING)
    return shop


@pytest.fixture
def till(shop: Shop) -> Till:
    return Till(shop.client)


def follow() -> None:
    """Let every event be handled, and HubSpot be told."""
    dispatch()
    sync()


def contact(hubspot: Simulator) -> dict[str, str]:
    """What HubSpot has of Ada, less her address."""
    found = hubspot.contact("ada@example.com")
    assert found is not None
    return {name: value for name, value in found.properties.items() if name != "email" and value}


def test_orders_that_count_reach_hubspot_as_figures(
    figures: Shop, hubspot: Simulator, till: Till
) -> None:
    figures.add("ada@example.com", external_id="c-1")
    till.sell("c-1", quantity=2)
    till.sell("c-1", "JPY")
    last = till.sell("c-1")
    till.place("c-1")  # pending: nobody has bought anything yet
    till.sell("somebody-else")

    follow()

    assert contact(hubspot) == {
        "order_count": "3",
        "spent_eur": "37.50",
        "spent_jpy": "1250",
        "last_order_at": last["created_at"][:19] + "Z",
        "last_order_on": last["created_at"][:10],
        "last_order": str(last["number"]),
    }


@pytest.mark.parametrize("status", ["shipped", "completed"])
def test_an_order_counts_until_it_is_taken_back(
    figures: Shop, hubspot: Simulator, till: Till, status: str
) -> None:
    figures.add("ada@example.com", external_id="c-1")
    order = till.sell("c-1")
    steps = ["shipped", "completed"]
    till.bring(order, *steps[: steps.index(status) + 1])
    follow()
    assert contact(hubspot)["order_count"] == "1"

    till.bring(order, "returned")
    follow()

    assert contact(hubspot) == {}


def test_a_canceled_and_a_deleted_order_count_no_more(
    figures: Shop, hubspot: Simulator, till: Till
) -> None:
    figures.add("ada@example.com", external_id="c-1")
    first, second, third = till.sell("c-1"), till.sell("c-1"), till.sell("c-1")
    follow()

    till.bring(second, "canceled")
    assert till.client.delete(f"/api/v1/orders/{third['id']}").status_code == 204
    follow()

    assert contact(hubspot)["order_count"] == "1"
    assert contact(hubspot)["last_order"] == str(first["number"])


def test_what_was_refunded_was_not_spent(figures: Shop, hubspot: Simulator, till: Till) -> None:
    figures.add("ada@example.com", external_id="c-1")
    order = till.sell("c-1", quantity=2)
    path = f"/api/v1/orders/{order['id']}/payments"
    for kind, amount in (("captured", 2500), ("refunded", 1000)):
        paid = {"kind": kind, "amount": amount, "reference": kind}
        assert till.client.post(path, paid).status_code == 201

    follow()

    assert contact(hubspot)["spent_eur"] == "15.00"


def test_an_event_that_comes_again_or_late_counts_once(
    figures: Shop, hubspot: Simulator, till: Till
) -> None:
    figures.add("ada@example.com", external_id="c-1")
    till.bring(till.sell("c-1"), "canceled")
    till.sell("c-1")
    follow()
    hubspot.forget_calls()
    events = list(Event.objects.filter(type__startswith="order.").order_by("position"))

    on_orders(events)
    for event in reversed(events):
        on_orders([event])
    sync()

    assert contact(hubspot)["order_count"] == "1"
    assert hubspot.calls == []


def test_a_customer_that_comes_after_its_orders_gets_them(
    figures: Shop, hubspot: Simulator, till: Till
) -> None:
    till.sell("c-1")
    follow()

    ada = figures.add("ada@example.com")
    follow()
    assert contact(hubspot) == {}
    figures.change(ada, external_id="c-1")
    follow()

    assert contact(hubspot)["order_count"] == "1"


def test_an_order_that_changes_no_figure_owes_nothing(
    figures: Shop, hubspot: Simulator, till: Till
) -> None:
    figures.add("ada@example.com", external_id="c-1")
    order = till.sell("c-1")
    follow()
    before = Contact.objects.get().revision
    hubspot.forget_calls()

    till.client.patch(f"/api/v1/orders/{order['id']}", {"tracking_number": "T-1"})
    till.bring(order, "shipped")
    till.bring(till.place("c-1"), "canceled")
    follow()

    assert Contact.objects.get().revision == before
    assert hubspot.calls == []


def test_figures_that_nobody_mapped_move_nothing(
    shop: Shop, hubspot: Simulator, till: Till
) -> None:
    shop.add("ada@example.com", external_id="c-1")
    sync()
    before = Contact.objects.get().revision

    till.sell("c-1")
    follow()

    assert Contact.objects.get().revision == before
    assert OrderFold.objects.filter(counts=True, is_news=False).count() == 1


def test_off_sends_no_figures_and_on_again_all_there_are(
    figures: Shop, hubspot: Simulator, till: Till
) -> None:
    figures.add("ada@example.com", external_id="c-1")
    till.sell("c-1")
    follow()

    figures.connect(mapping=MAPPING, send_orders=False)
    till.sell("c-1")
    follow()
    assert contact(hubspot)["order_count"] == "1"  # as it was, not emptied

    figures.connect(mapping=MAPPING, send_orders=True)
    follow()

    assert contact(hubspot)["order_count"] == "2"


def test_orders_of_a_hundred_customers_are_one_call(
    figures: Shop, hubspot: Simulator, till: Till
) -> None:
    for number in range(20):
        figures.add(f"c{number}@example.com", external_id=f"c-{number}")
    follow()
    hubspot.forget_calls()

    for number in range(20):
        till.sell(f"c-{number}")
        till.sell(f"c-{number}")
    follow()

    assert [call.size for call in hubspot.calls] == [20]
    assert states() == {"synced": 20}


@pytest.mark.django_db(transaction=True)
def test_an_order_during_a_call_goes_with_the_next(
    figures: Shop, hubspot: Simulator, till: Till
) -> None:
    figures.add("ada@example.com", external_id="c-1")
    follow()
    till.sell("c-1")
    dispatch()
    sync_news()

    with background(step), hubspot.holding():
        wait_until(lambda: hubspot.held_up)
        second = till.sell("c-1")
        dispatch()
        sync_news()
        till.bring(second, "canceled")
        dispatch()
        sync_news()
    follow()

    assert contact(hubspot)["order_count"] == "1"


@pytest.mark.django_db(transaction=True)
def test_erasure_takes_the_figures_and_no_late_event_brings_them_back(
    figures: Shop, hubspot: Simulator, till: Till
) -> None:
    ada = figures.add("ada@example.com", external_id="c-1")
    order = till.client.post(
        "/api/v1/orders",
        {
            "storefront": "web-EUR",
            "customer_id": "c-1",
            "items": [{"sku": "EUR", "quantity": 1}],
            "metadata": {"note": "personal"},
        },
    ).json()
    till.bring(order, "confirmed")
    follow()

    erased = till.client.post(f"/api/v1/customers/{ada['id']}/erase", {})
    assert erased.status_code == 200
    run_jobs()  # the orders are erased as well, which their events tell
    till.bring(order, "shipped")
    follow()

    (left,) = OrderFold.objects.all()
    assert (left.customer_id, left.number, left.spent, left.counts) == ("", None, 0, False)
    figures.add("eve@example.com", external_id="c-1")
    follow()
    eve = hubspot.contact("eve@example.com")
    assert eve is not None
    assert "order_count" not in eve.properties


def test_a_mapping_of_a_figure_that_there_is_not_is_refused(shop: Shop) -> None:
    for name in ("orders.average", f"orders.total.{NO_CURRENCY}", "orders.total."):
        answer = shop.client.put("/api/v1/crm/connection", {"mapping": {name: "a"}})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["code"] == "unknown_field"


def sync_news() -> None:
    while look_at_news():
        pass


def test_an_order_that_does_not_count_wakes_no_sync(
    figures: Shop, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    till = Till(figures.client)
    order = till.place("c-1")
    with django_capture_on_commit_callbacks() as of_pending:
        on_orders(list(Event.objects.filter(type="order.created")))

    till.bring(order, "confirmed")
    with django_capture_on_commit_callbacks() as of_confirmed:
        on_orders(list(Event.objects.filter(type="order.confirmed")))

    assert (len(of_pending), len(of_confirmed)) == (0, 1)
