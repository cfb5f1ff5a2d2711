"""The back office's pages of orders: all can be read, state changes by actions alone."""

from urllib.parse import urlencode

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.common import bulk
from apps.common.admin import acting
from apps.common.models import BulkAction
from apps.orders.models import (
    OrderChange,
    OrderLine,
    Payment,
    Product,
    ProductImport,
    StockDrift,
    StockMovement,
)
from tests.orders.conftest import BASE, Shop, movements, stock
from tests.support.backoffice import act

pytestmark = pytest.mark.django_db


ONCE = "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a12"


@pytest.fixture
def office() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def test_every_page_can_be_read_and_searched(office: Client, shop: Shop) -> None:
    shop.product("MUG")
    order = shop.advance(shop.order(("MUG", 2), shipping_address={"city": "Rome"}), "confirmed")
    shop.ship(order, ("MUG", 1), tracking_number="1Z")
    shop.take_back(order, ("MUG", 1, False), reason="broken")
    shop.try_pay(order, "captured", 1250, "pi_1")
    StockDrift.objects.create(
        product=Product.objects.get(), on_hand=1, reserved=0, ledger_on_hand=0, ledger_reserved=0
    )

    for model in site._registry:
        if model._meta.app_label != "orders" or model is ProductImport:  # test_imports has those
            continue
        path = f"/admin/orders/{model._meta.model_name}/"
        row = model._default_manager.all()[0]
        for query in ("", f"?q={row.pk}", "?q=MUG", "?q=%22x%00", f"?q={order['number']}"):
            assert office.get(path + query).status_code == 200, path + query
        assert office.get(f"{path}{row.pk}/change/").status_code == 200
        assert office.get(f"{path}{row.pk}/delete/").status_code == 403
        assert office.get(f"{path}add/").status_code == 403


def test_an_order_is_found_by_its_number(office: Client, shop: Shop) -> None:
    shop.product("MUG")
    first, second = shop.order(customer_id="ada"), shop.order(customer_id="bob")

    page = office.get(f"/admin/orders/order/?q={first['number']}").content.decode()

    assert "ada" in page
    assert "bob" not in page
    assert office.get(f"/admin/orders/order/?q={'9' * 40}").status_code == 200
    assert second["id"] not in page


def test_actions_take_the_steps_of_the_table(office: Client, shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = shop.order(("MUG", 3))

    refused = act(office, "orders/order", "ship", order["id"])
    for action in ("confirm", "ship", "complete", "take_back"):
        act(office, "orders/order", action, order["id"])

    assert "cannot become shipped" in refused
    assert shop.api.get(f"{BASE}/orders/{order['id']}").json()["status"] == "returned"
    assert stock("MUG") == (10, 0)
    last = OrderChange.objects.filter(order=order["id"]).latest("pk")
    assert last.actor["kind"] == "user"
    assert last.actor["label"] == "operator"


def test_the_page_of_an_order_shows_all_that_happened_to_it(office: Client, shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 3)), "confirmed")
    shop.ship(order, ("MUG", 2), tracking_company="DHL", tracking_number="1Z999")
    shop.take_back(order, ("MUG", 1, False), reason="broken on the way")
    shop.try_pay(order, "captured", 123456, "pi_4711")

    page = office.get(f"/admin/orders/order/{order['id']}/change/").content.decode()

    for shown in (
        "2 of MUG",
        "1Z999",
        "1 of MUG, written off",
        "broken on the way",
        "1,234.56 EUR",
        "pi_4711",
        "order.confirmed",
        "adjusted",
    ):
        assert shown in page, shown


def test_shipping_a_partly_shipped_order_ships_the_rest(office: Client, shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 3)), "confirmed")
    shop.ship(order, ("MUG", 1))

    refused = act(office, "orders/order", "cancel", order["id"])
    act(office, "orders/order", "ship", order["id"])

    assert "Record their return first" in refused
    assert shop.read(order)["status"] == "shipped"
    assert stock("MUG") == (7, 0)


def lines_of(order_id: str) -> dict[str, str]:
    """The fields of the forms of parts, by sku."""
    lines = OrderLine.objects.filter(order_id=order_id)
    return {line.sku: f"line_{line.pk.hex}" for line in lines}


def test_a_part_is_shipped_and_a_part_comes_back(office: Client, shop: Shop) -> None:
    shop.product("MUG", stock=10)
    shop.product("TEA", stock=10)
    order = shop.advance(shop.order(("MUG", 3), ("TEA", 2)), "confirmed")
    field = lines_of(order["id"])

    page = office.get(f"/admin/orders/order/{order['id']}/change/").content.decode()
    assert "act/ship_part/" in page
    assert "act/take_back_part/" not in page  # nothing is out yet
    act(office, "orders/order", "ship_part", order["id"], tracking_number="1Z", **{field["MUG"]: 2})
    asked = office.get(
        f"/admin/orders/order/act/ship_part/?_selected_action={order['id']}"
    ).content.decode()
    assert "1 of 3 not shipped yet." in asked
    assert "2 of 2 not shipped yet." in asked

    said = act(office, "orders/order", "take_back_part", order["id"], **{field["MUG"]: 1})
    assert "1 of MUG" in said
    assert "written off" in said
    assert stock("MUG") == (8, 1)
    act(
        office,
        "orders/order",
        "take_back_part",
        order["id"],
        restock="on",
        reason="unopened",
        **{field["MUG"]: 1},
    )
    assert stock("MUG") == (9, 1)

    rest = {field["MUG"]: 1, field["TEA"]: 2}
    act(office, "orders/order", "ship_part", order["id"], **rest)
    assert shop.read(order)["status"] == "shipped"
    assert [one["tracking_number"] for one in shop.read(order)["shipments"]] == ["1Z", None]


@pytest.mark.parametrize(
    ("quantity", "said"),
    [("0", "Say of one line"), ("4", "less than or equal to 3"), ("-1", "greater than"), ("x", "")],
)
def test_a_part_that_is_none_is_asked_for_again(
    office: Client, shop: Shop, quantity: str, said: str
) -> None:
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 3)), "confirmed")
    field = lines_of(order["id"])["MUG"]

    page = act(office, "orders/order", "ship_part", order["id"], **{field: quantity})

    assert said in page
    assert "not shipped yet" in page
    assert not shop.read(order)["shipments"]


def test_a_part_that_is_confirmed_twice_goes_out_once(office: Client, shop: Shop) -> None:
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 3)), "confirmed")
    sent = {
        "_selected_action": order["id"],
        "confirmation": ONCE,
        lines_of(order["id"])["MUG"]: "3",
    }

    for _ in range(2):
        answer = office.post("/admin/orders/order/act/ship_part/", sent, follow=True)

    assert "sent before" in answer.content.decode()
    assert len(shop.read(order)["shipments"]) == 1


def test_more_than_is_left_is_refused(office: Client, shop: Shop) -> None:
    """The page is older than the last shipment."""
    shop.product("MUG", stock=10)
    order = shop.advance(shop.order(("MUG", 3)), "confirmed")
    shop.ship(order, ("MUG", 2))

    said = act(
        office, "orders/order", "ship_part", order["id"], **{lines_of(order["id"])["MUG"]: 2}
    )

    assert "2 of MUG were named, 1 are to be shipped" in said


def test_a_deleted_order_is_restored(office: Client, shop: Shop) -> None:
    shop.product("MUG", stock=3)
    order = shop.order(("MUG", 3))
    shop.delete(order)
    other = shop.order(("MUG", 1))

    refused = act(office, "orders/order", "restore", order["id"])
    act(office, "orders/order", "cancel", other["id"])
    done = act(office, "orders/order", "restore", order["id"])

    assert "3 of MUG were asked for, 2 are available" in refused
    assert "is back" in done
    assert stock("MUG") == (3, 3)


def test_stock_is_adjusted_with_a_reason(office: Client, shop: Shop) -> None:
    mug = shop.product("MUG", stock=10)
    shop.order(("MUG", 4))

    act(office, "orders/product", "adjust_stock", mug["id"], delta="-2", reason="broken")
    refused = act(office, "orders/product", "adjust_stock", mug["id"], delta="-5", reason="broken")
    silent = act(office, "orders/product", "adjust_stock", mug["id"], delta="-1")

    assert "reserved for orders" in refused
    assert "This field is required." in silent
    assert stock("MUG") == (8, 4)
    assert movements("MUG")[-1] == ("adjusted", -2, 0)
    assert StockMovement.objects.latest("pk").actor["label"] == "operator"


def test_a_confirmation_that_is_sent_again_adjusts_nothing(office: Client, shop: Shop) -> None:
    product = shop.product("MUG", stock=10)
    chosen = {"_selected_action": [product["id"]]}
    page = office.post("/admin/orders/product/", {"action": "adjust_stock", **chosen})
    asked = page.context["confirmation"]
    assert f'name="confirmation" value="{asked}"' in page.content.decode()
    form = {**chosen, "delta": "-2", "reason": "broken"}
    path = "/admin/orders/product/act/adjust_stock/"

    unasked = office.post(path, form)
    assert "Each gets this many pieces more" in unasked.content.decode()
    assert stock("MUG")[0] == 10
    for _ in range(2):
        answer = office.post(path, {**form, "confirmation": str(asked)}, follow=True)

    assert stock("MUG")[0] == 8
    assert "This was sent before, and is not done again" in answer.content.decode()


def test_a_job_that_is_confirmed_again_is_the_one_that_was_begun(
    office: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "AT_ONCE", 1)
    ids = [shop.product(sku, stock=10)["id"] for sku in ("MUG", "TEA")]
    form = {"_selected_action": ids, "delta": "-2", "reason": "broken", "confirmation": ONCE}

    first, second = (office.post("/admin/orders/product/act/adjust_stock/", form) for _ in range(2))
    while bulk.do_next():
        pass

    assert first.headers["Location"] == second.headers["Location"]
    assert [stock(sku)[0] for sku in ("MUG", "TEA")] == [8, 8]


def test_what_is_shown_whole_is_done_to_these_alone(office: Client, shop: Shop) -> None:
    shop.product("MUG-1")
    chosen = {"action": "adjust_stock", "select_across": "1", "_selected_action": ["x"]}

    page = office.post("/admin/orders/product/?q=MUG", chosen).content.decode()

    assert 'name="select_across"' not in page
    assert f'name="_selected_action" value="{Product.objects.get().pk}"' in page


def test_a_payment_is_recorded_by_who_may(shop: Shop) -> None:
    shop.product("MUG", price=1250)
    order = shop.order()
    clerk = User.objects.create_user("clerk", is_staff=True)
    for codename in ("view_order", "add_payment"):
        clerk.user_permissions.add(Permission.objects.get(codename=codename))
    finance = Client()
    finance.force_login(clerk)
    given = {"kind": "captured", "reference": "bank-1"}

    for amount in ("12.505", "0"):
        refused = act(
            finance, "orders/order", "record_payment", order["id"], amount=amount, **given
        )
        assert "EUR has no parts" in refused or "The amount is nothing" in refused
    for _ in range(2):
        said = act(finance, "orders/order", "record_payment", order["id"], amount="12.50", **given)

    assert "was noted before" in said
    payment = Payment.objects.get()
    assert (payment.amount, payment.kind, payment.reference) == (1250, "captured", "bank-1")


def test_a_page_of_orders_counts_nothing(office: Client, shop: Shop) -> None:
    shop.product("MUG")
    for _ in range(6):
        shop.order()

    with CaptureQueriesContext(connection) as queries:
        office.get("/admin/orders/order/")

    assert not [query for query in queries if "COUNT(" in query["sql"]]
    assert len(queries) <= 5, "session, person, keys, rows; and nothing for each row"


def test_all_that_match_are_done_by_a_job_that_can_be_watched(
    office: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "AT_ONCE", 2)
    for sku in ("MUG-1", "MUG-2", "MUG-3", "TEA"):
        shop.product(sku, stock=10)
    shop.order(("MUG-3", 9))
    chosen = {"select_across": "1", "_selected_action": [str(Product.objects.all()[0].pk)]}

    asked = office.post(
        "/admin/orders/product/?q=MUG", {"action": "adjust_stock", **chosen}
    ).content.decode()
    assert "a job does them one by one" in asked
    assert 'action="/admin/orders/product/act/adjust_stock/?q=MUG"' in asked
    answer = office.post(
        "/admin/orders/product/act/adjust_stock/?q=MUG",
        {"select_across": "1", "delta": "-2", "reason": "broken", "confirmation": ONCE},
        follow=True,
    )
    begun = answer.content.decode()
    while bulk.do_next():
        pass

    action = BulkAction.objects.get()
    shown = office.get(f"/admin/common/bulkaction/{action.pk}/progress/").content.decode()
    assert "Under way:" in begun
    assert "hx-get" in begun
    assert "2 done, 1 refused, 0 left of 3" in " ".join(shown.split())
    assert "reserved for orders" in shown
    assert "hx-get" not in shown
    assert [stock(sku)[0] for sku in ("MUG-1", "MUG-2", "MUG-3", "TEA")] == [8, 8, 10, 10]
    movement = StockMovement.objects.latest("pk")
    assert (movement.actor["label"], movement.reason) == ("operator", "broken")
    assert office.get("/admin/common/bulkaction/").status_code == 200


def test_an_action_on_the_page_of_an_order_asks_first(office: Client, shop: Shop) -> None:
    shop.product("MUG")
    order = shop.order()
    path = f"/admin/orders/order/{order['id']}/change/"

    page = office.get(path).content.decode()
    ask = f"/admin/orders/order/act/confirm/?_selected_action={order['id']}"
    assert ask in page
    assert "/act/complete/" not in page
    asked = office.get(ask).content.decode()
    assert f"order {order['number']}" in asked
    assert shop.read(order)["status"] == "pending"
    answer = office.post(
        "/admin/orders/order/act/confirm/",
        {"_selected_action": order["id"], "is_detail": "1", "confirmation": ONCE},
    )

    assert answer.headers["Location"] == path
    assert shop.read(order)["status"] == "confirmed"


def test_what_an_order_is_shipped_with_is_kept(office: Client, shop: Shop) -> None:
    shop.product("MUG")
    order = shop.advance(shop.order(), "confirmed")

    refused = act(office, "orders/order", "ship", order["id"], tracking_link="javascript:alert(1)")
    assert "Enter a valid URL" in refused
    act(office, "orders/order", "ship", order["id"], tracking_number="1Z", tracking_company="")

    assert shop.read(order)["tracking_number"] == "1Z"
    assert shop.read(order)["tracking_company"] is None


@pytest.mark.parametrize("name", ["confirm", "nothing"])
def test_nobody_acts_without_the_right(shop: Shop, name: str) -> None:
    shop.product("MUG")
    order = shop.order()
    client = Client()
    client.force_login(User.objects.create_user("guest", is_staff=True))

    for method in (client.get, client.post):
        answer = method(f"/admin/orders/order/act/{name}/", {"_selected_action": order["id"]})
        assert answer.status_code == (403 if name == "confirm" else 404)
    assert shop.read(order)["status"] == "pending"


def test_a_choice_of_nothing_does_nothing(office: Client, shop: Shop) -> None:
    for chosen in ([], ["not an id"], ["01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11"]):
        answer = office.post(
            "/admin/orders/order/act/confirm/", {"_selected_action": chosen}, follow=True
        )
        assert "Nothing is chosen that is still there." in answer.content.decode()
    for one in ("", "x", "a/b"):
        answer = office.get("/admin/orders/order/act/confirm/", {"_selected_action": one})
        assert "Nothing is chosen that is still there." in answer.content.decode()


def test_the_story_names_the_key_and_links_the_request(office: Client, shop: Shop) -> None:
    shop.product("MUG")
    order = shop.order()
    change = OrderChange.objects.get()

    page = office.get(f"/admin/orders/order/{order['id']}/change/").content.decode()

    assert f"({shop.api.key.prefix})" in page
    assert "Webhook deliveries" in page
    assert change.request_id in page
    query = urlencode({"request": f"{change.at.isoformat()} {change.request_id}"})
    listed = office.get(f"/admin/events/event/?{query}")
    types = [event.type for event in listed.context["cl"].result_list]
    assert types == ["order.created"]


def test_deleted_orders_are_listed_apart_and_found_by_number(office: Client, shop: Shop) -> None:
    shop.product("MUG")
    gone = shop.order(customer_id="ada")
    shop.order(customer_id="bob")
    shop.delete(gone)

    def listed(query: str) -> set[str]:
        result = office.get(f"/admin/orders/order/?{query}").context["cl"].result_list
        return {order.customer_id for order in result}

    assert listed("") == {"bob"}
    assert listed("deleted=yes") == {"ada"}
    assert listed(f"q={gone['number']}") == listed(f"q={gone['id']}") == {"ada"}
    assert listed(f"q={shop.api.account.slug}") == {"bob"}
    assert listed("status=pending") == {"bob"}
    assert listed("status=shipped") == set()
