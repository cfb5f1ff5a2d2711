"""What the back office and /metrics show of streams, and what can be done to them there."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.datafetch.models import Consumer, Record, Run, Stream
from apps.datafetch.tasks import read
from tests.datafetch.support import (
    PAGINATIONS,
    RemoteApi,
    get,
    items,
    let_time_pass,
    make_stream,
    present,
    run,
)
from tests.datafetch.test_credentials import AUTH, SECRET
from tests.support import Answer, ApiClient, Receiver
from tests.support.backoffice import act, confirm

pytestmark = pytest.mark.django_db


@pytest.fixture
def office() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def page(name: str, *arguments: Any) -> str:
    return reverse(f"admin:datafetch_{name}", args=arguments)


@pytest.fixture
def stream(someone: ApiClient, receiver: Receiver) -> dict[str, Any]:
    """One with five records."""
    made = make_stream(someone, RemoteApi(receiver, items(5)).url("/all"), auth=AUTH["bearer"])
    run(someone, made)
    return made


@pytest.mark.parametrize(
    ("given", "offset"),
    [
        ({"to": "earliest"}, 0),
        ({"to": "latest"}, 5),
        ({"offset": "2"}, 2),
        ({"time": "2020-01-01 00:00"}, 0),
        ({"time": "2100-01-01 00:00"}, 5),
    ],
)
def test_a_consumer_is_set_elsewhere(
    someone: ApiClient, office: Client, stream: dict[str, Any], given: dict[str, str], offset: int
) -> None:
    someone.post(f"/api/v1/streams/{stream['id']}/consumers/acme/commit", {"offset": 3})
    consumer = Consumer.objects.get()

    said = act(office, "datafetch/consumer", "seek", consumer.pk, **given)

    assert f"acme is at {offset}, {5 - offset} behind." in said
    assert Consumer.objects.get().offset == offset


@pytest.mark.parametrize(
    "given",
    [{}, {"to": "latest", "offset": "1"}, {"offset": "-1"}, {"time": "soon"}, {"offset": "6"}],
)
def test_a_consumer_is_set_to_one_place_that_is_there(
    someone: ApiClient, office: Client, stream: dict[str, Any], given: dict[str, str]
) -> None:
    someone.post(f"/api/v1/streams/{stream['id']}/consumers/acme/commit", {"offset": 3})

    confirm(office, "datafetch/consumer", "seek", Consumer.objects.get().pk, **given)

    assert Consumer.objects.get().offset == 3


def test_streams_are_started_run_and_stopped(
    someone: ApiClient, office: Client, stream: dict[str, Any]
) -> None:
    assert "a stream is started." in act(office, "datafetch/stream", "start", stream["id"])
    assert get(someone, stream)["state"] == "running"
    read()

    assert "a stream runs." in act(office, "datafetch/stream", "run", stream["id"])
    assert "a stream is stopped." in act(office, "datafetch/stream", "stop", stream["id"])
    assert get(someone, stream)["state"] == "stopped"
    refused = confirm(office, "datafetch/stream", "stop", stream["id"])
    assert "is not running" in refused or "is stopped" in refused


def test_kept_pages_are_read_again(
    someone: ApiClient, office: Client, stream: dict[str, Any]
) -> None:
    someone.patch(f"/api/v1/streams/{stream['id']}", {"mapping": {"label": "name"}})

    said = act(office, "datafetch/stream", "remap", stream["id"])

    assert "1 of 1 pages are kept and are read again" in said
    read()
    assert present(someone, stream)[0] == {"label": "item 1"}


def test_a_stream_shows_its_runs_readers_and_rejected_records(
    someone: ApiClient, receiver: Receiver, office: Client
) -> None:
    made = make_stream(someone, RemoteApi(receiver, [{"id": 1}, {"no": "id"}]).url("/all"))
    run(someone, made)
    someone.post(f"/api/v1/streams/{made['id']}/consumers/acme/commit", {"offset": 0})

    shown = office.get(page("stream_change", made["id"])).content.decode()

    assert "acme" in shown
    assert "no_key" in shown
    assert page("run_change", Run.objects.get().pk) in shown
    assert page("stream_records", made["id"]) in shown
    assert page("stream_preview", made["id"]) in shown


def test_a_run_in_progress_renews_itself(
    someone: ApiClient, receiver: Receiver, office: Client
) -> None:
    remote = RemoteApi(receiver, items(7))
    made = make_stream(someone, remote.url("/links"), rate_limit=0.01, **PAGINATIONS["/links"])
    someone.post(f"/api/v1/streams/{made['id']}/run", {})
    read()
    going = Run.objects.get()

    for url in (
        page("run_progress", going.pk),
        page("run_change", going.pk),
        page("stream_change", made["id"]),
    ):
        shown = office.get(url).content.decode()
        assert f'hx-get="{page("run_progress", going.pk)}"' in shown, url
        assert "3 records" in shown, url

    someone.post(f"/api/v1/streams/{made['id']}/stop", {})
    read()
    assert "hx-get" not in office.get(page("run_progress", going.pk)).content.decode()


def test_records_are_leafed_through_and_found_by_their_key(
    someone: ApiClient, receiver: Receiver, office: Client
) -> None:
    remote = RemoteApi(receiver, items(60, text="x" * 1000))
    made = make_stream(someone, remote.url("/all"))
    run(someone, made)
    remote.items[6]["name"] = "another <name>"
    run(someone, made)
    url = page("stream_records", made["id"])

    first = office.get(url)
    older = office.get(f"{url}?before={61 - 49}")
    versions = office.get(f"{url}?key=7")

    assert [row[0] for row in first.context["table"]["rows"]] == list(range(61, 11, -1))
    assert first.context["older"] == "before=12"
    assert "another &lt;name&gt;" in first.content.decode()
    assert [row[0] for row in older.context["table"]["rows"]] == list(range(11, 0, -1))
    assert older.context["older"] == ""
    assert [row[0] for row in versions.context["table"]["rows"]] == [61, 7]
    assert "No record has had this key" in office.get(f"{url}?key=none").content.decode()
    for query in ("?before=x", "?key=%00", "?before=" + "9" * 40, "?key=" + "k" * 600):
        assert office.get(url + query).status_code == 200, query


def test_a_preview_is_shown_and_tried_with_another_mapping(
    someone: ApiClient, receiver: Receiver, office: Client, stream: dict[str, Any]
) -> None:
    url = page("stream_preview", stream["id"])
    asked = len(receiver.requests)

    blank = office.get(url)
    assert len(receiver.requests) == asked
    let_time_pass()
    seen = office.post(
        url, {"records_path": "", "primary_key": "id", "mapping": '{"label": "name"}', "records": 2}
    )

    assert blank.context["form"].initial["primary_key"] == "id"
    shown = seen.content.decode()
    assert "{&quot;label&quot;:&quot;item 1&quot;}" in shown
    assert "item 3" not in shown
    assert SECRET not in shown + blank.content.decode()
    assert receiver.requests[-1].headers["Authorization"] == f"Bearer {SECRET}"
    assert Stream.objects.get().mapping is None
    assert Record.objects.count() == 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mapping": '{"a": "[["}'}, "JMESPath"),
        ({"mapping": "not JSON"}, "valid JSON"),
        ({"mapping": "[1]"}, "dict"),
        ({"primary_key": "[["}, "JMESPath"),
        ({"records": "51"}, "less than or equal"),
    ],
)
def test_a_preview_of_what_cannot_be_is_refused(
    office: Client, receiver: Receiver, stream: dict[str, Any], given: dict[str, str], said: str
) -> None:
    asked = len(receiver.requests)
    fields = {"records_path": "", "primary_key": "id", "mapping": "", "records": "2", **given}

    answer = office.post(page("stream_preview", stream["id"]), fields)

    assert said in answer.content.decode()
    assert len(receiver.requests) == asked


def test_what_goes_wrong_over_there_is_shown(
    office: Client, receiver: Receiver, stream: dict[str, Any]
) -> None:
    receiver.answer("/all", Answer(403, b"<b>go away</b>"))
    let_time_pass()
    fields = {"records_path": "", "primary_key": "id", "mapping": "", "records": "2"}

    shown = office.post(page("stream_preview", stream["id"]), fields).content.decode()

    assert "forbidden" in shown
    assert "&lt;b&gt;go away" in shown


def test_who_may_only_look_asks_no_remote_api(receiver: Receiver, stream: dict[str, Any]) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_stream"))
    client = Client()
    client.force_login(viewer)

    assert client.get(page("stream_records", stream["id"])).status_code == 200
    assert client.get(page("stream_preview", stream["id"])).status_code == 403
    assert client.post(page("stream_preview", stream["id"])).status_code == 403
    assert client.get(page("run_progress", Run.objects.get().pk)).status_code == 403


def test_what_streams_bring_and_who_is_behind_is_measured(
    someone: ApiClient, stream: dict[str, Any]
) -> None:
    someone.post(f"/api/v1/streams/{stream['id']}/consumers/acme/commit", {"offset": 3})

    shown = Client().get("/metrics").content.decode()

    assert "\ntradepost_stream_records_last_hour 5.0\n" in shown
    assert "\ntradepost_stream_consumer_lag 2.0\n" in shown
