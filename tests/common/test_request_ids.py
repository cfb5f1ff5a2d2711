"""The request id: accepted, echoed, in the log, and made where none was sent."""

import uuid

import pytest

from tests.support import ApiClient


def test_a_request_id_is_echoed(someone: ApiClient) -> None:
    answer = someone.get("/api/v1/me", headers={"X-Request-Id": "order-import.17"})

    assert answer.headers["X-Request-Id"] == "order-import.17"


@pytest.mark.parametrize("offered", ["", " ", "a b", "x" * 129, "a\nb", "ä", "<script>", "\x00"])
def test_an_odd_request_id_is_replaced_by_a_uuid7(someone: ApiClient, offered: str) -> None:
    answer = someone.get("/api/v1/me", headers={"X-Request-Id": offered})

    assert uuid.UUID(answer.headers["X-Request-Id"]).version == 7


def test_each_request_has_an_id_of_its_own(someone: ApiClient) -> None:
    ids = {someone.get("/api/v1/me").headers["X-Request-Id"] for _ in range(3)}

    assert len(ids) == 3
