"""The official client as we use it: one connection, time limits, no retries, nothing secret told."""

import logging
import threading

import pytest
from pytest_django.fixtures import Settings

from apps.crm.hubspot import client as adapter
from apps.crm.hubspot.answers import (
    DailyLimitReached,
    HubSpotError,
    Refused,
    Throttled,
    TokenRefused,
    Unavailable,
)
from apps.crm.hubspot.client import HubSpot, versioned
from sandbox.hubspot import refusals
from sandbox.hubspot.server import Simulator
from sandbox.hubspot.settings import Scripted
from tests.crm import support
from tests.crm.support import Shop

TOKEN = "pat-secret-of-the-adapter"


def failure(hubspot: Simulator, scripted: Scripted) -> HubSpotError:
    hubspot.script(scripted)
    with pytest.raises(HubSpotError) as caught:
        HubSpot(TOKEN).read_contacts(["a@b.co"], [])
    return caught.value


def test_calls_share_a_connection(hubspot: Simulator) -> None:
    for _ in range(5):
        HubSpot(TOKEN).read_contacts(["a@b.co"], [])
        HubSpot("another").upsert_contacts({"1": {"email": "a@b.co"}})

    assert len(hubspot.calls) == 10
    assert hubspot.connections == 1


@pytest.mark.parametrize(
    ("scripted", "kind"),
    [
        (Scripted(400, refusals.error("VALIDATION_ERROR", "no")), Refused),
        (Scripted(401, {}), TokenRefused),
        (Scripted(403, {"category": "MISSING_SCOPES"}), TokenRefused),
        (Scripted(404, raw="<html>"), Refused),
        (Scripted(408), Unavailable),
        (Scripted(409, {"message": "Contact already exists. Existing ID: 12"}), Refused),
        (Scripted(414), Refused),
        (Scripted(423), Unavailable),
        (Scripted(429, refusals.too_many("SECONDLY").body), Throttled),
        (Scripted(429, refusals.too_many("DAILY").body), DailyLimitReached),
        (Scripted(429, raw=""), Throttled),
        (Scripted(477), Unavailable),
        (Scripted(500, raw="\x00"), Unavailable),
        (Scripted(302, headers={"Location": "http://127.0.0.1:1/"}), Unavailable),
        (Scripted(200, raw="{"), Unavailable),
        (Scripted(0), Unavailable),
    ],
    ids=lambda value: str(getattr(value, "status", getattr(value, "__name__", value))),
)
def test_each_answer_has_its_error_and_is_asked_for_once(
    hubspot: Simulator, scripted: Scripted, kind: type[HubSpotError]
) -> None:
    error = failure(hubspot, scripted)

    assert type(error) is kind
    assert len(hubspot.calls) == 1
    assert TOKEN not in f"{error!r} {error.detail} {error.__cause__!r}"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("1e99", 172_800.0), ("nan", None)],
)
def test_a_hint_is_read_if_it_is_one(hubspot: Simulator, value: str, seconds: float | None) -> None:
    assert failure(hubspot, Scripted(503, headers={"Retry-After": value})).retry_after == seconds


def test_a_hint_may_be_a_date(hubspot: Simulator) -> None:
    headers = {"Retry-After": "Wed, 01 Jan 2125 00:00:00 GMT"}

    assert failure(hubspot, Scripted(503, headers=headers)).retry_after == 172_800.0


def test_the_existing_contact_and_the_property_are_told(hubspot: Simulator) -> None:
    conflict = failure(hubspot, Scripted(409, refusals.taken("4711")))
    assert isinstance(conflict, Refused)
    assert (conflict.fault.is_conflict, conflict.fault.existing_id) == (True, "4711")

    for body in (refusals.unknown_property("tier"), refusals.invalid_value("tier", "X", "no")):
        refused = failure(hubspot, Scripted(400, body))
        assert isinstance(refused, Refused)
        assert refused.fault.property_name == "tier"


@pytest.mark.parametrize(
    "body",
    [[], 1, None, {"errors": "x"}, {"errors": [1, {"errors": {}, "context": []}]},
     {"message": "[{", "context": {"ids": {}}}, {"message": '[{"error": null}]'}],
    ids=str,
)  # fmt: skip
def test_no_shape_of_an_error_breaks_us(hubspot: Simulator, body: object) -> None:
    for status in (400, 429, 500):
        assert failure(hubspot, Scripted(status, body)).status == status
    hubspot.script(Scripted(200, body))
    assert HubSpot(TOKEN).read_contacts(["a@b.co"], []).records == ()


def test_a_silent_hubspot_is_given_up(hubspot: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "READ_SECONDS", 0.2)

    with hubspot.holding(), pytest.raises(Unavailable) as caught:
        HubSpot(TOKEN).read_contacts(["a@b.co"], [])

    assert caught.value.reason == "UNREACHABLE"


def test_the_version_is_in_the_path(hubspot: Simulator, settings: Settings) -> None:
    assert versioned("http://h/crm/v3/objects/contacts/batch/read").endswith(
        "/crm/v3/objects/contacts/batch/read"
    )
    settings.HUBSPOT_API_VERSION = "2026-09"
    assert versioned("http://h/crm/v3/objects/contacts/batch/read") == (
        "http://h/crm/objects/2026-09/contacts/batch/read"
    )
    assert HubSpot(TOKEN).read_contacts(["a@b.co"], []).status == 207
    assert HubSpot(TOKEN).daily_reset() is not None


@pytest.mark.django_db
def test_nothing_that_is_logged_has_the_token(
    shop: Shop, hubspot: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hubspot.settings.void_tokens = [support.TOKEN]
    shop.add("ada@example.com")

    support.sync()

    assert "hubspot_call_failed" in caplog.text
    assert support.TOKEN not in caplog.text


def test_threads_may_use_it_at_once(hubspot: Simulator) -> None:
    threads = [
        threading.Thread(target=lambda: HubSpot(TOKEN).read_contacts(["a@b.co"], []))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(hubspot.calls) == 6
