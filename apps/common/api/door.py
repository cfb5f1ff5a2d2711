"""The way of a call of the API through Django: past what only pages need (docs/adr/0037)."""

import re
from collections.abc import Callable
from typing import cast
from uuid import UUID

from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, resolve

PREFIX = "/api/v1/"

_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class ApiMiddleware:
    """Calls the view of a call of the API; everything else goes on to the middleware below.

    That is of sessions, people, forms and static files, none of which the API knows. What of it holds for
    every answer is done here: the Host header is looked at, a frame is refused, the length is told.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._pages = get_response
        self._call = convert_exception_to_response(self._view)
        # Of paths without an id in them: as many as there are in the URLs.
        self._matches: dict[str, ResolverMatch] = {}
        # Of paths with nothing but ids in them, by what is around these: as many again.
        self._shapes: dict[tuple[str, ...], ResolverMatch] = {}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(PREFIX):
            return self._pages(request)
        response = cast(HttpResponseBase, self._call(request))
        response.headers["X-Frame-Options"] = "DENY"
        if not response.streaming and "Content-Length" not in response.headers:
            response.headers["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]  # not streaming
        return response

    def _view(self, request: HttpRequest) -> HttpResponseBase:
        request.get_host()  # raises DisallowedHost
        match = request.resolver_match = self._match(request.path_info)
        response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
        return response

    def _match(self, path: str) -> ResolverMatch:
        known = self._matches.get(path)
        if known is not None:
            return known
        shape, ids = tuple(_ID.split(path)), _ID.findall(path)
        like = self._shapes.get(shape)
        if like is not None:
            kwargs = dict(zip(like.kwargs, map(UUID, ids), strict=True))
            return ResolverMatch(like.func, (), kwargs, like.url_name, route=like.route)
        match = resolve(path)
        if not match.kwargs:
            self._matches[path] = match
        elif [*match.kwargs.values()] == [UUID(one) for one in ids]:
            self._shapes[shape] = match
        return match
