"""The first page: what this is, what runs, where everything is."""

from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.backoffice.local import is_local


def home(request: HttpRequest) -> HttpResponse:
    """For whoever opens the address; on the machine of a demonstration, with its keys."""
    demo = _demo() if is_local(request) else None
    answer = render(request, "home.html", {"demo": demo, "base_url": settings.BASE_URL})
    if demo:
        answer.headers["Cache-Control"] = "no-store"
    return answer


def _demo() -> dict[str, Any] | None:
    """What `seed_demo` wrote down, where this is a demonstration."""
    try:
        found: dict[str, Any] = orjson.loads(settings.DEMO_FILE.read_bytes())
    except FileNotFoundError:
        return None
    return found
