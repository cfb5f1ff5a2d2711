"""The businesses that use Tradepost."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from apps.accounts import services
from apps.accounts.models import Account, ApiKey
from apps.common.admin import BaseModelAdmin, RecordInline


class ApiKeyInline(RecordInline):
    model = ApiKey
    fields = ("prefix", "name", "scopes", "last_used_at", "expires_at", "revoked_at")
    readonly_fields = fields


@admin.register(Account)
class AccountAdmin(BaseModelAdmin):
    list_display = ("slug", "name", "email", "created_at")
    search_fields = ("slug__startswith", "name__istartswith")
    search_ids = ("id",)
    editable = ("name", "legal_name", "address", "email", "tax_id", "tax_rate")
    inlines = (ApiKeyInline,)

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        """By the service that the API calls, so that the version moves on."""
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        services.update_account(account_id=obj.pk, changes=changes)
