"""The base of every API view: who may call it, how it finds its object, what it answers."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from django.http.response import HttpResponseBase
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.common.actor import Actor, Principal
from apps.common.api.parsers import StrictJSONParser
from apps.common.api.throttling import RateLimited, RateLimitState
from apps.common.errors import Forbidden, NotFound
from apps.common.middleware import request_id_of

READ_METHODS = ("GET", "HEAD")


class ApiNegotiation(DefaultContentNegotiation):
    """By Accept alone: a `format` query parameter is as unknown as any other.

    What nearly every call says, that anything will do and that JSON is sent, is not taken apart.
    """

    settings = SimpleNamespace(URL_FORMAT_OVERRIDE=None)  # type: ignore[assignment]  # all it reads

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> Any:
        if request._request.META.get("HTTP_ACCEPT", "*/*") == "*/*":
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)

    def select_parser(self, request: Request, parsers: Any) -> BaseParser | None:
        if request.content_type == parsers[0].media_type:
            return cast(BaseParser, parsers[0])
        return super().select_parser(request, parsers)


class HasScope(BasePermission):
    """403 for a key that lacks the scope of the call; the answer names it."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(view, ApiView):
            return True
        scope = view.required_scope(request.method or "")
        if scope is None or view.principal.may(scope):
            return True
        raise Forbidden(f"The key lacks the scope {scope}.", code="missing_scope")


class ApiView(APIView):
    """A view of the public API.

    `scope` is the room (`orders`): reading methods need `orders:read`, the others `orders:write`;
    `method_scopes` names exceptions in full. None means that any valid key will do. `not_found` is what
    an id in its path that leads nowhere is answered with, for the documentation. `is_object` is True
    where a path without an id leads to one object (`/me`). `has_versions` is False where objects have
    no ETag: then `If-Match` compares nothing.
    """

    scope: ClassVar[str | None] = None
    method_scopes: ClassVar[dict[str, str | None]] = {}
    not_found: ClassVar[NotFound | None] = None
    is_object: ClassVar[bool] = False
    has_versions: ClassVar[bool] = True
    permission_classes = (HasScope,)
    parser_classes = (StrictJSONParser,)
    renderer_classes: Sequence[type[BaseRenderer]] = (JSONRenderer,)
    content_negotiation_class = ApiNegotiation
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def required_scope(self, method: str) -> str | None:
        """The scope that `method` needs, e.g. `orders:write`."""
        if method in self.method_scopes:
            return self.method_scopes[method]
        if self.scope is None:
            return None
        return f"{self.scope}:{'read' if method in READ_METHODS else 'write'}"

    @property
    def principal(self) -> Principal:
        """The key that calls."""
        return cast(Principal, self.request.user)  # set by ApiKeyAuthentication

    @property
    def actor(self) -> Actor:
        """The key that calls, as services want it."""
        return self.principal.actor(request_id_of(self.request._request))

    def check_throttles(self, request: Request) -> None:
        """Authentication has already counted the call; here it is refused if it was one too many."""
        state = rate_limit_of(request)
        if state is not None and not state.allowed:
            raise RateLimited(state)

    def finalize_response(
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> Any:
        final = super().finalize_response(request, cast(Response, response), *args, **kwargs)
        state = rate_limit_of(request)
        if state is not None:
            for name, value in state.headers().items():
                final[name] = value
        return final


def rate_limit_of(request: Request) -> RateLimitState | None:
    """What authentication learnt of the key's budget; None when nobody was asked."""
    state: RateLimitState | None = request._request.META.get("tradepost.rate_limit")
    return state
