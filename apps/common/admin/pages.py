"""The base of every page in the back office."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property

from apps.common.admin.acting import ActingAdmin
from apps.common.admin.base import TabularInline
from apps.common.admin.panels import Panel, across_of
from apps.common.admin.shown import label

if TYPE_CHECKING:  # unfold has no type hints: its list is Django's with another face
    from django.contrib.admin.views.main import ChangeList
else:
    from unfold.views import ChangeList

MAX_ACCOUNTS = 10
# How the filters of fields put their parameters.
_FILTERED_BY = ("", "__exact", "__isnull", "__isempty", "__id__exact")


class UncountedPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs alone
    """Pages without COUNT(*): it looks one page ahead of the 2,000 newest rows instead.

    Older rows are found by search and filter, not by leafing through a million of them.
    """

    max_rows = 2000
    template_name = "admin/pagination_uncounted.html"

    @property
    def is_cut(self) -> bool:
        """Whether there may be more than are counted."""
        return self.count >= self.max_rows

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if isinstance(rows, QuerySet):
            return len(rows.order_by().values_list("pk", flat=True)[: self.max_rows])
        return len(rows)


class RecordList(ChangeList):
    """A list that its address does not make slow, nor fail."""

    def get_ordering_field(self, field_name: Any) -> Any:
        """Only of the columns that may be sorted by: Django takes any that the address names."""
        is_sortable = field_name in (self.sortable_by or ())
        return super().get_ordering_field(field_name) if is_sortable else None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> "QuerySet[Any]":
        given = [values for name, values in request.GET.lists() if name != SEARCH_VAR]
        if any("\0" in value for values in given for value in values):
            raise IncorrectLookupParameters("PostgreSQL compares no text with a NUL.")
        rows: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return rows


class BaseModelAdmin(ActingAdmin):
    """Rows are records: nothing is deleted here, and state is changed only by actions that call the
    same services as the API. A page may open fields for editing by naming them in `editable`.

    A search for a whole id looks into the columns of `search_ids`, by their indexes (`id__exact` in
    `search_fields` would compare text, row by row); any other search into `search_fields`, if any, and for
    the starts of slugs into the accounts of `search_accounts`.
    Lists are ordered by the key, newest first, and by other columns only where `sortable_by` names them,
    for which there must be an index. They are narrowed by `list_filter` alone, and nothing is counted.
    """

    editable: tuple[str, ...] = ()
    search_ids: tuple[str, ...] = ()
    search_accounts: tuple[str, ...] = ()
    sortable_by = ()
    paginator = UncountedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    ordering = ("-pk",)
    change_form_outer_after_template = "admin/panels.html"

    @admin.display(description="status")
    def status_label(self, row: Any) -> str:
        return label(row.status)

    def subject_of(self, row: Any) -> UUID | None:
        """The id by which events and deliveries tell of this object; None when none do."""
        return None

    def get_panels(self, request: HttpRequest, row: Any) -> Iterable[Panel]:
        """What the page shows of its own below the fields."""
        return ()

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

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context.get("original")
        if row is not None:
            subject = self.subject_of(row)
            panels = list(self.get_panels(request, row))
            context["panels"] = panels + (across_of(request, subject) if subject else [])
        return super().render_change_form(request, context, *args, **kwargs)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RecordList]:
        return RecordList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Any other column or comparison that an address can name would read the whole table."""
        filters: Any = self.get_list_filter(request)
        named = [one[0] if isinstance(one, tuple) else one for one in filters]
        names = [one if isinstance(one, str) else one.parameter_name for one in named]
        return lookup in {f"{name}{by}" for name in names for by in _FILTERED_BY}

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """No key has a NUL, which an address can spell `_00`."""
        if "\0" in object_id:
            return None
        return super().get_object(request, object_id, from_field)

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        # Any at all, and the page has a search box.
        return (*self.search_fields, *self.search_ids, *self.search_accounts)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return self._by_id(request, queryset, UUID(term)), False
        except ValueError:
            pass
        conditions = Q.create([(name, term) for name in self.search_fields], Q.OR)
        for name in self.search_accounts:
            conditions |= Q(**{f"{name}_id__in": self._accounts(name, term)})
        return queryset.filter(conditions) if conditions else queryset.none(), False

    def _by_id(
        self, request: HttpRequest, queryset: "QuerySet[Any]", wanted: UUID
    ) -> "QuerySet[Any]":
        """The object of that id, whatever the filters; else by the columns that have the id, each of
        which reads its own index."""
        if "pk" in self.search_ids:
            rows: QuerySet[Any] = self.get_queryset(request).filter(pk=wanted)
            if rows.exists():
                return rows
        names = [name for name in self.search_ids if queryset.filter(**{name: wanted}).exists()]
        return (
            queryset.filter(Q.create([(name, wanted) for name in names], Q.OR))
            if names
            else queryset.none()
        )

    def _accounts(self, name: str, term: str) -> list[Any]:
        """Ids of accounts by the start of their slug: of a few, so that lists are read by their ids."""
        accounts = self.model._meta.get_field(name).related_model._default_manager
        found = accounts.filter(slug__startswith=term).order_by("slug")
        return list(found.values_list("pk", flat=True)[:MAX_ACCOUNTS])

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        # Django would show again, as read-only, what `exclude` hides.
        left_out = {*self.editable, *(self.exclude or ())}
        names = [field.name for field in self.model._meta.fields if field.name not in left_out]
        return [*names, *(name for name in self.readonly_fields if name not in names)]


class RecordInline(TabularInline):  # type: ignore[type-arg]  # generic in the stubs alone
    """Rows that belong to the object shown: to be read, not written."""

    extra = 0
    can_delete = False
    hide_title = True
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
