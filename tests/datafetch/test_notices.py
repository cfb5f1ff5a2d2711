"""What an account is told of a stream that fails: once of each cause, with what is needed to mend it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import orjson
import pytest
from django.db.models import F

from apps.accounts.models import Account
from apps.common import mail
from apps.datafetch import limits
from apps.datafetch.models import Progress
from apps.datafetch.services.health import after_failure
from apps.datafetch.tasks import read
from apps.events.models import Event
from tests.datafetch.support import (
    PAGINATIONS,
    RemoteApi,
    as_json,
    get,
    items,
    let_time_pass,
    make_stream,
    run,
)
from tests.support import Answer, ApiClient, Receiver
from tests.support.mailbox import Mailbox, mail_server

pytestmark = pytest.mark.django_db

SECRET = "sesame-open-1234"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as served:
        yield served


@pytest.fixture(autouse=True)
def _reachable(someone: ApiClient) -> None:
    Account.objects.update(email="owner@example.com")


def arrived(mailbox: Mailbox) -> list[EmailMessage]:
    """The mails so far, in the order in which they were owed."""
    while mail.send_some():
        pass
    return mailbox.arrived


def subjects(mailbox: Mailbox) -> list[str]:
    return [str(one["subject"]).removeprefix("Your stream a stream ") for one in arrived(mailbox)]


def text_of(message: EmailMessage) -> str:
    return str(message.get_content()).replace("\r\n", "\n")


def notices(stream: dict[str, Any], kind: str = "stream.failing") -> list[dict[str, Any]]:
    events = Event.objects.filter(subject=stream["id"], type=kind).order_by("sequence")
    return [orjson.loads(bytes(one.payload))["data"]["object"] for one in events]


def causes(stream: dict[str, Any]) -> list[str]:
    return [one["cause"] for one in notices(stream)]


def test_it_fails_after_some_runs_and_the_mail_has_what_is_needed(
    someone: ApiClient, receiver: Receiver, mailbox: Mailbox
) -> None:
    remote = RemoteApi(receiver, items(5))
    stream = make_stream(
        someone,
        remote.url("/pages"),
        **PAGINATIONS["/pages"],
        auth={"type": "bearer", "token": SECRET},
        params={"api_key": SECRET, "region": "north"},
    )
    run(someone, stream)
    refusal = as_json({"message": f"{SECRET} is not welcome"})
    receiver.answer(
        "/pages",
        lambda request: (
            Answer(403, refusal.body) if "page=2" in request.query else remote._pages(request)
        ),
    )

    health = []
    for _ in range(limits.FAILING_AFTER + 1):
        run(someone, stream)
        health.append(get(someone, stream)["health"])

    assert health == ["ok"] * (limits.FAILING_AFTER - 1) + ["failing"] * 2
    (notice,) = notices(stream)
    (message,) = arrived(mailbox)
    assert (message["to"], message["subject"]) == (
        "owner@example.com",
        "Your stream a stream is failing",
    )
    text, page = text_of(message), notice["last_page"]
    assert f"{limits.FAILING_AFTER} in a row" in text
    assert (page["number"], page["record_count"]) == (1, 3)
    assert f"page 1, 3 records, GET {page['url']}" in text
    request = notice["last_run"]["error"]["request"]
    assert "page=2" in request
    assert "region=north" in request
    assert f"Request:        {request}" in text
    assert "forbidden: The server answers 403" in text
    assert "PATCH" in text
    assert f"/api/v1/streams/{stream['id']}/runs/{notice['last_run']['id']}" in text
    assert SECRET not in text
    assert SECRET not in str(notice)


def test_each_cause_is_told_once_until_it_recovers(
    someone: ApiClient, receiver: Receiver, mailbox: Mailbox
) -> None:
    answers = [404, 404, 401, 404, 401, 200]
    receiver.answer(
        "/", *(as_json(items(1)) if status == 200 else Answer(status) for status in answers)
    )
    stream = make_stream(someone, receiver.url("/"))

    for _ in answers:
        run(someone, stream)

    assert causes(stream) == ["http_error_404", "unauthorized"]
    assert len(notices(stream, "stream.recovered")) == 1
    assert subjects(mailbox) == ["is failing", "is failing", "works again"]
    assert "5 runs in a row" in text_of(mailbox.arrived[2])


def test_failures_that_may_pass_are_one_cause(someone: ApiClient, receiver: Receiver) -> None:
    tries = limits.MAX_ATTEMPTS
    receiver.answer("/", *[Answer(500)] * tries, *[Answer(503)] * tries, *[Answer(429)] * tries)
    stream = make_stream(someone, receiver.url("/"))

    for _ in range(3):
        run(someone, stream)

    assert causes(stream) == ["unavailable", "rate_limited"]


def test_one_that_fails_now_and_then_says_nothing(
    someone: ApiClient, receiver: Receiver, mailbox: Mailbox
) -> None:
    answers = [200, 404, 404, 200, 404, 200]
    receiver.answer(
        "/", *(as_json(items(1)) if status == 200 else Answer(status) for status in answers)
    )
    stream = make_stream(someone, receiver.url("/"))

    for _ in answers:
        run(someone, stream)

    assert notices(stream) == notices(stream, "stream.recovered") == []
    assert arrived(mailbox) == []


def test_one_that_fails_and_recovers_again_and_again_is_written_about_once_a_day(
    someone: ApiClient, receiver: Receiver, mailbox: Mailbox
) -> None:
    stream = make_stream(someone, receiver.url("/"))
    for answers in ([404], [200], [404] * 3, [200]):
        for status in answers:
            receiver.answer("/", as_json(items(1)) if status == 200 else Answer(status))
            run(someone, stream)

    assert causes(stream) == ["http_error_404"] * 2
    assert len(notices(stream, "stream.recovered")) == 2
    assert subjects(mailbox) == ["is failing", "works again"]

    Progress.objects.update(warned_at=F("warned_at") - timedelta(days=2))
    receiver.answer("/", Answer(404))
    for _ in range(limits.FAILING_AFTER):
        run(someone, stream)
    assert subjects(mailbox) == ["is failing", "works again", "is failing"]


def test_a_paused_one_is_told_of_and_probed_with_one_request(
    someone: ApiClient, receiver: Receiver, mailbox: Mailbox
) -> None:
    receiver.answer("/", Answer(404), *[Answer(503)] * 3)
    stream = make_stream(someone, receiver.url("/"))
    someone.post(f"/api/v1/streams/{stream['id']}/start", {})
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    Progress.objects.update(
        failures=limits.PAUSE_AFTER - 1, failing_since=two_days_ago, told=["http_error_404"]
    )

    for _ in range(3):
        read()
        let_time_pass()

    assert len(receiver.requests) == 3
    assert [one["paused_at"] is None for one in notices(stream, "stream.paused")] == [False]
    assert subjects(mailbox) == ["is paused", "is failing"]
    assert "once an hour" in text_of(mailbox.arrived[0])


@pytest.mark.parametrize(
    ("failures", "hours", "is_failing", "is_paused"),
    [
        (0, 0, False, False),
        (2, 1, True, False),
        (1, 25, True, False),
        (19, 23, True, False),
        (18, 25, True, False),
        (19, 25, True, True),
    ],
)
def test_thresholds(failures: int, hours: int, is_failing: bool, is_paused: bool) -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    current = Progress(
        failures=failures,
        failing_since=now - timedelta(hours=hours) if failures else None,
        succeeded_at=now - timedelta(days=9),
    )

    verdict = after_failure(current, "unauthorized", now)

    assert (verdict.has_news, verdict.is_paused_now) == (is_failing, is_paused)


@pytest.mark.parametrize("policy", ["evolve", "freeze", "reject"])
def test_drift_is_written_about_once_a_day(
    someone: ApiClient, receiver: Receiver, mailbox: Mailbox, policy: str
) -> None:
    remote = RemoteApi(receiver, items(3))
    stream = make_stream(someone, remote.url("/all"), schema_policy=policy)
    run(someone, stream)
    for name in ("extra", "another"):
        remote.items[0][name] = 1
        remote.items[0]["name"] = f"with {name}"
        for _ in range(limits.FAILING_AFTER):
            run(someone, stream)

    (message,) = arrived(mailbox)
    assert message["subject"] == "Your stream a stream has records of a new form"
    text = text_of(message)
    assert "New fields:          extra\nValues of new types: none" in text
    assert f"Its schema_policy is {policy}:" in text
    assert get(someone, stream)["health"] == ("failing" if policy == "freeze" else "ok")


def test_without_an_address_the_events_are_told_alone(
    someone: ApiClient, receiver: Receiver, mailbox: Mailbox
) -> None:
    Account.objects.update(email="")
    receiver.answer("/", Answer(404))
    stream = make_stream(someone, receiver.url("/"))

    run(someone, stream)

    assert causes(stream) == ["http_error_404"]
    assert notices(stream)[0]["last_page"] is None
    assert arrived(mailbox) == []
