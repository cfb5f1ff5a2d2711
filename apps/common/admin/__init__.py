"""What every page of the back office stands on."""

from apps.common.admin.acting import Action, RowForm
from apps.common.admin.base import ModelAdmin, actor_of
from apps.common.admin.pages import BaseModelAdmin, RecordInline, UncountedPaginator

__all__ = [
    "Action",
    "BaseModelAdmin",
    "ModelAdmin",
    "RecordInline",
    "RowForm",
    "UncountedPaginator",
    "actor_of",
]
