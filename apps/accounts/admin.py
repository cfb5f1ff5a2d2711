"""Accounts, keys and the people of the back office."""

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts import services
from apps.accounts.errors import ApiKeyRevoked
from apps.accounts.models import Account, ApiKey, User
from apps.common.admin import BaseModelAdmin, ModelAdmin, RecordInline

admin.site.unregister(Group)


@admin.register(User)
class PersonAdmin(UserAdmin, ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """People who sign in here."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class RoleAdmin(GroupAdmin, ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """What people may do."""


class ApiKeyInline(RecordInline):
    model = ApiKey
    fields = ("prefix", "name", "scopes", "last_used_at", "expires_at", "revoked_at")
    readonly_fields = fields


@admin.register(Account)
class AccountAdmin(BaseModelAdmin):
    list_display = ("slug", "name", "email", "created_at")
    search_fields = ("slug__startswith", "name__istartswith")
    search_ids = ("id",)
    inlines = (ApiKeyInline,)


@admin.register(ApiKey)
class ApiKeyAdmin(BaseModelAdmin):
    list_display = (
        "prefix",
        "account",
        "name",
        "scopes",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    list_select_related = ("account",)
    search_fields = ("prefix__startswith", "account__slug__startswith")
    search_ids = ("id", "account_id")
    exclude = ("hash",)
    actions = ("revoke",)

    @admin.action(description="Revoke the chosen keys now", permissions=["change"])
    def revoke(self, request: HttpRequest, keys: "QuerySet[ApiKey]") -> None:
        for key in keys:
            try:
                services.revoke_key(account_id=key.account_id, key_id=key.id)
            except ApiKeyRevoked:
                self.message_user(request, f"{key.prefix} was revoked before.", messages.WARNING)
            else:
                self.message_user(request, f"{key.prefix} is revoked.", messages.SUCCESS)
