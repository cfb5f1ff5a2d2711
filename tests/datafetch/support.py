"""A remote API of records, and streams that read it."""

from typing import Any
from urllib.parse import parse_qs

import orjson
from django.db.models import F
from django.db.models.functions import Now

from apps.datafetch.models import HostBudget, Progress
from apps.datafetch.tasks import read
from tests.support import Answer, ApiClient, Receiver
from tests.support.receiver import Received

Item = dict[str, Any]


class RemoteApi:
    """A list of items behind every kind of pagination, on a receiver; `page` is a page's size.

    Paths: `/all`, `/links`, `/header`, `/pages?page=&size=`, `/offsets?offset=&limit=`,
    `/cursors?after=`.
    """

    def __init__(self, receiver: Receiver, items: list[Any], page: int = 3) -> None:
        self.receiver = receiver
        self.items = items
        self.page = page
        for name in ("all", "links", "header", "pages", "offsets", "cursors"):
            receiver.answer(f"/{name}", getattr(self, f"_{name}"))

    def url(self, path: str) -> str:
        return self.receiver.url(path)

    def queries(self, path: str) -> list[dict[str, str]]:
        """The query of each request so far to one path."""
        return [query_of(request) for request in self.receiver.at(path)]

    def _all(self, request: Received) -> Answer:
        return as_json(self.items)

    def _links(self, request: Received) -> Answer:
        start = int(query_of(request).get("start", 0))
        end = start + self.page
        following = self.url(f"/links?start={end}") if end < len(self.items) else None
        return as_json({"results": self.items[start:end], "next": following})

    def _header(self, request: Received) -> Answer:
        start = int(query_of(request).get("start", 0))
        end = start + self.page
        links = ['</header>; rel="first"']
        if end < len(self.items):
            links.append(f'</header?start={end}>; title="a, b"; rel="next last"')
        return as_json(self.items[start:end], Link=", ".join(links))

    def _pages(self, request: Received) -> Answer:
        query = query_of(request)
        size = int(query.get("size", self.page))
        start = (int(query.get("page", 1)) - 1) * size
        return as_json({"results": self.items[start : start + size]})

    def _offsets(self, request: Received) -> Answer:
        query = query_of(request)
        start = int(query["offset"])
        return as_json({"results": self.items[start : start + int(query["limit"])]})

    def _cursors(self, request: Received) -> Answer:
        start = int(query_of(request).get("after", "at-0").removeprefix("at-"))
        end = start + self.page
        token = f"at-{end}" if end < len(self.items) else None
        return as_json({"results": self.items[start:end], "meta": {"next": token}})


PAGINATIONS: dict[str, dict[str, Any]] = {
    "/all": {"pagination": {"type": "none"}},
    "/links": {"pagination": {"type": "next_link", "path": "next"}, "records_path": "results"},
    "/header": {"pagination": {"type": "link_header"}},
    "/pages": {"pagination": {"type": "page_number"}, "records_path": "results"},
    "/offsets": {
        "pagination": {"type": "offset", "param": "offset", "limit_param": "limit", "limit": 3},
        "records_path": "results",
    },
    "/cursors": {
        "pagination": {"type": "cursor", "param": "after", "path": "meta.next"},
        "records_path": "results",
    },
}


def items(n: int, **more: Any) -> list[Item]:
    return [{"id": number, "name": f"item {number}", **more} for number in range(1, n + 1)]


def query_of(request: Received) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.query).items()}


def as_json(body: Any, **headers: str) -> Answer:
    return Answer(200, orjson.dumps(body), {"Content-Type": "application/json", **headers})


def make_stream(client: ApiClient, url: str, **config: Any) -> dict[str, Any]:
    """A stream, made through the API, with `id` as its primary key."""
    body = {"name": "a stream", "url": url, "primary_key": "id", **config}
    answer = client.post("/api/v1/streams", body)
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def run(client: ApiClient, stream: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Run a stream now, through all its retries; the run as it ended."""
    answer = client.post(f"/api/v1/streams/{stream['id']}/run", options)
    assert answer.status_code == 202, answer.content
    for _ in range(30):
        read()
        found = get_run(client, stream, answer.json()["id"])
        if found["status"] != "running":
            return found
        let_time_pass()
    raise AssertionError(f"the run does not end: {found}")


def get_run(client: ApiClient, stream: dict[str, Any], run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/v1/streams/{stream['id']}/runs/{run_id}").json()
    return found


def let_time_pass() -> None:
    """Whatever waits for its time need wait no more."""
    Progress.objects.filter(due_at__gt=Now()).update(due_at=Now())
    Progress.objects.filter(lease_until__gt=Now()).update(lease_until=F("due_at"))
    HostBudget.objects.update(free_at=Now())


def records(client: ApiClient, stream: dict[str, Any], after: int = 0) -> list[dict[str, Any]]:
    """All versions past an offset, page by page."""
    found: list[dict[str, Any]] = []
    url = f"/api/v1/streams/{stream['id']}/records?after={after}&limit=200"
    while url:
        answer = client.get(url).json()
        found += answer["results"]
        url = answer["next"]
    return found


def present(client: ApiClient, stream: dict[str, Any]) -> list[Any]:
    """The data of what is there at present, by key."""
    latest: dict[str, Any] = {}
    for one in records(client, stream):
        latest.pop(one["key"], None)
        if one["change"] != "deleted":
            latest[one["key"]] = one["data"]
    return [latest[key] for key in sorted(latest, key=lambda key: (len(key), key))]


def get(client: ApiClient, stream: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/v1/streams/{stream['id']}").json()
    return found
