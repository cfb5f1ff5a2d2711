"""The page that asks for what makes a secret, and the page that shows it once."""

from typing import Any

from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.common.admin.base import ModelAdmin


def ask(
    page: "ModelAdmin[Any]", request: HttpRequest, *, title: str, form: Form, button: str
) -> HttpResponse:
    """A form that is posted here again."""
    context = {"title": title, "form": form, "button": button}
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
