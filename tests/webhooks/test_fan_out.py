"""Who gets an event, and that any number of endpoints is served in small transactions."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from apps.accounts.models import Account
from apps.common.ids import uuid7
from apps.events.channels import channel_of, join, leave
from apps.events.dispatch import dispatch, stamp
from apps.events.models import ChannelMember, Consumer, Event
from apps.webhooks import services
from apps.webhooks.delivering import delivering
from apps.webhooks.events import TEST
from apps.webhooks.fanout import continue_fan_out, make_deliveries
from apps.webhooks.limits import ENDPOINT_CAP, FAST_ENDPOINTS
from apps.webhooks.models import Attempt, Delivery, Due, Endpoint, FanOut
from tests.conftest import MakeAccount
from tests.support import Answer, Receiver, concurrently, wait_until
from tests.webhooks.conftest import MakeEndpoint, PublishEvent, many_endpoints

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


def audience() -> set[str]:
    """The descriptions of the endpoints that have a delivery."""
    ids = Delivery.objects.values("endpoint_id")
    return set(Endpoint.objects.filter(pk__in=ids).values_list("description", flat=True))


@pytest.fixture
def closed() -> None:
    """This process sends nothing: what is made stays to be claimed."""
    delivering.sender.close()


def test_owner_readers_and_members_of_now_get_it(
    make_account: MakeAccount,
    make_endpoint: MakeEndpoint,
    publish_event: PublishEvent,
    closed: None,
) -> None:
    seller, reader, member, former, stranger = (make_account() for _ in range(5))
    for name, account in {
        "seller": seller, "reader": reader, "member": member, "former": former,
        "stranger": stranger,
    }.items():  # fmt: skip
        make_endpoint("http://127.0.0.1:1/", account=account, description=name)
    channel = channel_of(seller.id, "deals")
    for account in (member, former):
        join(channel, account.id)
    publish_event(seller, channel_id=channel.id, readers=[reader.id, member.id])
    leave(channel, former.id)

    dispatch()

    assert audience() == {"seller", "reader", "member"}
    assert Delivery.objects.count() == 3, "being a reader and a member is one delivery"


def test_an_account_that_is_no_reader_of_the_event_gets_nothing_of_another_channel(
    make_account: MakeAccount,
    make_endpoint: MakeEndpoint,
    publish_event: PublishEvent,
    closed: None,
) -> None:
    seller, buyer = make_account(), make_account()
    make_endpoint("http://127.0.0.1:1/", account=buyer)
    join(channel_of(seller.id, "other"), buyer.id)
    publish_event(seller, channel_id=channel_of(seller.id, "deals").id)
    publish_event(seller)

    dispatch()

    assert not Delivery.objects.exists()


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["*"], True),
        (["webhook_endpoint.*"], True),
        (["webhook_endpoint.disabled"], True),
        (["deal.sold", "webhook_endpoint.disabled"], True),
        (["webhook_endpoint.test"], False),
        (["deal.*", "order.created"], False),
        (["webhookXendpoint.disabled"], False),
        (["webhook.*"], False),
    ],
)
def test_patterns_choose(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, closed: None,
    patterns: list[str], wanted: bool,
) -> None:  # fmt: skip
    publish_event(make_endpoint("http://127.0.0.1:1/", event_types=patterns).account)

    dispatch()

    assert Delivery.objects.exists() is wanted


def test_disabled_and_deleted_endpoints_get_nothing(
    make_account: MakeAccount,
    make_endpoint: MakeEndpoint,
    publish_event: PublishEvent,
    closed: None,
) -> None:
    account = make_account()
    disabled, deleted = (make_endpoint("http://127.0.0.1:1/", account=account) for _ in range(2))
    Endpoint.objects.filter(pk=disabled.id).update(status="disabled", disabled_reason="operator")
    services.delete_endpoint(account_id=account.id, endpoint_id=deleted.id)
    publish_event(account)

    dispatch()

    assert not Delivery.objects.exists()


def test_an_event_about_an_endpoint_is_not_sent_to_it(
    make_account: MakeAccount,
    make_endpoint: MakeEndpoint,
    publish_event: PublishEvent,
    closed: None,
) -> None:
    account = make_account()
    make_endpoint("http://127.0.0.1:1/", account=account, description="other")
    concerned = make_endpoint("http://127.0.0.1:1/", account=account, description="concerned")
    publish_event(account, subject=concerned.id)
    publish_event(account, subject=concerned.id, type=TEST)

    dispatch()

    assert audience() == {"other"}
    assert Delivery.objects.count() == 1


def test_an_event_with_many_endpoints_is_made_in_steps(
    make_account: MakeAccount, publish_event: PublishEvent, closed: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("apps.webhooks.fanout.FAN_OUT_BATCH", 50)
    account = make_account()
    many_endpoints(account, FAST_ENDPOINTS + 120)
    publish_event(account)

    dispatch()
    sizes = [Delivery.objects.count()]
    while continue_fan_out():
        sizes.append(Delivery.objects.count())

    assert sizes == [64, 114, 164, 184]
    assert set(Counter(Delivery.objects.values_list("endpoint_id", flat=True)).values()) == {1}
    assert Due.objects.filter(ready=True).count() == 184
    assert not FanOut.objects.exists()


def test_just_as_many_as_one_step_takes_need_no_other(
    make_account: MakeAccount, publish_event: PublishEvent, closed: None
) -> None:
    account = make_account()
    many_endpoints(account, FAST_ENDPOINTS)
    publish_event(account)

    dispatch()

    assert Delivery.objects.count() == FAST_ENDPOINTS
    assert not FanOut.objects.exists()


def test_a_crash_in_the_middle_of_a_step_costs_nothing_and_doubles_nothing(
    make_account: MakeAccount, publish_event: PublishEvent, closed: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("apps.webhooks.fanout.FAN_OUT_BATCH", 30)
    account = make_account()
    many_endpoints(account, FAST_ENDPOINTS + 75)
    publish_event(account)
    dispatch()
    continue_fan_out()

    with transaction.atomic():
        continue_fan_out()
        transaction.set_rollback(True)
    while continue_fan_out():
        pass

    assert set(Counter(Delivery.objects.values_list("endpoint_id", flat=True)).values()) == {1}
    assert Delivery.objects.count() == FAST_ENDPOINTS + 75


def test_several_workers_at_once_make_each_delivery_once(
    make_account: MakeAccount, publish_event: PublishEvent, closed: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("apps.webhooks.fanout.FAN_OUT_BATCH", 20)
    account = make_account()
    many_endpoints(account, FAST_ENDPOINTS + 200)
    for _ in range(3):
        publish_event(account)
    dispatch()

    def work(_: int) -> None:
        while continue_fan_out():
            pass

    concurrently(4, work)
    work(0)

    pairs = Counter(Delivery.objects.values_list("event_id", "endpoint_id"))
    assert len(pairs) == 3 * (FAST_ENDPOINTS + 200)
    assert set(pairs.values()) == {1}


def test_a_rolled_back_dispatch_sends_nothing(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish_event(make_endpoint(receiver.url()).account)

    def make_and_fail(*events: Any, **options: Any) -> Any:
        make_deliveries(*events, **options)
        raise RuntimeError("after the deliveries were made")

    monkeypatch.setattr("apps.webhooks.handlers.make_deliveries", make_and_fail)
    dispatch()
    assert not Delivery.objects.exists()
    assert delivering.sender.wait_until_empty(0)
    assert Consumer.objects.get(name="webhooks.fan_out").failures == 1

    monkeypatch.undo()
    Consumer.objects.update(retry_at=None)
    send()

    assert len(receiver.wait_for(1)) == 1
    assert Delivery.objects.count() == 1


def test_what_cannot_be_sent_at_once_after_all_is_claimed(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish_event(make_endpoint(receiver.url()).account)

    def fail(*_: Any) -> Any:
        raise RuntimeError("after the deliveries were committed")

    monkeypatch.setattr("apps.webhooks.handlers._parcel", fail)
    dispatch()
    assert Consumer.objects.get(name="webhooks.fan_out").failures == 0
    monkeypatch.undo()
    send()

    assert len(receiver.wait_for(1)) == 1
    assert Delivery.objects.get().status == "delivered"


def test_a_small_event_is_sent_by_whoever_dispatches_it_without_a_claim(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    publish_event(make_endpoint(receiver.url()).account)

    dispatch()

    assert delivering.sender.wait_until_empty(10)
    assert len(receiver.requests) == 1
    assert Delivery.objects.get().status == "delivered"


def test_the_fast_path_leaves_a_busy_endpoint_to_the_claims(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent
) -> None:
    endpoint = make_endpoint("http://127.0.0.1:1/")
    events = [publish_event(endpoint.account) for _ in range(ENDPOINT_CAP + 3)]
    stamp()

    made = make_deliveries(events, limit=FAST_ENDPOINTS, slots=100, lease_id=uuid7(), holder="me")
    assert [one.fast for one in made] == [True] * ENDPOINT_CAP + [False] * 3
    assert [one.event_id for one in made] == events

    more = make_deliveries(
        [publish_event(endpoint.account)], limit=FAST_ENDPOINTS, slots=100, lease_id=uuid7()
    )
    assert [one.fast for one in more] == [False], "five are under way and three wait"


def test_the_fast_path_takes_no_more_than_there_are_slots(
    make_account: MakeAccount, publish_event: PublishEvent
) -> None:
    account = make_account()
    many_endpoints(account, 10)

    made = make_deliveries(
        [publish_event(account)], limit=FAST_ENDPOINTS, slots=4, lease_id=uuid7()
    )

    assert sum(one.fast for one in made) == 4
    assert Due.objects.filter(ready=True).count() == 6


def test_an_event_with_many_endpoints_takes_no_fast_path(
    make_account: MakeAccount, publish_event: PublishEvent
) -> None:
    account = make_account()
    many_endpoints(account, FAST_ENDPOINTS + 1)

    made = make_deliveries(
        [publish_event(account)], limit=FAST_ENDPOINTS, slots=1000, lease_id=uuid7()
    )

    assert not any(one.fast for one in made)


def test_all_that_was_published_arrives_once(
    make_account: MakeAccount, make_endpoint: MakeEndpoint, publish_event: PublishEvent,
    receiver: Receiver, send: Send,
) -> None:  # fmt: skip
    receiver.answer("/", Answer(200))
    accounts = [make_account() for _ in range(3)]
    for account in accounts:
        make_endpoint(receiver.url("/" + account.slug), account=account)
    for account in accounts:
        for _ in range(40):
            publish_event(account)

    send()

    received = Counter((one.path, one.headers["webhook-id"]) for one in receiver.requests)
    assert len(received) == 120
    assert set(received.values()) == {1}
    assert Event.objects.count() == 120
    assert not Delivery.objects.exclude(status="delivered").exists()


@pytest.mark.slow
def test_ten_thousand_buyers_of_one_deal_each_get_it_once(
    make_account: MakeAccount, make_endpoint: MakeEndpoint, publish_event: PublishEvent,
    receiver: Receiver,
) -> None:  # fmt: skip
    seller = make_account()
    channel = channel_of(seller.id, "deals")
    buyers = Account.objects.bulk_create(
        Account(slug=f"buyer-{n}", name="Buyer") for n in range(10_000)
    )
    ChannelMember.objects.bulk_create(
        ChannelMember(channel=channel, account=buyer) for buyer in buyers
    )
    secret = make_endpoint(receiver.url(), event_types=["order.*"]).secret
    Endpoint.objects.bulk_create(
        Endpoint(account=buyer, url=receiver.url(), event_types=["*"], secret=secret)
        for buyer in buyers
    )
    event_id = publish_event(seller, channel_id=channel.id)

    dispatch()
    assert Delivery.objects.count() == 64, "the transaction of the dispatch stays small"
    while continue_fan_out():
        delivering.deliver()
    wait_until(lambda: (delivering.deliver(), not Due.objects.exists())[1], seconds=300)

    delivered = Delivery.objects.filter(event_id=event_id, status="delivered")
    assert delivered.values("endpoint_id").distinct().count() == delivered.count() == 10_000
    too_late = Attempt.objects.exclude(error="").count()  # answers, on a busy machine: sent again
    assert 10_000 <= len(receiver.requests) <= 10_000 + too_late
