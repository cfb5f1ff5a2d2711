"""What every page of the back office stands on."""

from apps.common.admin.pages import (
    BaseModelAdmin,
    ModelAdmin,
    RecordInline,
    UncountedPaginator,
    actor_of,
)

__all__ = ["BaseModelAdmin", "ModelAdmin", "RecordInline", "UncountedPaginator", "actor_of"]
