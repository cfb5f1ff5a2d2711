"""The base of every page in the back office."""

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property


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


class BaseModelAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """Rows are records: nothing is deleted here, and state is changed only by actions that call the
    same services as the API. A page may open fields for editing by naming them in `editable`."""

    editable: tuple[str, ...] = ()
    paginator = UncountedPaginator
    show_full_result_count = False
    list_per_page = 50
    ordering = ("-pk",)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        names = [field.name for field in self.model._meta.fields if field.name not in self.editable]
        return [*names, *(name for name in self.readonly_fields if name not in names)]


class RecordInline(admin.TabularInline):  # type: ignore[type-arg]  # generic in the stubs alone
    """Rows that belong to the object shown: to be read, not written."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
