"""From one page to the next. A position is JSON: `{}` for the first page, and whatever else a kind of
pagination needs to ask for a later one."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urljoin

from apps.common.outgoing import guard
from apps.datafetch.sources.expressions import Steps, compiled
from apps.datafetch.sources.failures import SourceFailed

Position = dict[str, Any]

MAX_TOKEN = 4000
_LINK = re.compile(r"<([^<>]*)>([^<]*)")  # no target has a <: so each is looked at once
_REL = re.compile(r""";\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))""", re.IGNORECASE)


def params_of(pagination: Mapping[str, Any], position: Position) -> dict[str, str]:
    """The query parameters that ask for the page at `position`."""
    match pagination["type"]:
        case "page_number":
            asked = {pagination["param"]: str(position.get("page", pagination["start"]))}
            if pagination.get("size_param") and pagination.get("size"):
                asked[pagination["size_param"]] = str(pagination["size"])
            return asked
        case "offset":
            return {
                pagination["param"]: str(position.get("offset", 0)),
                pagination["limit_param"]: str(pagination["limit"]),
            }
        case "cursor" if "cursor" in position:
            return {pagination["param"]: str(position["cursor"])}
    return {}


def next_position(
    pagination: Mapping[str, Any],
    position: Position,
    *,
    url: str,
    links: Sequence[str],
    document: Any,
    count: int,
    steps: Steps,
) -> Position | None:
    """Where the page after this one is; None after the last. `count` is of the records on this one."""
    match pagination["type"]:
        case "next_link":
            return _linked(url, compiled(pagination["path"])(document, steps))
        case "link_header":
            return _linked(url, _link_named_next(links))
        case "page_number":
            full = pagination.get("size") or position.get("full", count)
            if count == 0 or count < full:
                return None
            return {"page": position.get("page", pagination["start"]) + 1, "full": full}
        case "offset":
            if count < pagination["limit"]:
                return None
            return {"offset": position.get("offset", 0) + pagination["limit"]}
        case "cursor":
            return _token(compiled(pagination["path"])(document, steps))
    return None


def may_shift(pagination: Mapping[str, Any]) -> bool:
    """Whether records move between pages when others come or go while they are read."""
    return pagination["type"] in ("page_number", "offset")


def _linked(url: str, link: Any) -> Position | None:
    if link in (None, "", False):
        return None
    if not isinstance(link, str):
        raise SourceFailed("pagination_invalid", "The link to the next page is not a text.")
    try:
        return {"url": guard.parse(urljoin(url, link.strip())).url}
    except ValueError as error:
        detail = f"The link to the next page cannot be followed: {error}"
        raise SourceFailed("pagination_invalid", detail) from error
    except guard.AddressRefused as error:
        raise SourceFailed("address_not_allowed", f"The next page: {error}") from error


def _link_named_next(links: Sequence[str]) -> str | None:
    """The target of `rel="next"` among the Link headers (RFC 8288)."""
    for target, parameters in _LINK.findall(", ".join(links)):
        rel = _REL.search(parameters)
        if rel and "next" in (rel[1] or rel[2] or "").lower().split():
            return str(target)
    return None


def _token(token: Any) -> Position | None:
    if token in (None, "", False):
        return None
    is_plain = isinstance(token, str | int) and not isinstance(token, bool)
    if not is_plain or len(str(token)) > MAX_TOKEN or not str(token).isprintable():
        raise SourceFailed("pagination_invalid", "The cursor of the next page is not a short text.")
    return {"cursor": token}
