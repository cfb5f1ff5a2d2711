"""The feed: what an account may see now, in order, and nothing else."""

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.accounts.models import Account
from apps.common.ids import uuid7
from apps.events.channels import channel_of, join, leave
from apps.events.dispatch import stamp
from apps.events.patterns import is_pattern, like, matches
from tests.conftest import MakeClient
from tests.events.conftest import happen
from tests.support import ApiClient
from tests.support.problems import assert_problem

EVENTS = "/api/v1/events"


@pytest.fixture
def reader(api: MakeClient) -> ApiClient:
    return api("events:read")


def feed(client: ApiClient, **query: Any) -> list[str]:
    """The ids that the client sees, after everything has got its position."""
    while stamp():
        pass
    return [event["id"] for event in client.get(EVENTS, **query).json()["results"]]


def ids(*made: UUID) -> list[str]:
    return [str(one) for one in made]


def test_an_event_in_the_feed_is_what_was_published_and_its_position(reader: ApiClient) -> None:
    subject = uuid7()
    made = happen(reader.account.pk, subject=subject, object={"a": 1}, changes={"a": (0, 1)})
    stamp()

    (event,) = reader.get(EVENTS).json()["results"]

    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "position": 1,
        "id": str(made),
        "type": "test.happened",
        "version": 1,
        "account_id": str(reader.account.pk),
        "subject": str(subject),
        "data": {"object": {"a": 1}, "changes": {"a": [0, 1]}},
    }
    assert reader.get(f"{EVENTS}/{made}").json()["data"] == event["data"]


def test_what_has_no_position_yet_is_not_seen(reader: ApiClient) -> None:
    made = happen(reader.account.pk)

    assert reader.get(EVENTS).json()["results"] == []
    assert_problem(reader.get(f"{EVENTS}/{made}"), 404, "event_not_found")


def test_events_of_others_are_not_seen(reader: ApiClient, api: MakeClient) -> None:
    theirs = happen(api().account.pk)

    assert feed(reader) == []
    assert_problem(reader.get(f"{EVENTS}/{theirs}"), 404, "event_not_found")


def test_an_account_that_is_named_sees_the_event(reader: ApiClient) -> None:
    named = happen(readers=[reader.account.pk, uuid7()])
    happen(readers=[uuid7()])

    assert feed(reader) == ids(named)
    assert reader.get(f"{EVENTS}/{named}").status_code == 200


def test_an_event_that_is_mine_in_every_way_is_seen_once(reader: ApiClient) -> None:
    account = reader.account
    channel = channel_of(account.pk, "buyers")
    join(channel, account.pk)

    made = happen(account.pk, channel_id=channel.pk, readers=[account.pk])

    assert feed(reader) == ids(made)


def test_members_of_a_channel_see_its_events_while_they_are_members(
    reader: ApiClient, api: MakeClient
) -> None:
    seller = api().account
    channel = channel_of(seller.pk, "buyers")
    made = happen(seller.pk, channel_id=channel.pk)
    assert feed(reader) == []

    join(channel, reader.account.pk)
    join(channel, reader.account.pk)
    assert feed(reader) == ids(made)
    assert reader.get(f"{EVENTS}/{made}").status_code == 200

    leave(channel, reader.account.pk)
    assert feed(reader) == []
    assert reader.get(f"{EVENTS}/{made}").status_code == 404


def test_a_channel_of_one_account_is_not_another_of_the_same_name(
    reader: ApiClient, api: MakeClient
) -> None:
    one, other = api().account, api().account
    join(channel_of(one.pk, "buyers"), reader.account.pk)

    happen(other.pk, channel_id=channel_of(other.pk, "buyers").pk)

    assert feed(reader) == []


def test_a_member_of_many_channels_sees_all_of_them_in_order(
    reader: ApiClient, api: MakeClient
) -> None:
    channels = [channel_of(api().account.pk, "buyers") for _ in range(3)]
    for channel in channels:
        join(channel, reader.account.pk)

    made = [happen(c.account_id, channel_id=c.pk) for c in channels * 3]

    assert feed(reader) == ids(*made)
    assert feed(reader, after=4, limit=3) == ids(*made[4:7])


@settings(max_examples=15)
@given(st.lists(st.sampled_from(["mine", "named", "channel", "none"]), max_size=12), st.data())
def test_paging_gives_each_visible_event_once_in_order(
    api: MakeClient, kinds: list[str], data: st.DataObject
) -> None:
    reader = api("events:read")
    seller: Account = api().account
    channel = channel_of(seller.pk, "buyers")
    join(channel, reader.account.pk)
    ways: dict[str, dict[str, Any]] = {
        "mine": {"account_id": reader.account.pk},
        "named": {"readers": [reader.account.pk]},
        "channel": {"account_id": seller.pk, "channel_id": channel.pk},
        "none": {"account_id": seller.pk},
    }
    made = [(kind, happen(**ways[kind])) for kind in kinds]
    while stamp():
        pass

    seen, url = [], f"{EVENTS}?limit={data.draw(st.integers(1, 4))}"
    while url:
        page = reader.get(url).json()
        seen += [event["id"] for event in page["results"]]
        url = page["next"]

    assert seen == [str(one) for kind, one in made if kind != "none"]


@pytest.mark.parametrize(
    ("types", "seen"),
    [
        ("*", [0, 1, 2, 3]),
        ("deal.*", [0, 1]),
        ("deal.created", [0]),
        ("deal.created, order.*", [0, 2]),
        ("deal.created,deal.*", [0, 1]),
        ("dealx.*", []),
        ("order.x", []),
        ("web_hook.*", [3]),
        ("webxhook.*", []),
    ],
)
def test_types_narrow_the_feed(reader: ApiClient, types: str, seen: list[int]) -> None:
    names = ["deal.created", "deal.sold", "order.created", "web_hook.made"]
    made = [happen(reader.account.pk, type=name) for name in names]

    assert feed(reader, types=types) == ids(*(made[index] for index in seen))


@pytest.mark.parametrize(
    "types",
    ["", "deal", "deal.", ".created", "*.created", "deal.*.x", "deal.%", "a.b,", "a.b" * 900],
)
def test_a_wrong_filter_is_refused(reader: ApiClient, types: str) -> None:
    answer = reader.get(EVENTS, types=types)

    assert_problem(answer, 400, "invalid")
    assert [fault["parameter"] for fault in answer.json()["errors"]] == ["types"]


def test_too_many_filters_are_refused(reader: ApiClient) -> None:
    assert reader.get(EVENTS, types=",".join(["a.b"] * 20)).status_code == 200
    assert_problem(reader.get(EVENTS, types=",".join(["a.b"] * 21)), 400, "invalid")


_name = st.from_regex(r"[a-z_]{1,3}\.[a-z_]{1,3}", fullmatch=True)


@pytest.mark.django_db
@given(_name, st.just("*") | _name | _name.map(lambda name: name.partition(".")[0] + ".*"))
def test_database_and_program_agree_on_what_a_filter_lets_through(name: str, pattern: str) -> None:
    assert is_pattern(pattern)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s LIKE ANY(%s)", [name, [like(pattern)]])
        (in_database,) = cursor.fetchone()

    assert in_database == matches([pattern], name)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("after=-1", "after"),
        ("after=x", "after"),
        (f"after={2**63}", "after"),
        ("limit=0", "limit"),
    ],
)
def test_a_wrong_place_to_go_on_from_is_refused(
    reader: ApiClient, query: str, parameter: str
) -> None:
    answer = reader.get(f"{EVENTS}?{query}")

    assert_problem(answer, 400, "invalid")
    assert answer.json()["errors"][0]["parameter"] == parameter


def test_far_ahead_there_is_nothing_yet(reader: ApiClient) -> None:
    happen(reader.account.pk)

    assert feed(reader, after=2**63 - 1) == []


def test_an_event_is_not_sent_again_to_who_has_it(reader: ApiClient) -> None:
    made = happen(reader.account.pk)
    stamp()
    tag = reader.get(f"{EVENTS}/{made}").headers["ETag"]

    answer = reader.get(f"{EVENTS}/{made}", headers={"If-None-Match": tag})

    assert answer.status_code == 304
