"""No input whatever causes a 500 (the client raises what a view raises)."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.deals.api.serializers.deals import DealReplacement
from tests.deals.support import AUTHORIZATIONS, DEALS, Deals, body
from tests.support import ApiClient

json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.sampled_from(["flat", "percentage", "available", "sold", "EUR", "seller", "9" * 300]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "price", "type", "amount", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
fields = st.sampled_from([*DealReplacement().fields, "id", "seller", "version"])


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(fields, json, max_size=3), st.sampled_from(["POST", "PUT", "PATCH"]))
def test_any_json_is_accepted_or_refused(
    seller: ApiClient, deals: Deals, changed: dict[str, Any], method: str
) -> None:
    path = DEALS if method == "POST" else f"{DEALS}/{deals()['id']}"

    answer = seller.request(method, path, {**body(), **changed})

    assert answer.status_code in (200, 201, 400), answer.content


@pytest.mark.parametrize("path", [DEALS, AUTHORIZATIONS])
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"name": NaN}',
        b'{"name": "\\ud800"}',
        b'{"name": "a\\u0000b", "buyer": "\\u0000"}',
        b'{"buyer": "\xff"}',
        b'{"total_price": 1' + b"0" * 400 + b"}",
        b'{"items": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"buyer": ' + b'"{' + b"0" * 32 + b'}"}',
    ],
)
def test_odd_bytes_are_400(seller: ApiClient, path: str, raw: bytes) -> None:
    assert seller.post(path, raw).status_code == 400


@pytest.mark.parametrize("identifier", ["1", "x" * 300, "%00", "..", "0" * 36])
def test_what_is_no_id_is_404(seller: ApiClient, identifier: str) -> None:
    for path in (DEALS, AUTHORIZATIONS):
        assert seller.delete(f"{path}/{identifier}").status_code == 404


@pytest.mark.parametrize("header", ['""', '"x"', "1", 'W/"1"', '"1", "7"', "*", '"9999999999999"'])
def test_any_if_match_is_a_condition(seller: ApiClient, deals: Deals, header: str) -> None:
    path = f"{DEALS}/{deals()['id']}"

    answer = seller.patch(path, {"name": "Other"}, headers={"If-Match": header})

    assert answer.status_code == (200 if header in ('"1", "7"', "*") else 412)
