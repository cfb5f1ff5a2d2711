"""What the back office and /metrics show and do with streams' consumers."""

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.datafetch.models import Consumer
from tests.datafetch.support import RemoteApi, items, make_stream, run
from tests.support import ApiClient, Receiver

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("action", "offset"), [("from_the_start", 0), ("to_the_end", 5)])
def test_a_consumer_is_set_elsewhere(
    someone: ApiClient, receiver: Receiver, action: str, offset: int
) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(5)).url("/all"))
    run(someone, stream)
    someone.post(f"/api/v1/streams/{stream['id']}/consumers/acme/commit", {"offset": 3})
    staff = Client()
    staff.force_login(User.objects.create_superuser("boss"))
    consumer = Consumer.objects.get()

    answer = staff.post(
        reverse("admin:datafetch_consumer_changelist"),
        {"action": action, "_selected_action": [str(consumer.pk)]},
        follow=True,
    )

    assert f"acme is at {offset}, {5 - offset} behind." in answer.content.decode()
    assert Consumer.objects.get().offset == offset


def test_what_streams_bring_and_who_is_behind_is_measured(
    someone: ApiClient, receiver: Receiver
) -> None:
    stream = make_stream(someone, RemoteApi(receiver, items(5)).url("/all"))
    run(someone, stream)
    someone.post(f"/api/v1/streams/{stream['id']}/consumers/acme/commit", {"offset": 3})

    shown = Client().get("/metrics").content.decode()

    assert "\ntradepost_stream_records_last_hour 5.0\n" in shown
    assert "\ntradepost_stream_consumer_lag 2.0\n" in shown
