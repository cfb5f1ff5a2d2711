"""What the actions of all pages do alike."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common.admin import BaseModelAdmin
from apps.common.errors import DomainError


def each(
    page: BaseModelAdmin,
    request: HttpRequest,
    chosen: "QuerySet[Any]",
    act: Callable[[Any], str],
) -> None:
    """Do it to each of the chosen rows, and say what came of it."""
    for row in chosen:
        try:
            page.message_user(request, act(row), messages.SUCCESS)
        except DomainError as error:
            details = " ".join(dict.fromkeys([error.detail, *(f.detail for f in error.faults)]))
            page.message_user(request, f"{row}: {details}", messages.WARNING)
