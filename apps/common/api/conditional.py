"""Conditional requests (RFC 9110, section 13): the cache of single objects, and optimistic locking.

An ETag is `"<version>"`, or `"<version>-<derived>"` for objects whose representation also changes
without a client's writing (a product's stock). `If-Match` compares what clients write, the version
alone; `If-None-Match` compares the whole.
"""

import re
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

_VERSION = re.compile(r'"([0-9]{1,9})(?:-[^"]*)?"')


def etag(version: int, *derived: Any) -> str:
    """The strong entity tag of a representation."""
    return f'"{"-".join(str(part) for part in (version, *derived))}"'


def not_modified(request: Request, tag: str) -> HttpResponse | None:
    """A 304 when the caller already has `tag`; asked before anything is serialised."""
    header = request._request.META.get("HTTP_IF_NONE_MATCH")
    if header is None:
        return None
    # Proxies that compress mark a tag as weak; here, unlike with If-Match, it still counts.
    known = [known.removeprefix("W/") for known in _tags(header)]
    if tag not in known and known != ["*"]:
        return None
    response = HttpResponse(status=304, headers={"ETag": tag})
    del response["Content-Type"]
    return response


def if_match(request: Request) -> frozenset[int] | None:
    """The versions that `If-Match` names, for a service to compare under its lock.

    None when the caller sets no condition. A tag that is not ours names no version, so a header full of
    such tags is an empty set, which nothing matches.
    """
    header = request._request.META.get("HTTP_IF_MATCH")
    if header is None or header.strip() == "*":
        return None
    versions = (_VERSION.fullmatch(tag) for tag in _tags(header))
    return frozenset(int(found[1]) for found in versions if found)


def _tags(header: str) -> list[str]:
    return [tag.strip() for tag in header.split(",")]
