"""Doors of the admin's that fail on odd input, and what is behind them here."""

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse


def closed(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Nothing is here, and nothing leads here."""
    raise Http404


def search(request: HttpRequest) -> HttpResponse:
    """The search for pages, whose answer is always one: it holds more than there are models."""
    given = request.GET.copy()
    given.pop("page", None)
    request.GET = given  # type: ignore[assignment]  # a QueryDict as the first was
    found: HttpResponse = admin.site.search(request)  # type: ignore[attr-defined]  # unfold's
    return found
