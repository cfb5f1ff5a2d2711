"""The real addresses, and some where things go wrong on purpose."""

from typing import ClassVar

from django.http import HttpRequest, HttpResponse
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from apps.accounts.models import Account
from apps.common.api.idempotency import idempotent
from apps.common.api.responses import Json
from apps.common.api.views import ApiView
from apps.common.errors import Conflict
from config import urls
from config.urls import handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the secret of the house")


class EffectView(ApiView):
    """Makes an account named by `slug`, then ends as `end` says."""

    secret_fields: ClassVar[tuple[str, ...]] = ("secret",)

    @extend_schema(exclude=True)
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        body: dict[str, str] = request.data  # type: ignore[assignment]  # a list is not sent here
        slug, end = body["slug"], body["end"]
        Account.objects.create(slug=slug, name="made")
        if end == "domain error":
            raise Conflict("on purpose")
        if end == "bug":
            raise RuntimeError("on purpose")
        return Json(
            {"slug": slug, "secret": "s3cr3t"},
            status=201,
            headers={"Location": "/somewhere"},
        )


urlpatterns = [
    *urls.urlpatterns,
    path("broken", broken),
    path("effect", EffectView.as_view()),
]
