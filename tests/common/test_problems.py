"""Whatever is sent, the answer is a problem that a program can read: a 4xx of one shape, never a 500."""

import json

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import MakeClient
from tests.support import ApiClient
from tests.support.problems import assert_problem

MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api/v1/nothing",
        "/api/v1/me/",
        "/api/v1/api-keys/not-a-uuid",
        "/api/v1/api-keys/%00",
        "/api/v1/%ff%fe",
        "/api/v1/%ED%A0%80",
        "/api/v1/" + "x" * 5000,
        "/api/v1/../../etc/passwd",
    ],
)
def test_an_unknown_path_is_not_found(path: str) -> None:
    assert_problem(Client().get(path), 404, "not_found")


def test_an_unknown_object_is_not_found(api: MakeClient) -> None:
    answer = api().delete("/api/v1/api-keys/01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11")

    assert_problem(answer, 404, "api_key_not_found")


@pytest.mark.parametrize("path", ["/api/docs/", "/api/redoc/", "/api/schema/"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "TRACE"])
def test_the_pages_about_the_api_are_read_alone(path: str, method: str) -> None:
    assert_problem(Client().generic(method, path), 405, "method_not_allowed")


@pytest.mark.parametrize("method", ["DELETE", "PUT", "OPTIONS", "TRACE", "BREW"])
def test_a_method_that_is_not_allowed_says_which_are(api: MakeClient, method: str) -> None:
    answer = api().request(method, "/api/v1/me")

    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, PATCH"


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "nonsense",
        "",
    ],
)
def test_a_body_that_is_not_json_is_an_unsupported_media_type(
    api: MakeClient, media_type: str
) -> None:
    answer = api().post("/api/v1/api-keys", b"{}", headers={"Content-Type": media_type})

    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "a/b;q=x", ";", "/", "\xff"])
def test_an_answer_that_cannot_be_given_is_not_acceptable(api: MakeClient, accept: str) -> None:
    answer = api().get("/api/v1/me", headers={"Accept": accept})

    assert_problem(answer, 406, "not_acceptable")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"name": NaN}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": 1e999}',
        b'\xef\xbb\xbf{"name": "a"}',
        b"'name'",
        b"\x00",
        b"1" * 5000,
        b"\x1f\x8b\x08\x00gzip",
    ],
)
def test_malformed_json_is_refused(api: MakeClient, body: bytes) -> None:
    assert_problem(api().patch("/api/v1/me", body), 400, "malformed_json")


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "a\\u0000b"}',
        b'{"na\\u0000me": "a"}',
        b'{"name": [["\\u0000"]]}',
        b'{"name": {"a": "\\u0000"}}',
    ],
)
def test_a_nul_character_anywhere_in_a_body_is_refused(api: MakeClient, body: bytes) -> None:
    assert_problem(api().patch("/api/v1/me", body), 400, "nul_character")


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"1", b"true", b"[{}]"])
def test_a_body_that_is_no_object_is_refused(api: MakeClient, body: bytes) -> None:
    answer = api().patch("/api/v1/me", body)

    assert_problem(answer, 400, "invalid")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [""]


@pytest.mark.parametrize("size", [MEBIBYTE + 1, 10 * MEBIBYTE])
def test_a_large_body_is_refused(api: MakeClient, size: int) -> None:
    body = b'{"name":"%s"}' % (b"a" * (size - 11))
    assert len(body) == size

    assert_problem(api().patch("/api/v1/me", body), 413, "body_too_large")


def test_an_answer_stays_small_however_much_is_wrong(someone: ApiClient) -> None:
    answer = someone.patch("/api/v1/me", {f"unknown-{number}": 0 for number in range(50_000)})

    assert_problem(answer, 400, "invalid")
    assert len(answer.json()["errors"]) == 50


def test_a_body_just_within_the_limit_is_read(api: MakeClient) -> None:
    body = b'{"name":"%s"}' % (b"a" * (MEBIBYTE - 11))

    answer = api().patch("/api/v1/me", body)

    assert_problem(answer, 400, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "/name"


@pytest.mark.parametrize("depth", [70, 300, 1000, 100_000])
@pytest.mark.parametrize("ends", [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("core", [b"1", b'"\\u0000"'])
def test_deep_nesting_is_refused(
    api: MakeClient, depth: int, ends: tuple[bytes, bytes], core: bytes
) -> None:
    nested = ends[0] * depth + core + ends[1] * depth
    body = b'{"name":"a","scopes":["orders:read"],"extra":%s}' % nested

    answer = api().post("/api/v1/api-keys", body, idempotency_key="k")

    assert_problem(answer, 400)


@pytest.mark.parametrize(
    "number", [b"1e300", b"-1", b"9" * 40, b"18446744073709551616", b"9223372036854775808", b"1.5"]
)
def test_huge_numbers_are_refused(api: MakeClient, number: bytes) -> None:
    client = api()

    answer = client.post(
        f"/api/v1/api-keys/{client.key.id}/rotate",
        b'{"overlap_seconds": %s}' % number,
        idempotency_key="k",
    )

    assert_problem(answer, 400, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "/overlap_seconds"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=" + "9" * 3000,
        "limit=%00",
        "limit=1.5",
        "limit=",
        "cursor=%00",
        "cursor=abc",
        "cursor=%ff",
        "cursor=%ED%A0%80",
        "cursor=é",
        "cursor=" + "A" * 65,
        "unknown=1",
        "format=json",
        "%00=1",
        "%ff=%fe",
    ],
)
def test_a_wrong_query_parameter_is_named(api: MakeClient, query: str) -> None:
    answer = api().get(f"/api/v1/api-keys?{query}")

    assert_problem(answer, 400, "invalid")
    (fault,) = answer.json()["errors"]
    assert fault.keys() == {"parameter", "code", "detail"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency-Key": ""},
        {"Idempotency-Key": "k" * 256},
        {"Idempotency-Key": "\x00"},
        {"Idempotency-Key": "schlüssel"},
        {"Idempotency-Key": "a\nb"},
    ],
)
def test_a_wrong_idempotency_key_is_refused(api: MakeClient, headers: dict[str, str]) -> None:
    body = {"name": "a", "scopes": ["orders:read"]}

    answer = api().post("/api/v1/api-keys", body, headers=headers)

    assert_problem(answer, 400, "invalid")
    assert answer.json()["errors"][0]["code"] == "invalid_idempotency_key"


@pytest.mark.parametrize("host", ["evil.example", "a b", "\x00", "é", ""])
def test_a_wrong_host_is_refused(host: str) -> None:
    assert_problem(Client().get("/api/v1/me", headers={"Host": host}), 400, "bad_request")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_posting_where_nothing_is_written_is_a_problem_too(path: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(path, {}, content_type="application/json")

    assert_problem(answer, 403, "forbidden")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_names = st.sampled_from(["name", "email", "tax_rate", "address", "id", "version", "created_at"])


@settings(max_examples=40)
@given(body=st.binary() | st.dictionaries(_names | st.text(), _json).map(json.dumps))
def test_no_body_whatever_is_a_server_error(someone: ApiClient, body: bytes | str) -> None:
    raw = body if isinstance(body, bytes) else body.encode()
    answer = someone.patch("/api/v1/me", raw)

    if answer.status_code != 200:
        assert_problem(answer, answer.status_code)
        assert 400 <= answer.status_code < 500


@settings(max_examples=40)
@given(
    name=st.sampled_from(["limit", "cursor", "after", "types"]) | st.text(max_size=5),
    value=st.text(max_size=30) | st.integers().map(str),
)
def test_no_query_whatever_is_a_server_error(someone: ApiClient, name: str, value: str) -> None:
    for path in ("/api/v1/api-keys", "/api/v1/events"):
        answer = someone.request("GET", path, query={name: value})

        if answer.status_code != 200:
            assert_problem(answer, 400)


@settings(max_examples=40)
@given(
    name=st.sampled_from(
        [
            "Accept",
            "If-Match",
            "If-None-Match",
            "X-Request-Id",
            "X-API-Key",
            "Authorization",
            "Idempotency-Key",
            "Content-Type",
            "Content-Length",
            "Range",
            "Accept-Encoding",
        ]
    ),
    value=st.text(st.characters(max_codepoint=255), max_size=40),
)
def test_no_header_whatever_is_a_server_error(someone: ApiClient, name: str, value: str) -> None:
    answer = someone.patch("/api/v1/me", {"name": "a"}, headers={name: value})

    if answer.status_code != 200:
        assert_problem(answer, answer.status_code)
        assert 400 <= answer.status_code < 500


class TestByOurFault:
    """Addresses that fail on purpose stand beside the real ones."""

    pytestmark = pytest.mark.urls("tests.common.urls")

    def test_an_unexpected_error_is_a_problem_without_details(self) -> None:
        answer = Client(raise_request_exception=False).get("/broken")

        assert_problem(answer, 500, "internal_error")
        assert b"the secret of the house" not in answer.content
