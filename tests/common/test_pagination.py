"""Lists: walking them gives every row exactly once, whatever is added meanwhile."""

from itertools import chain
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.accounts.models import ApiKey
from tests.conftest import MakeClient
from tests.support import ApiClient

KEYS = "/api/v1/api-keys"


def add_keys(client: ApiClient, count: int) -> None:
    hashes = [
        f"{client.account.pk} {ApiKey.objects.count()} {n}".encode()[-32:] for n in range(count)
    ]
    ApiKey.objects.bulk_create(
        ApiKey(account=client.account, name="k", prefix="tp_", hash=one, scopes=[])
        for one in hashes
    )


def ids_of(client: ApiClient) -> list[str]:
    """Newest first."""
    rows = ApiKey.objects.filter(account=client.account).order_by("-pk")
    return [str(pk) for pk in rows.values_list("pk", flat=True)]


def walk(client: ApiClient, url: str | None, towards: str, inserts: list[int]) -> list[list[str]]:
    """The ids on each page from `url` on, following `next` or `previous`; between pages rows are added."""
    pages = []
    pending = list(inserts)
    while url is not None:
        page: dict[str, Any] = client.get(url).json()
        pages.append([row["id"] for row in page["results"]])
        if pending:
            add_keys(client, pending.pop(0))
        url = page[towards]
    return pages


@settings(max_examples=25)
@given(
    rows=st.integers(0, 12),
    limit=st.integers(1, 6),
    inserts=st.lists(st.integers(0, 3), max_size=4),
)
def test_walking_forth_and_back_gives_every_row_exactly_once(
    api: MakeClient, rows: int, limit: int, inserts: list[int]
) -> None:
    client = api()
    add_keys(client, rows)
    at_first = ids_of(client)

    forth = walk(client, f"{KEYS}?limit={limit}", "next", inserts)

    assert list(chain.from_iterable(forth)) == at_first
    assert all(len(page) == limit for page in forth[:-1])

    # From the last page back: also what was added meanwhile, in its place.
    url = f"{KEYS}?limit={limit}"
    while (following := client.get(url).json()["next"]) is not None:
        url = following
    back = walk(client, url, "previous", [])

    assert list(chain.from_iterable(reversed(back))) == ids_of(client)


def test_a_list_of_nothing_has_no_neighbours(api: MakeClient) -> None:
    client = api()

    page = client.get(KEYS, limit=1).json()

    assert len(page["results"]) == 1
    assert page["next"] is None
    assert page["previous"] is None


def test_fifty_rows_are_a_page_and_two_hundred_the_most(api: MakeClient) -> None:
    client = api()
    add_keys(client, 210)

    assert len(client.get(KEYS).json()["results"]) == 50
    assert len(client.get(KEYS, limit=200).json()["results"]) == 200
    for limit in (201, 0, -1, "1_0", "٣", "1.0", "+5", " 7", "9" * 30, "ten", ""):
        assert client.get(KEYS, limit=limit).status_code == 400, limit


def test_links_keep_the_other_parameters(api: MakeClient) -> None:
    client = api()
    add_keys(client, 5)

    following = client.get(KEYS, limit=2).json()["next"]

    assert urlsplit(following).path == KEYS
    assert parse_qs(urlsplit(following).query)["limit"] == ["2"]


@pytest.mark.parametrize("direction", ["next", "previous"])
def test_a_cursor_of_a_row_that_is_gone_still_works(api: MakeClient, direction: str) -> None:
    client = api()
    add_keys(client, 8)
    everything = ids_of(client)
    page = client.get(client.get(KEYS, limit=3).json()["next"]).json()
    url, at = (page["next"], 5) if direction == "next" else (page["previous"], 3)
    ApiKey.objects.filter(pk=everything[at]).delete()

    seen = [row["id"] for row in client.get(url).json()["results"]]

    assert seen == (everything[6:9] if direction == "next" else everything[:3])


def test_a_page_costs_the_same_number_of_queries_wherever_it_is(
    api: MakeClient, django_assert_num_queries: Any
) -> None:
    client = api()
    add_keys(client, 30)
    url: str | None = f"{KEYS}?limit=10"
    client.get(KEYS)  # the key is remembered from here on

    while url is not None:
        with django_assert_num_queries(1):
            page = client.get(url).json()
        url = page["next"]


def test_nobody_sees_the_rows_of_another_by_its_cursor(api: MakeClient) -> None:
    client, other = api(), api()
    add_keys(client, 5)
    url = client.get(KEYS, limit=2).json()["next"]

    assert [row["id"] for row in other.get(url).json()["results"]] in ([], ids_of(other))
