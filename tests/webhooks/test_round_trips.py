"""What the database is asked from an event to its delivery: exact numbers, so that speed does not leak away."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.events.dispatch import dispatch
from apps.webhooks.delivering import delivering
from tests.support import Receiver
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import dispatch_slowly

pytestmark = pytest.mark.django_db(transaction=True)


def asked(work: Callable[[], object]) -> list[str]:
    """The first words of each statement of this thread."""
    with CaptureQueriesContext(connection) as captured:
        work()
    return [" ".join(one["sql"].split("(")[0].split()[:4]) for one in captured.captured_queries]


def test_an_event_is_dispatched_with_six_statements(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    endpoint = make_endpoint(receiver.url())
    publish_event(endpoint.account)
    dispatch()  # meets each handler for the first time, and the endpoint's secret

    publish_event(endpoint.account)
    statements = asked(dispatch)

    assert statements == [
        "SELECT * FROM events_round",
        "BEGIN",
        "SELECT id, position, type,",  # and so on, of events_take
        "SELECT made.* FROM set_config",  # and webhooks_make, which does not wait for the disk
        "COMMIT",
        "SELECT * FROM events_round",
    ]
    assert delivering.sender.wait_until_empty(20)


def test_what_is_owed_is_claimed_with_four_statements(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver
) -> None:
    endpoint = make_endpoint(receiver.url())
    publish_event(endpoint.account)
    dispatch()
    assert delivering.sender.wait_until_empty(20)
    publish_event(endpoint.account)
    dispatch_slowly()

    statements = asked(delivering.deliver)

    assert [one for one in statements if "webhooks_take_v2" in one or "webhooks_load" in one] == [
        "SELECT * FROM webhooks_take_v2",
        "SELECT * FROM webhooks_load",
    ]
    assert len(statements) == 4, "and whether an endpoint has changed, and whether there is more"
    assert delivering.sender.wait_until_empty(20)
