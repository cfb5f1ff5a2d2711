"""Doors of Django's admin to which nothing here leads, and which fail on odd ids."""

from django.http import Http404, HttpRequest, HttpResponse


def closed(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Nothing is here."""
    raise Http404
