"""What the pages of the back office are made of."""

from typing import TYPE_CHECKING

from django.http import HttpRequest

from apps.common.actor import Actor, ActorKind
from apps.common.middleware import request_id_of

if TYPE_CHECKING:  # unfold has no type hints: its classes are Django's with another face
    from django.contrib.admin import ModelAdmin as ModelAdmin
    from django.contrib.admin import TabularInline as TabularInline
else:
    from unfold.admin import ModelAdmin, TabularInline

__all__ = ["ModelAdmin", "TabularInline", "actor_of"]


def actor_of(request: HttpRequest) -> Actor:
    """The person who is signed in, as services want it."""
    return Actor(
        kind=ActorKind.USER,
        id=str(request.user.pk),
        label=request.user.get_username(),
        request_id=request_id_of(request),
    )
