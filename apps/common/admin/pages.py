"""The base of every page in the back office."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from apps.common.actor import Actor, ActorKind
from apps.common.middleware import request_id_of

if TYPE_CHECKING:  # unfold has no type hints: its classes are Django's with another face
    from django.contrib.admin import ModelAdmin as ModelAdmin
    from django.contrib.admin import TabularInline
else:
    from unfold.admin import ModelAdmin, TabularInline


def actor_of(request: HttpRequest) -> Actor:
    """The person who is signed in, as services want it."""
    return Actor(
        kind=ActorKind.USER,
        id=str(request.user.pk),
        label=request.user.get_username(),
        request_id=request_id_of(request),
    )


class UncountedPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs alone
    """Pages without COUNT(*): it looks one page ahead of the 2,000 newest rows instead.

    Older rows are found by search and filter, not by leafing through a million of them.
    """

    max_rows = 2000

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if isinstance(rows, QuerySet):
            return len(rows.order_by().values_list("pk", flat=True)[: self.max_rows])
        return len(rows)


class BaseModelAdmin(ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """Rows are records: nothing is deleted here, and state is changed only by actions that call the
    same services as the API. A page may open fields for editing by naming them in `editable`.

    A search for a whole id looks into the columns of `search_ids`, by their indexes (`id__exact` in
    `search_fields` would compare text, row by row); any other search into `search_fields`, if any.
    """

    editable: tuple[str, ...] = ()
    search_ids: tuple[str, ...] = ()
    paginator = UncountedPaginator
    show_full_result_count = False
    list_per_page = 50
    ordering = ("-pk",)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """An object without a field to edit is shown, not offered to be saved; actions still ask for
        the right to change."""
        if obj is not None and not self.editable:
            return False
        return super().has_change_permission(request, obj)

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return (*self.search_fields, *self.search_ids)  # any at all, and the page has a search box

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        if not search_term:
            return queryset, False
        try:
            wanted = UUID(search_term.strip())
        except ValueError:
            conditions = Q.create(
                [(name, search_term.strip()) for name in self.search_fields], Q.OR
            )
        else:
            conditions = Q.create([(name, wanted) for name in self.search_ids], Q.OR)
        return queryset.filter(conditions) if conditions else queryset.none(), False

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        # Django would show again, as read-only, what `exclude` hides.
        left_out = {*self.editable, *(self.exclude or ())}
        names = [field.name for field in self.model._meta.fields if field.name not in left_out]
        return [*names, *(name for name in self.readonly_fields if name not in names)]


class RecordInline(TabularInline):  # type: ignore[type-arg]  # generic in the stubs alone
    """Rows that belong to the object shown: to be read, not written."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
