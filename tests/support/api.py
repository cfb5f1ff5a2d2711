"""A client of the API, as a customer's program is one: JSON in, JSON out, a key in a header."""

from typing import TYPE_CHECKING, Any

import orjson
from django.test import Client

from apps.accounts.models import Account, ApiKey

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

    Response = _MonkeyPatchedWSGIResponse


class ApiClient:
    """Calls on behalf of one key. Answers are Django's, with `.status_code`, `.json()`, `.headers`.

    An exception in a view rises into the test rather than becoming a 500.
    """

    def __init__(self, account: Account, key: ApiKey, plain_key: str) -> None:
        self.account = account
        self.key = key
        self.plain_key = plain_key

    def get(self, path: str, *, headers: dict[str, str] | None = None, **query: Any) -> "Response":
        """`query` becomes the query string."""
        return self.request("GET", path, query=query, headers=headers)

    def post(self, path: str, body: Any = None, **options: Any) -> "Response":
        return self.request("POST", path, body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> "Response":
        return self.request("PUT", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> "Response":
        return self.request("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> "Response":
        return self.request("DELETE", path, **options)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> "Response":
        """`body` is sent as JSON, bytes as they are; `path` may be a whole URL, as `next` is."""
        sent = {"X-API-Key": self.plain_key, **(headers or {})}
        if idempotency_key is not None:
            sent["Idempotency-Key"] = idempotency_key
        if body is None:
            data = b""
        else:
            data = body if isinstance(body, bytes) else orjson.dumps(body)
        return Client().generic(
            method,
            path.removeprefix("http://testserver"),
            data,
            content_type=sent.pop("Content-Type", "application/json"),
            headers=sent,
            query_params=query or None,
        )
