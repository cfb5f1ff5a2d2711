"""Pages that ask before they act, and the page that shows a secret once."""

from typing import Any

from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.common.admin.base import ModelAdmin


def ask(
    page: "ModelAdmin[Any]",
    request: HttpRequest,
    *,
    title: str,
    button: str,
    form: Form | None = None,
    text: str = "",
    danger: bool = False,
) -> HttpResponse:
    """What is about to be done, with what must be filled in, and a button that posts it here again."""
    context = {"title": title, "button": button, "form": form, "text": text, "danger": danger}
    return render(request, "admin/ask.html", {**_frame(page, request), **context})


def show_secret(
    page: "ModelAdmin[Any]", request: HttpRequest, *, title: str, secret: str, back: str
) -> HttpResponse:
    """The secret, in this answer alone: it is kept in no message, session, log or address, and browsers and
    proxies are told to store nothing."""
    context = {"title": title, "secret": secret, "back": back}
    answer = render(request, "admin/secret.html", {**_frame(page, request), **context})
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _frame(page: "ModelAdmin[Any]", request: HttpRequest) -> dict[str, Any]:
    return {**page.admin_site.each_context(request), "opts": page.opts}
