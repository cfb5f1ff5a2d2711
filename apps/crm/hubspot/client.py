"""HubSpot's API by its official client, hubspot-api-client.

The client is given what it lacks: one pool of connections for the process, time limits, no retries of
its own (whoever calls decides), the address and version from the settings. Bodies are plain dicts and
answers plain JSON: building the client's models costs more than the call. Nothing here logs a request.
Source of the formats:
https://developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/guide
"""

import io
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import urllib3
from django.conf import settings
from hubspot import HubSpot as OfficialClient
from hubspot.crm import contacts, deals, properties
from prometheus_client import Counter, Histogram

from apps.crm.hubspot.answers import (
    Answer,
    Refused,
    Unavailable,
    answer_of,
    as_list,
    as_object,
    refusal_of,
)

MAX_BATCH = 100
CONNECT_SECONDS, READ_SECONDS = 3.05, 20.0
# When a whole answer has to be there; with one more silence it is shorter than the leases of who calls.
WHOLE_SECONDS = 24.0
MAX_ANSWER_BYTES = 32 * 1024 * 1024
CHUNK_BYTES = 65_536
# Connections kept open; at least as many as threads that sync at once.
POOL_SIZE = 8

# The client knows /crm/v3/objects/…; a dated version stands after the kind: /crm/objects/2026-09/….
_VERSIONED = re.compile(r"/crm/v\d/(\w+)/")

calls = Counter("tradepost_hubspot_calls", "Calls to HubSpot", ["call", "status"])
seconds = Histogram("tradepost_hubspot_call_seconds", "How long HubSpot took", ["call"])


# What a deal here is found by there: the client's packages have no name for a property of our own.
DEAL_ID = "tradepost_deal_id"
_DEAL_PROPERTY = {
    "groupName": "dealinformation",
    "name": DEAL_ID,
    "label": "Tradepost deal id",
    "description": "Which deal of Tradepost's this is. Written by Tradepost.",
    "type": "string",
    "fieldType": "text",
    "hasUniqueValue": True,
    "formField": False,
}
# HubSpot's own kind of association from a deal to a contact.
_DEAL_TO_CONTACT = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}

# Each package of the client has a family of its own.
_ANSWERED = tuple(package.exceptions.ApiException for package in (contacts, deals, properties))
_BROKEN = tuple(package.exceptions.OpenApiException for package in (contacts, deals, properties))


class HubSpot:
    """Contacts and deals in HubSpot, with one token. Every method raises the errors above."""

    def __init__(self, token: str) -> None:
        self._client = _client(token, settings.HUBSPOT_BASE_URL)

    def read_contacts(self, emails: Sequence[str], properties: Sequence[str]) -> Answer:
        """The contacts of these addresses, main or additional ones; those not found are faults."""
        body = {
            "idProperty": "email",
            "properties": _with_emails(properties),
            "propertiesWithHistory": [],
            "inputs": [{"id": email} for email in emails],
        }
        return self._batch("lookup", self._client.crm.contacts.batch_api.read, body)

    def read_by_id(
        self, contact_ids: Sequence[str], properties: Sequence[str], *, archived: bool = False
    ) -> Answer:
        """The contacts of these ids, also of those merged into others; `archived`: deleted ones alone."""
        body = {
            "properties": _with_emails(["hs_merged_object_ids", *properties]),
            "propertiesWithHistory": [],
            "inputs": [{"id": contact_id} for contact_id in contact_ids],
        }
        read = self._client.crm.contacts.batch_api.read
        return _asked("read", lambda **options: read(body, archived=archived, **options))

    def page(self, after: str, properties: Sequence[str]) -> Answer:
        """The next 100 contacts after this place ("" for the first); `next_place` of the answer leads on."""
        place = {"after": after} if after else {}
        names = ",".join(_with_emails(properties))
        get_page = self._client.crm.contacts.basic_api.get_page
        return _asked(
            "page",
            lambda **options: get_page(limit=MAX_BATCH, properties=[names], **place, **options),
        )

    def count(self) -> Answer:
        """An answer whose `total` is how many contacts there are."""
        search = self._client.crm.contacts.search_api.do_search
        return self._batch("count", search, {"filterGroups": [], "properties": [], "limit": 1})

    def update_contacts(self, changes: Mapping[str, Mapping[str, str]]) -> Answer:
        """Set properties of contacts by record id; never makes one."""
        inputs = [
            {"id": contact_id, "properties": properties, "objectWriteTraceId": contact_id}
            for contact_id, properties in changes.items()
        ]
        return self._batch("update", self._client.crm.contacts.batch_api.update, {"inputs": inputs})

    def upsert_contacts(self, contacts: Mapping[str, Mapping[str, str]]) -> Answer:
        """Make or change the contacts of these addresses; `contacts` are trace id -> all properties,
        the email among them."""
        inputs = [
            {
                "id": properties["email"],
                "idProperty": "email",
                "properties": properties,
                "objectWriteTraceId": trace,
            }
            for trace, properties in contacts.items()
        ]
        return self._batch("upsert", self._client.crm.contacts.batch_api.upsert, {"inputs": inputs})

    def erase_contact(self, contact_id: str) -> None:
        """Delete a contact for good, as privacy laws want it; nothing when there is none.

        By id only: an address that HubSpot does not know it would refuse for ever.
        """
        try:
            self._batch(
                "erase", self._client.crm.contacts.basic_api.purge, {"objectId": contact_id}
            )
        except Refused as error:
            if error.status != 404:
                raise

    def find_deals(self, deal_ids: Sequence[str], names: Sequence[str]) -> Answer:
        """The deals of these ids of ours; those not found are faults."""
        body = {
            "idProperty": DEAL_ID,
            "properties": [DEAL_ID, *names],
            "propertiesWithHistory": [],
            "inputs": [{"id": deal_id} for deal_id in deal_ids],
        }
        return self._batch("find_deals", self._client.crm.deals.batch_api.read, body)

    def make_deals(self, made: Mapping[str, tuple[Mapping[str, str], str]]) -> Answer:
        """Make deals, each with its contact or not at all; `made` are trace id -> (properties, contact
        id). One whose unique property another has is refused."""
        inputs = [
            {
                "properties": values,
                "associations": [{"to": {"id": contact_id}, "types": [_DEAL_TO_CONTACT]}],
                "objectWriteTraceId": trace,
            }
            for trace, (values, contact_id) in made.items()
        ]
        return self._batch(
            "make_deals", self._client.crm.deals.batch_api.create, {"inputs": inputs}
        )

    def update_deals(self, changes: Mapping[str, Mapping[str, str]]) -> Answer:
        """Set properties of deals by HubSpot's id."""
        inputs = [
            {"id": hubspot_id, "properties": values, "objectWriteTraceId": hubspot_id}
            for hubspot_id, values in changes.items()
        ]
        update = self._client.crm.deals.batch_api.update
        return self._batch("update_deals", update, {"inputs": inputs})

    def deal_property(self) -> Answer:
        """How HubSpot describes the property that our deals are found by; refused when it has none."""
        api = self._client.crm.properties.core_api
        return _asked("property", lambda **options: api.get_by_name("deals", DEAL_ID, **options))

    def make_deal_property(self) -> Answer:
        """The same, made; refused when it is there."""
        api = self._client.crm.properties.core_api
        return _asked(
            "make_property", lambda **options: api.create("deals", _DEAL_PROPERTY, **options)
        )

    def properties(self, kind: str, *, archived: bool = False) -> Answer:
        """How HubSpot describes the properties of a kind of record: `contacts` or `deals`."""
        api = self._client.crm.properties.core_api
        return _asked(
            "properties", lambda **options: api.get_all(kind, archived=archived, **options)
        )

    def daily_reset(self) -> datetime | None:
        """When the daily limit is whole again; None when HubSpot does not say."""
        answer = self._account_info("usage", "api-usage/daily/private-apps")
        for usage in as_list(answer.body.get("results")):
            try:
                moment = datetime.fromisoformat(str(as_object(usage).get("resetsAt")))
            except ValueError:
                continue
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return None

    def hub_id(self) -> int | None:
        """HubSpot's number of the account that the token opens; None when it does not say."""
        found = self._account_info("details", "details").body.get("portalId")
        return found if isinstance(found, int) and 0 < found < 2**63 else None

    def _account_info(self, call: str, what: str) -> Answer:
        client = self._client.crm.contacts.batch_api.api_client
        path = f"/account-info/{settings.HUBSPOT_API_VERSION}/{what}"
        headers = {"Accept": "application/json"}
        return _asked(
            call,
            lambda **options: client.call_api(
                path, "GET", header_params=headers, auth_settings=["oauth2"], **options
            ),
        )

    @staticmethod
    def _batch(call: str, method: Callable[..., Any], body: dict[str, Any]) -> Answer:
        return _asked(call, lambda **options: method(body, **options))


def _with_emails(properties: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(("email", "hs_additional_emails", *properties)))


class _Pool(urllib3.PoolManager):
    """Reads answers whole, within a bound of time and size: one that drips would outlast every lease."""

    def request(self, *args: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        deadline = time.monotonic() + WHOLE_SECONDS
        response = super().request(*args, **{**options, "preload_content": False})
        try:
            body = b"".join(_chunks(response, deadline))
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return urllib3.HTTPResponse(
            io.BytesIO(body),  # as bytes an empty body would be None
            headers=response.headers,
            status=response.status,
            reason=response.reason,
            decode_content=False,
        )


class AnswerTooLarge(urllib3.exceptions.HTTPError):
    """HubSpot sends more than any answer to our calls can be."""


class AnswerTooSlow(urllib3.exceptions.HTTPError):
    """HubSpot's answer does not come to an end."""


def _chunks(response: urllib3.BaseHTTPResponse, deadline: float) -> Iterator[bytes]:
    left = MAX_ANSWER_BYTES
    while chunk := response.read1(CHUNK_BYTES):
        left -= len(chunk)
        if left < 0:
            raise AnswerTooLarge
        if time.monotonic() > deadline:
            raise AnswerTooSlow
        yield chunk


@cache
def _pool() -> _Pool:
    return _Pool(num_pools=4, maxsize=POOL_SIZE, retries=urllib3.Retry(0))


@lru_cache(maxsize=256)
def _client(token: str, address: str) -> OfficialClient:
    """The official client for a token; its parts are made once, and share the connections."""

    @cache
    def api_client(package: ModuleType) -> Any:
        configuration = package.Configuration()
        configuration.host = address.rstrip("/")
        configuration.access_token = token
        client = _rerouted(package)(configuration=configuration)
        client.rest_client.pool_manager = _pool()
        client.user_agent = "tradepost"
        return client

    def factory(package: ModuleType, api_name: str, config: object) -> Any:
        return getattr(package, api_name)(api_client=api_client(package))

    return OfficialClient(access_token=token, api_factory=factory)


@cache
def _rerouted(package: ModuleType) -> Any:
    """The package's ApiClient, calling the version that the settings name."""
    base: Any = package.ApiClient

    class Rerouted(base):  # type: ignore[misc]  # of a package without types
        def request(self, method: str, url: str, **options: Any) -> Any:
            return super().request(method, versioned(url), **options)

    return Rerouted


def versioned(url: str) -> str:
    """`url` with the version of the settings in the place where a dated one stands."""
    version = settings.HUBSPOT_API_VERSION
    if version.startswith("v"):
        return url
    return _VERSIONED.sub(lambda found: f"/crm/{found[1]}/{version}/", url, count=1)


def _asked(call: str, send: Callable[..., Any]) -> Answer:
    """The answer to a call; raises the errors of `answers`."""
    started = time.monotonic()
    status = "none"
    try:
        response = send(_preload_content=False, _request_timeout=(CONNECT_SECONDS, READ_SECONDS))
        raw = response.data
        status = str(response.status)
        return answer_of(response.status, response.headers, raw)
    except _ANSWERED as error:
        if not error.status:  # TLS, which the client reports without an answer
            raise _unreachable(error) from None
        status = str(error.status)
        raise refusal_of(error.status, error.headers or {}, error.body) from None
    except (*_BROKEN, urllib3.exceptions.HTTPError, OSError) as error:
        raise _unreachable(error) from None
    finally:
        calls.labels(call, status).inc()
        seconds.labels(call).observe(time.monotonic() - started)


def _unreachable(error: Exception) -> Unavailable:
    kind = type(getattr(error, "reason", None) or error).__name__
    return Unavailable(f"HubSpot did not answer ({kind}).", reason="UNREACHABLE")
